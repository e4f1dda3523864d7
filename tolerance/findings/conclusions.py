"""Two arms at equal anything: one conclusion a task type, asked once for each axis."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Literal

from tolerance.findings.base import Finding, Shown
from tolerance.findings.columns import ACCURACY, SHARE, Row, estimate, frame
from tolerance.findings.data import Accounting, Provenance
from tolerance.findings.instant import Measured
from tolerance.stats.intervals import Estimate, Number

if TYPE_CHECKING:
    import pandas as pd

AxisVerdict = Literal[
    "better", "worse", "equivalent", "undecided", "no overlap", "unavailable", "withheld", "unanswerable"
]
AxisLabel = Literal["robust", "axis-dependent", "fragile", "untestable", "withheld"]
Quantity = Literal["accuracy", "retention"]
CONCLUSION_UNITS = {"difference": f"by `quantity`: {ACCURACY}, or {SHARE}", "low": "`unit`", "high": "`unit`"}


class Along(Finding):
    """Treatment minus reference along an axis, each list ``(grid point,)``: median and ends of the interval."""

    at: list[Number]
    median: list[Number]
    lower: list[Number]
    upper: list[Number]


class Crossover(Finding):
    """Where the sign of the difference changes once along the axis, with the probability that it does so this way."""

    first_better: Literal["treatment", "reference"]
    probability: Number
    at: Estimate


class CrossCheck(Finding):
    """The same contrast by estimating equations: log odds of treatment against reference, items as clusters."""

    slope: Measured | None
    p: Number | None
    n_answers: int
    reason: str | None
    disagreement: Literal["opposite directions", "the posterior alone decides", "GEE alone decides"] | None


class AtEqual(Finding):
    """One conclusion with one axis held equal; ``axis`` is a name of `tolerance.axes`.

    ``low`` to ``high`` is the common support; ``n_strata`` the matched strata in it, ``n_outside`` those without any.
    ``interpolated`` says that one side has no measurement where the other has. ``along`` and ``crossover`` are given
    where all strata share their support; ``difference`` is the mean over it. Better and worse need
    `Conclusions.direction_prob`: see `tolerance.stats.decide`.
    """

    axis: str
    unit: str
    accounting: Accounting
    source: str
    verdict: AxisVerdict
    reason: str | None
    low: Number | None
    high: Number | None
    n_strata: int
    n_outside: int
    interpolated: bool
    difference: Estimate | None
    prob_positive: Number | None
    prob_equivalent: Number | None
    along: Along | None
    crossover: Crossover | None
    check: CrossCheck | None

    def columns(self, *, passed: bool) -> Row:
        """The conclusion at this axis; without numbers where the fit did not pass, or nothing could be compared."""
        named = ("axis", "unit", "accounting", "source", "verdict", "reason", "low", "high", "n_strata", "n_outside")
        asked = {name: getattr(self, name) for name in (*named, "interpolated")}
        numbers = {name: getattr(self, name) if passed else None for name in ("prob_positive", "prob_equivalent")}
        return {**asked, **estimate("difference", self.difference if passed else None), **numbers}


class Conclusion(Finding):
    """Treatment against reference on one task type (or the mean over all), asked once for each axis held equal.

    ``prob_flip``: the posterior probability that the verdicts that disagree are all as stated, at once. ``naive`` is
    the difference of all answers as they came, without matching or standardising anything.
    """

    id: str
    treatment: str
    reference: str
    factor: list[str]
    task_type: str
    tasks: list[str]
    quantity: Quantity
    axes: list[AtEqual]
    label: AxisLabel
    prob_flip: Number | None
    naive: Number | None


class NotCompared(Finding):
    """Two methods of a report that could not be compared, and why."""

    treatment: str
    reference: str
    reason: str


class Conclusions(Shown):
    """All conclusions of one comparison, with the rules that were set before looking.

    ``direction_prob``: what better and worse need; ``decision_prob``: what equivalent needs.

    ``prob_all_flips``: probability that every conclusion flagged axis-dependent is so, jointly; null without any.
    """

    format: Literal["tolerance-conclusions/1"] = "tolerance-conclusions/1"
    treatment: str
    reference: str
    equivalence: float
    decision_prob: float
    direction_prob: Number
    interval_prob: float
    fit_passed: bool
    conclusions: list[Conclusion]
    n_flagged: int
    prob_all_flips: Number | None
    provenance: Provenance | None = None

    def rows(self) -> Iterator[Row]:
        """One for each conclusion at each axis."""
        passed = self.fit_passed
        for one in self.conclusions:
            named = {name: getattr(one, name) for name in ("id", "treatment", "reference", "task_type", "quantity")}
            across = {"label": one.label, "prob_flip": one.prob_flip if passed else None}
            for at in one.axes:
                yield {**named, **across, **at.columns(passed=passed)}

    def to_frame(self) -> "pd.DataFrame":
        """A row for each conclusion at each axis: treatment minus reference, with interval and verdict.

        ``low`` to ``high`` is where both lie on the axis, in ``unit``; ``difference`` is in shares of 1. Numbers are
        null where the fit failed its checks, or nothing could be compared.
        """
        return frame(self.rows(), CONCLUSION_UNITS)
