"""What the report rests on: data, what was held constant, caveats, provenance."""

from typing import Literal

from tolerance.findings.base import Finding
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


class Data(Finding):
    """What the report rests on.

    ``n_means`` is the number of published means where there are no answers; ``assumed_items`` the number of items that
    was assumed for means that came without one.
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
    n_means: int | None = None
    assumed_items: int | None = None


Caveat = Literal[
    "one model",
    "one context length",
    "no dense baseline",
    "requested sparsity only",
    "chance unknown",
    "published means",
    "items assumed",
    "items independent",
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
