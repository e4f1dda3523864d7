"""Tables as files: CSV in the dialects that programs write, and Parquet. What is ambiguous is refused by name.

Read are CSV separated by comma, semicolon, tab or bar (told by the header), UTF-8 or UTF-16 with its mark, gzipped or
not, and decimal commas where semicolons separate.
"""

import contextlib
import csv
import gzip
import os
import re
import warnings
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from tolerance.errors import SchemaError

PARQUET = (".parquet", ".pq")
TEXT = (".csv", ".tsv", ".csv.gz", ".tsv.gz")
ENDINGS = (*TEXT, *PARQUET)
SEPARATORS = {",": "comma", ";": "semicolon", "\t": "tab", "|": "bar"}
_GZIP = b"\x1f\x8b"
_UTF16 = (b"\xff\xfe", b"\xfe\xff")
_DECIMAL_COMMA = re.compile(r"\s*[+-]?\d+(,\d+)?([eE][+-]?\d+)?\s*")
_INDEX = re.compile(r"__index_level_\d+__")
# The header is looked for in so many characters.
_HEAD = 1_000_000


def is_table(path: Path) -> bool:
    """Whether a file is a table, by its ending."""
    return path.name.lower().endswith(ENDINGS)


def read_table(path: Path) -> pd.DataFrame:
    """Every column of a CSV or Parquet file as it is, whole numbers and flags nullable.

    Raises:
        SchemaError: no such file, another kind of file, another encoding or separator, or damage; with the mend.
    """
    if not is_table(path):
        raise SchemaError(f"{path}: unknown kind of file {path.suffix!r}. Give one of {', '.join(ENDINGS)}.")
    if not path.is_file():
        raise SchemaError(f"{path}: no such file.")
    with reading(path):
        return _parquet(path) if path.name.lower().endswith(PARQUET) else _csv(path)
    raise AssertionError


@contextlib.contextmanager
def reading(path: Path) -> Iterator[None]:
    """What goes wrong while a table is read is said of its file.

    Raises:
        SchemaError: naming the file, what was said, and the mend.
    """
    try:
        yield
    except SchemaError:
        raise
    except MemoryError as error:
        raise SchemaError(f"{path}: does not fit into memory. Split it, or give the machine more.") from error
    except (pa.ArrowException, OSError, ValueError, OverflowError, TypeError, KeyError, zlib.error, EOFError) as error:
        said = (str(error).splitlines() or [""])[0] or type(error).__name__
        raise SchemaError(f"{path}: cannot be read ({said}). Write it anew, or mend what is named.") from error


def _parquet(path: Path) -> pd.DataFrame:
    """By the columns of the file alone: what pandas noted beside them is no data, and may be damaged."""
    table = pq.read_table(path, page_checksum_verification=True)
    keep = data_columns(table.column_names, path)
    table = table.select([i for i, name in enumerate(table.column_names) if name in keep])
    frame: pd.DataFrame = table.replace_schema_metadata(None).to_pandas(types_mapper=_nullable)
    return frame


def data_columns(names: list[str], path: Path) -> list[str]:
    """Names of the columns of a Parquet file, without the index that pandas wrote among them.

    Raises:
        SchemaError: a name holds control characters.
    """
    if any(not name.isprintable() for name in names):
        raise SchemaError(f"{path}: the name of a column holds control characters. Rename it.")
    return [name for name in names if not _INDEX.fullmatch(name)]


def _nullable(kind: pa.DataType) -> pd.api.extensions.ExtensionDtype | None:
    if pa.types.is_uint64(kind):
        return pd.UInt64Dtype()
    if pa.types.is_integer(kind):
        return pd.Int64Dtype()
    return pd.BooleanDtype() if pa.types.is_boolean(kind) else None


@dataclass(frozen=True)
class Dialect:
    """How a CSV file is written; ``compression`` as pandas calls it."""

    separator: str
    encoding: str
    compression: Literal["gzip"] | None


def dialect(path: Path) -> Dialect:
    """The dialect of a CSV file, from its first bytes and its first rows.

    Raises:
        SchemaError: it is empty, cut short, of another encoding, or could be separated by several characters.
    """
    with path.open("rb") as raw:
        compression: Literal["gzip"] | None = "gzip" if raw.read(2) == _GZIP else None
    with gzip.open(path) if compression else path.open("rb") as file:
        head = file.read(_HEAD)
    encoding = _encoding(head, path)
    lines = [line for line in head.decode(encoding, errors="replace").splitlines() if line.strip()]
    if not lines:
        raise SchemaError(f"{path}: is empty. Give a table with a line of column names.")
    separator = _separator(lines, path)
    if compression is None and encoding == "utf-8-sig":
        _refuse_cut_short(lines[0], separator, path)
    return Dialect(separator, encoding, compression)


def _csv(path: Path) -> pd.DataFrame:
    written = dialect(path)
    try:
        table = _parsed(path, written)
        if written.separator == ";" and any(_has_decimal_commas(table[name]) for name in table):
            table = _parsed(path, written, decimal=",")
    except UnicodeDecodeError as error:
        raise SchemaError(_undecodable(path, written)) from error
    return table


def chunks(path: Path, rows: int, as_text: set[str]) -> Iterator[pd.DataFrame]:
    """A text file so many rows at a time; columns ``as_text`` are taken as they are written.

    Raises:
        SchemaError: see `read_table`.
    """
    written = dialect(path)
    with reading(path):
        try:
            decimal = "."
            if written.separator == ";":
                head = next(iter(_chunked(path, written, 1000, as_text, decimal)))
                decimal = "," if any(_has_decimal_commas(head[name]) for name in head) else "."
            yield from _chunked(path, written, rows, as_text, decimal)
        except UnicodeDecodeError as error:
            raise SchemaError(_undecodable(path, written)) from error


def _chunked(path: Path, written: Dialect, rows: int, as_text: set[str], decimal: str) -> Iterator[pd.DataFrame]:
    with warnings.catch_warnings():
        warnings.simplefilter("error", pd.errors.ParserWarning)
        try:
            yield from pd.read_csv(
                path,
                sep=written.separator,
                encoding=written.encoding,
                compression=written.compression,
                decimal=decimal,
                index_col=False,
                low_memory=False,
                chunksize=rows,
                dtype=dict.fromkeys(as_text, "str"),
            )
        except pd.errors.ParserWarning as error:
            raise SchemaError(_too_many_fields(path, written)) from error


def _encoding(head: bytes, path: Path) -> str:
    if head.startswith(_UTF16):
        return "utf-16"
    if head[:4096].count(0) > len(head[:4096]) // 4:
        raise SchemaError(f"{path}: looks like UTF-16 without its mark, or is no text. Save it as UTF-8.")
    return "utf-8-sig"


def _undecodable(path: Path, written: Dialect) -> str:
    """Names the first line that is not in the encoding, as it would read in the commonest other one."""
    with gzip.open(path) if written.compression else path.open("rb") as file:
        for number, line in enumerate(file, 1):
            try:
                line.decode(written.encoding)
            except UnicodeDecodeError as error:
                seen = line[max(0, error.start - 12) : error.start + 12].decode("latin-1").strip()
                byte = f"byte 0x{line[error.start]:02x}; as latin-1 it reads {seen!r}"
                return f"{path}, line {number}: not UTF-8 ({byte}). Save it as UTF-8."
    return f"{path}: not {written.encoding}. Save it as UTF-8."


def _separator(lines: list[str], path: Path) -> str:
    """The one that parts the header; where several do, the one that parts the first rows into as many fields."""
    counts = {one: _fields(lines[0], one) for one in SEPARATORS}
    found = [one for one, n in counts.items() if n > 1]
    if len(found) > 1:
        rows = lines[1:20]
        found = [one for one in found if rows and all(_fields(line, one) == counts[one] for line in rows)] or found
    if len(found) > 1:
        named = " and ".join(SEPARATORS[one] for one in found)
        raise SchemaError(f"{path}: could be separated by {named}. Save it separated by commas, or as Parquet.")
    return found[0] if found else ","


def _fields(line: str, separator: str) -> int:
    try:
        return len(next(csv.reader([line], delimiter=separator)))
    except (csv.Error, StopIteration):
        return 1


def _refuse_cut_short(header: str, separator: str, path: Path) -> None:
    """A file that ends inside a row was cut short; pandas would fill the row with nulls."""
    with path.open("rb") as file:
        file.seek(-min(path.stat().st_size, 10_000), os.SEEK_END)
        last = file.read().rpartition(b"\n")[2].decode("utf-8", errors="replace")
    if (
        last.strip()
        and '"' not in last
        and not last.endswith("\r")
        and _fields(last, separator) < _fields(header, separator)
    ):
        raise SchemaError(f"{path}: its last line ends inside a row ({last[:60]!r}). It was cut short: get it anew.")


def _parsed(path: Path, written: Dialect, decimal: str = ".") -> pd.DataFrame:
    with warnings.catch_warnings():
        # rows longer than the header: their columns would be shifted, or what is over dropped
        warnings.simplefilter("error", pd.errors.ParserWarning)
        try:
            return pd.read_csv(
                path,
                sep=written.separator,
                encoding=written.encoding,
                compression=written.compression,
                decimal=decimal,
                index_col=False,
                low_memory=False,
            )
        except pd.errors.ParserWarning as error:
            raise SchemaError(_too_many_fields(path, written)) from error


def _too_many_fields(path: Path, written: Dialect) -> str:
    return (
        f"{path}: rows have more fields than the header has names. Name every column, or quote fields that "
        f"hold the {SEPARATORS[written.separator]}."
    )


def _has_decimal_commas(values: pd.Series) -> bool:
    if values.dtype.kind in "biuf":
        return False
    known = values.dropna().astype(str)
    return bool(len(known) and known.str.contains(",").any() and known.map(_DECIMAL_COMMA.fullmatch).notna().all())
