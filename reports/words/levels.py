"""Levels in the unit that was set: a sparsity in percent, tokens, bits, layers. No other module writes a level."""

from collections.abc import Sequence

from tolerance.findings import Curve, Report, Scale, Threshold
from tolerance.reports.words import numbers


def level(place: float, scale: Scale | None) -> str:
    """A level that was set, by itself: ``"95%"``, ``"2,048 tokens"``, ``"dense"``."""
    return numbers.level(place) if scale is None else scale.level(place)


def cell(place: float, scale: Scale | None, report: Report) -> str:
    """A level in a list of all that were answered; where some are no fractions, 0 of a fraction is dense."""
    return "dense" if place == 0 and counts(report) else level(place, scale)


def bare(place: float, scale: Scale | None) -> str:
    """A level that was set, where its unit stands beside it: ``"95%"``, ``"2,048"``."""
    return numbers.level(place) if scale is None else scale.bare(place)


def below(first: float, scale: Scale | None) -> str:
    """Less compressed than the first measured level: ``"less than 50%"``, ``"more than 8,192 tokens"``."""
    return f"less than {numbers.level(first)}" if scale is None else scale.past(first, end="first")


def beyond(last: float, scale: Scale | None) -> str:
    """More compressed than the last measured level: ``"more than 95%"``, ``"fewer than 2,048 tokens"``."""
    return f"more than {numbers.level(last)}" if scale is None else scale.past(last, end="last")


def estimate(place: float, scale: Scale | None) -> str:
    """A level between those that were set: ``"82%"``, ``"2,130 tokens"``."""
    return numbers.percents([place])[0] if scale is None else scale.counted(scale.estimates([place])[0])


def span(low: float, high: float, scale: Scale | None) -> tuple[str, str]:
    """Two ends as bare numbers, the smaller first."""
    if scale is None:
        first, last = numbers.percents([low, high])
        return first, last
    first, last = scale.estimates([low, high])
    return (first, last) if scale.direction == "removed" else (last, first)


def upto(place: float, scale: Scale | None) -> str:
    """All levels from dense to one: ``"up to 50% sparsity"``, ``"down to 2,048 tokens"``."""
    if scale is None:
        return f"up to {numbers.level(place)} sparsity"
    return f"{'up' if scale.direction == 'removed' else 'down'} to {scale.level(place)}"


def verb(scale: Scale | None) -> str:
    """What a task type does with its threshold: it tolerates what is removed, and needs what is kept."""
    return "needs" if scale is not None and scale.direction == "kept" else "tolerates"


def what(scales: Sequence[Scale | None]) -> str:
    """What is tolerated: sparsity where all levels are fractions, else compression."""
    return "sparsity" if all(scale is None for scale in scales) else "compression"


def of_report(report: Report) -> str:
    """What a report is about: sparsity, or compression where some levels are no fractions."""
    return what([curve.scale for curve in report.curves])


def counts(report: Report) -> bool:
    """Whether some levels of a report are no fractions."""
    return of_report(report) != "sparsity"


def of_method(found: Sequence[Threshold] | Sequence[Curve], method: str) -> Scale | None:
    """The scale of a method's levels."""
    return next((one.scale for one in found if one.sparsifier == method), None)


def places(report: Report) -> list[str]:
    """Where levels that are no fractions stand in the fit: one sentence a unit."""
    found = {curve.scale.unit: curve.scale for curve in report.curves if curve.scale is not None}
    return [_place(scale) for scale in found.values()]


def _place(scale: Scale) -> str:
    many = scale.noun.removesuffix(f" {scale.direction}")
    if scale.dense is not None:
        return f"Of levels in {many} the share removed enters as s: dense has {numbers.quantity(scale.dense)}."
    mildest = scale.counted(numbers.quantity(scale.reference))
    formula = (
        f"{mildest} / (the level + {mildest})" if scale.direction == "kept" else f"the level / (the level + {mildest})"
    )
    return (
        f"Levels in {many} enter as s = {formula}, for what dense has is not known: a place on the axis, no share of "
        "anything. It sets how curves are smoothed between levels, and stands in no number of this report."
    )
