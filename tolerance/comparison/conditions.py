"""Conditions: who answered, at which context, how sparse; and the answers of each."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from tolerance.data import weights
from tolerance.data.cells import halvings
from tolerance.data.conditions import CONFIG, known_context
from tolerance.data.levels import placed
from tolerance.data.outcomes import DENSE, level

CONDITION = [*CONFIG, "sparsifier", "sparsity_requested"]


@dataclass(frozen=True)
class Condition:
    """One condition of an arm: who, at which context, how sparse as realised on average, over which tasks."""

    model: str
    context: int | None
    sparsifier: str
    requested: float
    level: float
    tasks: frozenset[str]

    @property
    def halvings(self) -> float:
        """Of the density."""
        return float(halvings(np.array(self.level)))


def keyed(outcomes: pd.DataFrame) -> pd.DataFrame:
    """Outcomes with `CONDITION` as conditions have it, and ``level``: a method that removed nothing is dense."""
    outcomes = placed(outcomes)
    at = level(outcomes)
    return outcomes.assign(
        context_length=outcomes["context_length"].astype("Int64"),
        level=at,
        sparsifier=outcomes["sparsifier"].where(at > 0, DENSE),
        sparsity_requested=outcomes["sparsity_requested"].where(at > 0, 0.0),
    )


def conditions(outcomes: pd.DataFrame) -> list[Condition]:
    """The conditions of an arm's rows, by model, context and level; a dense one is the same whatever its name."""
    table = keyed(outcomes)
    levels = weights.means(table, table["level"], CONDITION, dropna=False)
    tasks = table.groupby(CONDITION, sort=True, dropna=False)["task"].agg(frozenset)
    found = pd.DataFrame({"level": levels, "tasks": tasks}).reset_index()
    return [
        Condition(str(model), known_context(context), str(sparsifier), float(requested), float(at), tasks)
        for model, context, sparsifier, requested, at, tasks in found.itertuples(index=False)
    ]
