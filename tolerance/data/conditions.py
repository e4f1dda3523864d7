"""What makes two rows the same condition, said once: outcomes, cells, items, published means and audits use it.

A condition is who answered (model, revision, training), at which context, under which method (with its kind, phase,
unit, the place of the question, options) at which level. Afterwards five columns suffice, `CELL`: names that stand for
several methods or models are told apart at the door, and levels that are one level are written alike.
"""

from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

DENSE = "dense"
MODEL = ("model", "revision", "training_protocol")
METHOD = ("sparsifier", "sparsity_kind", "phase", "unit", "query_position", "trained_sparse", "options")
LEVEL = ("sparsity_requested", "level", "level_unit", "kv_budget_tokens")
CONDITION = (*MODEL, "context_length", *METHOD, *LEVEL)
# One answer: a second row with the same key is a duplicate, not a repeat.
KEY = (*MODEL, "task", "item_id", "context_length", *METHOD, *LEVEL, "replicate")
# One cell, once names are told apart.
CELL = ["task", "model", "context_length", "sparsifier", "sparsity_requested"]
CONFIG = ["model", "context_length"]
# Levels are one level if what they keep differs by less than this share of it: 0.3 and 1 - 0.7, 0.333 and 0.3333.
SAME_SHARE_KEPT = 1e-3
# The column tells methods apart wherever it differs; of the second kind only where one level was asked for under both,
# for pruned weights may have a revision, and a budget a share, for each level.
_ALWAYS = METHOD[1:]
_PLACE = ("model", "context_length", "task", "sparsity_requested")
_AT_ONE_LEVEL = {"revision": _PLACE, "training_protocol": _PLACE, "kv_budget_tokens": (*_PLACE, "item_id")}
# What a dense model may differ in: another configuration, with dense answers of its own.
_OF_DENSE = ("revision", "training_protocol", "query_position")
_WORDS = {
    "revision": "revision {}",
    "training_protocol": "trained by {}",
    "query_position": "question {}",
    "unit": "of {}",
    "options": "{}",
    "kv_budget_tokens": "{} tokens",
}
_UNKNOWN = {name: name.replace("_", " ") for name in (*METHOD, *MODEL, *LEVEL)}
_FLAGS = {True: "trained sparse", False: "not trained sparse"}


def told_apart(table: pd.DataFrame, placed: pd.DataFrame) -> pd.DataFrame:
    """Typed outcomes, or published means, in which `CELL` says all of a condition.

    A sparsifier's name that stands for several methods, or a model's for several models, gets in brackets what they
    differ in. What is told apart already stays as it is. ``placed`` is the table with a place for every level.
    """
    models, columns = _models_apart(placed)
    methods = _methods_apart(placed.assign(model=models), columns)
    return table.assign(model=models, sparsifier=methods)


def one_value_each(levels: pd.Series) -> pd.Series:
    """Levels of which those that are one level, by `SAME_SHARE_KEPT`, have one value: the shortest to write."""
    known = np.unique(levels.dropna().to_numpy(dtype=np.float64))
    if len(known) < 2:
        return levels
    new = np.diff(known) >= SAME_SHARE_KEPT * (1 - known[:-1])
    if new.all():
        return levels
    groups = np.split(known, np.flatnonzero(new) + 1)
    shortest = {level: min(group, key=lambda one: (len(repr(float(one))), one)) for group in groups for level in group}
    return levels.map(lambda level: shortest.get(level, level))


def _models_apart(table: pd.DataFrame) -> tuple[pd.Series, set[str]]:
    """Models named apart whose dense answers are of several revisions, trainings or places of the question; by what."""
    dense = is_dense_row(table)
    names, used = table["model"].copy(), set[str]()
    for model, rows in table[dense].groupby("model", sort=False):
        columns = [name for name in _OF_DENSE if name in table and _differs(rows[name])]
        if columns:
            mine = (table["model"] == model).to_numpy()
            names[mine] = _labels(table[mine], columns, str(model))
            used |= set(columns)
    return names, used


def _methods_apart(table: pd.DataFrame, told: set[str]) -> pd.Series:
    """Methods named apart, where they impose something; at level 0 a method is dense whatever else is said.

    ``told``: columns by which models are named apart already.
    """
    imposed = ~is_dense_row(table)
    names = table["sparsifier"].copy()
    for method, rows in table[imposed].groupby("sparsifier", sort=False):
        columns = list(_differing(rows, told))
        if columns:
            mine = (imposed & (table["sparsifier"] == method)).to_numpy()
            names[mine] = _labels(table[mine], columns, str(method))
    return names


def of_methods_alone(table: pd.DataFrame) -> pd.DataFrame:
    """The table with nothing said of a method where nothing was imposed: of a dense answer none of it is part."""
    dense = is_dense_row(table)
    columns = [name for name in METHOD[1:] if name not in _OF_DENSE and name in table and table[name].notna().any()]
    return table.assign(**{name: table[name].mask(dense) for name in columns})


def is_dense_row(table: pd.DataFrame) -> pd.Series:
    """Rows under which nothing was imposed."""
    return (table["sparsifier"] == DENSE) | (table["sparsity_requested"] == 0)


def _differing(rows: pd.DataFrame, told: set[str]) -> Iterator[str]:
    """Columns that tell methods of one name apart."""
    for name in (name for name in _ALWAYS if name in rows and _differs(rows[name])):
        by_model = rows[name].groupby(rows["model"], sort=False).nunique(dropna=False)
        if name not in told or (by_model > 1).any():
            yield name
    for name, places in _AT_ONE_LEVEL.items():
        if name in rows and _differs(rows[name]):
            values = pd.Series(pd.factorize(rows[name], use_na_sentinel=False)[0], index=rows.index)
            keys = [rows[place] for place in places if place in rows]
            if (values.groupby(keys, dropna=False, sort=False).nunique() > 1).any():
                yield name


def _differs(values: pd.Series) -> bool:
    return bool(values.nunique(dropna=False) > 1)


def _labels(table: pd.DataFrame, columns: Sequence[str], name: str) -> NDArray[np.object_]:
    """A name with what tells its rows apart ``(row,)``."""
    different = table[list(columns)].drop_duplicates()
    words = {
        tuple(_hashable(value) for value in values): f"{name} ({', '.join(map(_worded, columns, values))})"
        for values in different.itertuples(index=False, name=None)
    }
    rows = zip(*(table[column] for column in columns), strict=True)
    return np.array([words[tuple(_hashable(value) for value in row)] for row in rows], dtype=object)


def _hashable(value: object) -> object:
    return None if pd.isna(value) else value  # type: ignore[call-overload]


def _worded(column: str, value: object) -> str:
    if pd.isna(value):  # type: ignore[call-overload]
        return f"{_UNKNOWN[column]} not recorded"
    if column == "trained_sparse":
        return _FLAGS[bool(value)]
    return _WORDS.get(column, "{}").format(value)


def named_apart(table: pd.DataFrame, column: str, columns: Sequence[str]) -> dict[str, tuple[list[str], list[str]]]:
    """Names that `told_apart` gave: the name before -> the names now, and the columns that they differ in."""
    found: dict[str, tuple[list[str], list[str]]] = {}
    for name, rows in table.groupby(column, sort=True):
        before, mark, rest = str(name).partition(" (")
        words = rest.removesuffix(")").split(", ")
        by = [c for c in columns if c in rows and _worded(c, rows[c].iloc[0]) in words]
        if mark and by:
            names, columns_of = found.setdefault(before, ([], []))
            names.append(str(name))
            columns_of.extend(c for c in by if c not in columns_of)
    return {name: both for name, both in found.items() if len(both[0]) > 1}


def known_context(value: object) -> int | None:
    """A context as it was recorded; None where nobody did, which is no context of 0."""
    return None if pd.isna(value) else int(str(value))  # type: ignore[call-overload]
