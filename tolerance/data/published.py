"""Published means: one row is the mean score of one task under one condition, without the items behind it.

The curves are the same as for answers. What is lost is pairing: which items were answered alike is not known, so every
cell counts as items of its own and intervals are wider. Without a number of items no interval can be given.
"""

from collections.abc import Iterator

import numpy as np
import pandas as pd

from tolerance.data import contradictions, levels
from tolerance.data.conditions import CONDITION, of_methods_alone, one_value_each, told_apart
from tolerance.data.outcomes import (
    BY_NAME,
    Column,
    checked_levels,
    is_dense,
    level,
    refuse_faults,
    require_columns,
    typed,
)
from tolerance.errors import DesignError, SchemaError

_SHARED = (
    *("task", "task_type", "model", "revision", "params", "params_active", "context_length"),
    *("sparsifier", "sparsity_kind", "phase", "unit", "sparsity_requested", "sparsity_realised"),
    *("level", "level_unit", "kv_budget_tokens", "query_position", "training_protocol", "trained_sparse", "options"),
    "chance",
)
COLUMNS: tuple[Column, ...] = (
    *(BY_NAME[name] for name in _SHARED),
    Column("score", "real", "mean score of the items", required=True, least=0, most=1, mend="Scale scores to 0..1."),
    Column("n_items", "integer", "items behind the mean", least=1, most=1e12, mend="Leave it empty if unknown."),
    Column(
        "se",
        "real",
        "standard error of the mean over items",
        least=0,
        most=0.5,
        mend="No mean of shares has more than 0.5; a standard error in percent is divided by 100.",
    ),
    Column("n_ungraded", "integer", "items that were not graded, which neither score nor n_items counts", least=0),
    Column("n_assumed", "flag", "was the number of items assumed, not published"),
)
NAMES = tuple(column.name for column in COLUMNS)
_TEXT = tuple(column.name for column in COLUMNS if column.kind == "text")
_REQUIRED = tuple(column.name for column in COLUMNS if column.required)
AGGREGATES_BY_NAME = {column.name: column for column in COLUMNS}
KEY = [name for name in ("task", *CONDITION) if name in NAMES]


def validate_aggregates(frame: pd.DataFrame, *, source: str = "published means") -> pd.DataFrame:
    """Return the table with every column of `COLUMNS` present, ordered and typed, or refuse it.

    Conditions are told apart as those of answers are: see `tolerance.data.conditions`.

    Raises:
        SchemaError: naming row, column, value and mend; scores in percent are named as such.
    """
    require_columns(frame, COLUMNS, source)
    table = levels.settled(typed(frame, COLUMNS, source))
    table["sparsity_requested"] = one_value_each(table["sparsity_requested"])
    if table["score"].max() > 1:
        raise SchemaError(
            f"{source}: scores run from {table['score'].min():g} to {table['score'].max():g}, so they are no shares. "
            "If they are percent, divide them by 100 (mapping: 'scale: {score: 0.01}')."
        )
    table["n_assumed"] = table["n_assumed"].fillna(value=False)
    placed = checked_levels(table, COLUMNS, source)
    refuse_faults([*_row_faults(placed), *_contradictions(placed)], source)
    return told_apart(table, placed)


def _contradictions(table: pd.DataFrame) -> Iterator[str]:
    yield from contradictions.shared(table, _TEXT, _REQUIRED)
    yield from contradictions.impossible_errors(table)
    yield from contradictions.average_rows(table)


def is_aggregate(table: pd.DataFrame) -> bool:
    """Whether a validated table holds published means, not answers."""
    return "n_items" in table and "item_id" not in table


def assume_items(table: pd.DataFrame, n: int) -> pd.DataFrame:
    """The table with ``n`` items wherever no number was published; a sensitivity analysis, and marked as such.

    Raises:
        DesignError: every row has its number, or the table holds answers.
    """
    if not is_aggregate(table) or table["n_items"].notna().all():
        what = "every published mean has its number of items" if is_aggregate(table) else "these are answers, not means"
        raise DesignError(f"{n} items cannot be assumed: {what}. Leave the assumption out.")
    return table.assign(n_items=table["n_items"].fillna(n), n_assumed=table["n_assumed"] | table["n_items"].isna())


def assumed(table: pd.DataFrame) -> int | None:
    """The number of items that was assumed, if any."""
    chosen = table["n_items"][table["n_assumed"]]
    return int(chosen.iloc[0]) if len(chosen) else None


def require_counts(table: pd.DataFrame) -> None:
    """Refuse means of an unknown number of items.

    Raises:
        DesignError: naming the first such row and how many there are.
    """
    unknown = table[table["n_items"].isna()]
    if len(unknown):
        row = unknown.iloc[0]
        raise DesignError(
            f"{len(unknown)} of {len(table)} published means have no number of items (the first: {row['task']} by "
            f"{row['model']} under {row['sparsifier']} {levels.said(row)}), so no interval can be given. "
            "Fill column n_items, drop these rows, or see what would follow with --assume-items N."
        )


def _row_faults(table: pd.DataFrame) -> list[str]:
    """Faults that only show when columns are read together."""
    dense = np.flatnonzero((is_dense(table) & (level(table) > 0)).to_numpy())
    twice = np.flatnonzero(of_methods_alone(table).duplicated(KEY).to_numpy())
    return [
        *(
            f"row {row}: sparsifier is 'dense' but sparsity is {level(table)[row]:g}. Name the method or set 0."
            for row in dense
        ),
        *(
            f"row {row}: a second mean of {table['task'][row]!r} by {table['model'][row]!r} under "
            f"{table['sparsifier'][row]} {levels.said(table.iloc[row])}. Drop it or name the methods apart."
            for row in twice
        ),
    ]
