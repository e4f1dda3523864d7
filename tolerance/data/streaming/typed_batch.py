"""Rows of somebody's file as a typed batch, and whether anything in it asks for a closer look.

The look is `validate`, row by row and in its words; a batch in which nothing is out of its bounds needs none.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from tolerance.data.column_mapping import Mapping as Asked
from tolerance.data.column_mapping import mapped_rows, translated
from tolerance.data.conditions import DENSE
from tolerance.data.contradictions import holds_unseen
from tolerance.data.outcomes import BY_NAME, COLUMNS, Column, cast_column, validate
from tolerance.data.streaming.coded import NULL, Coded, nullable
from tolerance.data.streaming.facts import KEYED, Batch, Floats
from tolerance.errors import SchemaError

CODED = (*KEYED, "item_id", "cluster", "answer", "batch_shape")
# Their values are not seen again once their batch has passed.
_OF_ANSWERS = ("item_id", "cluster", "batch_shape")
Flags = NDArray[np.bool_]
Columns = Mapping[str, pa.Array | pd.Series]


@dataclass(frozen=True)
class Reader:
    """How a file's columns become ours: ``used`` ours -> theirs."""

    path: Path
    asked: Asked
    used: dict[str, str]

    def batch(self, columns: Columns, start: int) -> Batch:
        """Rows, typed and looked at.

        Raises:
            SchemaError: naming row, column, value and mend.
        """
        n = len(next(iter(columns.values())))
        try:
            made = self._typed(columns, start, n)
        except SchemaError:
            self._look(columns, start)
            raise
        if n and any(_suspicions(made)):
            self._look(columns, start)
        return made

    def chosen(self, columns: Columns) -> Columns:
        """The rows that the mapping asks for."""
        for theirs, wanted in self.asked.where.items():
            values = set(wanted if isinstance(wanted, list) else [wanted])
            coded = Coded.of(columns[theirs])
            right = np.append(np.array([value in values for value in coded.values.tolist()], dtype=bool), False)
            mask = right[coded.codes]
            columns = {
                name: one[mask].reset_index(drop=True) if isinstance(one, pd.Series) else one.filter(pa.array(mask))
                for name, one in columns.items()
            }
        return columns

    def _typed(self, columns: Columns, start: int, n: int) -> Batch:
        coded: dict[str, Coded] = {}
        plain: dict[str, pd.Series] = {}
        for name, theirs in self.used.items():
            if name in CODED:
                one = Coded.of(columns[theirs])
                coded[name] = one.of_values(self._cast(one.values, BY_NAME[name]))
            else:
                plain[name] = self._cast(_series(columns[theirs]), BY_NAME[name])
        for name, value in self.asked.constants.items():
            alone = cast_column(pd.Series([value]), BY_NAME[name], str(self.path))
            if name in CODED:
                coded[name] = Coded(np.zeros(n, dtype=np.int32), alone)
            else:
                plain[name] = alone.repeat(n).reset_index(drop=True)
        return Batch(start, n, coded, plain)

    def _cast(self, values: pd.Series, column: Column) -> pd.Series:
        return cast_column(translated(values, column, self.asked, self.path), column, str(self.path))

    def _look(self, columns: Columns, start: int) -> None:
        """Refuse what `validate` refuses of these rows."""
        frame = pd.DataFrame({name: _series(one) for name, one in columns.items()})
        frame = frame.set_axis(pd.RangeIndex(start, start + len(frame)))
        rows = mapped_rows(frame, self.used, self.asked, self.path, BY_NAME)
        validate(rows, source=str(self.path), first_row=start)


def _series(column: pa.Array | pd.Series) -> pd.Series:
    if isinstance(column, pd.Series):
        return column.reset_index(drop=True)
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    rows: pd.Series = column.to_pandas(types_mapper=nullable)
    return rows


def _suspicions(batch: Batch) -> Iterator[bool]:
    for column in COLUMNS:
        if column.name in batch.coded:
            one = batch.coded[column.name]
            yield column.required and bool((one.codes == NULL).any())
            if column.kind == "text":
                yield column.required and "" in set(one.values)
                yield column.name in _OF_ANSWERS and holds_unseen(one.values)
            else:
                yield _out_of_bounds(one.values.to_numpy(dtype=np.float64, na_value=np.nan), column)
        elif column.name in batch.plain and column.kind != "flag":
            values = batch.numbers(column.name)
            assert values is not None
            yield _out_of_bounds(values, column)
        else:
            yield column.required and column.name not in batch.plain
    yield from _between_columns(batch)


def _out_of_bounds(values: Floats, column: Column) -> bool:
    known = values[~np.isnan(values)]
    if not len(known):
        return False
    low, high = float(known.min()), float(known.max())
    return (
        not (np.isfinite(low) and np.isfinite(high))
        or (column.least is not None and low < column.least)
        or (column.most is not None and high > column.most)
        or (column.below is not None and high >= column.below)
    )


def _between_columns(batch: Batch) -> Iterator[bool]:
    """What `validate` holds two columns of a row to."""
    score, k, n, right = (batch.numbers(name) for name in ("score", "k", "n", "correct"))
    reason = batch.coded["ungraded"].codes != NULL if "ungraded" in batch.coded else np.zeros(batch.n, dtype=bool)
    assert score is not None
    nothing = np.isnan(score)
    unread = _is(batch, "parse_ok", value=False)
    yield bool((nothing & ~reason & ~unread).any() or (~nothing & reason).any())
    if k is not None and n is not None:
        yield bool((k > n).any() or (np.abs(k / n - score) > 1e-6).any())
    if right is not None:
        yield bool(((right == 1) & (score == 0) | (right == 0) & (score == 1)).any())
    realised = batch.numbers("sparsity_realised")
    if realised is not None:
        yield bool((_is(batch, "sparsifier", value=DENSE) & (realised > 0)).any())


def _is(batch: Batch, name: str, *, value: object) -> Flags:
    """Rows in which a column has a value."""
    if name not in batch.coded:
        return np.zeros(batch.n, dtype=bool)
    one = batch.coded[name]
    return np.append(np.array([it == value for it in one.values.tolist()], dtype=bool), False)[one.codes]
