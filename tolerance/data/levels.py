"""Levels as they were set: a fraction, a token budget, bits, layers. What they count, and where they stand on an axis.

A level that is no fraction stands in the columns ``level`` and ``level_unit``; a KV budget alone is one in tokens. A
share is taken only where what dense has is recorded: the dense rows' own ``level``, or the layers of the model. See
`tolerance.findings.Scale` for where the others stand. Levels of two units are never put on one axis.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from tolerance.data.vocabularies import near_miss

if TYPE_CHECKING:
    # findings stand on pydantic, which the runner does without
    from tolerance.findings import Scale
    from tolerance.findings.levels import Direction

DENSE = "dense"
FRACTION = "fraction"
# What may say how much was removed; a table has one of them at least.
LEVEL_COLUMNS = ("sparsity_requested", "level", "kv_budget_tokens")


@dataclass(frozen=True)
class LevelUnit:
    """What a level counts. ``column`` records how many of it the model has, where a column does."""

    name: str
    direction: "Direction"
    noun: str
    one: str
    column: str | None = None


_OURS = (
    LevelUnit("tokens", "kept", "tokens", "token"),
    LevelUnit("bits", "kept", "bits", "bit"),
    LevelUnit("steps", "kept", "steps", "step"),
    LevelUnit("layers", "removed", "layers removed", "layer removed", "n_layers"),
    LevelUnit("heads", "removed", "heads removed", "head removed"),
    LevelUnit("experts", "removed", "experts removed", "expert removed"),
)
UNITS: Mapping[str, LevelUnit] = {unit.name: unit for unit in _OURS}


def unit_of(name: str) -> LevelUnit | None:
    """A unit by name: one of `UNITS`, or a word of the user's own that ends in ``-kept`` or ``-removed``."""
    if name in UNITS:
        return UNITS[name]
    word, _, direction = name.rpartition("-")
    if not word or direction not in ("kept", "removed"):
        return None
    known = UNITS.get(word)
    column = known.column if known is not None else None
    one = word.removesuffix("s") if known is not None else word
    return LevelUnit(
        name, "kept" if direction == "kept" else "removed", f"{word} {direction}", f"{one} {direction}", column
    )


def settled(table: pd.DataFrame) -> pd.DataFrame:
    """A typed table with each level in its place: budgets in tokens, fractions as such, dense at 0."""
    dense = table["sparsifier"] == DENSE
    unit = table["level_unit"].str.strip()
    asked, level = table["sparsity_requested"].copy(), table["level"].copy()
    fraction = (unit == FRACTION).fillna(value=False)
    asked = asked.where(~fraction | asked.notna(), level)
    level, unit = level.where(~fraction), unit.where(~fraction)
    budget = ~dense & asked.isna() & level.isna() & table["kv_budget_tokens"].notna()
    level = level.where(~budget, table["kv_budget_tokens"].astype("float64"))
    unit = unit.where(~budget, "tokens").astype("str")
    asked = asked.where(~dense | asked.notna(), 0.0)
    return table.assign(sparsity_requested=asked, level=level, level_unit=unit)


def counted(table: pd.DataFrame) -> pd.Series:
    """Rows, dense ones apart, whose level is no fraction."""
    if "level" not in table:
        return pd.Series(data=False, index=table.index)
    return table["level"].notna() & table["level_unit"].notna() & (table["sparsifier"] != DENSE)


def scales(table: pd.DataFrame) -> "dict[str, Scale]":
    """The scale of each method whose levels are no fractions; methods of one unit share theirs."""
    rows = table[counted(table)]
    if rows.empty:
        return {}
    made = {str(name): _scale(table, str(name)) for name in rows["level_unit"].unique()}
    units = rows.groupby("sparsifier", sort=True)["level_unit"].first()
    return {str(method): made[str(unit)] for method, unit in units.items()}


def _scale(table: pd.DataFrame, name: str) -> "Scale":
    from tolerance.findings import Scale

    unit = unit_of(name)
    assert unit is not None, name
    mine = table[counted(table) & (table["level_unit"] == name)]
    levels = sorted({float(one) for one in mine["level"]})
    dense = _of_dense(table, mine, unit)
    mild = [one for one in levels if one > 0] or [1.0]
    return Scale(
        unit=unit.name,
        noun=unit.noun,
        one=unit.one,
        direction=unit.direction,
        dense=dense,
        reference=mild[-1] if unit.direction == "kept" else mild[0],
        levels=levels,
    )


def _of_dense(table: pd.DataFrame, mine: pd.DataFrame, unit: LevelUnit) -> float | None:
    """How many of a unit the dense model has, where that is recorded and one number."""
    if unit.column is not None and unit.column in table and mine[unit.column].notna().all():
        having = {float(one) for one in mine[unit.column]}
        return having.pop() if len(having) == 1 else None
    dense = table[(table["sparsifier"] == DENSE) & (table["level_unit"] == unit.name)]
    having = {float(one) for one in dense["level"].dropna() if one > 0}
    return having.pop() if len(having) == 1 else None


def placed(table: pd.DataFrame) -> pd.DataFrame:
    """The table with a place in ``sparsity_requested`` for every level, which statistics start from; see `scales`.

    A share that was measured beside a level of another unit is left out: an axis has one kind of level.
    """
    rows = counted(table) & table["sparsity_requested"].isna()
    if not rows.any():
        return table
    by_method = scales(table)
    at = np.array(
        [by_method[m].place(float(v)) for m, v in table.loc[rows, ["sparsifier", "level"]].itertuples(index=False)]
    )
    asked, realised, unit = (table[name].copy() for name in ("sparsity_requested", "sparsity_realised", "unit"))
    # a place a hair above 0 or beside another is the same level: 1 - 12 / 16 is 0.25
    asked[rows] = np.round(at, 12)
    realised[rows] = np.nan
    unit[rows] = table.loc[rows, "sparsifier"].map({method: scale.said_unit for method, scale in by_method.items()})
    return table.assign(sparsity_requested=asked, sparsity_realised=realised, unit=unit)


def as_set(table: pd.DataFrame) -> pd.Series:
    """The number of each row's level as it was set: a fraction removed, or how many of its unit."""
    return table["sparsity_requested"].where(~counted(table), table["level"])


def said(row: "pd.Series[Any]") -> str:
    """The level of one row (by column name) as it was set."""
    if pd.notna(row.get("level")) and pd.notna(row.get("level_unit")) and row["sparsifier"] != DENSE:
        unit = unit_of(str(row["level_unit"]))
        return f"{row['level']:g} {unit.noun if unit else row['level_unit']}"
    return f"{row['sparsity_requested']:g}"


def faults(table: pd.DataFrame) -> Iterator[str]:
    """What is wrong with the levels of a table that `settled` gave, a fault a value."""
    dense = table["sparsifier"] == DENSE
    has_level, has_unit = table["level"].notna(), table["level_unit"].notna()
    yield from _each(
        table,
        ~dense & table["sparsity_requested"].isna() & ~has_level,
        "no level. Give the fraction removed as sparsity_requested, a token budget as kv_budget_tokens, or what was "
        "set as level with its level_unit (bits, layers, ...).",
    )
    known = ", ".join([*UNITS, FRACTION])
    yield from _each(
        table,
        has_level & ~has_unit,
        f"level without level_unit. Name what it counts: {known}, or a word of yours that ends in -kept or -removed.",
    )
    yield from _each(
        table,
        ~dense & has_level & has_unit & table["sparsity_requested"].notna(),
        "two levels, sparsity_requested and level. Leave empty the one that was not set; a share that was measured is "
        "sparsity_realised.",
    )
    strange = [str(one) for one in table["level_unit"].dropna().unique() if unit_of(str(one)) is None]
    for name in strange:
        near = near_miss(name, (*UNITS, FRACTION))
        hint = f"Did you mean {near}?" if near else f"Known: {known}; a word of yours ends in -kept or -removed."
        yield f"row {_first(table['level_unit'] == name)}, column level_unit: {name!r} does not say what counts. {hint}"
    if not strange:
        yield from _ranges(table)
        yield from _two_units(table)


def _ranges(table: pd.DataFrame) -> Iterator[str]:
    """Levels that nothing can have: none kept, all removed, more than dense."""
    rows = table[counted(table)]
    for name in rows["level_unit"].unique():
        unit, mine = unit_of(str(name)), rows[rows["level_unit"] == name]
        assert unit is not None
        values = mine["level"].astype("float64")
        low = values <= 0 if unit.direction == "kept" else values < 0
        for row in mine.index[low | ~np.isfinite(values)]:
            least = "more than 0" if unit.direction == "kept" else "at least 0"
            yield f"row {row}, column level: {values[row]:g} {unit.noun}, expected {least}."
        whole = _of_dense(table, mine, unit)
        if whole is None:
            continue
        over = values > whole if unit.direction == "kept" else values >= whole
        for row in mine.index[over]:
            kept = "" if unit.direction == "kept" else f", or say that it is kept: level_unit {unit.name}-kept"
            yield (
                f"row {row}, column level: {values[row]:g} {unit.noun}, where dense has {whole:g}. Correct one of them"
                f"{kept}."
            )
    stated = table[(table["sparsifier"] == DENSE) & table["level"].notna()]
    for name, values in (
        (str(unit), rows["level"]) for unit, rows in stated[stated["level"] > 0].groupby("level_unit")
    ):
        if values.nunique() > 1:
            yield (
                f"row {values.index[0]}, column level: dense has {values.iloc[0]:g} {name} here and "
                f"{sorted(set(values))[-1]:g} elsewhere, so shares have no one whole. Leave level of dense rows empty."
            )


def _two_units(table: pd.DataFrame) -> Iterator[str]:
    """Methods whose levels are set in two units."""
    if table["level"].isna().all():
        return
    sparse = table[table["sparsifier"] != DENSE]
    units = sparse["level_unit"].where(sparse["level"].notna(), FRACTION)
    for method, mine in units.groupby(sparse["sparsifier"]):
        seen = list(mine.unique())
        if len(seen) > 1:
            yield (
                f"row {mine.index[mine != seen[0]][0]}: levels of {method!r} are set in {seen[0]} and in {seen[1]}, "
                f"which no axis holds together. Name the methods apart, {method} and {method}-{seen[1]} say."
            )


def _each(table: pd.DataFrame, wrong: pd.Series, words: str) -> Iterator[str]:
    for row in table.index[wrong.fillna(value=False).to_numpy(dtype=bool)]:
        yield f"row {row}: {table['sparsifier'][row]!r} has {words}"


def _first(wrong: pd.Series) -> int:
    return int(wrong.index[int(wrong.fillna(value=False).to_numpy(dtype=bool).argmax())])
