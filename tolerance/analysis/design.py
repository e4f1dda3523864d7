"""The design of the data: what was answered, how items are paired, which axes were held constant. No fit needed."""

from collections.abc import Iterator

import pandas as pd

from tolerance import findings
from tolerance.data.outcomes import is_dense, level
from tolerance.data.published import assumed, is_aggregate


def held_constant(outcomes: pd.DataFrame) -> Iterator[findings.HeldConstant]:
    """Each axis with its range over the conditions (sparsifier x level) that are compared."""
    # means are published without what they cost
    costs = ["flops_linear", "flops_attention", "flops_selection", "kv_bytes_allocated", "generated_tokens"]
    table = outcomes.reindex(columns=list(dict.fromkeys([*outcomes.columns, *costs])))
    table = table.assign(flops=table[costs[:3]].sum(axis=1, min_count=3), sparsity=level(outcomes))
    condition = ["sparsifier", "sparsity_requested"]
    axes: tuple[tuple[findings.Axis, str, str], ...] = (
        ("sparsity fraction", "sparsity", "fraction removed"),
        ("compute", "flops", "FLOPs per item"),
        ("parameters", "params", "parameters"),
        ("active parameters", "params_active", "parameters per token"),
        ("context length", "context_length", "tokens"),
        ("KV memory", "kv_bytes_allocated", "bytes per item"),
        ("inference budget", "generated_tokens", "generated tokens per item"),
    )
    for axis, column, unit in axes:
        values = table[column].astype("float64")
        # what belongs to the item or model is compared as it is, what a condition costs as its mean
        spread = (
            values
            if column in ("params", "params_active", "context_length")
            else values.groupby([table[name] for name in condition]).mean()
        )
        yield _axis(axis, unit, spread)


def _axis(axis: findings.Axis, unit: str, values: pd.Series) -> findings.HeldConstant:
    if values.isna().any():
        return findings.HeldConstant(axis=axis, state="not recorded", unit=unit, low=None, high=None)
    low, high = float(values.min()), float(values.max())
    held = high - low <= 0.01 * max(abs(high), 1e-12)
    return findings.HeldConstant(axis=axis, state="held" if held else "varies", unit=unit, low=low, high=high)


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
