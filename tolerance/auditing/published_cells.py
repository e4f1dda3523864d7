"""Published cells from a CSV: columns checked one by one, and every cell beside the dense score of the same table."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from tolerance.data.outcomes import DENSE, Column, column_faults, refuse_faults, typed
from tolerance.data.table_file import read_table
from tolerance.data.unused_columns import near_miss
from tolerance.errors import SchemaError

# Scores are scaled to shares. Thresholds and correlations are no scores: their sampling error is not known.
SCALES = {"0-1": 1.0, "0-100": 0.01, "percent of KV": 0.01, "correlation": 1.0}
NO_SCORES = ("percent of KV", "correlation")
# What tables call a model from which nothing was removed.
DENSE_NAMES = (DENSE, "nocompression", "full", "fullkv")
COLUMNS: tuple[Column, ...] = (
    Column("source", "text", "paper or repository", required=True),
    Column("table_or_figure", "text", "where in the source"),
    Column("method", "text", "the method, or dense", required=True),
    Column("model", "text", "who answered", required=True),
    Column("task", "text", "what was asked", required=True),
    Column("task_type", "text", "what the task asks of the context", required=True),
    Column("metric", "text", "how it was scored"),
    Column("score_scale", "text", "what a score is in", required=True),
    Column("score", "real", "the published number", required=True),
    Column("dense_score", "real", "that of the dense model, in the same scale"),
    Column("n_items", "integer", "items behind the score", least=1, most=1e12, mend="Leave it empty if unknown."),
    Column(
        "sparsity",
        "real",
        "share that is removed",
        least=0,
        below=1,
        mend="Give a fraction; a percentage is divided by 100.",
    ),
    Column("kv_budget_tokens", "real", "KV entries kept", least=1, most=1e10),
    Column("context_length", "real", "tokens of context", least=0, most=1e10),
    Column("params_b", "real", "billions of parameters", least=1e-6, most=1e7, mend="Give it in billions."),
    Column("query_aware", "real", "did the method see the question, 1 or 0", least=0, most=1),
    Column("sparsity_definition", "text", "what the sparsity is a share of"),
    Column("provenance_tier", "text", "from where the number was read"),
)
NAMES = tuple(column.name for column in COLUMNS)
REQUIRED = tuple(column.name for column in COLUMNS if column.required)
# What tells two cells of one source apart.
_KEY = [name for name in NAMES if name not in ("score", "dense_score", "n_items", "params_b", "provenance_tier")]
_PLACE = ["source", "model", "task", "context_length", "metric", "score_scale"]


def read_cells(path: Path) -> pd.DataFrame:
    """The columns of `COLUMNS`, scores and dense scores as shares, ``dense_n`` items behind a dense score.

    A cell without a dense score takes that of the dense row of its table (model, task, context and metric), or of its
    source where only one is there. Rows of other scales than shares and percent are left out.

    Raises:
        SchemaError: naming file, row, column, value and mend.
    """
    table = read_table(path)
    _refuse_columns(list(map(str, table.columns)), path)
    read = typed(table[[name for name in NAMES if name in table]], COLUMNS, str(path))
    read = read[read["score_scale"].isin(SCALES)]
    if read.empty:
        raise SchemaError(f"{path}: no row has a score_scale of {', '.join(SCALES)}. Say what scores are in.")
    refuse_faults([*column_faults(read, COLUMNS), *_beyond(read), *_twice(read)], str(path))
    scale = read["score_scale"].map(SCALES).astype("float64")
    scaled = read.assign(score=read["score"] * scale, dense_score=read["dense_score"] * scale, dense_n=read["n_items"])
    return _with_dense_rows(scaled, path).reset_index(drop=True)


def _refuse_columns(there: Sequence[str], path: Path) -> None:
    missing = [name for name in REQUIRED if name not in there]
    if missing:
        raise SchemaError(f"{path}: column {', '.join(missing)} missing. Required: {', '.join(REQUIRED)}.")
    lacking = [name for name in NAMES if name not in there]
    for theirs in there:
        ours = near_miss(theirs, lacking) if theirs not in NAMES else None
        if ours is not None:
            raise SchemaError(f"{path}: column `{theirs}`: did you mean `{ours}`? Rename it, or drop it.")


def _beyond(table: pd.DataFrame) -> Iterator[str]:
    """Scores that their scale does not allow."""
    scale = table["score_scale"].map(SCALES).astype("float64")
    least = np.where((table["score_scale"] == "correlation").to_numpy(), -1.0, 0.0)
    for name in ("score", "dense_score"):
        share = (table[name] * scale).to_numpy()
        for row in table.index[(share < least) | (share > 1)]:
            yield f"row {row}: {name} {table[name][row]:g} does not fit its score_scale {table['score_scale'][row]!r}."


def _twice(table: pd.DataFrame) -> Iterator[str]:
    """A cell that stands twice would count twice in every mean."""
    for row in table.index[table.duplicated(_KEY)]:
        yield (
            f"row {row}: a second score of {table['method'][row]!r} for {table['task'][row]!r} by "
            f"{table['model'][row]!r}, under nothing else. Drop one, or say in a column what differs."
        )


def is_dense_row(table: pd.DataFrame) -> pd.Series:
    """Rows of the model from which nothing was removed."""
    named = table["method"].str.strip().str.casefold().isin(DENSE_NAMES)
    return named | (table["sparsity"] == 0).fillna(value=False)


def _texts(key: object) -> tuple[str, ...]:
    assert isinstance(key, tuple)
    return tuple(map(str, key))


def _with_dense_rows(table: pd.DataFrame, path: Path) -> pd.DataFrame:
    lacks = table["dense_score"].isna() & ~table["score_scale"].isin(NO_SCORES)
    dense = table[is_dense_row(table) & ~table["score_scale"].isin(NO_SCORES)]
    if dense.empty or not lacks.any():
        return table
    table = table.copy()
    by_table: dict[tuple[str, ...], list[int]] = {}
    by_source: dict[tuple[str, ...], list[int]] = {}
    for columns, found in (([*_PLACE, "table_or_figure"], by_table), (_PLACE, by_source)):
        for key, there in dense.groupby(columns, dropna=False).groups.items():
            found[_texts(key)] = list(there)
    for row in table.index[lacks]:
        place = tuple(str(table[name][row]) for name in _PLACE)
        at = by_table.get((*place, str(table["table_or_figure"][row])), by_source.get(place, []))
        if len(set(table["score"][at])) > 1:
            raise SchemaError(
                f"{path}: row {row}: {len(at)} dense rows with other scores for {table['task'][row]!r} by "
                f"{table['model'][row]!r} (rows {', '.join(map(str, at[:4]))}). Fill dense_score, or keep one."
            )
        if at:
            table.loc[row, ["dense_score", "dense_n"]] = [table["score"][at[0]], table["n_items"][at[0]]]
    return table
