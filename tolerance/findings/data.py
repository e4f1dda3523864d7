"""What the report rests on: data, what was held constant, caveats, provenance."""

import operator
from typing import Literal

from pydantic import Field

from tolerance.findings.base import Finding
from tolerance.findings.levels import UNSAID, Scale
from tolerance.stats.intervals import Number

Accounting = Literal["measured", "estimated", "requested", "unavailable"]


class HeldConstant(Finding):
    """One axis, and whether it was the same at every level that is compared; ``axis`` is a name of `tolerance.axes`.

    ``reason`` says why an axis has no range.
    """

    axis: str
    state: Literal["held", "varies", "not recorded"]
    unit: str
    low: Number | None
    high: Number | None
    accounting: Accounting = "measured"
    reason: str | None = None


class TaskData(Finding):
    """What a task contributed."""

    task: str
    task_type: str
    n_items: int
    n_rows: int
    chance: Number | None
    unreadable: int | None
    truncated: int | None


class CellData(Finding):
    """Answers in one cell."""

    task: str
    sparsifier: str
    sparsity: Number
    realised: Number | None
    n_items: int
    scale: Scale | None = UNSAID


class Unshared(Finding):
    """Answers of one condition that were left out, because another condition of the task was not asked these items.

    ``selection`` is how much more the items that stay score than those left out, under this condition; null where
    chance explains it. ``whole``: the condition itself is left out, having answered next to none of the items.
    """

    task: str
    model: str
    context_length: int | None
    sparsifier: str
    level: Number
    n_items: int
    n_kept: int
    selection: Number | None
    whole: bool
    scale: Scale | None = UNSAID


class Data(Finding):
    """What the report rests on.

    ``n_rows`` counts all answers, of which ``n_ungraded`` were not graded. ``n_items`` and cells count each item once,
    over the items that all conditions of a task share: ``unshared`` says what was left out for that, ``different``
    which tasks asked other items at each level, ``unlike_models`` which asked other items of each model. ``n_clusters``
    is the number of groups of items that depend on each other, if any do, and ``alike`` are tasks that share their
    items. ``remarks`` are oddities of the table that may be meant. ``n_means`` is the number of published means where
    there are no answers; ``assumed_items`` the number of items that was assumed for means that came without one. Where
    a collection is not finished, ``n_planned`` is the number of answers of its plan, and ``missing`` says what is not
    there.
    """

    n_rows: int
    n_items: int
    n_paired: int
    models: list[str]
    params: list[int]
    sparsifiers: list[str]
    context_lengths: list[int]
    has_dense: bool
    tasks: list[TaskData]
    cells: list[CellData]
    n_ungraded: int = Field(default=0, exclude_if=operator.not_)
    unshared: list[Unshared] = Field(default=[], exclude_if=operator.not_)
    different: list[str] = Field(default=[], exclude_if=operator.not_)
    unlike_models: list[str] = Field(default=[], exclude_if=operator.not_)
    n_clusters: int | None = Field(default=None, exclude_if=operator.not_)
    alike: list[list[str]] = Field(default=[], exclude_if=operator.not_)
    remarks: list[str] = Field(default=[], exclude_if=operator.not_)
    n_means: int | None = None
    assumed_items: int | None = None
    n_planned: int | None = Field(default=None, exclude_if=operator.not_)
    missing: list[str] = Field(default=[], exclude_if=operator.not_)


Caveat = Literal[
    "one model",
    "one context length",
    "no dense baseline",
    "requested sparsity only",
    "chance unknown",
    "published means",
    "items assumed",
    "items independent",
    "items in clusters",
    "items left out",
    "items left out are a selection",
    "items differ between levels",
    "items differ between models",
    "tasks differ",
    "answers not graded",
    "the denominator matters",
    "plan incomplete",
    "conclusions need another fit",
    "conclusions need other outcomes",
]


class Provenance(Finding):
    """How to get the same numbers again.

    ``data_hash`` is that of the outcomes whatever their order, ``fit`` the key of the draws that every number is of;
    reports of before it was recorded have none.
    """

    command: str
    created: str
    data_hash: str
    fit: str | None = None
    seed: int
    sampler: str
    draws: int
    packages: dict[str, str]
    sources: list[str]
    priors: dict[str, list[float]] = {}
