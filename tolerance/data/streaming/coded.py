"""Columns of a batch as codes into their distinct values, and one code for a combination of columns over all batches.

What is asked of a value is asked once of each distinct one, so that work follows values and conditions, not rows.
"""

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Codes = NDArray[np.int32]
NULL = -1
_MOST = 2**62


@dataclass(frozen=True)
class Coded:
    """A column: ``codes`` ``(row,)`` into distinct ``values``, `NULL` where there is none."""

    codes: Codes
    values: pd.Series

    @classmethod
    def of(cls, column: pa.Array | pd.Series) -> "Coded":
        """A column of Arrow or pandas."""
        if isinstance(column, pd.Series):
            codes, values = pd.factorize(column)
            return cls(codes.astype(np.int32), pd.Series(values))
        if not pa.types.is_dictionary(column.type):
            column = column.dictionary_encode()
        indices = column.indices.fill_null(NULL) if column.null_count else column.indices
        codes = indices.to_numpy(zero_copy_only=False).astype(np.int32, copy=False)
        return cls(codes, column.dictionary.to_pandas(types_mapper=nullable)).compact()

    def compact(self) -> "Coded":
        """The column without values that no row has, as a part of another may have them."""
        used = np.zeros(len(self.values) + 1, dtype=bool)
        used[self.codes] = True
        if used[:-1].all():
            return self
        place = np.append(np.cumsum(used[:-1]) - 1, NULL).astype(np.int32)
        return Coded(place[self.codes], self.values[used[:-1]].reset_index(drop=True))

    def of_values(self, values: pd.Series) -> "Coded":
        """The column with other values in the place of its own; those that are now one, or null, become so."""
        codes, distinct = pd.factorize(values)
        return Coded(np.append(codes, NULL).astype(np.int32)[self.codes], pd.Series(distinct))

    def rows(self) -> pd.Series:
        """The column row by row."""
        return self.values.reindex(pd.Index(self.codes)).reset_index(drop=True)


def nullable(kind: pa.DataType) -> pd.api.extensions.ExtensionDtype | None:
    """Whole numbers and flags that may be null, as pandas has them."""
    if pa.types.is_uint64(kind):
        return pd.UInt64Dtype()
    if pa.types.is_integer(kind):
        return pd.Int64Dtype()
    return pd.BooleanDtype() if pa.types.is_boolean(kind) else None


class Codebook:
    """Distinct values of a column over all batches, coded in the order in which they came."""

    def __init__(self) -> None:
        self.values: list[Any] = []
        self._codes: dict[Hashable, int] = {}

    def codes(self, column: Coded) -> Codes:
        """A column of a batch in codes of all batches."""
        return self.of_values(column)[column.codes]

    def of_values(self, column: Coded) -> Codes:
        """The codes of a batch's values, and `NULL` at the end."""
        known = self._codes
        mine = [known.setdefault(value, len(known)) for value in column.values.tolist()]
        if len(known) > len(self.values):
            self.values.extend(list(known)[len(self.values) :])
        return np.array([*mine, NULL], dtype=np.int32)


class Combinations:
    """Distinct rows of several columns over all batches, numbered in the order in which they came."""

    def __init__(self, columns: Sequence[str]) -> None:
        self.columns = list(columns)
        self.books = {name: Codebook() for name in columns}
        self.rows: list[tuple[int, ...]] = []
        self.first: list[int] = []
        self._numbers: dict[tuple[int, ...], int] = {}

    def __len__(self) -> int:
        return len(self.rows)

    def numbers(self, columns: Mapping[str, Coded], start: int) -> Ints:
        """Of each row of a batch that starts at row ``start``; a column that is not there is null."""
        n = len(next(iter(columns.values())).codes)
        there = [columns[name] for name in self.columns if name in columns]
        local, first = _distinct([one for one in there if len(one.values) != 1 or one.codes.min(initial=0) < 0], n)
        nothing = np.full(len(first), NULL, dtype=np.int32)
        codes = [
            self.books[name].of_values(columns[name])[columns[name].codes[first]] if name in columns else nothing
            for name in self.columns
        ]
        of_local = np.empty(len(first), dtype=np.int64)
        for at, row in enumerate(zip(*(one.tolist() for one in codes), strict=True)):
            number = self._numbers.get(row)
            if number is None:
                number = self._numbers[row] = len(self.rows)
                self.rows.append(row)
                self.first.append(start + int(first[at]))
            of_local[at] = number
        return of_local[local]

    def frame(self) -> pd.DataFrame:
        """The rows by their values, numbered by the first row of the table that has each."""
        codes = np.array(self.rows, dtype=np.int64).reshape(-1, len(self.columns))
        columns = {}
        for at, name in enumerate(self.columns):
            values = np.array([*self.books[name].values, None], dtype=object)
            columns[name] = pd.Series(values[codes[:, at]], index=self.first, dtype=object)
        return pd.DataFrame(columns, index=self.first)


def _distinct(columns: Sequence[Coded], n: int) -> tuple[Ints, Ints]:
    """The distinct rows of some columns: which each row is, and where each stands first."""
    key, size = np.zeros(n, dtype=np.int64), 1
    for column in columns:
        span = len(column.values) + 1
        if size * span >= _MOST:
            key, distinct = pd.factorize(key)
            size = len(distinct)
        key *= span
        key += column.codes
        key += 1
        size *= span
    local, distinct = pd.factorize(key)
    first = np.zeros(len(distinct), dtype=np.int64)
    first[local[::-1]] = np.arange(n - 1, -1, -1)
    return local, first
