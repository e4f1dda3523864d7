"""`Report` is `report.json`: everything a report says. The page renders it and nothing more."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Literal

from pydantic import Field, JsonValue

from tolerance.errors import DesignError
from tolerance.findings.base import Shown
from tolerance.findings.columns import ACCURACY, IN_ITS_UNIT, SHARE, SPARSITY, Row, frame
from tolerance.findings.conclusions import CONCLUSION_UNITS, Conclusions, NotCompared
from tolerance.findings.contrasts import Budget, Comparison, Contrast, Ordering
from tolerance.findings.curves import Curve, Shape, Threshold
from tolerance.findings.data import Caveat, Data, HeldConstant, Provenance
from tolerance.findings.fit import Attempt, Check, Family, LeftOut, Predicted, Sensitivity
from tolerance.findings.instant import Disagreement, Instant
from tolerance.findings.parts import Part
from tolerance.stats.intervals import Number

if TYPE_CHECKING:
    import pandas as pd


Table = Literal["thresholds", "curves", "observed", "contrasts", "comparisons", "conclusions"]
UNITS: dict[Table, dict[str, str]] = {
    "thresholds": {
        **dict.fromkeys(("level", "first", "last", "assured", "area_upto"), f"{SPARSITY}, of `unit`; {IN_ITS_UNIT}"),
        "dense": ACCURACY,
        "area_over_halvings": SHARE,
        "area_over_sparsity": SHARE,
        "retention": SHARE,
        "margin": ACCURACY,
    },
    "curves": {
        "sparsity": f"{SPARSITY}, of `unit`",
        "level": "`level_unit`",
        **dict.fromkeys(("accuracy", "accuracy_lower_50", "accuracy_upper_50"), ACCURACY),
        **dict.fromkeys(("accuracy_lower_90", "accuracy_upper_90"), ACCURACY),
    },
    "observed": {"sparsity": f"{SPARSITY}, of `unit`", "level": "`level_unit`", "accuracy": ACCURACY},
    "contrasts": {
        "sparsity": SPARSITY,
        "level": "`level_unit`",
        "difference": f"by `quantity`: {ACCURACY}, or {SHARE}",
    },
    "comparisons": {},
    "conclusions": CONCLUSION_UNITS,
}


class Report(Shown):
    """The whole of ``report.json``.

    ``direction_prob`` is the posterior probability that better, worse, first and second need; ``decision_prob`` what
    verdicts need that can be wrong in one way: see `tolerance.stats.decide`.

    Curves, thresholds, contrasts and what rests on them average over models and context lengths where there are
    several; ``parts`` has the same of each.

    ``extra`` is what others put beside our findings, by a name of theirs: kept as it came and never read by us. Their
    sections of the page say it. Where there is none, the file has no such field.
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
    not_compared: list[NotCompared] = Field(default=[], exclude_if=lambda pairs: not pairs)
    parts: list[Part] = Field(default=[], exclude_if=lambda parts: not parts)
    extra: dict[str, JsonValue] = Field(default={}, exclude_if=lambda extra: not extra)

    def to_frame(self, table: Table = "thresholds") -> "pd.DataFrame":
        """A table of the report; intervals as lower, upper and prob, null where a number is withheld.

        ``thresholds``: tolerated levels, one row a task type and method. ``curves``: accuracy on a grid of sparsity.
        ``observed``: accuracy of the cells that curves rest on. ``contrasts``: one curve minus another.
        ``comparisons``: which of two tolerates more. ``conclusions``: see `Conclusions.to_frame`; empty unless
        methods were compared.
        ``attrs["units"]`` says what a column is measured in.

        Raises:
            DesignError: there is no such table.
        """
        if table not in UNITS:
            raise DesignError(f"{table!r} is no table of a report. There is: {', '.join(UNITS)}.")
        return frame(self._rows(table), UNITS[table])

    def _rows(self, table: Table) -> Iterator[Row]:
        for one in self.curves if table == "observed" else getattr(self, table):
            yield from one.observed_rows() if table == "observed" else one.rows()
