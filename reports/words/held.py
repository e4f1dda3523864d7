"""What was held constant -> one sentence, and what follows from each axis."""

from typing import assert_never

from tolerance.findings import HeldConstant, Report
from tolerance.reports.words import numbers
from tolerance.reports.words.phrases import capitalised


def held_constant(report: Report) -> str:
    """Which axes were held, which vary and which were not recorded, in one sentence."""
    words = {"held": "held constant", "varies": "varying", "not recorded": "not recorded"}
    parts = []
    for state, word in words.items():
        axes = [_named(held) for held in report.held_constant if held.state == state]
        parts += [f"{word}: {', '.join(axes)}"] if axes else []
    return capitalised(f"{'; '.join(parts)}.") if parts else "No axis that could be held constant was recorded."


def _named(found: HeldConstant) -> str:
    """An axis, or what the levels are where they are no fractions."""
    return "level" if _counts(found) else found.axis


def _counts(found: HeldConstant) -> bool:
    """Whether levels of the run are no fractions, so that it has no axis of sparsity."""
    return found.axis == "sparsity fraction" and (found.reason or "").startswith("levels are set in")


def axis(found: HeldConstant) -> str:
    """What follows from an axis for what may be concluded."""
    match found.state:
        case "held":
            return f"Compared at equal {found.axis}."
        case "varies":
            if found.axis == "sparsity fraction":
                if _counts(found):
                    return "Levels are no fractions: the curves are drawn against what was set."
                return "The curves are drawn against it."
            return f"Not compared at equal {found.axis}."
        case "not recorded":
            return f"Not known for {found.axis}."
        case _:
            assert_never(found.state)


def axis_range(found: HeldConstant) -> str:
    """The range of an axis in its unit."""
    if found.low is None or found.high is None:
        return "in other units" if _counts(found) else "not recorded"
    write = numbers.level if found.axis == "sparsity fraction" else numbers.quantity
    low, high = write(found.low), write(found.high)
    return low if low == high else f"{low} to {high}"
