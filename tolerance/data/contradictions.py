"""Contradictions: what a table says against itself, each with its row, its value and the mend.

The functions take typed tables, of answers or of published means, and give the faults for which they are refused.
"""

import re
import unicodedata
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import pandas as pd

from tolerance.data import weights
from tolerance.data.levels import said

# Control and bidirectional characters, and those that nobody sees: they move the cursor, turn text round, or tell apart
# what looks the same. Joiners (U+200C, U+200D) are letters of some scripts.
_UNSEEN = re.compile("[\x00-\x1f\x7f-\x9f\xad\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff]")
# A model may say anything; no page shows it.
_FREE = ("answer",)
MOST_SHOWN = 5
# What tells two methods apart that bear one name.
_KINDS = ("sparsity_kind", "unit")
_NAMES = ("model", "task", "sparsifier")
_AVERAGE = re.compile(
    r"(?:(?:macro|micro|grand)[\s._-]*)?(?:average|avg|mean|overall)[\s._-]*(?:score|accuracy|acc)?\.?"
)
# More levels than a plan has, most of them with one item: nobody asks for that.
MANY_LEVELS = 10
CURVE = ["model", "context_length", "task", "sparsifier"]


def shared(table: pd.DataFrame, text: Sequence[str], required: Sequence[str]) -> Iterator[str]:
    """What answers and published means may both say against themselves."""
    yield from text_faults(table, text, required)
    yield from alike(table)
    yield from one_floor(table)
    yield from one_size(table)
    yield from realised_backwards(table)


def text_faults(table: pd.DataFrame, columns: Sequence[str], required: Sequence[str]) -> Iterator[str]:
    """Characters that a name may not hold, and names of blanks; one fault a value."""
    for name in columns:
        if name in _FREE:
            continue
        for value in table[name].dropna().unique():
            if _UNSEEN.search(value):
                where = _first(table[name] == value)
                yield (
                    f"row {where}, column {name}: {value!a} holds a control, bidirectional or invisible "
                    "character. Remove it: it would change what a terminal or page shows."
                )
            elif name in required and value and not value.strip():
                yield f"row {_first(table[name] == value)}, column {name}: {value!r} is blank. Give a name."


def holds_unseen(values: pd.Series) -> bool:
    """Whether `text_faults` has something to say of distinct values; quick, without saying what."""
    texts = values.tolist()
    return _UNSEEN.search("|".join(texts)) is not None or not all(map(str.strip, texts))


def alike(table: pd.DataFrame) -> Iterator[str]:
    """Names that differ by case, spaces or Unicode form alone, and items of a task that differ by the latter two."""
    for name in _NAMES:
        seen: dict[str, str] = {}
        for value in table[name].dropna().unique():
            first = seen.setdefault(folded(value), value)
            if first != value:
                yield (
                    f"row {_first(table[name] == value)}, column {name}: {value!r} beside {first!r}, which differs by "
                    "case, spaces or Unicode form alone. Write them alike, or name them apart."
                )
    if "item_id" in table:
        yield from _items_alike(table)


def folded(name: str) -> str:
    """A name without case, surplus spaces and Unicode form."""
    seen = "".join(c for c in unicodedata.normalize("NFKC", name) if unicodedata.category(c) != "Cf")
    return " ".join(seen.split()).casefold()


def _items_alike(table: pd.DataFrame) -> Iterator[str]:
    ids = table["item_id"].dropna().unique()
    if all(value == trimmed(value) for value in ids):
        return
    seen: dict[tuple[str, str], str] = {}
    for task, value in table[["task", "item_id"]].dropna().drop_duplicates().itertuples(index=False):
        first = seen.setdefault((task, trimmed(value)), value)
        if first != value:
            row = _first((table["task"] == task) & (table["item_id"] == value))
            yield (
                f"row {row}, column item_id: {value!r} beside {first!r} in task {task!r}, which differs by spaces or "
                "Unicode form alone, so its answers would not "
                "be paired. Write them alike."
            )


def trimmed(value: str) -> str:
    """An id without spaces around it, in one Unicode form."""
    return unicodedata.normalize("NFC", value).strip()


def two_values(table: pd.DataFrame, by: Sequence[str], column: str, mend: str) -> Iterator[str]:
    """A second value where there can be one, the first such row of each group; what is not known is no value."""
    known = table[table[column].notna()]
    if known.empty or known[column].nunique() == 1:
        return
    numbers = known[column].astype("float64")
    groups = known.groupby(list(by), dropna=False, sort=False)
    first = numbers.groupby([known[name] for name in by], dropna=False, sort=False).transform("first")
    wrong = known[(numbers - first).abs() > 1e-9].drop_duplicates(list(by))
    for row, values in wrong.iterrows():
        at = groups.get_group(tuple(values[list(by)])).index[0]
        who = " of ".join(repr(values[name]) for name in reversed(by) if pd.notna(values[name]))
        yield f"row {row}, column {column}: {values[column]:g} for {who}, {known[column][at]:g} in row {at}. {mend}"


def one_floor(table: pd.DataFrame) -> Iterator[str]:
    """An item, or a task of published means, has one guessing floor."""
    by = ["task", "item_id"] if "item_id" in table else ["task"]
    yield from two_values(table, by, "chance", "It has one guessing floor: correct one, or name the tasks apart.")


def one_size(table: pd.DataFrame) -> Iterator[str]:
    """A model and revision has one number of parameters."""
    mend = "A model has one size, that of the dense one: correct one, or name the models apart."
    who = ["model", "revision"]
    yield from two_values(table, who, "params", mend)
    # pruned weights are not used: sparse answers have fewer active parameters, by as much as was pruned
    yield from two_values(table[table["sparsifier"] == "dense"], who, "params_active", mend)


def second_answers(table: pd.DataFrame, key: list[str]) -> Iterator[str]:
    """Second rows of one key, with the mend that what else differs between the two asks for."""
    twice = table.duplicated(key)
    if not twice.any():
        return
    number = table.groupby(key, dropna=False, sort=False).ngroup()
    first = number.drop_duplicates()
    before_of = dict(zip(first, first.index, strict=True))
    rows = table.index[twice]
    for row in rows[:MOST_SHOWN]:
        values, before = table.loc[row], table.loc[before_of[number[row]]]
        yield (
            f"row {row}: a second answer of item {values['item_id']!r} by {values['model']!r} under "
            f"{values['sparsifier']} {said(values)}{_mend_of_second(values, before)}"
        )
    yield from (f"row {row}: a second answer" for row in rows[MOST_SHOWN:])  # these are counted alone


def _mend_of_second(values: pd.Series, before: pd.Series) -> str:
    differ = [name for name in values.index if not _same(values[name], before[name])]
    at = f"row {before.name}"
    if not differ:
        return f", the same as {at}. Drop it."
    for name in _KINDS:
        if name in differ:
            return f", with {name} {values[name]} where {at} has {before[name]}. Name the methods apart."
    if "score" in differ and not {"answer", "seed"} & set(differ):
        return (
            f", score {values['score']:g} where {at} has {before['score']:g}. If one answer was graded twice, keep one "
            "grading; if it was asked twice, number the repeats in column replicate."
        )
    return f", after {at}. Drop it, or number the repeats in column replicate."


def _same(one: object, other: object) -> bool:
    missing = pd.isna(one), pd.isna(other)  # type: ignore[call-overload]
    return missing[0] and missing[1] if any(missing) else bool(one == other)


def right_and_wrong(table: pd.DataFrame) -> Iterator[str]:
    """Answers that ``correct`` calls right and ``score`` gives nothing, or the other way round."""
    right = table["correct"].astype("Float64")
    wrong = (((right == 1) & (table["score"] == 0)) | ((right == 0) & (table["score"] == 1))).fillna(value=False)
    for row in table.index[wrong.to_numpy(dtype=bool)]:
        yield (
            f"row {row}: correct is {bool(table['correct'][row])} but score is {table['score'][row]:g}. "
            "Correct one of them, or leave correct empty."
        )


def levels_by_item(table: pd.DataFrame) -> Iterator[str]:
    """Methods whose requested level differs from item to item: what was realised, given as what was asked for.

    A budget in tokens asks for another share of each item.
    """
    sparse = table[(table["sparsity_requested"] > 0) & table["kv_budget_tokens"].isna()]
    items = sparse.groupby([*CURVE, "sparsity_requested"], dropna=False, sort=False)["item_id"].nunique().reset_index()
    for (model, _, task, method), levels in items.groupby(CURVE, dropna=False, sort=False):
        if len(levels) > MANY_LEVELS and (levels["item_id"] == 1).mean() > 0.5:
            rows = (sparse["model"] == model) & (sparse["task"] == task) & (sparse["sparsifier"] == method)
            if sparse["item_id"][rows].nunique() > MANY_LEVELS:
                yield (
                    f"row {sparse.index[rows][0]}: {method!r} has {len(levels)} requested levels in task {task!r}, "
                    "most of them with one item. Give the level of an item as sparsity_realised, and as "
                    "sparsity_requested the one that was asked for."
                )


def realised_backwards(table: pd.DataFrame) -> Iterator[str]:
    """Methods that realise less the more is asked of them: one of the two columns is a share kept."""
    both = table[(table["sparsity_requested"] > 0) & table["sparsity_realised"].notna()]
    means = weights.means(both, both["sparsity_realised"], ["sparsifier", "sparsity_requested"])
    for method, curve in means.groupby(level="sparsifier"):
        steps = np.diff(curve.to_numpy())
        if len(steps) and (steps <= 0).all() and -steps.sum() > 0.05:
            row = _first(both["sparsifier"] == method)
            yield (
                f"row {row}: {method!r} realises {curve.iloc[0]:.3g} where "
                f"{curve.index[0][1]:g} was requested and {curve.iloc[-1]:.3g} where {curve.index[-1][1]:g} was. "
                "One of them looks like the share kept: turn it round (mapping: 'complement: [sparsity_realised]')."
            )


def impossible_errors(table: pd.DataFrame) -> Iterator[str]:
    """Means strictly between 0 and 1 whose standard error is 0."""
    wrong = (table["se"] == 0) & (table["score"] > 0) & (table["score"] < 1)
    for row in np.flatnonzero(wrong.to_numpy(dtype=bool)):
        yield (
            f"row {row}, column se: 0 beside a mean of {table['score'][row]:g}, which no set of answers has. "
            "Leave it empty: the number of items says how sure the mean is."
        )


def average_rows(table: pd.DataFrame) -> Iterator[str]:
    """Tasks of published means that bear the name of a mean over tasks, where there are others."""
    tasks = table["task"].dropna().unique()
    for task in tasks:
        if is_average(task) and len(tasks) > 1:
            yield (
                f"row {_first(table['task'] == task)}, column task: {task!r} is named like a mean over the other "
                "tasks, and would count their items twice. Leave it out, or rename it if it is a task of its own."
            )


def is_average(task: str) -> bool:
    """Whether a task is named like a mean over tasks."""
    return _AVERAGE.fullmatch(folded(task)) is not None


def told(table: pd.DataFrame, wrong: pd.Series, words: Callable[[int], str]) -> list[str]:
    """Words on each row that is wrong."""
    return [f"row {row}: {words(int(row))}" for row in table.index[wrong.to_numpy(dtype=bool)]]


def _first(wrong: pd.Series) -> int:
    """The number of the first row of which it is true."""
    return int(wrong.index[int(wrong.to_numpy(dtype=bool).argmax())])
