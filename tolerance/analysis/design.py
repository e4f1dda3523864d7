"""The design of the data: what was answered, how items are paired, which axes were held constant. No fit needed."""

from collections.abc import Iterator
from typing import Literal

import numpy as np
import pandas as pd

from tolerance import findings
from tolerance.axes.table import AXES, Accounted, one_value
from tolerance.data import weights
from tolerance.data.item_table import Flags, ItemTable
from tolerance.data.outcomes import is_dense, level
from tolerance.data.prepared import Prepared
from tolerance.data.published import assumed
from tolerance.data.remarks import remarks
from tolerance.data.task_sets import task_sets_of_cells
from tolerance.instant.left_out import left_out


def held_constant(outcomes: pd.DataFrame) -> Iterator[findings.HeldConstant]:
    """Each axis with its range over the conditions (sparsifier x level) that are compared.

    A part of another axis (prefill, of compute) is told where it is known.
    """
    condition = [outcomes[name] for name in ("sparsifier", "sparsity_requested")]
    for axis in AXES.values():
        found = axis.account(outcomes)
        if found.values is not None:
            # what belongs to the item or model is compared as it is, what a condition costs as its mean
            values = weights.means(outcomes, found.values, condition) if "level" in axis.moved_by else found.values
            yield _axis(found, float(values.min()), float(values.max()))
        elif axis.key == "sparsity":
            # fractions of different things have no common range, and vary all the same
            yield _axis(found, None, None, "varies")
        elif axis.part_of is None:
            yield _axis(found, None, None, "not recorded")


def _axis(
    found: Accounted, low: float | None, high: float | None, state: Literal["varies", "not recorded"] = "varies"
) -> findings.HeldConstant:
    held = low is not None and high is not None and one_value(low, high)
    return findings.HeldConstant(
        axis=found.axis,
        state="held" if held else state,
        unit=found.unit,
        low=low,
        high=high,
        accounting=found.accounting,
        reason=found.reason,
    )


def data(prepared: Prepared) -> findings.Data:
    """Counts, pairing, and what could not be read or was left out; everything a report rests on."""
    outcomes = prepared.outcomes
    if prepared.published:
        return _published(outcomes)
    table, same = prepared.items, prepared.same
    dependent = table.spanning or any(task.clustered for task in table.tasks)
    clusters = {int(c) for task in table.tasks for c in np.unique(task.cluster)} if dependent else set()
    return findings.Data(
        n_rows=prepared.n_answers,
        n_items=sum(int(asked.any(axis=1).sum()) for asked in _blocks(prepared.all_items)),
        n_paired=sum(
            int(asked.all(axis=1).sum())
            for asked in _blocks(prepared.all_items)
            if asked.shape[1] == len(table.conditions)
        ),
        models=sorted(set(outcomes["model"])),
        params=sorted({int(p) for p in outcomes["params"].dropna()}),
        sparsifiers=sorted(set(outcomes["sparsifier"][~is_dense(outcomes)])),
        context_lengths=sorted({int(c) for c in outcomes["context_length"].dropna()}),
        has_dense=bool((level(outcomes) == 0).any()),
        tasks=[
            _task(str(name), group, prepared.n_items[str(name)]) for name, group in outcomes.groupby("task", sort=True)
        ],
        cells=list(_cells(table)),
        n_ungraded=prepared.ungraded,
        unshared=left_out(same),
        different=sorted({task for task, _ in same.different}),
        unlike_models=sorted({task for task, _ in same.unlike}),
        n_clusters=len(clusters) or None,
        alike=[list(tasks) for tasks in table.shared_items.alike],
        remarks=list(remarks(outcomes)),
    )


def _blocks(table: ItemTable) -> Iterator[Flags]:
    """Whether items were answered ``(item, condition)``, for each task under each model and context."""
    for task in table.tasks:
        for columns, items in task.blocks():
            yield task.asked[np.ix_(items, columns)]


def _cells(table: ItemTable) -> Iterator[findings.CellData]:
    """Items of each task and condition, each once, over models and contexts."""
    for task in table.tasks:
        for condition in np.unique(task.condition):
            columns = np.flatnonzero(task.condition == condition)
            realised = task.realised[columns]
            yield findings.CellData(
                task=task.name,
                sparsifier=table.conditions[condition].sparsifier,
                sparsity=table.conditions[condition].level,
                realised=None if np.isnan(realised).all() else float(np.nanmean(realised)),
                n_items=int(task.asked[:, columns].any(axis=1).sum()),
            )


def _published(means: pd.DataFrame) -> findings.Data:
    """Counts of published means: which items were answered alike, or could not be read, is not known."""
    items = means.groupby(["model", "task", "context_length"], dropna=False)["n_items"].max()
    cells = means.groupby(["task", "sparsifier", "sparsity_requested"], sort=True)
    return findings.Data(
        n_rows=int(means["n_items"].sum()),
        n_items=int(items.sum()),
        n_paired=0,
        n_means=len(means),
        assumed_items=assumed(means),
        models=sorted(set(means["model"])),
        params=sorted({int(p) for p in means["params"].dropna()}),
        sparsifiers=sorted(set(means["sparsifier"][~is_dense(means)])),
        context_lengths=sorted({int(c) for c in means["context_length"].dropna()}),
        has_dense=bool((level(means) == 0).any()),
        tasks=[
            findings.TaskData(
                task=str(name),
                task_type=str(group["task_type"].iloc[0]),
                n_items=int(items.xs(name, level="task").sum()),
                n_rows=int(group["n_items"].sum()),
                chance=_or_none(group["chance"].mean()),
                unreadable=None,
                truncated=None,
            )
            for name, group in means.groupby("task", sort=True)
        ],
        cells=[
            findings.CellData(
                task=str(task),
                sparsifier=str(sparsifier),
                sparsity=float(str(at)),
                realised=_or_none(group["sparsity_realised"].mean()),
                n_items=int(group["n_items"].sum()),
            )
            for (task, sparsifier, at), group in cells
        ],
        n_ungraded=int(means["n_ungraded"].sum()),
        remarks=list(remarks(means)),
    )


def _task(name: str, group: pd.DataFrame, n_items: int) -> findings.TaskData:
    return findings.TaskData(
        task=name,
        task_type=str(group["task_type"].iloc[0]),
        n_items=n_items,
        n_rows=weights.total(group),
        chance=_or_none(weights.mean(group, "chance")),
        unreadable=weights.total(group, group["parse_ok"] == False),  # noqa: E712 - null is not unreadable
        truncated=weights.total(group, group["truncated"] == True),  # noqa: E712 - null is not truncated
    )


def caveats(prepared: Prepared, data: findings.Data, instant: findings.Instant | None) -> Iterator[findings.Caveat]:
    """What limits every conclusion from these outcomes."""
    outcomes = prepared.outcomes
    if data.missing:
        yield "plan incomplete"
    if len(data.models) == 1:
        yield "one model"
    if len(data.context_lengths) < 2:
        yield "one context length"
    if not data.has_dense:
        yield "no dense baseline"
    if outcomes["sparsity_realised"].isna().any():
        yield "requested sparsity only"
    if outcomes["chance"].isna().any():
        yield "chance unknown"
    if prepared.published:
        yield "published means"
        if data.assumed_items is not None:
            yield "items assumed"
    if data.unshared:
        yield "items left out"
    if any(one.selection is not None for one in data.unshared):
        yield "items left out are a selection"
    if data.different:
        yield "items differ between levels"
    if data.unlike_models:
        yield "items differ between models"
    if any(not one.whole for one in task_sets_of_cells(prepared.cells.frame)):
        yield "tasks differ"
    if data.n_ungraded:
        yield "answers not graded"
    if instant is not None and instant.denominator_matters:
        yield "the denominator matters"
    yield "items in clusters" if data.n_clusters else "items independent"


def _or_none(value: float) -> float | None:
    return None if pd.isna(value) else float(value)
