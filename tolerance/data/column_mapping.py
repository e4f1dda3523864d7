"""How a file's columns become ours: mappings, by file or shipped name, and what they make of rows."""

import os
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pandas as pd
from pydantic import BaseModel, ConfigDict, ValidationError

from tolerance.data import levels
from tolerance.data.derived import derived, with_dense, with_types
from tolerance.data.outcomes import BY_NAME, Column
from tolerance.data.unused_columns import refuse_misspelt, refuse_twice, refuse_without
from tolerance.data.yaml_file import read_yaml
from tolerance.errors import SchemaError

MAPPINGS = Path(__file__).parent / "mappings"
Scalar = str | int | float | bool
Columns = dict[str, Column]


class Mapping(BaseModel):
    """How a file's columns become ours; columns that already bear our names need no line.

    columns: ours -> theirs. values: ours -> their value -> ours; what is not listed stays. scale: ours -> factor (0.01
    for percentages). complement: ours, of which 1 - value is taken, after scaling: a share kept becomes one removed.
    constants: ours -> one value for all rows, where the file does not say. where: their column -> the value, or the
    values, of the rows to read; the others are left out. ignore: their columns that are not used though they look like
    ours. ratio: ours -> their two columns, the first of which is divided by the second. pattern: ours -> a regular
    expression whose one group is taken of the text. types: a benchmark that ships (`tolerance.data.derived`); tasks
    have their types and guessing floors by it where the file says none. dense: their column with the dense model's
    score beside that of each row; these scores become rows of their own.
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
    dense: str | None = None

    @property
    def makes(self) -> bool:
        """Whether columns are made that the file does not have."""
        return bool(self.ratio or self.pattern or self.types or self.dense)


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


def unused(columns: Iterable[str], mapping: Mapping, known: Columns) -> list[str]:
    """The columns of a file that its import does not read."""
    read = {
        *_used(mapping, known).values(),
        *mapping.where,
        *(theirs for two in mapping.ratio.values() for theirs in two),
        *([mapping.dense] if mapping.dense else []),
    }
    return [str(name) for name in columns if str(name) not in read]


def columns_used(columns: list[str], mapping: Mapping, path: Path, known: Columns) -> dict[str, str]:
    """Ours -> theirs, of the columns of a file that its import reads.

    Raises:
        SchemaError: a column twice, one that is missing, or one that looks like a slip of ours.
    """
    refuse_twice(columns, str(path))
    named = {*mapping.columns.values(), *mapping.where, *mapping.ignore, *([mapping.dense] if mapping.dense else [])}
    absent = sorted(named - set(columns))
    if absent:
        raise SchemaError(
            f"{path}: column {', '.join(absent)} is named by the mapping but not in the file, which has "
            f"{', '.join(columns)}."
        )
    used = _used(mapping, known)
    lacking = [name for name, theirs in used.items() if theirs not in columns]
    left = [name for name in unused(columns, mapping, known) if name not in mapping.ignore]
    without_level = all(name in lacking for name in levels.LEVEL_COLUMNS)
    needs = {name for name in known if known[name].required} - ({"task_type"} if mapping.types else set())
    needed = [name for name in lacking if name in needs or (name == "sparsity_requested" and without_level)]
    refuse_without(left, needed, columns, str(path))
    refuse_misspelt(left, lacking, str(path))
    return {name: theirs for name, theirs in used.items() if theirs in columns}


def as_mapped(table: pd.DataFrame, mapping: Mapping, path: Path, known: Columns) -> pd.DataFrame:
    """The rows and columns of a file that a mapping asks for, under our names.

    Raises:
        SchemaError: see `columns_used`; no such row, or a value that the mapping cannot calculate with.
    """
    table, columns = derived(table, mapping, str(path))
    asked = mapping.model_copy(update={"columns": columns})
    used = columns_used(list(map(str, table.columns)), asked, path, known)
    chosen = _chosen(table, mapping, path)
    found = mapped_rows(chosen, used, mapping, path, known)
    if mapping.dense:
        score = known["score"].name
        beside = translated(chosen[mapping.dense].rename(score), known[score], mapping, path)
        found = with_dense(found, beside)
    return with_types(found, mapping.types, str(path))


def mapped_rows(
    table: pd.DataFrame, used: dict[str, str], mapping: Mapping, path: Path, known: Columns
) -> pd.DataFrame:
    """Rows with the columns that are used under our names, and constants."""
    found = {name: translated(table[theirs], known[name], mapping, path) for name, theirs in used.items()}
    constants = {name: pd.Series([value] * len(table), index=table.index) for name, value in mapping.constants.items()}
    both = {**found, **constants}
    return pd.DataFrame({name: both[name] for name in known if name in both})


def _chosen(table: pd.DataFrame, mapping: Mapping, path: Path) -> pd.DataFrame:
    """The rows that the mapping asks for."""
    for theirs, wanted in mapping.where.items():
        values = set(wanted if isinstance(wanted, list) else [wanted])
        table = table[table[theirs].map(lambda value, values=values: value in values).astype(bool)]
    if mapping.where and table.empty:
        raise SchemaError(f"{path}: no row has {mapping.where} as the mapping asks under 'where'.")
    return table


def translated(values: pd.Series, column: Column, mapping: Mapping, path: Path) -> pd.Series:
    """Values of one column as a mapping asks for them: translated, scaled, complemented."""
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
        at = f"row {values.index[wrong[0]]}, " if len(wrong) else ""
        raise SchemaError(
            f"{path}: {at}column {column.name}: {seen} is no number, so the mapping's '{field}' has nothing to "
            "calculate with. Correct the value, or name another column."
        )
    return numbers
