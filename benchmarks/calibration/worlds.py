"""Simulated answers of several models at several context lengths, with a known truth by model and averaged.

Every world is hard on one part of the model: methods that break models apart, shapes that differ by model, curves that
cross, levels that move with the length of an item, items that are missing because they are hard, clusters, items that
are unequally many, a guessing rate that is not what is stated, difficulty that interacts with the level, many levels,
replicates of two code versions, and models that answer one letter once they are broken.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import pandas as pd
from scipy.special import expit
from scipy.stats import norm

from benchmarks.calibration.scenarios import LEVELS, SPARSIFIERS, TYPES, _first_below, _left

MANY_LEVELS = (0.3, 0.4, 0.5, 0.6, 0.7, 0.75, 0.8, 0.85, 0.9, 0.93, 0.96, 0.98)
# What is left of above-floor accuracy where a model counts as broken.
BROKEN = 0.05


@dataclass(frozen=True)
class World:
    """How answers come about. Spreads are sds of log locations and log shapes by sparsifier x model."""

    about: str
    models: int = 2
    contexts: int = 2
    shift: float = 0.35
    bend: float = 0.0
    items: int = 40
    tasks_per_type: int = 3
    levels: tuple[float, ...] = LEVELS
    crossing: bool = False
    drift: float = 0.0
    hard_missing: float = 0.0
    clusters: int = 0
    unequal: bool = False
    chance: float = 0.0
    stated: float | None = None
    interacting: bool = False
    versions: float = 0.0
    letter: float = 0.0


WORLDS = {
    "2 models": World("two models at two lengths, each method its own location by model"),
    "4 models": World("four models at two lengths, each method its own location by model", models=4, items=30),
    "8 models": World("eight models at two lengths", models=8, items=25, tasks_per_type=2),
    "alike": World("two models at two lengths that differ in nothing but dense accuracy", shift=0.0),
    "many answers": World("two models whose methods break in other places, 300 items a task", shift=0.6, items=300),
    "shapes by model": World("curves whose shape differs by model", bend=0.5, items=80),
    "crossing": World("methods whose curves cross", crossing=True, contexts=1),
    "realised": World("realised levels that move with the length of an item", drift=0.03, contexts=1),
    "hard missing": World("the hardest items missing at mild levels", hard_missing=0.15, contexts=1),
    "clusters": World("items of ten clusters a task", clusters=10, contexts=1),
    "unequal": World("tasks of 10 to 200 items", unequal=True, contexts=1),
    "mis-stated floor": World("0.25 stated where broken models reach 0.12", chance=0.12, stated=0.25, contexts=1),
    "interacting": World("difficulty that interacts with the level", interacting=True, contexts=1),
    "12 levels": World("twelve levels", levels=MANY_LEVELS, contexts=1),
    "versions": World("every item twice, by two versions of the code that differ", versions=0.06, contexts=1),
    "letter": World("broken models answer one letter", chance=0.25, letter=0.06, contexts=1),
}


@dataclass(frozen=True)
class Truths:
    """What estimates are scored against, by quantity and key.

    Keys go by type and sparsifier, then level; quantities "by model" have the model last, "models" both models.
    """

    values: dict[str, dict[tuple, float]]


@dataclass(frozen=True)
class _Curve:
    """Accuracy of one task, method, model and context at halvings."""

    left: object
    dense: float
    floor: float
    broken: float

    def __call__(self, x: np.ndarray) -> np.ndarray:
        kept = self.left(np.asarray(x, dtype=float))  # type: ignore[operator]
        whole = self.floor + (self.dense - self.floor) * kept
        return np.clip(np.where(kept < BROKEN, whole + self.broken, whole), 1e-6, 1 - 1e-6)


type _Key = tuple[str, str, str, int]


def simulate(name: str, seed: int, *, least: float = 0.95) -> tuple[pd.DataFrame, Truths]:
    """Outcomes and truth of one data set; the same name and seed give the same data."""
    world = WORLDS[name]
    rng = np.random.default_rng([seed, 1000 + list(WORLDS).index(name)])
    models = [f"m{i}" for i in range(world.models)]
    contexts = [1024 * 8**i for i in range(world.contexts)]
    tasks = [(f"{kind}-{i}", kind) for kind in TYPES for i in range(world.tasks_per_type)]
    curves = _curves(world, tasks, models, contexts, rng)
    frames = []
    for number, (task, kind) in enumerate(tasks):
        n = int([10, 25, 60, 200][number % 4]) if world.unequal else world.items
        frames.append(_answers(world, task, kind, n, models, contexts, curves, rng))
    return pd.concat(frames, ignore_index=True), _truths(world, curves, tasks, models, contexts, least)


def _curves(
    world: World, tasks: list[tuple[str, str]], models: list[str], contexts: list[int], rng: np.random.Generator
) -> dict[_Key, _Curve]:
    by_type = {kind: 0.3 * rng.normal() for kind in TYPES}
    by_method = {m: (0.3 * rng.normal(), 0.2 * rng.normal()) for m in SPARSIFIERS}
    if world.crossing:
        by_method = {SPARSIFIERS[0]: (-0.1, 0.7), SPARSIFIERS[1]: (0.1, -0.4)}
    by_model = {m: (0.4 * i + 0.3 * rng.normal(), 0.1 * rng.normal()) for i, m in enumerate(models)}
    crossed = {(s, m): (world.shift * rng.normal(), world.bend * rng.normal()) for s in SPARSIFIERS for m in models}
    length = {s: 0.15 * rng.normal() for s in SPARSIFIERS}
    tail = float(np.exp(rng.normal(-0.9, 0.6)))
    curves: dict[_Key, _Curve] = {}
    for task, kind in tasks:
        own, whole = 0.2 * rng.normal(), 1.2 + 0.5 * rng.normal()
        for model in models:
            with_task = 0.3 * rng.normal()
            for c, context in enumerate(contexts):
                dense = world.chance + (1 - world.chance) * float(
                    expit(whole + by_model[model][0] + with_task - 0.3 * c + 0.1 * rng.normal())
                )
                for method in SPARSIFIERS:
                    loc = np.log(4.2) + by_type[kind] + by_method[method][0] + by_model[model][1] + own
                    loc += crossed[method, model][0] + length[method] * c + 0.08 * rng.normal()
                    shape = float(np.exp(0.8 + by_method[method][1] + crossed[method, model][1] + 0.1 * rng.normal()))
                    left = _left("burr", float(np.exp(loc)), shape, tail, rng)
                    broken = world.letter * rng.normal() if world.letter else 0.0
                    curves[task, method, model, context] = _Curve(left, dense, world.chance, broken)
    return curves


def _answers(
    world: World,
    task: str,
    kind: str,
    n: int,
    models: list[str],
    contexts: list[int],
    curves: dict[_Key, _Curve],
    rng: np.random.Generator,
) -> pd.DataFrame:
    """All answers to the items of one task: all models are asked the same, each context length has its own."""
    frames = []
    for context in contexts:
        difficulty, length = rng.normal(size=n), rng.normal(size=n)
        if world.clusters:
            cluster = np.arange(n) % world.clusters
            difficulty = np.sqrt(0.5) * rng.normal(size=world.clusters)[cluster] + np.sqrt(0.5) * difficulty
        length = 0.6 * difficulty + 0.8 * length
        for model in models:
            asked = rng.normal(size=n)  # what an item asks of this model at this length
            for method, s in _conditions(world):
                curve = curves[task, SPARSIFIERS[0] if method == "dense" else method, model, context]
                realised = np.clip(s + world.drift * length, 0.02, 0.995) if s else np.zeros(n)
                p = curve(-np.log2(1 - realised))
                weight = 0.7 * (1 - 0.8 * s) if world.interacting else 0.4
                kept = 0.5 * (1 - s)
                noise = rng.normal(size=n)
                latent = np.sqrt(weight) * difficulty
                latent += np.sqrt((1 - weight) * kept) * asked + np.sqrt((1 - weight) * (1 - kept)) * noise
                keep = np.ones(n, dtype=bool)
                if world.hard_missing and s < 0.7:
                    keep = difficulty < np.quantile(difficulty, 1 - world.hard_missing)
                for version in range(2 if world.versions else 1):
                    moved = np.clip(p + world.versions * (version - 0.5) * (s > 0), 1e-6, 1 - 1e-6)
                    right = latent < norm.ppf(moved)
                    frames.append(_frame(world, task, kind, model, context, method, s, realised, right, keep, version))
    return pd.concat(frames, ignore_index=True)


def _conditions(world: World) -> Iterator[tuple[str, float]]:
    yield "dense", 0.0
    yield from ((method, s) for method in SPARSIFIERS for s in world.levels)


def _frame(
    world: World,
    task: str,
    kind: str,
    model: str,
    context: int,
    method: str,
    s: float,
    realised: np.ndarray,
    right: np.ndarray,
    keep: np.ndarray,
    version: int,
) -> pd.DataFrame:
    asked = np.flatnonzero(keep)
    return pd.DataFrame(
        {
            "item_id": [f"{task}-{context}-{i}" for i in asked],
            "task": task,
            "task_type": kind,
            "model": model,
            "params": 1000 * 4 ** int(model[1:]),
            "sparsifier": method,
            "unit": "none" if method == "dense" else "causal-pairs",
            "sparsity_requested": s,
            "sparsity_realised": realised[asked],
            "context_length": context,
            "chance": world.chance if world.stated is None else world.stated,
            "replicate": version,
            "score": right[asked].astype(float),
        }
    )


def _truths(
    world: World,
    curves: dict[_Key, _Curve],
    tasks: list[tuple[str, str]],
    models: list[str],
    contexts: list[int],
    least: float,
) -> Truths:
    found: dict[str, dict[tuple, float]] = {}

    def put(quantity: str, key: tuple, value: float) -> None:
        found.setdefault(quantity, {})[key] = value

    for kind in TYPES:
        mine = [task for task, k in tasks if k == kind]
        for method in SPARSIFIERS:
            groups: dict[tuple, list[_Curve]] = {
                (model,): [curves[t, method, model, c] for t in mine for c in contexts] for model in models
            }
            groups[()] = [curve for group in list(groups.values()) for curve in group]
            accuracy = {}
            for which, group in groups.items():
                suffix = " by model" if which else ""
                mean = _mean_of(group)
                dense, floor = float(mean(np.zeros(1))[0]), world.chance

                def kept(x: np.ndarray, mean=mean, dense=dense, floor=floor) -> np.ndarray:  # type: ignore[no-untyped-def]
                    return np.asarray((mean(np.atleast_1d(x)) - floor) / (dense - floor))

                put(f"tolerated{suffix}", (kind, method, *which), _first_below(kept, least))
                for s in world.levels:
                    at = -np.log2(1 - np.array([s]))
                    accuracy[which, s] = float(mean(at)[0])
                    put(f"accuracy{suffix}", (kind, method, s, *which), accuracy[which, s])
                    put(f"retention{suffix}", (kind, method, s, *which), float(kept(at)[0]))
            for a, b in combinations(models, 2):
                for s in world.levels:
                    put("models", (kind, method, s, a, b), accuracy[(a,), s] - accuracy[(b,), s])
        for s in world.levels:
            both = [found["retention"][kind, method, s] for method in SPARSIFIERS]
            put("contrast", (kind, s), both[0] - both[1])
    return Truths(found)


def _mean_of(group: list[_Curve]):  # type: ignore[no-untyped-def]
    return lambda x: np.mean([curve(x) for curve in group], axis=0)
