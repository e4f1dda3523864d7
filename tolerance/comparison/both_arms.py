"""Rows and conditions of both arms, and what they share."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tolerance.comparison.arms import Arm, factor, rows
from tolerance.comparison.conditions import CONDITION, Condition, conditions, keyed
from tolerance.comparison.posterior import Floats
from tolerance.data.conditions import known_context
from tolerance.data.outcomes import DENSE
from tolerance.data.published import is_aggregate
from tolerance.data.weights import ANSWERS, is_collapsed
from tolerance.errors import DesignError

ALL_TYPES = "all task types"


def is_open(arm: Arm) -> bool:
    """Whether an arm leaves its level open."""
    return arm.sparsifier != DENSE and arm.level is None


Place = tuple[str, int | None, str, float, str]


def place_of(model: object, context: object, sparsifier: object, requested: object, task: object) -> Place:
    """Model, context, method, level and task as they are written everywhere."""
    return str(model), known_context(context), str(sparsifier), float(str(requested)), str(task)


class _Answers(NamedTuple):
    """Scores and codes of items ``(answer,)``, and positions by condition and task."""

    score: Floats
    item: NDArray[np.int64]
    places: dict[Place, NDArray[np.int64]]


@dataclass(frozen=True)
class BothArms:
    """Rows and conditions of both arms; ``unlike``: tasks, by context, of which models answered different items."""

    each: tuple[Arm, Arm]
    rows: tuple[pd.DataFrame, pd.DataFrame]
    conditions: tuple[list[Condition], list[Condition]]
    factor: list[str]
    unlike: frozenset[tuple[str, int | None]] = frozenset()

    @classmethod
    def of(cls, outcomes: pd.DataFrame, a: Arm, b: Arm, unlike: Iterable[tuple[str, int | None]] = ()) -> "BothArms":
        """Both arms' rows of outcomes.

        Raises:
            DesignError: an arm has no answers, both share answers, or they have no task in common.
        """
        mine, theirs = rows(outcomes, a), rows(outcomes, b)
        of_a, of_b = conditions(mine), conditions(theirs)
        found = cls((a, b), (mine, theirs), (of_a, of_b), factor(a, b, of_a, of_b), frozenset(unlike))
        if not found.types:
            raise DesignError(f"{a.name} and {b.name} answered no task in common, so nothing can be matched.")
        return found

    @cached_property
    def both(self) -> pd.DataFrame:
        """Rows of both arms, with the columns of a condition."""
        return keyed(pd.concat(self.rows))

    @cached_property
    def answers(self) -> "_Answers":
        """Scores and items, and where the answers of each condition to each task are."""
        keys = self.both[[*CONDITION, "task"]].reset_index(drop=True)
        groups = keys.groupby(list(keys.columns), dropna=False, sort=False)
        places = {place_of(*key): rows.index.to_numpy() for key, rows in groups}
        item = pd.factorize(self.both["task"].astype(str) + "\0" + self.both["item_id"].astype(str))[0]
        return _Answers(self.both["score"].to_numpy(dtype=np.float64), item.astype(np.int64), places)

    @cached_property
    def types(self) -> dict[str, str]:
        """Task type of each task that both arms answered."""
        common = set(self.rows[0]["task"]) & set(self.rows[1]["task"])
        kinds = self.both.groupby("task")["task_type"].first()
        return {str(task): str(kinds[task]) for task in sorted(common)}

    @property
    def kinds(self) -> list[str]:
        """Task types, and all of them where there are several."""
        kinds = sorted(set(self.types.values()))
        return [*kinds, ALL_TYPES] if len(kinds) > 1 else kinds

    def tasks(self, kind: str) -> list[str]:
        """Tasks of a type, or of all."""
        return [task for task, its in self.types.items() if kind in (its, ALL_TYPES)]

    @property
    def open(self) -> bool:
        """Whether levels may move."""
        return all(is_open(arm) for arm in self.each)

    @cached_property
    def one_unit(self) -> bool:
        """Whether the fractions of both arms are fractions of the same."""
        units = [set(part.loc[part["sparsifier"] != DENSE, "unit"].fillna("not stated")) for part in self.rows]
        return not units[0] or not units[1] or units[0] == units[1]

    def naive(self, kind: str) -> float:
        """Mean of all answers of one arm less that of the other, as they came."""
        tasks = self.tasks(kind)
        means = [_mean_score(part[part["task"].isin(tasks)]) for part in self.rows]
        return means[0] - means[1]


def _mean_score(part: pd.DataFrame) -> float:
    part = part[part["score"].notna()]
    items = part["n_items"].astype("float64") if is_aggregate(part) else None
    return float(np.average(part["score"], weights=part[ANSWERS] if is_collapsed(part) else items))
