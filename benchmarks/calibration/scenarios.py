"""Simulated answers with a known truth: every scenario of the calibration study, each hard on the model in its own way.

The accuracy of every task under every sparsifier and level is fixed exactly, so thresholds and retention are known; the
items' 0/1 answers are then drawn through a latent Gaussian: an item is right where its latent value lies below the
quantile of the accuracy. Correlation of the latent values between conditions is a choice of the scenario; the usual one
gives phi 0.8-0.97 between dense and mild sparsity and 0.1-0.4 between dense and strong, as published items show.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.optimize import brentq
from scipy.special import expit, logit
from scipy.stats import norm

LEVELS = (0.5, 0.67, 0.8, 0.9, 0.95)
TYPES = ("single-qa", "multi-hop", "aggregation")
SPARSIFIERS = ("first", "second")
Curve = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Scenario:
    """How answers come about. ``family`` names the curve; locations are log halvings at which 1/e is left."""

    about: str
    family: str = "burr"
    location: float = float(np.log(4.2))
    spread: float = 1.0
    shape: float = 0.9
    dense: float = 1.8
    chance: float = 0.0
    items: int = 50
    tasks_per_type: int = 4
    levels: tuple[float, ...] = LEVELS
    correlation: str = "usual"
    with_dense: bool = True
    dominating: float = 1.0
    missing: float = 0.0


SCENARIOS = {
    "family": Scenario("curves of the model's own family"),
    "weibull": Scenario("Weibull curves", family="weibull"),
    "log-logistic": Scenario("log-logistic curves", family="log-logistic"),
    "cliff": Scenario("a plateau, then a cliff between two levels", family="cliff"),
    "plateau": Scenario("an immune share of items, a cliff for the rest", family="plateau"),
    "bump": Scenario("non-monotone: a gain or a dip on the way", family="bump"),
    "correlated": Scenario("items nearly the same in every condition", correlation="strong"),
    "below": Scenario("thresholds below the first level", location=float(np.log(1.1)), shape=0.5),
    "beyond": Scenario("thresholds beyond the last level", location=float(np.log(25.0))),
    "few tasks": Scenario("two tasks a type", tasks_per_type=2),
    "dominating": Scenario("one task a type has ten times the items of the others", dominating=10.0, items=25),
    "ceiling": Scenario("dense accuracy about 0.99", dense=4.6),
    "floor": Scenario("four options, dense accuracy not far above chance", chance=0.25, dense=0.2),
    "no dense": Scenario("no dense level", with_dense=False),
    "unbalanced": Scenario("a third of the cells missing, items missing from the others", missing=0.33),
}


@dataclass(frozen=True)
class Truth:
    """What estimates are scored against, by task type and sparsifier; thresholds may lie outside the levels."""

    tolerated: dict[tuple[str, str], float]
    retention: dict[tuple[str, str, float], float]
    accuracy: dict[tuple[str, str, float], float]


def simulate(name: str, seed: int, *, least: float = 0.95) -> tuple[pd.DataFrame, Truth]:
    """Outcomes and truth of one data set; the same name and seed give the same data."""
    scenario = SCENARIOS[name]
    rng = np.random.default_rng([seed, list(SCENARIOS).index(name)])
    tasks = [(f"{kind}-{i}", kind) for kind in TYPES for i in range(scenario.tasks_per_type)]
    curves = _curves(scenario, tasks, rng)
    frames = []
    measured: dict[tuple[str, str], set[str]] = {}
    for task, kind in tasks:
        n = int(scenario.items * (scenario.dominating if task.endswith("-0") else 1))
        frame = _answers(scenario, task, kind, n, curves, rng)
        frames.append(frame)
        for sparsifier in SPARSIFIERS:
            if (frame["sparsifier"] == sparsifier).any():
                measured.setdefault((kind, sparsifier), set()).add(task)
    return pd.concat(frames, ignore_index=True), _truth(scenario, curves, measured, least)


def _curves(scenario: Scenario, tasks: list[tuple[str, str]], rng: np.random.Generator) -> dict[tuple[str, str], Curve]:
    """Accuracy as a function of halvings, by task and sparsifier."""
    wide = scenario.spread
    by_type = {kind: (0.4 * rng.normal(), 0.35 * wide * rng.normal()) for kind in TYPES}
    by_method = {name: (0.35 * wide * rng.normal(), 0.2 * rng.normal()) for name in SPARSIFIERS}
    crossed = {(k, m): 0.2 * wide * rng.normal() for k in TYPES for m in SPARSIFIERS}
    tail = float(np.exp(rng.normal(-0.9, 0.6)))
    curves: dict[tuple[str, str], Curve] = {}
    for task, kind in tasks:
        dense = scenario.dense + by_type[kind][0] + 0.6 * rng.normal()
        own, own_shape = 0.25 * wide * rng.normal(), 0.2 * rng.normal()
        for method in SPARSIFIERS:
            location = scenario.location + by_type[kind][1] + by_method[method][0] + crossed[kind, method]
            location += own + 0.15 * rng.normal()
            shape = float(np.exp(scenario.shape + by_method[method][1] + own_shape + 0.1 * rng.normal()))
            left = _left(scenario.family, float(np.exp(location)), shape, tail, rng)
            curves[task, method] = _accuracy(left, float(expit(dense)), scenario.chance)
    return curves


def _left(family: str, scale: float, shape: float, tail: float, rng: np.random.Generator) -> Curve:
    """Share of above-floor accuracy that is left at a number of halvings."""
    if family == "weibull":
        return lambda x: np.exp(-((x / scale) ** shape))
    if family == "log-logistic":
        return lambda x: 1 / (1 + 1.7 * (x / scale) ** (1.5 * shape))
    if family == "burr":
        return lambda x: (1 + tail * (x / scale) ** (shape * (1 + tail / 2))) ** (-1 / tail)
    if family == "cliff":
        steep = shape * rng.uniform(3.5, 6.0)
        return lambda x: np.exp(-((x / scale) ** steep))
    if family == "plateau":
        immune, steep, later = rng.uniform(0.25, 0.7), 2.5 * shape, scale * np.exp(rng.uniform(1.0, 1.8))
        early = scale * np.exp(-0.4)
        return lambda x: (1 - immune) * np.exp(-((x / early) ** steep)) + immune * np.exp(-((x / later) ** steep))
    gain, dip = abs(rng.normal()) * 0.25, rng.normal() * 0.25

    def bump(x: np.ndarray) -> np.ndarray:
        base = np.clip(0.9 * np.exp(-((x / scale) ** shape)), 1e-9, 1 - 1e-9)
        near, far = (np.exp(-0.5 * ((x - at) / 0.5) ** 2) * np.minimum(x, 1) for at in (0.8, 2.2))
        return expit(logit(base) + gain * near + dip * far) / 0.9

    return bump


def _accuracy(left: Curve, dense: float, chance: float) -> Curve:
    return lambda x: np.clip(chance + (1 - chance) * dense * left(np.asarray(x, dtype=float)), 1e-9, 1 - 1e-9)


def _answers(
    scenario: Scenario,
    task: str,
    kind: str,
    n: int,
    curves: dict[tuple[str, str], Curve],
    rng: np.random.Generator,
) -> pd.DataFrame:
    halvings = -np.log2(1 - np.asarray(scenario.levels))
    conditions = [("dense", 0.0, float(curves[task, SPARSIFIERS[0]](np.zeros(1))[0]))]
    for method in SPARSIFIERS:
        values = curves[task, method](halvings)
        conditions += [(method, s, float(v)) for s, v in zip(scenario.levels, values, strict=True)]
    latent = _latent(scenario.correlation, n, len(scenario.levels), halvings, rng)
    frames = []
    for column, (method, s, accuracy) in enumerate(conditions):
        right = latent[:, column] < norm.ppf(accuracy)
        keep = np.ones(n, dtype=bool)
        if scenario.missing and method != "dense":
            # a cell is missing whole, or asks some of the items
            keep = rng.random(n) < (0.0 if rng.random() < scenario.missing else rng.uniform(0.5, 1.0))
        if method == "dense" and not scenario.with_dense:
            continue
        frames.append(
            pd.DataFrame(
                {
                    "item_id": [f"{task}-{i}" for i in np.flatnonzero(keep)],
                    "task": task,
                    "task_type": kind,
                    "model": "simulated",
                    "params": 1000,
                    "sparsifier": method,
                    "unit": "none" if method == "dense" else "causal-pairs",
                    "sparsity_requested": s,
                    "sparsity_realised": s,
                    "context_length": 256,
                    "chance": scenario.chance,
                    "score": right[keep].astype(float),
                }
            )
        )
    return pd.concat(frames, ignore_index=True)


def _latent(kind: str, n: int, n_levels: int, halvings: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Standard normals ``(item, condition)``: an item's difficulty, a path along a sparsifier's levels, and noise."""
    item, path, noise = (0.5, 0.49, 0.01) if kind == "usual" else (0.85, 0.145, 0.005)
    start = rng.normal(size=n)
    columns = [start]
    for _ in SPARSIFIERS:
        value, before = start, 0.0
        for at in halvings:
            near = np.exp(-(at - before) / 4.0)
            value = near * value + np.sqrt(1 - near**2) * rng.normal(size=n)
            before = at
            columns.append(value)
    difficulty = rng.normal(size=(n, 1))
    out = np.sqrt(item) * difficulty + np.sqrt(path) * np.stack(columns, 1)
    return out + np.sqrt(noise) * rng.normal(size=out.shape)


def _truth(
    scenario: Scenario,
    curves: dict[tuple[str, str], Curve],
    measured: dict[tuple[str, str], set[str]],
    least: float,
) -> Truth:
    tolerated, retention, accuracy = {}, {}, {}
    for (kind, method), tasks in measured.items():

        def kept(
            x: np.ndarray, mine: tuple[Curve, ...] = tuple(curves[t, method] for t in sorted(tasks))
        ) -> np.ndarray:
            x = np.atleast_1d(np.asarray(x, dtype=float))
            mean = np.mean([curve(x) for curve in mine], axis=0)
            dense = np.mean([curve(np.zeros(1)) for curve in mine])
            return (mean - scenario.chance) / (dense - scenario.chance)

        tolerated[kind, method] = _first_below(kept, least)
        for s in scenario.levels:
            at = -np.log2(1 - np.array([s]))
            retention[kind, method, s] = float(kept(at)[0])
            accuracy[kind, method, s] = float(np.mean([curves[t, method](at)[0] for t in sorted(tasks)]))
    return Truth(tolerated, retention, accuracy)


def _first_below(kept: Curve, least: float) -> float:
    grid = np.linspace(1e-6, 60, 12_001)
    below = kept(grid) < least
    if not below.any():
        return 1.0
    i = int(below.argmax())
    if i == 0:
        return 0.0
    at = brentq(lambda x: float(kept(np.array([x]))[0]) - least, grid[i - 1], grid[i])
    return float(1 - 2.0**-at)
