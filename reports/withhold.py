"""What must not be read is taken out before anything is written: page, JSON, CSV and Markdown start from what is left.

The analysis never puts numbers into a withheld finding. This is the second lock: a finding that carries them all the
same, by a fault or by hand, loses them here.
"""

from collections.abc import Sequence
from typing import Any

from tolerance import findings

# What each finding with a status may only say when it is answered; a reason other than the fit may keep ``dense``.
CARRIES: dict[type[findings.Finding], dict[str, Any]] = {
    findings.Curve: {"band": None, "beyond": None, "required": None},
    findings.Threshold: {"level": None, "dense": None, "kept": [], "exceedance": None, "area": None, "leaning": None},
    findings.Comparison: dict.fromkeys(("prob_first", "prob_second", "prob_neither", "verdict")),
    findings.Contrast: {"upto": None, "whole": None, "levels": []},
    findings.Ordering: {
        **dict.fromkeys(("first", "last", "prob_others", "tied_most", "tied_least")),
        "orders": [],
        "extremes": [],
        "n_others": 0,
    },
    findings.Budget: dict.fromkeys(("median", "lower", "upper", "prob_more", "prob_fewer", "assured")),
    findings.Sensitivity: {"quantities": [], "leaning": None},
    findings.LeftOut: dict.fromkeys(("elpd", "se")),
    findings.Family: dict.fromkeys(("elpd", "difference", "se")),
}
AT_EQUAL: dict[str, Any] = dict.fromkeys(
    ("low", "high", "difference", "prob_positive", "prob_equivalent", "along", "crossover", "check")
)
# No number can be given under these verdicts.
NUMBERLESS = ("withheld", "unavailable", "unanswerable", "no overlap")
# Only a fit that passed has these.
OF_THE_FIT: dict[str, Any] = {"shapes": [], "disagreements": []}


def withhold(report: findings.Report) -> findings.Report:
    """The report without what its states say is not to be read."""
    kept: dict[str, Any] = {
        "curves": _each(report, report.curves),
        "thresholds": _each(report, report.thresholds),
        "comparisons": _each(report, report.comparisons),
        "contrasts": _each(report, report.contrasts),
        "orderings": _each(report, report.orderings),
        "budgets": _each(report, report.budgets),
        "sensitivities": _each(report, report.sensitivities),
        "left_out": _each(report, report.left_out),
        "families": [_one(found, found.status) for found in report.families],
        "parts": [_part(report, part) for part in report.parts],
        "conclusions": [_conclusions(found, passed=report.fit_passed) for found in report.conclusions],
    }
    return report.model_copy(update=kept if report.fit_passed else {**kept, **OF_THE_FIT})


def _part(report: findings.Report, part: findings.Part) -> findings.Part:
    lists = ("curves", "thresholds", "contrasts", "comparisons")
    return part.model_copy(update={name: _each(report, getattr(part, name)) for name in lists})


def _each[F: findings.Finding](report: findings.Report, found: Sequence[F]) -> list[F]:
    return [_one(one, one.status if report.fit_passed else "withheld") for one in found]  # type: ignore[attr-defined]


def _one[F: findings.Finding](found: F, status: str) -> F:
    if status == "ok":
        return found
    lost = dict(CARRIES[type(found)])
    if status == "unanswerable" and getattr(found, "reason", None) == "dense accuracy is at the guessing floor":
        lost.pop("dense", None)
    if status == "unanswerable":
        lost.pop("band", None)
        lost.pop("beyond", None)
    return found.model_copy(update=lost)


def _conclusions(found: findings.Conclusions, *, passed: bool) -> findings.Conclusions:
    passed = passed and found.fit_passed
    made = [_conclusion(one, passed=passed) for one in found.conclusions]
    lost: dict[str, Any] = {} if passed else {"n_flagged": 0, "prob_all_flips": None, "fit_passed": False}
    return found.model_copy(update={"conclusions": made, **lost})


def _conclusion(found: findings.Conclusion, *, passed: bool) -> findings.Conclusion:
    """Unless the fit passed, every axis is withheld."""
    if passed and found.label != "withheld":
        axes = [one.model_copy(update=AT_EQUAL) if one.verdict in NUMBERLESS else one for one in found.axes]
        return found.model_copy(update={"axes": axes})
    lost = {**AT_EQUAL, "verdict": "withheld", "reason": "fit failed its checks"}
    axes = [one.model_copy(update=AT_EQUAL if one.verdict in NUMBERLESS else lost) for one in found.axes]
    return found.model_copy(update={"axes": axes, "label": "withheld", "prob_flip": None, "naive": None})
