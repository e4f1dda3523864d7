"""Parquet files sealed with a digest of their bytes: what is read is what was written, or the file is damaged."""

import hashlib
import re
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

# The digest of a file's bytes, zeros where it stands itself: page checksums do not cover the footer.
_MARK = b"tolerance-sha256:"
_SEAL, _UNSEALED = re.compile(_MARK + rb"[0-9a-f]{64}"), _MARK + b"0" * 64
_KEY = b"seal"
# What pyarrow raises on damaged bytes besides its own errors.
DAMAGE = (pa.ArrowException, OSError, ValueError, KeyError, TypeError, OverflowError, MemoryError)


def sealed(table: pa.Table) -> bytes:
    """A table as the bytes of a sealed Parquet file; what pandas noted beside its columns is left out."""
    sink = pa.BufferOutputStream()
    pq.write_table(table.replace_schema_metadata({_KEY: _UNSEALED}), sink, compression="zstd", write_page_checksum=True)
    return _with_seal(sink.getvalue().to_pybytes())


def read_sealed(path: Path, schema: pa.Schema) -> pa.Table | None:
    """Its rows; None where it is damaged, has no rows, or columns that the schema does not know.

    A file of a version that did not seal is held by its pages' checksums and the names of its columns.
    """
    try:
        content = path.read_bytes()
        there = pq.read_schema(pa.BufferReader(content))
        if not _whole(content, sealed=_KEY in (there.metadata or {})) or set(there.names) - set(schema.names):
            return None
        table = pq.read_table(pa.BufferReader(content), schema=schema, page_checksum_verification=True)
    except DAMAGE:
        return None
    return table if table.num_rows else None


def read_sealed_as(path: Path, schema: pa.Schema) -> pa.Table | None:
    """`read_sealed` of the columns that are there alone, texts by their codes where the schema has them so."""
    try:
        content = path.read_bytes()
        there = pq.read_schema(pa.BufferReader(content))
        if not _whole(content, sealed=_KEY in (there.metadata or {})) or set(there.names) - set(schema.names):
            return None
        text = [name for name in there.names if pa.types.is_dictionary(schema.field(name).type)]
        with pq.ParquetFile(pa.BufferReader(content), read_dictionary=text, page_checksum_verification=True) as file:
            table = file.read()
        return table.cast(pa.schema([schema.field(name) for name in table.column_names])) if table.num_rows else None
    except DAMAGE:
        return None


def _with_seal(content: bytes) -> bytes:
    """The bytes with their digest in the place kept for it, the last in the file."""
    at = content.rindex(_UNSEALED)
    seal = _MARK + hashlib.sha256(content).hexdigest().encode()
    return content[:at] + seal + content[at + len(seal) :]


def _whole(content: bytes, *, sealed: bool) -> bool:
    """Whether the bytes are those that were sealed; a file that has a place for a seal and no seal is damaged."""
    seals = list(_SEAL.finditer(content))
    if not seals:
        return not sealed and _MARK not in content
    start, end = seals[-1].span()
    digest = hashlib.sha256(content[:start])
    digest.update(_UNSEALED)
    digest.update(memoryview(content)[end:])
    return content[start:end] == _MARK + digest.hexdigest().encode()
