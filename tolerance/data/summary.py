"""What a run holds: answers, items and observed accuracy by task, method and level. No model, so it is instant."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from tolerance.data import weights
from tolerance.data.conditions import CELL
from tolerance.data.levels import placed, scales
from tolerance.data.outcomes import level
from tolerance.data.published import is_aggregate
from tolerance.data.run_folder import RunFolder
from tolerance.data.streaming.run import facts, is_large
from tolerance.findings import Scale, numbered
from tolerance.stats.intervals import wilson

PROB = 0.90
# Levels that were realised a point beside the one asked for, or farther, are named.
DIFFERENT = 0.01


@dataclass(frozen=True)
class Summary:
    """A title, and a table with one row for each cell: counts, accuracy and its Wilson interval."""

    title: str
    cells: pd.DataFrame
    scales: Mapping[str, Scale] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """For JSON; what is not known is null."""
        rows = _as_set(self.cells, self.scales).to_dict("records")
        cells = [{name: None if pd.isna(value) else value for name, value in row.items()} for row in rows]
        return {"title": self.title, "interval_prob": PROB, "cells": cells}

    def to_text(self) -> pd.DataFrame:
        """The table as short texts; model and context only where there are several."""
        cells, by_method = self.cells, self.scales
        shown = pd.DataFrame({"task": cells["task"], "type": cells["task_type"]})
        for column in ("model", "context_length"):
            if cells[column].nunique(dropna=False) > 1:
                shown[column.removesuffix("_length")] = _known(cells[column], "not recorded")
        shown["method"] = cells["sparsifier"]
        levels = zip(cells["sparsifier"], cells["sparsity"], strict=True)
        said = [_said(at, by_method.get(method), counted=bool(by_method)) for method, at in levels]
        differ = (cells["sparsity"] - cells["sparsity_requested"]).abs() >= DIFFERENT
        if differ.any():
            shown["asked"] = [f"{at:.3f}" for at in cells["sparsity_requested"]]
        shown["realised" if differ.any() else "level" if by_method else "sparsity"] = said
        shown["answers"] = _known(cells["answers"], "unknown")
        shown["accuracy"] = [f"{accuracy:.2f}" for accuracy in cells["accuracy"]]
        ends = zip(cells["lower"], cells["upper"], strict=True)
        shown[f"{PROB:.0%} int."] = ["none" if pd.isna(low) else f"{low:.2f}-{high:.2f}" for low, high in ends]
        if cells["unreadable"].any():
            shown["unreadable"] = cells["unreadable"].astype(str)
        return shown


def _said(place: float, scale: Scale | None, *, counted: bool) -> str:
    """A level in its unit; where some of a table are no fractions, 0 of a fraction is dense."""
    if scale is not None:
        return scale.level(place)
    return "dense" if counted and place == 0 else f"{place:.3f}"


def _as_set(cells: pd.DataFrame, by_method: Mapping[str, Scale]) -> pd.DataFrame:
    """Cells with levels that are no fractions as ``level`` and ``level_unit``, not as sparsity."""
    if not by_method:
        return cells
    mine = [by_method.get(method) for method in cells["sparsifier"]]
    counts: list[Any] = [
        numbered(at, scale) if scale else None for at, scale in zip(cells["sparsity"], mine, strict=True)
    ]
    none = pd.Series([scale is not None for scale in mine], index=cells.index)
    return cells.assign(
        level=counts,
        level_unit=pd.Series([scale.unit if scale else None for scale in mine], index=cells.index, dtype="str"),
        sparsity=cells["sparsity"].where(~none),
        sparsity_requested=cells["sparsity_requested"].where(~none),
    )


def summarise_run(path: Path) -> Summary:
    """Summarise a run folder.

    Raises:
        StoreError, SchemaError: the run cannot be read.
    """
    folder = RunFolder.open(path)
    outcomes = placed(facts(folder) if is_large(folder) else folder.read())
    if is_aggregate(outcomes):
        return _published(path, folder, outcomes)
    table = outcomes.assign(
        sparsity=level(outcomes),
        unreadable=~outcomes["parse_ok"].fillna(value=True).astype(bool),
    )
    keys = ["task_type", *CELL]
    by, n = [table[key] for key in keys], weights.answers(table)
    cells = pd.DataFrame(
        {
            "sparsity": weights.means(table, table["sparsity"], keys, dropna=False),
            "answers": n.groupby(by, dropna=False).sum(),
            "accuracy": weights.means(table, table["score"], keys, dropna=False),
            "unreadable": (n * table["unreadable"]).groupby(by, dropna=False).sum(),
        }
    ).reset_index()
    ends = [wilson(a * n, n, PROB) for a, n in zip(cells["accuracy"], cells["answers"], strict=True)]
    cells = cells.assign(lower=[e.lower for e in ends], upper=[e.upper for e in ends])
    models = ", ".join(sorted(set(outcomes["model"])))
    origin = f"{folder.manifest.origin}, run {folder.manifest.run_id}"
    return Summary(f"{path}: {weights.total(outcomes):,} answers of {models} ({origin})", cells, scales(outcomes))


def _known(values: pd.Series, otherwise: str) -> list[str]:
    """Values as texts; what is not known says so."""
    return [otherwise if pd.isna(value) else str(value) for value in values]


def _published(path: Path, folder: RunFolder, means: pd.DataFrame) -> Summary:
    """Published means are cells already; one without a number of items has no interval."""
    cells = means.assign(
        sparsity=level(means),
        answers=means["n_items"],
        accuracy=means["score"],
        unreadable=0,
    )[["task_type", *CELL, "sparsity", "answers", "accuracy", "unreadable"]]
    cells = cells.sort_values(["task_type", *CELL], ignore_index=True)
    counted = zip(cells["accuracy"], cells["answers"], strict=True)
    ends = [wilson(a * n, n, PROB) if pd.notna(n) else None for a, n in counted]
    cells = cells.assign(
        lower=[e.lower if e else float("nan") for e in ends], upper=[e.upper if e else float("nan") for e in ends]
    )
    models = ", ".join(sorted(set(means["model"])))
    origin = f"{folder.manifest.origin}, run {folder.manifest.run_id}"
    return Summary(f"{path}: {len(means):,} published means of {models} ({origin})", cells, scales(means))
