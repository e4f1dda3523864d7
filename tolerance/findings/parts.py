"""What holds of one model, or at one context length."""

from typing import Literal

from tolerance.findings.base import Finding
from tolerance.findings.contrasts import Comparison, Contrast
from tolerance.findings.curves import Curve, Threshold


class Part(Finding):
    """Curves, tolerated levels and contrasts of one model over its context lengths, or at one of these over models.

    The curves and thresholds of a report average over models and context lengths; these are what they average.
    """

    of: Literal["model", "context length"]
    name: str
    curves: list[Curve]
    thresholds: list[Threshold]
    contrasts: list[Contrast]
    comparisons: list[Comparison]
