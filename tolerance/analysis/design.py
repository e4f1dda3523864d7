"""The design of the data: what was answered, how items are paired, which axes were held constant. No fit needed."""

from collections.abc import Iterator
from typing import Literal

import pandas as pd

from tolerance import findings
from tolerance.axes.table import AXES, Accounted, one_value
from tolerance.data.outcomes import is_dense, level
from tolerance.data.published import assumed, is_aggregate


def held_constant(outcomes: pd.DataFrame) -> Iterator[findings.HeldConstant]:
    """Each axis with its range over the conditions (sparsifier x level) that are compared.

    A part of another axis (prefill, of compute) is told where it is known.
    """
    condition = [outcomes[name] for name in ("sparsifier", "sparsity_requested")]
    for axis in AXES.values():
        found = axis.account(outcomes)
        if found.values is not None:
            # what belongs to the item or model is compared as it is, what a condition costs as its mean
            values = found.values.groupby(condition).mean() if "level" in axis.moved_by else found.values
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


def data(outcomes: pd.DataFrame) -> findings.Data:
    """Counts, pairing, and what could not be read; everything a report rests on."""
    if is_aggregate(outcomes):
        return _published(outcomes)
    conditions = outcomes[["sparsifier", "sparsity_requested"]].drop_duplicates()
    items = outcomes.groupby(["model", "task", "context_length", "item_id"], dropna=False)
    seen = items[["sparsifier", "sparsity_requested"]].apply(lambda g: len(g.drop_duplicates()))
    cells = outcomes.groupby(["task", "sparsifier", "sparsity_requested"], sort=True)
    return findings.Data(
        n_rows=len(outcomes),
        n_items=len(seen),
        n_paired=int((seen == len(conditions)).sum()),
        models=sorted(set(outcomes["model"])),
        params=sorted({int(p) for p in outcomes["params"].dropna()}),
        sparsifiers=sorted(set(outcomes["sparsifier"][~is_dense(outcomes)])),
        context_lengths=sorted({int(c) for c in outcomes["context_length"].dropna()}),
        has_dense=bool((level(outcomes) == 0).any()),
        tasks=[_task(str(name), group) for name, group in outcomes.groupby("task", sort=True)],
        cells=[
            findings.CellData(
                task=str(task),
                sparsifier=str(sparsifier),
                sparsity=float(str(at)),
                realised=_or_none(group["sparsity_realised"].mean()),
                n_items=len(group),
            )
            for (task, sparsifier, at), group in cells
        ],
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
    )


def _task(name: str, group: pd.DataFrame) -> findings.TaskData:
    return findings.TaskData(
        task=name,
        task_type=str(group["task_type"].iloc[0]),
        n_items=int(group["item_id"].nunique()),
        n_rows=len(group),
        chance=_or_none(group["chance"].mean()),
        unreadable=int((group["parse_ok"] == False).sum()),  # noqa: E712 - null is not unreadable
        truncated=int((group["truncated"] == True).sum()),  # noqa: E712 - null is not truncated
    )


def caveats(outcomes: pd.DataFrame, data: findings.Data) -> Iterator[findings.Caveat]:
    """What limits every conclusion from these outcomes."""
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
    if is_aggregate(outcomes):
        yield "published means"
        if data.assumed_items is not None:
            yield "items assumed"
    yield "items independent"


def _or_none(value: float) -> float | None:
    return None if pd.isna(value) else float(value)
