"""Other people's logs -> the outcome table: a tidy CSV or Parquet file and a small mapping of its columns.

A format that is no such table has an importer: a name in `IMPORTERS`, of ours or of an installed package.
"""

import hashlib
import os
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
import pandas as pd
from pydantic import BaseModel, ConfigDict, ValidationError

from tolerance import plugins
from tolerance.data import levels, published, vocabularies
from tolerance.data.derived import derived, with_types
from tolerance.data.direction import LEVELS_ARE_SPARSITY, refuse_shares_kept
from tolerance.data.manifest import Manifest
from tolerance.data.outcomes import BY_NAME, COLUMNS, Column, validate
from tolerance.data.published import validate_aggregates
from tolerance.data.remarks import remarks
from tolerance.data.run_folder import IMPORTED, RunFolder
from tolerance.data.table_file import ENDINGS, is_table, read_table
from tolerance.data.unused_columns import refuse_misspelt, refuse_twice, refuse_without
from tolerance.data.yaml_file import read_yaml
from tolerance.errors import SchemaError
from tolerance.plugins import Registry

MAPPINGS = Path(__file__).parent / "mappings"
Scalar = str | int | float | bool
Columns = dict[str, Column]
# Fields of a mapping that older runs had not, and have not in their plan.
_OF_LATER = ("where", "complement", "ratio", "pattern", "types")


class Mapping(BaseModel):
    """How a file's columns become ours; columns that already bear our names need no line.

    columns: ours -> theirs. values: ours -> their value -> ours; what is not listed stays. scale: ours -> factor (0.01
    for percentages). complement: ours, of which 1 - value is taken, after scaling: a share kept becomes one removed.
    constants: ours -> one value for all rows, where the file does not say. where: their column -> the value, or the
    values, of the rows to read; the others are left out. ignore: their columns that are not used though they look like
    ours. ratio: ours -> their two columns, the first of which is divided by the second. pattern: ours -> a regular
    expression whose one group is taken of the text. types: a benchmark that ships (`tolerance.data.derived`); tasks
    have their types and guessing floors by it where the file says none.
    """

    model_config = ConfigDict(extra="forbid")
    columns: dict[str, str] = {}
    values: dict[str, dict[Scalar, Scalar]] = {}
    scale: dict[str, float] = {}
    complement: list[str] = []
    constants: dict[str, Scalar] = {}
    where: dict[str, Scalar | list[Scalar]] = {}
    ignore: list[str] = []
    ratio: dict[str, tuple[str, str]] = {}
    pattern: dict[str, str] = {}
    types: str | None = None


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
    mapped = _mapped(table, mapping, path, BY_NAME)
    return validate(mapped, source=str(path)), unused(table, mapping, BY_NAME)


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
    mapped = _mapped(table, mapping, path, known)
    return validate_aggregates(mapped, source=str(path)), unused(table, mapping, known)


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
    table, left = _answers(Path(path), chosen, name)
    notes = _notes(table, left, str(path), levels_are_sparsity)
    folder = RunFolder.create(Path(out), _manifest("imported", path, chosen, command, name, notes=notes))
    with folder.writing():
        folder.write_frame(IMPORTED, table.assign(run_id=folder.manifest.run_id))
    return folder, len(table)


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


def shipped_mappings() -> list[str]:
    """Names of the mappings that ship with the package."""
    return sorted(file.stem for file in MAPPINGS.glob("*.yaml"))


def read_mapping(mapping: str | os.PathLike[str] | None, known: Columns = BY_NAME) -> Mapping:
    """A mapping by file or shipped name onto ``known`` columns; none maps every column to itself.

    Raises:
        SchemaError: naming the file, the field and what it may hold.
    """
    if mapping is None:
        return Mapping()
    shipped = MAPPINGS / f"{mapping}.yaml"
    path = shipped if shipped.is_file() else Path(mapping)
    if not path.is_file():
        raise SchemaError(f"{path}: no such mapping file. Shipped mappings: {', '.join(shipped_mappings())}.")
    given = read_yaml(path, expected="a mapping as in docs/importing.md")
    try:
        parsed = Mapping.model_validate({} if given is None else given)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"])
        raise SchemaError(f"{path}: {field}: {first['msg']}. Fields: {', '.join(Mapping.model_fields)}.") from error
    ours = [*parsed.columns, *parsed.values, *parsed.scale, *parsed.complement, *parsed.constants]
    ours += [*parsed.ratio, *parsed.pattern]
    unknown = sorted(set(ours) - set(known))
    if unknown:
        what = "outcome column" if known is BY_NAME else "column of published means"
        raise SchemaError(f"{path}: {', '.join(unknown)} is no {what}. Known: {', '.join(known)}.")
    return parsed


def _used(mapping: Mapping, known: Columns) -> dict[str, str]:
    """Ours -> theirs, of every column that is read where the file has it."""
    return {name: mapping.columns.get(name, name) for name in known if name not in mapping.constants}


def unused(table: pd.DataFrame, mapping: Mapping, known: Columns) -> list[str]:
    """The columns of a file that its import does not read."""
    read = {
        *_used(mapping, known).values(),
        *mapping.where,
        *(theirs for two in mapping.ratio.values() for theirs in two),
    }
    return [str(name) for name in table.columns if str(name) not in read]


def _mapped(table: pd.DataFrame, mapping: Mapping, path: Path, known: Columns) -> pd.DataFrame:
    refuse_twice([str(name) for name in table.columns], str(path))
    absent = sorted({*mapping.columns.values(), *mapping.where, *mapping.ignore} - set(map(str, table.columns)))
    if absent:
        raise SchemaError(
            f"{path}: column {', '.join(absent)} is named by the mapping but not in the file, which has "
            f"{', '.join(map(str, table.columns))}."
        )
    left = [name for name in unused(table, mapping, known) if name not in mapping.ignore]
    table, columns = derived(table, mapping, str(path))
    used = _used(mapping.model_copy(update={"columns": columns}), known)
    lacking = [name for name, theirs in used.items() if theirs not in table]
    without_level = all(name in lacking for name in levels.LEVEL_COLUMNS)
    needed = [n for n in lacking if known[n].required and not (n == "task_type" and mapping.types)]
    needed += ["sparsity_requested"] if without_level else []
    refuse_without(left, needed, list(map(str, table.columns)), str(path))
    refuse_misspelt(left, lacking, str(path))
    table = _chosen(table, mapping, path)
    found = {
        name: _translated(table[theirs], known[name], mapping, path) for name, theirs in used.items() if theirs in table
    }
    constants = {name: pd.Series([value] * len(table), index=table.index) for name, value in mapping.constants.items()}
    both = {**found, **constants}
    return with_types(pd.DataFrame({name: both[name] for name in known if name in both}), mapping.types, str(path))


def _chosen(table: pd.DataFrame, mapping: Mapping, path: Path) -> pd.DataFrame:
    """The rows that the mapping asks for."""
    for theirs, wanted in mapping.where.items():
        values = set(wanted if isinstance(wanted, list) else [wanted])
        table = table[table[theirs].map(lambda value, values=values: value in values).astype(bool)]
    if mapping.where and table.empty:
        raise SchemaError(f"{path}: no row has {mapping.where} as the mapping asks under 'where'.")
    return table


def _translated(values: pd.Series, column: Column, mapping: Mapping, path: Path) -> pd.Series:
    _refuse_nested(values, column, path)
    translation = mapping.values.get(column.name, {})
    if translation:
        values = values.map(lambda value: translation.get(value, value))
    if column.name in mapping.scale:
        values = _as_numbers(values, column, path, "scale") * mapping.scale[column.name]
        if column.kind == "integer":
            # 8.2 billion is whole, 8.2 * 1e9 is not quite
            whole = values.round()
            values = values.where((values - whole).abs() > 1e-9 * whole.abs(), whole)
    if column.name in mapping.complement:
        # 1 - 0.7 is 0.3, not 0.30000000000000004
        values = (1 - _as_numbers(values, column, path, "complement")).round(12)
    return values


def _refuse_nested(values: pd.Series, column: Column, path: Path) -> None:
    """Bytes, lists and records, which Parquet can hold, are no value of a column of ours."""
    if values.dtype != object:
        return
    nested = np.flatnonzero(
        values.map(lambda value: isinstance(value, bytes | list | dict | np.ndarray)).to_numpy(bool)
    )
    if len(nested):
        seen = type(values.iloc[nested[0]]).__name__
        raise SchemaError(
            f"{path}: row {nested[0]}, column {column.name}: holds {seen}, expected one {column.kind}. Write one value "
            "a cell, texts as UTF-8; or leave the column out."
        )


def _as_numbers(values: pd.Series, column: Column, path: Path, field: str) -> pd.Series:
    """Values that a mapping calculates with.

    Raises:
        SchemaError: naming the first that is no number.
    """
    numbers = pd.to_numeric(values, errors="coerce")
    wrong = np.flatnonzero((numbers.isna() & values.notna()).to_numpy())
    if len(wrong) or column.kind not in ("real", "integer"):
        seen = repr(values.iloc[wrong[0]]) if len(wrong) else f"a {column.kind}"
        at = f"row {wrong[0]}, " if len(wrong) else ""
        raise SchemaError(
            f"{path}: {at}column {column.name}: {seen} is no number, so the mapping's '{field}' has nothing to "
            "calculate with. Correct the value, or name another column."
        )
    return numbers
