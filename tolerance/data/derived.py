"""Columns that a mapping makes: a ratio of two, a part of a text, a task's type and floor by a known benchmark.

Benchmarks are files in ``tolerance/data/types``: task by lm-eval's or the benchmark's own name -> its type and, where
grading fixes one, its guessing floor.
"""

import re
from functools import cache
from pathlib import Path
from typing import Protocol

import pandas as pd
import yaml

from tolerance.data.conditions import DENSE
from tolerance.errors import SchemaError

# Columns of a row that are of its dense answer as well.
_OF_WHO_AND_WHAT = (
    *("item_id", "cluster", "task", "task_type", "scope", "dispersion", "context_length", "chance", "n_items"),
    *("model", "params", "params_active", "n_layers", "hidden_size", "architecture"),
)
TYPES = Path(__file__).parent / "types"


class Derives(Protocol):
    """What a mapping says of columns that are made."""

    columns: dict[str, str]
    pattern: dict[str, str]
    ratio: dict[str, tuple[str, str]]


def derived(table: pd.DataFrame, mapping: Derives, source: str) -> tuple[pd.DataFrame, dict[str, str]]:
    """The file's table with the columns that a mapping makes, and ours -> theirs, made ones included.

    Raises:
        SchemaError: a column is missing or holds no numbers, a pattern is none, or a value does not fit it.
    """
    columns, table = dict(mapping.columns), table.copy(deep=False)
    for ours, (over, under) in mapping.ratio.items():
        table[made(ours)] = _number(table, over, source) / _number(table, under, source)
        columns[ours] = made(ours)
    for ours, pattern in mapping.pattern.items():
        theirs = columns.get(ours, ours)
        if theirs not in table:
            raise SchemaError(f"{source}: column {theirs} is named by the mapping's 'pattern' but not in the file.")
        table[made(ours)] = _part(table[theirs], pattern, ours, source)
        columns[ours] = made(ours)
    return table, columns


def with_dense(found: pd.DataFrame, beside: pd.Series) -> pd.DataFrame:
    """Mapped rows, and a dense row for each dense score that stands beside one, each once.

    What a row says of its method, of its level or of what its answer cost is not of the dense answer.
    """
    kept = [name for name in _OF_WHO_AND_WHAT if name in found]
    dense = found[kept].assign(sparsifier=DENSE, sparsity_requested=0.0, score=beside)
    dense = dense[beside.notna()].drop_duplicates()
    return pd.concat([found, dense], ignore_index=True)


def made(ours: str) -> str:
    """The name of a made column; no file has one like it."""
    return f"{ours} (made by the mapping)"


def _number(table: pd.DataFrame, name: str, source: str) -> pd.Series:
    if name not in table:
        raise SchemaError(f"{source}: column {name} is named by the mapping's 'ratio' but not in the file.")
    numbers = pd.to_numeric(table[name], errors="coerce")
    wrong = (numbers.isna() & table[name].notna()).to_numpy()
    if wrong.any():
        row = int(wrong.argmax())
        raise SchemaError(
            f"{source}: row {row}, column {name}: {table[name].iloc[row]!r} is no number, so there is no ratio."
        )
    return numbers.astype("float64")


def _part(values: pd.Series, pattern: str, ours: str, source: str) -> pd.Series:
    try:
        groups = re.compile(pattern).groups
    except re.error as error:
        raise SchemaError(f"{source}: the mapping's pattern of {ours}: {pattern!r} is none ({error}).") from error
    if groups != 1:
        raise SchemaError(f"{source}: the mapping's pattern of {ours}: {pattern!r} has {groups} groups, expected 1.")
    found = values.astype("str").str.extract(pattern, expand=False)
    lost = (found.isna() & values.notna()).to_numpy()
    if lost.any():
        row = int(lost.argmax())
        raise SchemaError(f"{source}: row {row}: {values.iloc[row]!r} does not fit the mapping's pattern of {ours}.")
    return found


@cache
def benchmark(name: str) -> dict[str, dict[str, object]]:
    """Tasks of a benchmark with their ``task_type`` and ``chance``.

    Raises:
        SchemaError: there is no such file, naming those that ship.
    """
    path = TYPES / f"{name}.yaml"
    if not path.is_file():
        raise SchemaError(f"types: {name!r} is no benchmark that ships. There is: {', '.join(benchmarks())}.")
    return {str(task): dict(said) for task, said in yaml.safe_load(path.read_text(encoding="utf-8")).items()}


def benchmarks() -> list[str]:
    """Names of the benchmarks whose types ship."""
    return sorted(file.stem for file in TYPES.glob("*.yaml"))


def with_types(table: pd.DataFrame, name: str | None, source: str) -> pd.DataFrame:
    """A table in our columns with the types and floors of a benchmark where it has none of its own.

    Raises:
        SchemaError: a task without a type that the benchmark does not know.
    """
    if name is None or "task" not in table:
        return table
    known = benchmark(name)
    said = table["task"].map(lambda task: known.get(str(task), {}))
    for column in ("task_type", "chance"):
        own = table[column] if column in table else pd.Series(index=table.index, dtype="object")
        table = table.assign(**{column: own.where(own.notna(), said.map(lambda one, name=column: one.get(name)))})
    lost = table["task_type"].isna()
    if lost.any():
        tasks = sorted({str(task) for task in table["task"][lost]})
        raise SchemaError(
            f"{source}: task {', '.join(tasks[:5])}: the types of {name} have no such task. Give column task_type, or "
            f"call the task by one of its names: {', '.join(sorted(known)[:8])} ..."
        )
    return table
