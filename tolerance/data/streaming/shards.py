"""Batches as sealed shards and back: only columns that are there, texts by their codes."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa

from tolerance.data.outcomes import BY_NAME, COLUMNS, NAMES
from tolerance.data.run_folder import ARROW_SCHEMA
from tolerance.data.sealed_parquet import read_sealed_as
from tolerance.data.streaming.coded import NULL, Coded
from tolerance.data.streaming.facts import Batch
from tolerance.data.streaming.typed_batch import CODED
from tolerance.errors import StoreError

_CODED_TEXT = pa.dictionary(pa.int32(), pa.string())
SCHEMA = pa.schema(
    [field.with_type(_CODED_TEXT) if BY_NAME[field.name].kind == "text" else field for field in ARROW_SCHEMA]
)


def as_table(batch: Batch, constants: Mapping[str, str]) -> pa.Table:
    """A batch as Arrow has it, with constant columns of text besides."""
    columns = {}
    for name in NAMES:
        if name in constants:
            nothing = pa.array(np.zeros(batch.n, dtype=np.int32))
            columns[name] = pa.DictionaryArray.from_arrays(nothing, pa.array([constants[name]]))
        elif name in batch.coded:
            columns[name] = _arrow(batch.coded[name], SCHEMA.field(name).type)
        elif name in batch.plain:
            columns[name] = pa.array(batch.plain[name], type=SCHEMA.field(name).type, from_pandas=True)
    return pa.table(columns, schema=pa.schema([SCHEMA.field(name) for name in columns]))


def _arrow(column: Coded, kind: pa.DataType) -> pa.Array:
    codes = pa.array(column.codes, mask=column.codes == NULL)
    if pa.types.is_dictionary(kind):
        return pa.DictionaryArray.from_arrays(codes, pa.array(column.values, type=kind.value_type))
    return pa.array(column.values, type=kind, from_pandas=True).take(codes)


def as_batch(table: pa.Table, start: int) -> Batch:
    """The rows of a shard."""
    coded: dict[str, Coded] = {}
    plain: dict[str, pd.Series] = {}
    table = table.combine_chunks()
    for name in table.column_names:
        column = table[name].chunk(0)
        if column.null_count == len(column) and name != "score":
            continue
        if name in CODED and pa.types.is_dictionary(column.type):
            coded[name] = Coded.of(column)
        elif name in CODED:
            coded[name] = Coded.of(_typed(column, name))
        else:
            plain[name] = _typed(column, name)
    return Batch(start, table.num_rows, coded, plain)


def _typed(column: pa.Array, name: str) -> pd.Series:
    kinds = {pa.int64(): pd.Int64Dtype(), pa.bool_(): pd.BooleanDtype()}
    if name in _NUMERIC and column.null_count == 0:
        return pd.Series(column.to_numpy(zero_copy_only=False))
    rows: pd.Series = column.to_pandas(types_mapper=kinds.get)
    return rows


# Without a null these need no type that knows one.
_NUMERIC = frozenset(column.name for column in COLUMNS if column.kind in ("real", "integer"))


def batches(shards: Sequence[Path]) -> Iterator[Batch]:
    """The rows of sealed shards, a shard at a time.

    Raises:
        StoreError: a shard is not as it was written.
    """
    start = 0
    for shard in shards:
        table = read_sealed_as(shard, SCHEMA)
        if table is None:
            raise StoreError(f"{shard}: cannot be read as it was written. Import the table again, into a new folder.")
        yield as_batch(table, start)
        start += table.num_rows


def rows_where(shards: Sequence[Path], pairs: Sequence[tuple[str, str]]) -> pd.DataFrame:
    """The rows of some items ``(task, item)``, numbered as the table's are."""
    wanted = pd.MultiIndex.from_tuples(list(pairs))
    parts, start = [], 0
    for shard in shards:
        table = read_sealed_as(shard, SCHEMA)
        assert table is not None, shard
        keys = pd.MultiIndex.from_arrays([table[name].to_pandas().astype("str") for name in ("task", "item_id")])
        at = np.flatnonzero(keys.isin(wanted))
        if len(at):
            rows = table.take(pa.array(at)).to_pandas(types_mapper=_PANDAS.get)
            parts.append(rows.set_axis(start + at))
        start += table.num_rows
    found: pd.DataFrame = pd.concat(parts)
    return found


_PANDAS = {pa.int64(): pd.Int64Dtype(), pa.bool_(): pd.BooleanDtype(), _CODED_TEXT: pd.StringDtype(na_value=np.nan)}
