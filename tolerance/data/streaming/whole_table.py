"""What only the whole of a table shows, asked of its facts and items; rows are fetched where something is wrong."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from tolerance.data import contradictions
from tolerance.data.conditions import CONDITION, of_methods_alone
from tolerance.data.contradictions import MANY_LEVELS, MOST_SHOWN
from tolerance.data.levels import placed
from tolerance.data.outcomes import COLUMNS, COLUMNS_OF_TEXT, REQUIRED, checked_levels, refuse_faults, typed
from tolerance.data.streaming.coded import Ints
from tolerance.data.streaming.scan import Scan, settled
from tolerance.data.streaming.shards import batches, rows_where

# Items by task and id.
Pairs = Sequence[tuple[str, str]]
_NAMES = [column.name for column in COLUMNS]
_PLACE = [*CONDITION, "replicate"]


class BudgetsError(Exception):
    """Items were asked at two budgets under one level: budgets tell methods apart and are to be kept one by one."""


def refuse_whole(scan: Scan, shards: Sequence[Path], source: str) -> None:
    """Refuse a table whose batches passed, for what they say against each other.

    Raises:
        SchemaError: as `validate` words it.
        BudgetsError: begin again, with budgets kept.
    """
    facts = settled(scan.facts.frame())
    checked_levels(facts[_NAMES].assign(item_id="item", score=facts["score"].fillna(0.0)), COLUMNS, source)
    table = placed(facts)
    refuse_faults(list(_of_facts(table)), source)
    refuse_faults(list(_of_items(scan, of_methods_alone(table), shards)), source)


def _of_facts(table: pd.DataFrame) -> Iterator[str]:
    names = table.drop(columns="item_id")
    yield from contradictions.text_faults(table, COLUMNS_OF_TEXT, REQUIRED)
    yield from contradictions.alike(names)
    yield from contradictions.one_size(names)
    yield from contradictions.realised_backwards(names)


def _of_items(scan: Scan, table: pd.DataFrame, shards: Sequence[Path]) -> Iterator[str]:
    alike = list(_spelt_alike(scan))
    if alike:
        yield from contradictions.alike(fetched(shards, alike))
    floors = [str(task) for task, n in table.groupby("task")["chance"].nunique().items() if n > 1]
    if floors and (two := _two_floors(shards, floors)):
        yield from contradictions.one_floor(fetched(shards, two))
    yield from contradictions.levels_by_item(_one_item_levels(scan, table))
    twice, n = _asked_twice(scan, table)
    if twice:
        rows = of_methods_alone(placed(settled(_one_level(fetched(shards, twice), scan))))
        said = list(contradictions.second_answers(rows, [*_PLACE, "task", "item_id"]))
        if not said and not scan.facts.every_budget:
            raise BudgetsError
        yield from [*said, *(["a second answer"] * (n - len(said)))]


def fetched(shards: Sequence[Path], pairs: Pairs) -> pd.DataFrame:
    """The rows of some items with every column, typed, numbered as the table's are."""
    rows = rows_where(shards, pairs)
    return typed(rows, COLUMNS, "outcomes").set_axis(rows.index)


def _one_level(rows: pd.DataFrame, scan: Scan) -> pd.DataFrame:
    """Rows whose levels are written as those of the whole table are."""
    raw = scan.facts.frame()["sparsity_requested"]
    written = dict(zip(raw, settled(scan.facts.frame())["sparsity_requested"], strict=True))
    return rows.assign(sparsity_requested=rows["sparsity_requested"].map(lambda at: written.get(at, at)))


def _two_floors(shards: Sequence[Path], tasks: Sequence[str]) -> list[tuple[str, str]]:
    """Some items of these tasks with two guessing floors."""
    first: dict[tuple[str, str], float] = {}
    found: dict[tuple[str, str], None] = {}
    for batch in batches(shards):
        if "chance" not in batch.coded:
            continue
        names = [batch.coded[name].rows() for name in ("task", "item_id", "chance")]
        rows = pd.concat(names, axis=1, ignore_index=True).dropna()
        for task, item, floor in rows[rows[0].isin(tasks)].drop_duplicates().itertuples(index=False):
            if abs(first.setdefault((task, item), floor) - floor) > 1e-9:
                found[task, item] = None
        if len(found) >= MOST_SHOWN:
            break
    return list(found)[:MOST_SHOWN]


def _spelt_alike(scan: Scan) -> Iterator[tuple[str, str]]:
    """Items of a task whose ids differ by spaces or Unicode form alone."""
    ids = scan.ids.values
    trimmed = [contradictions.trimmed(one) for one in ids]
    if trimmed == ids:
        return
    tasks = scan.facts.keys.books["task"].values
    for code, arrays in scan.items.tasks.items():
        mine = pd.Series([trimmed[item] for item in arrays.items])
        for at in np.flatnonzero(mine.duplicated(keep=False).to_numpy())[: 2 * MOST_SHOWN]:
            yield tasks[code], ids[arrays.items[at]]


def _groups(scan: Scan, table: pd.DataFrame) -> Ints:
    """The condition that each place is of once it is settled ``(place,)``."""
    number = (
        table.assign(kv_budget_tokens=scan.facts.budgets())
        .groupby(_PLACE, dropna=False, sort=False)
        .ngroup()
        .to_numpy()
    )
    group = np.zeros(int(scan.place_of_fact.max()) + 1, dtype=np.int64)
    group[scan.place_of_fact] = number
    return group


def _asked_twice(scan: Scan, table: pd.DataFrame) -> tuple[list[tuple[str, str]], int]:
    """Some items with a second answer under one condition, and how many second answers there are."""
    group, n = _groups(scan, table), 0
    found: list[tuple[str, str]] = []
    tasks = scan.facts.keys.books["task"].values
    for code, arrays in scan.items.tasks.items():
        count, of = arrays.count(), group[arrays.columns]
        for one in np.unique(of):
            answers = count[:, of == one].sum(axis=1, dtype=np.int64)
            more = np.flatnonzero(answers > 1)
            n += int((answers[more] - 1).sum())
            found += [(tasks[code], scan.ids.values[arrays.items[at]]) for at in more[:MOST_SHOWN]]
    return found[:MOST_SHOWN], n


def _one_item_levels(scan: Scan, table: pd.DataFrame) -> pd.DataFrame:
    """A few rows of each method with many levels in a task, enough to see whether most have one item."""
    sparse = table[(table["sparsity_requested"] > 0) & table["kv_budget_tokens"].isna()]
    curve = contradictions.CURVE
    n_levels = sparse.groupby(curve, dropna=False, sort=False)["sparsity_requested"].transform("nunique")
    many = sparse[n_levels > MANY_LEVELS]
    codes = {name: code for code, name in enumerate(scan.facts.keys.books["task"].values)}
    place = pd.Series(scan.place_of_fact, index=table.index)
    rows = []
    for row, task, number in zip(many.index, many["task"], place[many.index], strict=True):
        arrays = scan.items.tasks[codes[task]]
        seen = arrays.asked(int(number))
        rows += [(row, scan.ids.values[item]) for item in arrays.items[seen][: MANY_LEVELS + 2]]
    made = many.loc[[row for row, _ in rows]]
    return made.assign(item_id=pd.array([item for _, item in rows], dtype="str"))
