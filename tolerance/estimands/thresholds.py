"""Tolerated levels, and which of two is higher."""

from dataclasses import dataclass

import numpy as np

from tolerance.data.cells import halvings
from tolerance.estimands.type_curve import Floats, TypeCurve
from tolerance.question import Question


@dataclass(frozen=True)
class HigherOf:
    """Probabilities that the first, the second, or neither of two tolerated levels is higher."""

    first: float
    second: float
    neither: float


def order(a: TypeCurve, b: TypeCurve, least: float, *, margin: float | None = None) -> HigherOf:
    """Which of two curves tolerates more; neither where both lie outside what was measured, on one side.

    Draws of curves of one fit belong together, so the comparison is within draws.
    """
    return ordered(*(in_range(curve, least, margin=margin) for curve in (a, b)))


def ordered(x: Floats, y: Floats) -> HigherOf:
    """Which of two tolerated levels is higher, from their draws `in_range` ``(draw,)``."""
    return HigherOf(float(np.mean(x > y)), float(np.mean(y > x)), float(np.mean(x == y)))


def in_range(curve: TypeCurve, least: float, *, margin: float | None = None) -> Floats:
    """Tolerated halvings with what lies below the first measured level set to 0."""
    tolerated = curve.tolerated(least, margin=margin)
    return np.where(tolerated < halvings(np.array(curve.first)), 0.0, tolerated)


def tolerated(curve: TypeCurve, question: Question) -> Floats:
    """Halvings up to which what the question asks for is kept ``(draw,)``."""
    return curve.tolerated(question.retention, margin=question.margin)
