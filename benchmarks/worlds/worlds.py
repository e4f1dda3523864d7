"""Five worlds in which the truth of every conclusion is known, as outcome tables.

Four sizes answer four tasks of two types. Dense accuracy rises with size; a method keeps a share of it at its levels.
FLOPs are recorded: a sparse answer costs a stated share of the dense one of the same size. Each data set draws how
strong the world's effect is, from nearly none to all of it, so that close calls are among them.
"""

from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from scipy.special import ndtri

SIZES = (1e9, 2e9, 4e9, 8e9)
DENSE = (0.55, 0.67, 0.78, 0.86)
TASKS = {"look-up": "single-qa", "find": "single-qa", "chain": "multi-hop", "hop": "multi-hop"}
LEVELS = (0.5, 0.8)
HARDER = {"single-qa": 1.0, "multi-hop": 0.85}


@dataclass(frozen=True)
class World:
    """A comparison and what is true of it.

    kept: share of dense accuracy that each method keeps at each level; cost: share of dense FLOPs that it takes there.
    label: where only one is right. items: share of the items asked, by method and task type. times: as many items.
    """

    name: str
    about: str
    treatment: str
    reference: str
    axes: tuple[str, ...]
    label: str | None
    kept: dict[str, tuple[float, float]]
    cost: dict[str, tuple[float, float]]
    items: dict[tuple[str, str], float] = field(default_factory=dict)
    times: int = 1


JUDGED = ("compute", "parameters", "context length", "sparsity fraction")
EQUIVALENT = 0.02
EQUAL_COST = (0.6, 0.35)
WORLDS = (
    World(
        "a",
        "sparse wins at equal compute and loses at equal parameters",
        "a@0.8",
        "dense",
        JUDGED,
        "axis-dependent",
        {"a": (0.97, 0.90)},
        {"a": EQUAL_COST},
    ),
    World(
        "b",
        "one method wins on all axes",
        "a@0.8",
        "b@0.8",
        JUDGED,
        "robust",
        {"a": (0.98, 0.92), "b": (0.85, 0.70)},
        {"a": EQUAL_COST, "b": (0.65, 0.45)},
    ),
    World(
        "c",
        "no common support at equal compute",
        "a@0.8",
        "dense",
        JUDGED,
        None,
        {"a": (0.97, 0.90)},
        {"a": (0.08, 0.05)},
    ),
    World(
        "d",
        "no difference",
        "a@0.8",
        "b@0.8",
        JUDGED,
        None,
        {"a": (0.97, 0.90), "b": (0.97, 0.90)},
        {"a": EQUAL_COST, "b": EQUAL_COST},
        times=4,
    ),
    World(
        "e",
        "worse on every task type, yet better in the pooled mean (Simpson)",
        "a@0.8",
        "b@0.8",
        JUDGED,
        "robust",
        {"a": (0.90, 0.80), "b": (0.98, 0.93)},
        {"a": EQUAL_COST, "b": EQUAL_COST},
        {("a", "single-qa"): 1.0, ("a", "multi-hop"): 0.2, ("b", "single-qa"): 0.2, ("b", "multi-hop"): 1.0},
    ),
)


def kept(world: World, seed: int) -> dict[str, tuple[float, ...]]:
    """Share of dense accuracy kept, by method and level, in one data set."""
    strength = np.random.default_rng([seed, 1]).uniform(0.15, 1.0)
    methods = list(world.kept)
    centre = np.ones(len(LEVELS)) if len(methods) == 1 else np.mean(list(world.kept.values()), axis=0)
    return {m: tuple((centre + strength * (np.array(world.kept[m]) - centre)).tolist()) for m in methods}


def hardness(world: World) -> dict[str, float]:
    """By how much dense accuracy is less, by task type."""
    return {**HARDER, "multi-hop": 0.45} if world.name == "e" else HARDER


def difference(world: World, seed: int, task_type: str, axis: str) -> float | None:
    """The true difference of treatment and reference at level 0.8, or None where no axis value is common.

    At equal compute accuracy is taken as straight in log FLOPs between sizes, averaged over the common support.
    """
    share = kept(world, seed)
    kinds = hardness(world)
    dense = np.array(DENSE) * (np.mean(list(kinds.values())) if task_type not in kinds else kinds[task_type])
    sides = [name.split("@")[0] for name in (world.treatment, world.reference)]
    accuracy = [dense * (share[side][-1] if side in share else 1.0) for side in sides]
    if axis == "sparsity fraction" and "dense" in sides:
        return None
    if axis != "compute":
        return float(np.mean(accuracy[0] - accuracy[1]))
    flops = [np.log2(SIZES) + np.log2(world.cost[side][-1] if side in world.cost else 1.0) for side in sides]
    low, high = max(x[0] for x in flops), min(x[-1] for x in flops)
    if high <= low:
        return None
    grid = np.linspace(low, high, 201)
    return float(np.mean(np.interp(grid, flops[0], accuracy[0]) - np.interp(grid, flops[1], accuracy[1])))


def right(verdict: str, true: float | None) -> bool:
    """Whether a verdict is true."""
    if true is None or verdict == "no overlap":
        return true is None and verdict == "no overlap"
    return {"better": true > 0, "worse": true < 0, "equivalent": abs(true) < EQUIVALENT}[verdict]


def simulate(world: World, *, n_items: int, seed: int) -> pd.DataFrame:
    """Outcomes of a world: ``n_items`` a task, with an ability of their own for each item so that answers pair."""
    rng, n_items = np.random.default_rng([seed, ord(world.name)]), n_items * world.times
    parts, harder, shares = [], hardness(world), kept(world, seed)
    for task, task_type in TASKS.items():
        # a Gaussian copula with correlation 0.6 between an item's answers; the margins are the stated accuracies
        own = np.sqrt(0.6) * rng.standard_normal(n_items)
        for size, dense in zip(SIZES, DENSE, strict=True):
            conditions = [("dense", 0.0, 1.0, 1.0)]
            for method, share in shares.items():
                conditions += [(method, *rest) for rest in zip(LEVELS, share, world.cost[method], strict=True)]
            for method, level, left, cost in conditions:
                asked = np.arange(n_items) < round(world.items.get((method, task_type), 1.0) * n_items)
                limit = ndtri(dense * harder[task_type] * left)
                answered = own + np.sqrt(0.4) * rng.standard_normal(n_items) < limit
                parts.append(
                    pd.DataFrame(
                        {
                            "item_id": [f"{task}-{i}" for i in range(n_items)],
                            "task": task,
                            "task_type": task_type,
                            "model": f"m{size / 1e9:g}b",
                            "params": int(size),
                            "sparsifier": method,
                            "unit": "none" if method == "dense" else "causal-pairs",
                            "sparsity_kind": "none" if method == "dense" else "attention",
                            "sparsity_requested": level,
                            "sparsity_realised": level,
                            "context_length": 4096,
                            "chance": 0.0,
                            "flops_linear": 0.2 * cost * size * 4096,
                            "flops_attention": 0.8 * cost * size * 4096,
                            "flops_selection": 0.0,
                            "score": answered.astype(float),
                        }
                    )[asked]
                )
    return pd.concat(parts, ignore_index=True)
