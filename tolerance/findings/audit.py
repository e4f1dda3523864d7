"""A published claim, held against evidence."""

from typing import Literal

from pydantic import Field

from tolerance.findings.base import Finding, Shown
from tolerance.stats.intervals import Interval, Number

PartVerdict = Literal["holds", "fails", "undecided", "no item counts"]
AuditVerdict = Literal["supported", "supported only for", "contradicted", "not identifiable"]


class AuditPart(Finding):
    """A claim held against some of the evidence. ``printed``: whether the numbers as printed satisfy it.

    ``required`` is the probability that ``verdict`` needed: what the parts of one list may be wrong is shared by them.
    """

    name: str
    n_cells: int
    n_items: int | None
    value: Number
    interval: Interval | None
    prob_holds: Number | None
    required: Number
    printed: bool
    verdict: PartVerdict


class AuditAxis(Finding):
    """The same claim at other values of an axis, as far as the evidence has them."""

    axis: str
    state: Literal["same", "depends", "undecided", "one value", "not recorded"]
    parts: list[AuditPart]


class Hidden(Finding):
    """What an average hides: names with their differences to the reference, as shares of 1.

    ``probability``: that all of it is real at once; of tasks that are not as claimed, that the first one is not.
    """

    kind: Literal[
        "gains and losses cancel",
        "not as claimed, unlike the mean",
        "one task carries the mean",
        "at the ceiling",
        "at the floor",
    ]
    names: list[str]
    differences: list[Number]
    probability: Number | None


class Weakest(Finding):
    """The task type, or task, that keeps least, with the probability that it is the one."""

    of: Literal["task type", "task"]
    name: str
    value: Number
    probability: Number


class Reversal(Finding):
    """Two names in one order on one axis and in the other on another, with both values of each."""

    within: str
    first: str
    second: str
    axis: str
    other: str
    on_axis: list[Number]
    on_other: list[Number]


class AssumedItems(Finding):
    """What would follow if every cell had so many items: a sensitivity analysis, no verdict."""

    n_items: int
    prob_holds: Number
    verdict: AuditVerdict


class Audit(Shown):
    """One claim against one body of evidence.

    ``by_setting`` is for claims of an order: one part for each method, model and level, its value the share of the
    claimed pairs that are in the claimed order; ``lowest`` counts settings by the task type that keeps least in them.
    ``against`` are the parts that fail. ``average`` is what the claim says it is an average over; ``averages`` are
    those over tasks and over items, where they differ.
    """

    format: Literal["tolerance-audit/1"] = "tolerance-audit/1"
    id: str
    statement: str
    citation: str
    second_hand: bool
    kind: Literal["retention", "difference", "threshold", "association", "order"]
    number: Number | None
    unit: str | None
    tolerance: Number
    sense: str
    order: list[str]
    average: Literal["tasks", "items"] | None = Field(default=None, exclude_if=lambda average: average is None)
    held: str
    basis: Literal["answers", "published means", "published levels"]
    interval_prob: float
    decision_prob: float
    n_cells: int
    n_without_items: int
    n_second_hand: int
    overall: AuditPart
    averages: list[AuditPart] = Field(default=[], exclude_if=lambda averages: not averages)
    by_task_type: list[AuditPart]
    by_task: list[AuditPart]
    by_model: list[AuditPart]
    by_cell: list[AuditPart]
    by_setting: list[AuditPart]
    lowest: dict[str, dict[str, int]]
    axes: list[AuditAxis]
    hidden: list[Hidden]
    weakest: list[Weakest]
    reversals: list[Reversal]
    assumed: list[AssumedItems]
    verdict: AuditVerdict
    only_for: list[str]
    against: list[str]
    note: str
