"""What a table holds besides its items: one row a cell and all else that is said of it, with counts and means."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tolerance.data.outcomes import COLUMNS, typed
from tolerance.data.streaming.coded import Coded, Combinations, Ints
from tolerance.data.weights import ANSWERS

Floats = NDArray[np.float64]
# Of single answers; of the others there are as many values as conditions, and rows that differ in one stay apart.
OF_ANSWERS = ("item_id", "cluster", "answer", "batch_shape", "k", "n", "correct", "seed")
AS_MEANS = (
    *("scope", "dispersion", "sparsity_realised", "kv_budget_tokens", "prompt_tokens", "generated_tokens"),
    *("flops_linear", "flops_attention", "flops_selection", "kv_bytes_allocated", "kv_bytes_read", "seconds", "score"),
)
KEYED = tuple(one.name for one in COLUMNS if one.name not in (*OF_ANSWERS, *AS_MEANS))
_KNOWN = "known"
_BUDGET = "kv_budget_tokens"
# A value is summed in two parts, each a multiple of a power of two, so that no order of rows changes a sum.
_SPLIT, _REST = 2.0**26, 2.0**54


@dataclass(frozen=True)
class Batch:
    """Rows of a table from row ``start`` on, typed: low in distinct values, or plain."""

    start: int
    n: int
    coded: Mapping[str, Coded]
    plain: Mapping[str, pd.Series]

    def numbers(self, name: str) -> Floats | None:
        """A plain column as floats ``(row,)``, null where it is; None where it is not there."""
        if name not in self.plain:
            return None
        return self.plain[name].to_numpy(dtype=np.float64, na_value=np.nan)


class Facts:
    """Counts and means by all that distinguishes cells, over batches; ``budgets``: each KV budget stays apart."""

    def __init__(self, *, budgets: bool = False) -> None:
        self.keys = Combinations([*KEYED, _BUDGET, _KNOWN])
        self.count = np.zeros(0, dtype=np.int64)
        self._sums: dict[str, list[Floats]] = {}
        self.every_budget = budgets

    def add(self, batch: Batch) -> Ints:
        """Take in a batch; the number of the fact that each of its rows belongs to ``(row,)``."""
        numbers = {name: values for name in AS_MEANS if (values := batch.numbers(name)) is not None}
        coded = {**{name: one for name, one in batch.coded.items() if name in KEYED}, _KNOWN: _known(numbers, batch.n)}
        budget = _budgets(batch, every=self.every_budget)
        if budget is not None:
            coded[_BUDGET] = budget
        fact = self.keys.numbers(coded, batch.start)
        size = len(self.keys)
        self.count = _grown(self.count, size) + np.bincount(fact, minlength=size)
        for name, values in numbers.items():
            high = np.nan_to_num(np.round(values * _SPLIT) / _SPLIT)
            low = np.nan_to_num(np.round((values - high) * _REST))
            before = self._sums.setdefault(name, [np.zeros(0), np.zeros(0)])
            self._sums[name] = [
                _grown(old, size) + np.bincount(fact, part, minlength=size)
                for old, part in zip(before, (high, low), strict=True)
            ]
        return fact

    def budgets(self) -> Floats:
        """The budget that tells each fact apart ``(fact,)``, null where it is a mean."""
        return self.keys.frame()[_BUDGET].to_numpy(dtype=np.float64)

    def frame(self) -> pd.DataFrame:
        """One row a fact, typed as outcomes are, numbered by the first row of the table that belongs to it.

        Columns of single answers are null; means are over all answers of a fact, or null.
        """
        size = len(self.keys)
        raw = self.keys.frame()
        known, alone = raw[_KNOWN].to_numpy(dtype=np.int64), raw[_BUDGET].to_numpy(dtype=np.float64)
        table = typed(raw[list(KEYED)], COLUMNS, "outcomes").set_axis(raw.index)
        means = {name: np.full(size, np.nan) for name in AS_MEANS}
        for at, name in enumerate(AS_MEANS):
            if name in self._sums:
                high, low = (_grown(one, size) for one in self._sums[name])
                means[name] = np.where(known >> at & 1, (high + low / _REST) / self.count, np.nan)
        means[_BUDGET] = np.where(np.isnan(alone), means[_BUDGET], alone)
        return table.assign(**means, **{ANSWERS: self.count})


def _known(numbers: Mapping[str, Floats], n: int) -> Coded:
    """Which columns are known in each row, as the bits of one number: rows that differ in it stay apart."""
    mask = np.zeros(n, dtype=np.int64)
    for name, values in numbers.items():
        mask |= (~np.isnan(values)).astype(np.int64) << AS_MEANS.index(name)
    return Coded.of(pd.Series(mask))


def _budgets(batch: Batch, *, every: bool) -> Coded | None:
    """Budgets of the rows in which nothing else says a level, or of all."""
    budget = batch.numbers(_BUDGET)
    if budget is None:
        return None
    levelled = np.zeros(batch.n, dtype=bool)
    for name in ("sparsity_requested", "level"):
        if name in batch.coded and not every:
            levelled |= batch.coded[name].codes >= 0
    return None if levelled.all() else Coded.of(pd.Series(np.where(levelled, np.nan, budget)))


def _grown(values: NDArray[Any], size: int) -> NDArray[Any]:
    return values if len(values) == size else np.concatenate([values, np.zeros(size - len(values), values.dtype)])
