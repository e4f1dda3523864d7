"""A posterior that needs no sampler: every cell's accuracy by itself, from its items alone.

Items are weighted by draws of the Bayesian bootstrap (Rubin 1981, doi:10.1214/aos/1176345338), the same weights in all
cells of a task, so that cells that asked the same items stay paired. Between levels accuracy is straight in halvings.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tolerance.comparison.conditions import Condition, keyed
from tolerance.data.cells import halvings
from tolerance.data.outcomes import DENSE

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Cellwise:
    """Draws of each cell's accuracy, by task, model, context, method and level."""

    cells: dict[tuple[str, str, int, str], dict[float, Floats]]
    n_draws: int

    @classmethod
    def of(cls, outcomes: pd.DataFrame, *, n_draws: int = 1000, seed: int = 0) -> "Cellwise":
        """Draws for validated outcomes."""
        rng, table = np.random.default_rng(seed), keyed(outcomes)
        cells: dict[tuple[str, str, int, str], dict[float, Floats]] = {}
        for task, mine in table.groupby("task"):
            codes, items = pd.factorize(mine["item_id"])
            # a right and a wrong item of weight a half each, so that no cell is certain
            weights = rng.standard_exponential((n_draws, len(items)))
            for (model, context, method, _), rows in mine.assign(code=codes).groupby(
                ["model", "context_length", "sparsifier", "sparsity_requested"]
            ):
                here = weights[:, rows["code"].to_numpy()]
                prior = rng.gamma(0.5, size=(2, n_draws))
                share = (here @ rows["score"].to_numpy(float) + prior[0]) / (here.sum(axis=1) + prior.sum(axis=0))
                cells.setdefault((str(task), model, int(context), method), {})[float(rows["level"].mean())] = share
        return cls(cells, n_draws)

    def accuracy(self, condition: Condition, task: str, sparsities: Sequence[float]) -> Floats:
        """Accuracy at some sparsities ``(draw, sparsity)``."""
        found = {**self.cells.get((task, condition.model, condition.context, DENSE), {})}
        found |= self.cells[task, condition.model, condition.context, condition.sparsifier]
        levels = sorted(found)
        at, x = halvings(np.array(levels)), halvings(np.asarray(sparsities, dtype=float))
        draws = np.column_stack([found[level] for level in levels])
        weights = np.stack([np.interp(x, at, unit) for unit in np.eye(len(at))])
        return np.asarray(draws @ weights)

    def dense(self, condition: Condition, task: str) -> Floats | None:
        """Dense accuracy ``(draw,)``."""
        return self.cells.get((task, condition.model, condition.context, DENSE), {}).get(0.0)

    def floor(self, task: str) -> Floats:
        """No floor: nothing is right by guessing."""
        assert task
        return np.zeros(self.n_draws)
