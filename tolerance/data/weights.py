"""Rows that stand for several answers, as those of the collapsed table of a large run do.

Such a table has the columns of outcomes but those of single items, means where answers differ, and `ANSWERS`.
"""

from collections.abc import Sequence

import pandas as pd

ANSWERS = "n_answers"
# Where such a table carries which repeats are copies, which only rows show: pandas keeps it through selections.
COPIES = "tolerance_copies"


def is_collapsed(table: pd.DataFrame) -> bool:
    """Whether rows stand for several answers."""
    return ANSWERS in table


def answers(table: pd.DataFrame) -> pd.Series:
    """How many answers each row stands for."""
    return table[ANSWERS] if is_collapsed(table) else pd.Series(1, index=table.index)


def total(table: pd.DataFrame, of: pd.Series | None = None) -> int:
    """How many answers a table stands for; ``of``: those of which it is true."""
    if not is_collapsed(table):
        return len(table) if of is None else int(of.sum())
    return int((table[ANSWERS] if of is None else table.loc[of.fillna(value=False).astype(bool), ANSWERS]).sum())


def mean(table: pd.DataFrame, column: str) -> float:
    """The mean of a column over answers for which it is known."""
    if not is_collapsed(table):
        return float(table[column].mean())
    known = table[table[column].notna()]
    n = known[ANSWERS].sum()
    return float((known[column].astype("float64") * known[ANSWERS]).sum() / n) if n else float("nan")


def means(table: pd.DataFrame, values: pd.Series, by: Sequence[str | pd.Series], *, dropna: bool = True) -> pd.Series:
    """The mean of values ``(row,)`` over the answers of each group for which they are known."""
    keys = [table[one] if isinstance(one, str) else one for one in by]
    if not is_collapsed(table):
        return values.groupby(keys, dropna=dropna).mean()
    weight = table[ANSWERS].where(values.notna(), 0)
    sums = pd.DataFrame({"sum": (values.astype("float64") * weight).fillna(0.0), "n": weight})
    found = sums.groupby(keys, dropna=dropna).sum()
    return found["sum"] / found["n"].where(found["n"] > 0)
