"""Outcomes with a known truth: Weibull curves in halvings, independent items."""

import numpy as np
import pandas as pd

LEVELS = (0.5, 0.67, 0.8, 0.9, 0.95)
TASKS = {"look-up": "single-qa", "chain": "multi-hop", "count": "aggregation"}


def retained(halvings: float, scale: float, shape: float = 2.2) -> float:
    """Share of accuracy above the floor that is left."""
    return float(np.exp(-((halvings / scale) ** shape)))


def threshold(scale: float, shape: float = 2.2, least: float = 0.95) -> float:
    """The sparsity at which ``least`` is left."""
    return float(1 - 2.0 ** -(scale * (-np.log(least)) ** (1 / shape)))


def outcomes(
    *,
    n_items: int = 100,
    levels: tuple[float, ...] = LEVELS,
    sparsifiers: tuple[str, ...] = ("top-k", "streaming"),
    tasks: dict[str, str] = TASKS,
    scales: dict[tuple[str, str], float] | None = None,
    dense: float = 0.9,
    with_dense: bool = True,
    seed: int = 0,
) -> pd.DataFrame:
    """One row an answer; ``scales[task, sparsifier]`` are the halvings at which 1/e is left (3 unless given)."""
    rng = np.random.default_rng(seed)
    conditions = [("dense", 0.0)] * with_dense + [(name, level) for name in sparsifiers for level in levels]
    rows = []
    for task, task_type in tasks.items():
        for sparsifier, level in conditions:
            scale = (scales or {}).get((task, sparsifier), 3.0)
            accuracy = dense * (retained(-np.log2(1 - level), scale) if level else 1.0)
            rows += [
                {
                    "item_id": f"{task}-{item}",
                    "task": task,
                    "task_type": task_type,
                    "model": "simulated",
                    "params": 1000,
                    "sparsifier": sparsifier,
                    "unit": "none" if sparsifier == "dense" else "causal-pairs",
                    "sparsity_requested": level,
                    "sparsity_realised": level,
                    "context_length": 256,
                    "chance": 0.0,
                    "score": float(rng.random() < accuracy),
                }
                for item in range(n_items)
            ]
    return pd.DataFrame(rows)
