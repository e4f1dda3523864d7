"""How good the evidence of a conclusion is: four dots, less one for each reason to be careful."""

from collections.abc import Iterator
from dataclasses import dataclass

from tolerance.findings import Conclusion, Report
from tolerance.reports.words import conclusions as words
from tolerance.reports.words.axes import DECISIVE
from tolerance.reports.words.conclusions import THIN_ITEMS, THIN_LEVELS

DOTS = 4


@dataclass(frozen=True)
class Grade:
    """How good the evidence is: four dots, less one for each reason."""

    dots: str
    words: str
    reasons: list[str]


def grade(found: Conclusion, report: Report | None = None) -> Grade:
    """Four dots, less one for each: thin data, an undecided or untestable axis, interpolation, one model, a felt prior.

    The rule is this list, in the manner of GRADE (Guyatt et al. 2008, doi:10.1136/bmj.39489.470347.AD): how sure one
    may be of a finding is said apart from how large it is.
    """
    if found.label == "withheld":
        return Grade("", "withheld", ["the fit failed its checks"])
    reasons = list(_reservations(found, report))
    dots = max(0, DOTS - len(reasons))
    words = ("very low", "very low", "low", "moderate", "high")[dots]
    return Grade("●" * dots + "○" * (DOTS - dots), words, reasons)


def _reservations(found: Conclusion, report: Report | None) -> Iterator[str]:
    asked = [one for one in found.axes if one.verdict in (*DECISIVE, "undecided")]
    if len(asked) < 2:
        yield "fewer than two axes can be asked"
    elif any(one.verdict == "undecided" for one in asked):
        yield "undecided on an axis"
    if any(one.interpolated or one.n_outside for one in asked):
        yield "interpolated, or partly without overlap"
    if report is None:
        return
    everywhere = words.where(found).startswith("Over")
    mine = [t for t in report.thresholds if everywhere or t.task_type == found.task_type]
    # a side is a method, perhaps at a level and of certain models: snapkv@0.9,params>=8e9
    methods = {side.partition(",")[0].partition("@")[0] for side in (found.treatment, found.reference)}
    mine = [t for t in mine if t.sparsifier in methods]
    if any(words.thin(t.n_items, t.n_levels) for t in mine):
        yield f"fewer than {THIN_ITEMS} items or {THIN_LEVELS} levels"
    if len(report.data.models) == 1:
        yield "one model"
    if any(t.leaning for t in mine):
        yield "the prior is felt"
