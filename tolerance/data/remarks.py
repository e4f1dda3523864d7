"""Remarks: what is odd about a valid table and may yet be meant. Said after an import and kept in its manifest."""

from collections.abc import Iterator

import pandas as pd

from tolerance.data import conditions, contradictions, weights
from tolerance.data.outcomes import is_dense
from tolerance.data.published import is_aggregate

# A realised level farther from the requested one than this is named.
FAR = 0.1
FEW_PARAMS = 1000
HIGH_FLOOR = 0.5
CONDITION = ["task", *conditions.CONDITION]


def remarks(table: pd.DataFrame) -> Iterator[str]:
    """What a reader of validated answers or means should know before an analysis."""
    yield from _apart(table)
    yield from _not_dense(table)
    yield from _far(table)
    yield from _floors(table)
    yield from _sizes(table)
    if not is_aggregate(table):
        yield from _copies(table)
        yield from _averages(table)


def _apart(table: pd.DataFrame) -> Iterator[str]:
    """Names that stand for several methods or models, which are told apart."""
    for column, columns, what in (
        ("sparsifier", [*conditions.METHOD, *conditions.MODEL, "kv_budget_tokens"], "methods"),
        ("model", [*conditions.MODEL, "query_position"], "models"),
    ):
        for name, (names, by) in conditions.named_apart(table, column, columns).items():
            yield (
                f"{column} {name!r} stands for several {what}, which differ in {' and '.join(by)} and are told apart: "
                f"{_some([repr(one) for one in names])}."
            )


def _not_dense(table: pd.DataFrame) -> Iterator[str]:
    """Methods at sparsity 0, which count as dense."""
    dense = table[is_dense(table)]
    zero = table[~is_dense(table) & (table["sparsity_requested"] == 0)]
    for method, rows in zero.groupby("sparsifier"):
        there = dense[dense["task"].isin(rows["task"])]
        beside = f"; dense has {weights.mean(there, 'score'):.3g} there" if len(there) else ""
        yield (
            f"row {rows.index[0]}: {method!r} at sparsity 0 counts as dense ({weights.total(rows):,} rows, mean score "
            f"{weights.mean(rows, 'score'):.3g}{beside}). If it is not, give its level."
        )


def _far(table: pd.DataFrame) -> Iterator[str]:
    """Levels that are realised on average far from where they were requested."""
    sparse = table[(table["sparsity_requested"] > 0) & table["sparsity_realised"].notna()]
    for (method, level), rows in sparse.groupby(["sparsifier", "sparsity_requested"]):
        asked, got = float(str(level)), weights.mean(rows, "sparsity_realised")
        if abs(got - asked) > FAR:
            yield (
                f"row {rows.index[0]}: {method!r} asked for {asked:g} realised {got:.3g} on average. Curves stand at "
                "what was realised; if the columns are of different things, give sparsity_requested alone."
            )


def _floors(table: pd.DataFrame) -> Iterator[str]:
    """Guessing floors that are unknown, differ between items, or are high."""
    yield from unknown_floors(table)
    floors = table.groupby("task")["chance"]
    sizes, known = floors.size(), floors.count()
    part = [str(task) for task in known.index if 0 < known[task] < sizes[task]]
    if part:
        yield f"guessing floor known for some rows alone: {_some(part)}. It is taken for all; fill column chance."
    for task, (low, high) in floors.agg(["min", "max"]).dropna().iterrows():
        if high - low > 1e-9:
            yield f"guessing floors of {task!r} run from {low:g} to {high:g} by item; their mean is used."
        if high > HIGH_FLOOR:
            yield f"guessing floor {high:g} of {task!r} is more than guessing between two reaches. Check column chance."


def unknown_floors(table: pd.DataFrame) -> Iterator[str]:
    """The tasks whose guessing floor nobody recorded, in one sentence if there are any."""
    unknown = [str(task) for task, known in table.groupby("task")["chance"].count().items() if known == 0]
    if unknown:
        yield (
            f"guessing floor unknown: {_some(unknown)}. Shares of dense accuracy are not above a known floor there; "
            "give column chance."
        )


def _sizes(table: pd.DataFrame) -> Iterator[str]:
    """Numbers of parameters that look like billions."""
    for column in ("params", "params_active"):
        small = table[(table[column] < FEW_PARAMS).fillna(value=False)]
        if len(small):
            row = small.index[0]
            yield (
                f"row {row}, column {column}: {table['model'][row]!r} has {small[column].iloc[0]} parameters. If they "
                f"are billions, multiply them (mapping: 'scale: {{{column}: 1.0e+9}}')."
            )


def _copies(table: pd.DataFrame) -> Iterator[str]:
    """Replicates all of whose answers are those of the first."""
    if weights.is_collapsed(table):
        yield from (_copy(number, n) for number, n in table.attrs.get(weights.COPIES, {}).items())
        return
    if table["replicate"].nunique() == 1:
        return
    rows = table.assign(score=table["score"], answer=table["answer"].fillna(""))
    first = rows.drop_duplicates([*CONDITION, "item_id"])
    both = rows.merge(first, on=[*CONDITION, "item_id"], suffixes=("", "_first"))
    both = both[both["replicate"] != both["replicate_first"]]
    score = (both["score"] == both["score_first"]) | (both["score"].isna() & both["score_first"].isna())
    same = score & (both["answer"] == both["answer_first"])
    for number, alike in same.groupby(both["replicate"]):
        if alike.all():
            yield _copy(number, len(alike))


def _copy(number: object, n: int) -> str:
    return (
        f"replicate {number} repeats another in all of its {n:,} answers. If it is a copy it says nothing new: drop it."
    )


def _averages(table: pd.DataFrame) -> Iterator[str]:
    """Tasks named like a mean over tasks."""
    tasks = [str(task) for task in table["task"].unique()]
    for task in tasks:
        if contradictions.is_average(task) and len(tasks) > 1:
            yield f"task {task!r} is named like a mean over the other tasks. If it is one, leave its rows out."


def _some(names: list[str], most: int = 5) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more
