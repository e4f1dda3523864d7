"""Other people's logs -> the outcome table: a tidy CSV or Parquet file and a small mapping of its columns.

A format that is no such table has an importer: a name in `IMPORTERS`, of ours or of an installed package.
"""

import hashlib
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal, Protocol

import pandas as pd
import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from tolerance import plugins
from tolerance.data import published
from tolerance.data.manifest import Manifest
from tolerance.data.outcomes import BY_NAME, Column, validate
from tolerance.data.published import validate_aggregates
from tolerance.data.run_folder import RunFolder
from tolerance.errors import SchemaError
from tolerance.plugins import Registry

MAPPINGS = Path(__file__).parent / "mappings"
ENDINGS = (".csv", ".parquet")
Scalar = str | int | float | bool
Columns = dict[str, Column]


class Mapping(BaseModel):
    """How a file's columns become ours; columns that already bear our names need no line.

    columns: ours -> theirs. values: ours -> their value -> ours; what is not listed stays. scale: ours -> factor (0.01
    for percentages). constants: ours -> one value for all rows, where the file does not say. where: their column -> the
    value, or the values, of the rows to read; the others are left out.
    """

    model_config = ConfigDict(extra="forbid")
    columns: dict[str, str] = {}
    values: dict[str, dict[Scalar, Scalar]] = {}
    scale: dict[str, float] = {}
    constants: dict[str, Scalar] = {}
    where: dict[str, Scalar | list[Scalar]] = {}


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
        return path.suffix in ENDINGS

    def read(self, path: Path) -> pd.DataFrame:
        """Every column as it is."""
        return _read_table(path)


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
    path = Path(path)
    chosen = mapping if isinstance(mapping, Mapping) else read_mapping(mapping)
    table = IMPORTERS.find(format or recognised(path)).read(path)
    return validate(_mapped(table, chosen, path, BY_NAME), source=str(path))


def recognised(path: Path) -> str:
    """The name of the importer that recognises a file.

    Raises:
        SchemaError: none does, or several do.
    """
    if path.suffix in ENDINGS:
        return Table.name
    names = [name for name in IMPORTERS if IMPORTERS[name].recognises(path)]
    if len(names) > 1:
        raise SchemaError(f"{path}: is recognised by the formats {', '.join(names)}. Say which as the format.")
    if not names:
        raise SchemaError(
            f"{path}: unknown kind of file {path.suffix!r}. Give a .csv or .parquet file, or one of the formats "
            f"{', '.join(IMPORTERS)} by name."
        )
    return names[0]


def import_means(path: str | os.PathLike[str], mapping: str | os.PathLike[str] | Mapping | None = None) -> pd.DataFrame:
    """Read a tidy CSV or Parquet file of published means (one row a mean) as `import_table` reads answers.

    Raises:
        SchemaError: the file or mapping cannot be read, names unknown columns, or the means are not valid.
    """
    path = Path(path)
    known = published.AGGREGATES_BY_NAME
    chosen = mapping if isinstance(mapping, Mapping) else read_mapping(mapping, known)
    return validate_aggregates(_mapped(_read_table(path), chosen, path, known), source=str(path))


def import_run(
    path: str | os.PathLike[str],
    mapping: str | os.PathLike[str] | Mapping | None,
    out: str | os.PathLike[str],
    *,
    command: str = "",
    format: str | None = None,
) -> tuple[RunFolder, int]:
    """Import a file into a run folder; importing the same again changes nothing. Returns the run and its rows.

    The manifest names the format and the package that read it, where that is no table.

    Raises:
        SchemaError: see `import_table`.
        StoreError: ``out`` holds something else.
    """
    chosen = mapping if isinstance(mapping, Mapping) else read_mapping(mapping)
    name = IMPORTERS.name_of(format or recognised(Path(path)))
    table = import_table(path, chosen, format=name)
    folder = RunFolder.create(Path(out), _manifest("imported", path, chosen, command, name))
    with folder.writing():
        folder.write_frame("imported", table.assign(run_id=folder.manifest.run_id))
    return folder, len(table)


def import_published(
    path: str | os.PathLike[str],
    mapping: str | os.PathLike[str] | Mapping | None,
    out: str | os.PathLike[str],
    *,
    command: str = "",
) -> tuple[RunFolder, int]:
    """Import published means into a run folder, as `import_run` imports answers.

    Raises:
        SchemaError: see `import_means`.
        StoreError: ``out`` holds something else.
    """
    chosen = mapping if isinstance(mapping, Mapping) else read_mapping(mapping, published.AGGREGATES_BY_NAME)
    table = import_means(path, chosen)
    folder = RunFolder.create(Path(out), _manifest("published", path, chosen, command))
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
) -> tuple[RunFolder, int]:
    """`import_run`, or `import_published` where the file holds ``aggregates``, whose only format is a table.

    An importer named ``module:Class`` is also looked for beside the file and in the working directory.

    Raises:
        SchemaError: a format of published means; see both.
        StoreError: ``out`` holds something else.
    """
    if not aggregates:
        if format is not None and plugins.is_loose(format):
            plugins.search([Path(path).resolve().parent, Path.cwd()])
        return import_run(path, mapping, out, command=command, format=format)
    if format not in (None, Table.name):
        raise SchemaError(f"{path}: format {format!r} with published means, which are tables. Give one of the two.")
    return import_published(path, mapping, out, command=command)


def _manifest(
    origin: Literal["imported", "published"],
    path: str | os.PathLike[str],
    mapping: Mapping,
    command: str,
    format_name: str = Table.name,
) -> Manifest:
    # a field that is not used is not part of the plan: older runs had no such field
    fields = {name: value for name, value in mapping.model_dump().items() if value or name != "where"}
    plan = {"source": Path(path).name, "sha256": _sha256(Path(path)), "mapping": fields}
    if format_name != Table.name:
        plan |= {"format": format_name, "plugins": IMPORTERS.sources([format_name])}
    return Manifest(origin, plan, created=datetime.now(UTC).isoformat(timespec="seconds"), command=command)


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
    try:
        parsed = Mapping.model_validate(yaml.safe_load(path.read_text()) or {})
    except yaml.YAMLError as error:
        raise SchemaError(f"{path}: not YAML ({str(error).splitlines()[0]})") from error
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"])
        raise SchemaError(f"{path}: {field}: {first['msg']}. Fields: {', '.join(Mapping.model_fields)}.") from error
    ours = [*parsed.columns, *parsed.values, *parsed.scale, *parsed.constants]
    unknown = sorted(set(ours) - set(known))
    if unknown:
        what = "outcome column" if known is BY_NAME else "column of published means"
        raise SchemaError(f"{path}: {', '.join(unknown)} is no {what}. Known: {', '.join(known)}.")
    return parsed


def _read_table(path: Path) -> pd.DataFrame:
    if path.suffix not in ENDINGS:
        raise SchemaError(f"{path}: unknown kind of file {path.suffix!r}. Give a .csv or .parquet file.")
    if not path.is_file():
        raise SchemaError(f"{path}: no such file.")
    try:
        return pd.read_csv(path) if path.suffix == ".csv" else pd.read_parquet(path)
    except (ValueError, OSError) as error:
        raise SchemaError(f"{path}: cannot be read ({str(error).splitlines()[0]})") from error


def _mapped(table: pd.DataFrame, mapping: Mapping, path: Path, known: Columns) -> pd.DataFrame:
    absent = sorted({*mapping.columns.values(), *mapping.where} - set(map(str, table.columns)))
    if absent:
        raise SchemaError(
            f"{path}: column {', '.join(absent)} is named by the mapping but not in the file, which has "
            f"{', '.join(map(str, table.columns))}."
        )
    for theirs, wanted in mapping.where.items():
        table = table[table[theirs].isin(wanted if isinstance(wanted, list) else [wanted])]
    if mapping.where and table.empty:
        raise SchemaError(f"{path}: no row has {mapping.where} as the mapping asks under 'where'.")
    found: dict[str, pd.Series] = {}
    for name, column in known.items():
        theirs = mapping.columns.get(name, name)
        if theirs in table:
            found[name] = _translated(table[theirs], column, mapping)
    for name, value in mapping.constants.items():
        found[name] = pd.Series([value] * len(table), index=table.index)
    return pd.DataFrame(found)


def _translated(values: pd.Series, column: Column, mapping: Mapping) -> pd.Series:
    translation = mapping.values.get(column.name, {})
    if translation:
        values = values.map(lambda value: translation.get(value, value))
    if column.name in mapping.scale:
        values = values * mapping.scale[column.name]
        if column.kind == "integer":
            # 8.2 billion is whole, 8.2 * 1e9 is not quite
            whole = values.round()
            values = values.where((values - whole).abs() > 1e-9 * whole.abs(), whole)
    return values
