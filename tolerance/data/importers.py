"""Other people's logs -> the outcome table: a tidy CSV or Parquet file and a small mapping of its columns.

A format that is no such table has an importer: a name in `IMPORTERS`, of ours or of an installed package.
"""

import hashlib
import os
from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, Protocol

import pandas as pd

from tolerance import plugins
from tolerance.data import levels, published, vocabularies
from tolerance.data.column_mapping import Mapping, as_mapped, read_mapping, unused
from tolerance.data.column_mapping import shipped_mappings as shipped_mappings
from tolerance.data.direction import LEVELS_ARE_SPARSITY, refuse_shares_kept
from tolerance.data.manifest import Manifest
from tolerance.data.outcomes import BY_NAME, COLUMNS, validate
from tolerance.data.published import validate_aggregates
from tolerance.data.remarks import remarks
from tolerance.data.run_folder import IMPORTED, PARTS, RunFolder
from tolerance.data.streaming.files import is_large
from tolerance.data.streaming.imports import staged
from tolerance.data.table_file import ENDINGS, is_table, read_table
from tolerance.errors import SchemaError
from tolerance.plugins import Registry

# Fields of a mapping that older runs had not, and have not in their plan.
_OF_LATER = ("where", "complement", "ratio", "pattern", "types", "dense")


class Importer(Protocol):
    """Reads files of one format. ``name`` is what ``tolerance import --format`` is given."""

    name: str

    def recognises(self, path: Path) -> bool:
        """Whether a file is of this format, by its ending or its first bytes; it may not be there."""

    def read(self, path: Path) -> pd.DataFrame:
        """Outcomes, one row an answer, with the columns of `tolerance.data.outcomes`; the caller validates them.

        Raises:
            SchemaError: the file cannot be read.
        """


class Table:
    """A tidy CSV or Parquet file: one row an answer, its columns renamed by a mapping if they bear other names."""

    name = "table"

    def recognises(self, path: Path) -> bool:
        """By its ending."""
        return is_table(path)

    def read(self, path: Path) -> pd.DataFrame:
        """Every column as it is."""
        return read_table(path)


def _reads(found: object) -> bool:
    return isinstance(getattr(found, "name", None), str) and all(
        callable(getattr(found, verb, None)) for verb in ("recognises", "read")
    )


IMPORTERS: Registry[Importer] = Registry(
    "tolerance.importers",
    "format",
    _reads,
    {Table.name: Table()},
    needs="An importer has a name, recognises(path) and read(path)",
    made=lambda found: found() if isinstance(found, type) else found,
)


def import_table(
    path: str | os.PathLike[str],
    mapping: str | os.PathLike[str] | Mapping | None = None,
    *,
    format: str | None = None,
) -> pd.DataFrame:
    """Read a tidy CSV or Parquet file (one row an answer), or a file of another format, as validated outcomes.

    ``mapping`` is a mapping file, the name of a shipped one (`shipped_mappings`), or a `Mapping`. ``format`` is the
    name of an importer (`IMPORTERS`), or ``module:Class`` of one; None: the one that recognises the file.

    Raises:
        SchemaError: the file or mapping cannot be read, names unknown columns, or the outcomes are not valid; no or
            several importers recognise the file.
    """
    chosen = mapping if isinstance(mapping, Mapping) else read_mapping(mapping)
    return _answers(Path(path), chosen, format)[0]


def _answers(path: Path, mapping: Mapping, format: str | None) -> tuple[pd.DataFrame, list[str]]:
    """Validated outcomes, and the columns of the file that were not used."""
    table = IMPORTERS.find(format or recognised(path)).read(path)
    mapped = as_mapped(table, mapping, path, BY_NAME)
    return validate(mapped, source=str(path)), unused(table.columns, mapping, BY_NAME)


def recognised(path: Path) -> str:
    """The name of the importer that recognises a file.

    Raises:
        SchemaError: none does, or several do.
    """
    if is_table(path):
        return Table.name
    names = [name for name in IMPORTERS if IMPORTERS[name].recognises(path)]
    if len(names) > 1:
        raise SchemaError(f"{path}: is recognised by the formats {', '.join(names)}. Say which as the format.")
    if not names:
        raise SchemaError(
            f"{path}: unknown kind of file {path.suffix!r}. Give one of {', '.join(ENDINGS)}, or one of the formats "
            f"{', '.join(IMPORTERS)} by name."
        )
    return names[0]


def import_means(path: str | os.PathLike[str], mapping: str | os.PathLike[str] | Mapping | None = None) -> pd.DataFrame:
    """Read a tidy CSV or Parquet file of published means (one row a mean) as `import_table` reads answers.

    Raises:
        SchemaError: the file or mapping cannot be read, names unknown columns, or the means are not valid.
    """
    chosen = mapping if isinstance(mapping, Mapping) else read_mapping(mapping, published.AGGREGATES_BY_NAME)
    return _means(Path(path), chosen)[0]


def _means(path: Path, mapping: Mapping) -> tuple[pd.DataFrame, list[str]]:
    """Validated means, and the columns of the file that were not used."""
    known = published.AGGREGATES_BY_NAME
    table = read_table(path)
    mapped = as_mapped(table, mapping, path, known)
    return validate_aggregates(mapped, source=str(path)), unused(table.columns, mapping, known)


def import_run(
    path: str | os.PathLike[str],
    mapping: str | os.PathLike[str] | Mapping | None,
    out: str | os.PathLike[str],
    *,
    command: str = "",
    format: str | None = None,
    levels_are_sparsity: bool = False,
) -> tuple[RunFolder, int]:
    """Import a file into a run folder; importing the same again changes nothing. Returns the run and its rows.

    The manifest names the format and the package that read it, where that is no table; and under ``notes`` the columns
    that were not used and what is odd about the table. ``levels_are_sparsity`` also takes a table in which accuracy
    rises with the level.

    Raises:
        SchemaError: see `import_table`.
        StoreError: ``out`` holds something else.
    """
    chosen = mapping if isinstance(mapping, Mapping) else read_mapping(mapping)
    name = IMPORTERS.name_of(format or recognised(Path(path)))
    if name == Table.name and not chosen.makes and is_large(Path(path)):
        return _import_large(Path(path), chosen, Path(out), command, levels_are_sparsity)
    table, left = _answers(Path(path), chosen, name)
    notes = _notes(table, left, str(path), levels_are_sparsity)
    folder = RunFolder.create(Path(out), _manifest("imported", path, chosen, command, name, notes=notes))
    with folder.writing():
        folder.write_frame(IMPORTED, table.assign(run_id=folder.manifest.run_id))
    return folder, len(table)


def _import_large(
    path: Path, mapping: Mapping, out: Path, command: str, levels_are_sparsity: bool
) -> tuple[RunFolder, int]:
    """A table that is read in batches, as `import_run` imports others."""
    plan = _manifest("imported", path, mapping, command, notes={})
    RunFolder.find(out, plan)  # before a large table is read
    with staged(path, mapping, out, plan.run_id) as there:
        notes = _notes(there.facts, there.left, str(path), levels_are_sparsity)
        manifest = replace(plan, notes={**notes, PARTS: len(there.shards)})
        folder = RunFolder.create(out, manifest)
        with folder.writing():
            there.move_to(folder.path)
            if folder.manifest.notes.get(PARTS) != len(there.shards):
                folder = folder.noted({PARTS: len(there.shards)})
    return folder, there.n_rows


def import_published(
    path: str | os.PathLike[str],
    mapping: str | os.PathLike[str] | Mapping | None,
    out: str | os.PathLike[str],
    *,
    command: str = "",
    levels_are_sparsity: bool = False,
) -> tuple[RunFolder, int]:
    """Import published means into a run folder, as `import_run` imports answers.

    Raises:
        SchemaError: see `import_means`.
        StoreError: ``out`` holds something else.
    """
    chosen = mapping if isinstance(mapping, Mapping) else read_mapping(mapping, published.AGGREGATES_BY_NAME)
    table, left = _means(Path(path), chosen)
    notes = _notes(table, left, str(path), levels_are_sparsity)
    folder = RunFolder.create(Path(out), _manifest("published", path, chosen, command, notes=notes))
    with folder.writing():
        folder.write_published(table)
    return folder, len(table)


def import_any(
    path: str | os.PathLike[str],
    mapping: str | os.PathLike[str] | Mapping | None,
    out: str | os.PathLike[str],
    *,
    aggregates: bool = False,
    format: str | None = None,
    command: str = "",
    ignore: Iterable[str] = (),
    levels_are_sparsity: bool = False,
) -> tuple[RunFolder, int]:
    """`import_run`, or `import_published` where the file holds ``aggregates``, whose only format is a table.

    ``ignore`` names columns besides those that the mapping ignores. An importer named ``module:Class`` is also looked
    for beside the file and in the working directory.

    Raises:
        SchemaError: a format of published means; see both.
        StoreError: ``out`` holds something else.
    """
    known = published.AGGREGATES_BY_NAME if aggregates else BY_NAME
    chosen = mapping if isinstance(mapping, Mapping) else read_mapping(mapping, known)
    mapping = chosen.model_copy(update={"ignore": [*chosen.ignore, *ignore]})
    if not aggregates:
        if format is not None and plugins.is_loose(format):
            plugins.search([Path(path).resolve().parent, Path.cwd()])
        return import_run(path, mapping, out, command=command, format=format, levels_are_sparsity=levels_are_sparsity)
    if format not in (None, Table.name):
        raise SchemaError(f"{path}: format {format!r} with published means, which are tables. Give one of the two.")
    return import_published(path, mapping, out, command=command, levels_are_sparsity=levels_are_sparsity)


def _manifest(
    origin: Literal["imported", "published"],
    path: str | os.PathLike[str],
    mapping: Mapping,
    command: str,
    format_name: str = Table.name,
    *,
    notes: dict[str, Any],
) -> Manifest:
    # a field that is not used is not part of the plan: older runs had no such field
    given = mapping.model_dump(exclude={"ignore"})
    fields = {name: value for name, value in given.items() if value or name not in _OF_LATER}
    plan = {"source": Path(path).name, "sha256": _sha256(Path(path)), "mapping": fields}
    if format_name != Table.name:
        plan |= {"format": format_name, "plugins": IMPORTERS.sources([format_name])}
    created = datetime.now(UTC).isoformat(timespec="seconds")
    return Manifest(origin, plan, created=created, command=command, notes=notes)


def _notes(table: pd.DataFrame, left: list[str], source: str, levels_are_sparsity: bool) -> dict[str, Any]:
    """What the manifest says of an import besides its plan, once levels are known to be shares removed."""
    if not levels_are_sparsity:
        refuse_shares_kept(table, source)
    odd = [*remarks(levels.placed(table)), *vocabularies.own_words(table, COLUMNS)]
    said = {"unused_columns": left, "remarks": odd, LEVELS_ARE_SPARSITY: levels_are_sparsity}
    return {name: value for name, value in said.items() if value}


def said_of_import(manifest: Manifest) -> list[str]:
    """What an import's manifest says that its reader should see: columns that were not used, and remarks."""
    left = manifest.notes.get("unused_columns", [])
    columns = [f"not used: column {', '.join(left)}"] if left else []
    return [*columns, *manifest.notes.get("remarks", [])]


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
