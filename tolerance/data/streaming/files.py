"""Tables as files, a batch of rows at a time: Parquet by Arrow, text in the dialects of `tolerance.data.table_file`."""

from collections.abc import Iterator, Mapping
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from tolerance.data.table_file import PARQUET, chunks, data_columns, reading

ROWS = 1 << 20
# Tables of more rows, or text of more bytes, are read in batches.
LARGE = 500_000
LARGE_TEXT = 100_000_000
Columns = Mapping[str, pa.Array | pd.Series]


class DriftError(Exception):
    """Columns of text, some batches of which look like numbers: they are to be read as text from the start."""

    def __init__(self, columns: set[str]) -> None:
        self.columns = columns


def is_large(path: Path) -> bool:
    """Whether a table is read in batches.

    Raises:
        SchemaError: it cannot be read.
    """
    if not path.is_file():
        return False
    if not path.name.lower().endswith(PARQUET):
        return path.stat().st_size > LARGE_TEXT
    with reading(path):
        return int(pq.read_metadata(path).num_rows) > LARGE
    raise AssertionError


def batches(path: Path, as_text: set[str], rows: int) -> Iterator[tuple[int, Columns]]:
    """The first row and the columns of each batch; the first batch may have no rows.

    Raises:
        SchemaError: it cannot be read.
        DriftError: text columns were taken for numbers; begin again with them in ``as_text``.
    """
    if path.name.lower().endswith(PARQUET):
        yield from _of_parquet(path, rows)
    else:
        yield from _of_text(path, as_text, rows)


def _of_parquet(path: Path, rows: int) -> Iterator[tuple[int, Columns]]:
    with reading(path):
        schema = pq.read_schema(path)
        names = data_columns(schema.names, path)
        text = [name for name in names if _is_text(schema.field(name).type)]
        start = 0
        with pq.ParquetFile(path, read_dictionary=text, page_checksum_verification=True) as file:
            for batch in file.iter_batches(rows, columns=names):
                yield start, {name: batch.column(name) for name in names}
                start += batch.num_rows


def _is_text(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


def _of_text(path: Path, as_text: set[str], rows: int) -> Iterator[tuple[int, Columns]]:
    seen: dict[str, bool] = {}
    start = 0
    for table in chunks(path, rows, as_text):
        drifted = {str(name) for name in table if _drifts(table[name], str(name), seen)}
        if drifted - as_text:
            raise DriftError(drifted - as_text)
        yield start, {str(name): table[name] for name in table}
        start += len(table)


def _drifts(values: pd.Series, name: str, seen: dict[str, bool]) -> bool:
    """Whether a column is text in one batch and numbers in another; what is all null is neither."""
    if values.isna().all():
        return False
    number = values.dtype.kind in "biuf"
    return seen.setdefault(name, number) != number
