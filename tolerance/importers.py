"""Other people's logs -> the outcome table: a tidy CSV or Parquet file and a small mapping of its columns."""

import hashlib
import os
from datetime import UTC, datetime
from pathlib import Path

import pandas as pd
import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from tolerance.errors import SchemaError
from tolerance.manifest import Manifest
from tolerance.outcomes import BY_NAME, NAMES, Column, validate
from tolerance.store import RunFolder

MAPPINGS = Path(__file__).parent / "mappings"
Scalar = str | int | float | bool


class Mapping(BaseModel):
    """How a file's columns become ours; columns that already bear our names need no line.

    columns: ours -> theirs. values: ours -> their value -> ours; what is not listed stays. scale: ours -> factor (0.01
    for percentages). constants: ours -> one value for all rows, where the file does not say.
    """

    model_config = ConfigDict(extra="forbid")
    columns: dict[str, str] = {}
    values: dict[str, dict[Scalar, Scalar]] = {}
    scale: dict[str, float] = {}
    constants: dict[str, Scalar] = {}


def import_table(path: str | os.PathLike[str], mapping: str | os.PathLike[str] | Mapping | None = None) -> pd.DataFrame:
    """Read a tidy CSV or Parquet file (one row an answer) as validated outcomes.

    ``mapping`` is a mapping file, the name of a shipped one (`shipped_mappings`), or a `Mapping`.

    Raises:
        SchemaError: the file or mapping cannot be read, names unknown columns, or the outcomes are not valid.
    """
    path = Path(path)
    chosen = mapping if isinstance(mapping, Mapping) else read_mapping(mapping)
    table = _read_table(path)
    return validate(_mapped(table, chosen, path), source=str(path))


def import_run(
    path: str | os.PathLike[str], mapping: str | os.PathLike[str] | Mapping | None, out: Path, *, command: str = ""
) -> tuple[RunFolder, int]:
    """Import a file into a run folder; importing the same again changes nothing. Returns the run and its rows.

    Raises:
        SchemaError: see `import_table`.
        StoreError: ``out`` holds something else.
    """
    chosen = mapping if isinstance(mapping, Mapping) else read_mapping(mapping)
    table = import_table(path, chosen)
    plan = {"source": Path(path).name, "sha256": _sha256(Path(path)), "mapping": chosen.model_dump()}
    manifest = Manifest("imported", plan, created=datetime.now(UTC).isoformat(timespec="seconds"), command=command)
    folder = RunFolder.create(out, manifest)
    with folder.writing():
        folder.write_frame("imported", table.assign(run_id=folder.manifest.run_id))
    return folder, len(table)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def shipped_mappings() -> list[str]:
    """Names of the mappings that ship with the package."""
    return sorted(file.stem for file in MAPPINGS.glob("*.yaml"))


def read_mapping(mapping: str | os.PathLike[str] | None) -> Mapping:
    """A mapping by file or shipped name; none maps every column to itself.

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
    unknown = sorted(set(ours) - set(NAMES))
    if unknown:
        raise SchemaError(f"{path}: {', '.join(unknown)} is no outcome column. Known: {', '.join(NAMES)}.")
    return parsed


def _read_table(path: Path) -> pd.DataFrame:
    if path.suffix not in (".csv", ".parquet"):
        raise SchemaError(f"{path}: unknown kind of file {path.suffix!r}. Give a .csv or .parquet file.")
    if not path.is_file():
        raise SchemaError(f"{path}: no such file.")
    try:
        return pd.read_csv(path) if path.suffix == ".csv" else pd.read_parquet(path)
    except (ValueError, OSError) as error:
        raise SchemaError(f"{path}: cannot be read ({str(error).splitlines()[0]})") from error


def _mapped(table: pd.DataFrame, mapping: Mapping, path: Path) -> pd.DataFrame:
    absent = sorted(set(mapping.columns.values()) - set(map(str, table.columns)))
    if absent:
        raise SchemaError(
            f"{path}: column {', '.join(absent)} is named by the mapping but not in the file, which has "
            f"{', '.join(map(str, table.columns))}."
        )
    found: dict[str, pd.Series] = {}
    for name in NAMES:
        theirs = mapping.columns.get(name, name)
        if theirs in table:
            found[name] = _translated(table[theirs], BY_NAME[name], mapping)
    for name, value in mapping.constants.items():
        found[name] = pd.Series([value] * len(table), index=table.index)
    return pd.DataFrame(found)


def _translated(values: pd.Series, column: Column, mapping: Mapping) -> pd.Series:
    translation = mapping.values.get(column.name, {})
    if translation:
        values = values.map(lambda value: translation.get(value, value))
    if column.name in mapping.scale:
        values = values * mapping.scale[column.name]
    return values
