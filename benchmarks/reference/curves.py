"""The shipped answers as curves: scores by item and level, and where half of the dense score is left.

No fit, nothing assumed of a curve but straight lines between measured levels; intervals are 95% over items (the same
items are drawn for all that is compared), for the weights that were trained.
"""

from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd

DATA = Path(__file__).parent / "data"
N_DRAWS = 1000
METHODS = ("keydiff", "tova", "streaming-eviction", "random-eviction", "snapkv", "key-norm")
TASKS = {
    "kv-lookup": "single-qa",
    "biographies-1": "single-qa",
    "niah-single": "retrieval",
    "niah-multi-key": "retrieval",
    "two-hop": "multi-hop",
    "biographies-2": "multi-hop",
    "biographies-3": "multi-hop",
    "variable-tracking-2": "multi-hop",
    "common-word": "aggregation",
    "frequent-words": "aggregation",
    "filtering": "aggregation",
    "counting": "aggregation",
}
SIZES, LENGTHS = (30, 20, 10), (512, 1024)
LEAST = 0.85
Key = tuple[int, int, int, str, str]  # layers, training seed, context length, task, method


def read(*plans: str, folder: Path = DATA) -> pd.DataFrame:
    """Answers of some plans, with the seed of each checkpoint's training."""
    rows = pd.concat([pd.read_parquet(folder / f"{plan}.parquet") for plan in plans], ignore_index=True)
    return rows.assign(training=rows["model"].str.extract(r"seed-(\d+)", expand=False).astype(int))


@dataclass(frozen=True)
class Curve:
    """Scores of a checkpoint on a task under a method ``(item, level)``; level 0 is dense."""

    items: tuple[str, ...]
    levels: np.ndarray
    scores: np.ndarray

    def means(self, items: tuple[str, ...] | None = None) -> np.ndarray:
        """Mean score by level: of all items first, then of draws of items ``(1 + draw, level)``."""
        chosen = self.scores if items is None else self.scores[[self.items.index(item) for item in items]]
        drawn = np.random.default_rng(0).integers(len(chosen), size=(N_DRAWS, len(chosen)))
        return np.concatenate([chosen.mean(0)[None], chosen[drawn].mean(1)])


@cache
def curves() -> dict[Key, Curve]:
    """Of everything that was answered under eviction."""
    rows = read("listing", "short")
    found = {}
    for (layers, training, length, task), some in rows.groupby(["n_layers", "training", "context_length", "task"]):
        dense = some[some["sparsifier"] == "dense"]
        for method, under in some[some["sparsifier"] != "dense"].groupby("sparsifier"):
            both = pd.concat([dense, under])
            table = both.pivot_table(index="item_id", columns="sparsity_requested", values="score").dropna()
            curve = Curve(tuple(table.index), table.columns.to_numpy(float), table.to_numpy(float))
            found[int(layers), int(training), int(length), str(task), str(method)] = curve
    return found


def halves(levels: np.ndarray, means: np.ndarray) -> np.ndarray:
    """The level at which a mean score first falls below half of dense, between levels; inf where it does not."""
    target = means[:, :1] / 2
    below = means < target
    i = below.argmax(1)
    row = np.arange(len(means))
    before, after = means[row, i - 1], means[row, i]
    with np.errstate(divide="ignore", invalid="ignore"):
        at = levels[i - 1] + (before - target[:, 0]) / (before - after) * (levels[i] - levels[i - 1])
    return np.where(below.any(1), at, np.inf)


def interval(drawn: np.ndarray) -> tuple[float, float]:
    """95%, ends among what was drawn."""
    low, high = np.quantile(drawn, [0.025, 0.975], method="nearest")
    return float(low), float(high)


def said(curve: Curve) -> str:
    """Level at half of dense with its interval; what lies beyond the last level is more than that."""
    drawn = halves(curve.levels, curve.means())
    ends = (drawn[0], *interval(drawn[1:]))
    at, low, high = (f">{short(curve.levels[-1])}" if np.isinf(end) else short(end) for end in ends)
    return at if at == low == high else f"{at} [{low}, {high}]"


def short(level: float) -> str:
    return f"{level:.2f}".removeprefix("0")


def row(*cells: str) -> str:
    """A line of a table."""
    return f"| {' | '.join(cells)} |"
