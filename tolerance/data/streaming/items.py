"""Answers by item over batches: for each task one array of items x columns, which grows as they come."""

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tolerance.data.streaming.coded import Codes, Ints

Floats = NDArray[np.float64]
# More columns are made room for at a time, and items by this share.
_COLUMNS, _MORE = 4, 1.5
_UNSEEN = -2


class TaskArrays:
    """One task: ``count`` answers, and the ``total`` of their scores where that is asked for ``(item, column)``.

    ``items`` are codes of items by their place; ``columns`` the conditions by theirs.
    """

    def __init__(self, *, sums: bool) -> None:
        self.items = np.empty(0, dtype=np.int64)
        self.columns: list[int] = []
        self.n_rows = 0
        self._sums = sums
        self._count: NDArray[np.uint8] = np.zeros((0, 0), dtype=np.uint8)
        self._total = np.zeros((0, 0))
        self._place = np.empty(0, dtype=np.int32)
        self._column: dict[int, int] = {}
        self._cluster = np.empty(0, dtype=np.int64)

    def add(self, item: Ints, column: Ints, score: Floats | None, cluster: Ints | None) -> None:
        """Take in answers."""
        at = self._places(item)
        if cluster is not None:
            self._named(at, cluster)
        distinct, local = np.unique(column, return_inverse=True)
        for one in distinct.tolist():
            self._column.setdefault(one, len(self._column))
        self.columns = list(self._column)
        self._reserve()
        flat = at * self._count.shape[1] + np.array([self._column[one] for one in distinct.tolist()])[local]
        np.add.at(self._count.reshape(-1), flat, np.uint8(1))
        self.n_rows += len(item)
        if score is not None:
            np.add.at(self._total.reshape(-1), flat, score)

    def _named(self, at: Ints, cluster: Ints) -> None:
        """The cluster of an item is that of its first answer."""
        more = np.full(len(self.items) - len(self._cluster), _UNSEEN, dtype=np.int64)
        self._cluster = np.concatenate([self._cluster, more])
        new = np.flatnonzero(self._cluster[at] == _UNSEEN)[::-1]
        self._cluster[at[new]] = cluster[new]

    def clusters(self) -> Ints | None:
        """The code of each item's cluster ``(item,)``, -1 where it has none; None where none was given."""
        return self._cluster if len(self._cluster) == len(self.items) else None

    def _places(self, item: Ints) -> Ints:
        top = int(item.max()) + 1
        if top > len(self._place):
            room = max(top, int(_MORE * len(self._place)))
            self._place = np.concatenate([self._place, np.full(room - len(self._place), -1, dtype=np.int32)])
        at = self._place[item]
        if (at < 0).any():
            new = pd.unique(item[at < 0])
            self._place[new] = np.arange(len(self.items), len(self.items) + len(new))
            self.items = np.concatenate([self.items, new])
            at = self._place[item]
        return at.astype(np.int64)

    def _reserve(self) -> None:
        rows, columns = self._count.shape
        n_items, n_columns = len(self.items), len(self.columns)
        if n_items <= rows and n_columns <= columns:
            return
        rows = rows if n_items <= rows else max(n_items, int(_MORE * rows))
        columns = columns if n_columns <= columns else -(-n_columns // _COLUMNS) * _COLUMNS
        self._count = _larger(self._count, rows, columns)
        if self._sums:
            self._total = _larger(self._total, rows, columns)

    def count(self) -> NDArray[np.uint8]:
        """How many answers each item has ``(item, column)``.

        Raises:
            OverflowError: more than 255 of one.
        """
        found = self._count[: len(self.items), : len(self.columns)]
        if int(found.sum(dtype=np.int64)) != self.n_rows:
            raise OverflowError("an item has more than 255 answers under one condition")
        return found

    def asked(self, column: int) -> NDArray[np.bool_]:
        """Whether each item has an answer under one condition ``(item,)``."""
        return np.asarray(self._count[: len(self.items), self._column[column]] > 0)

    def total(self) -> Floats:
        """The sum of their scores."""
        return self._total[: len(self.items), : len(self.columns)]


class ItemArrays:
    """`TaskArrays` by the code of the task."""

    def __init__(self, *, sums: bool) -> None:
        self.tasks: dict[int, TaskArrays] = {}
        self._sums = sums

    def add(
        self, task: Codes, item: Ints, column: Ints, score: Floats | None = None, cluster: Ints | None = None
    ) -> None:
        """Take in answers ``(row,)``."""
        if not len(task):
            return
        codes = task
        order = np.argsort(codes.astype(np.int16 if codes.max(initial=0) < 2**15 else np.int64), kind="stable")
        codes, item, column = codes[order], item[order], column[order]
        score = None if score is None else score[order]
        cluster = None if cluster is None else cluster[order]
        starts = np.flatnonzero(np.diff(codes, prepend=-1))
        for start, end in zip(starts, [*starts[1:], len(codes)], strict=True):
            mine = slice(start, end)
            arrays = self.tasks.setdefault(int(codes[start]), TaskArrays(sums=self._sums))
            arrays.add(
                item[mine],
                column[mine],
                None if score is None else score[mine],
                None if cluster is None else cluster[mine],
            )


def _larger(values: NDArray[Any], rows: int, columns: int) -> NDArray[Any]:
    made = np.zeros((rows, columns), dtype=values.dtype)
    made[: values.shape[0], : values.shape[1]] = values
    return made
