"""`Report` is `report.json`: everything a report says. The page renders it and nothing more."""

from typing import Literal

from tolerance.findings.base import Shown
from tolerance.findings.conclusions import Conclusions
from tolerance.findings.contrasts import Budget, Comparison, Contrast, Ordering
from tolerance.findings.curves import Curve, Shape, Threshold
from tolerance.findings.data import Caveat, Data, HeldConstant, Provenance
from tolerance.findings.fit import Attempt, Check, Family, LeftOut, Predicted, Sensitivity
from tolerance.findings.instant import Disagreement, Instant
from tolerance.stats.intervals import Number


class Report(Shown):
    """The whole of ``report.json``.

    ``direction_prob`` is the posterior probability that better, worse, first and second need; ``decision_prob`` what
    verdicts need that can be wrong in one way: see `tolerance.stats.decide`.
    """

    format: Literal["tolerance-report/1"] = "tolerance-report/1"
    id: str
    fit_passed: bool
    retention: float
    interval_prob: float
    decision_prob: float
    direction_prob: Number
    data: Data
    held_constant: list[HeldConstant]
    curves: list[Curve]
    thresholds: list[Threshold]
    comparisons: list[Comparison]
    checks: list[Check]
    predicted: list[Predicted] = []
    sensitivities: list[Sensitivity] = []
    shapes: list[Shape] = []
    left_out: list[LeftOut] = []
    attempts: list[Attempt] = []
    families: list[Family] = []
    caveats: list[Caveat]
    provenance: Provenance
    instant: Instant | None = None
    disagreements: list[Disagreement] = []
    margin: float | None = None
    equivalence: float = 0.02
    contrasts: list[Contrast] = []
    orderings: list[Ordering] = []
    budgets: list[Budget] = []
    conclusions: list["Conclusions"] = []
