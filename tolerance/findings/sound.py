"""Whether what was read from a file can be findings: numbers finite, shares shares, lists of one length."""

import math
from collections.abc import Iterator

from pydantic import BaseModel

from tolerance.findings.curves import Band, Exceedance, Level
from tolerance.stats.intervals import Interval

_BESIDE_EACH_OTHER = (Band, Exceedance)
_FRACTIONS = ("sparsity",)
# Of a tolerated level, all that is drawn on the axis of sparsity.
_OF_LEVEL = ("median", "lower", "upper", "first", "last")
_PROBABILITIES = (
    "prob",
    "interval_prob",
    "decision_prob",
    "direction_prob",
    "prob_below",
    "prob_beyond",
    "probability",
)


def faults(found: object, at: str = "") -> Iterator[str]:
    """What no analysis of ours writes, each with its place, as ``curves.0.band.sparsity``."""
    if isinstance(found, BaseModel):
        yield from _of_model(found, at)
        for name in type(found).model_fields:
            yield from faults(getattr(found, name), f"{at}.{name}" if at else name)
    elif isinstance(found, list):
        for i, one in enumerate(found):
            yield from faults(one, f"{at}.{i}")
    elif isinstance(found, dict):
        for name, one in found.items():
            yield from faults(one, f"{at}.{name}")
    elif isinstance(found, float) and not math.isfinite(found):
        yield f"{at}: {found} is no number that a report may hold"
    elif isinstance(found, str) and not found.isascii() and any("\ud800" <= one <= "\udfff" for one in found):
        yield f"{at}: holds half a character"
    elif isinstance(found, int) and abs(found) >= 2**63:
        yield f"{at}: {str(found)[:12]}... is beyond any count"


def _of_model(found: BaseModel, at: str) -> Iterator[str]:
    if isinstance(found, Interval) and found.lower > found.upper:
        yield f"{at}: the interval ends ({found.upper:g}) before it begins ({found.lower:g})"
    if isinstance(found, _BESIDE_EACH_OTHER):
        lengths = {len(getattr(found, name)) for name in type(found).model_fields}
        if len(lengths) > 1 or lengths == {0}:
            yield f"{at}: lists of {' and '.join(map(str, sorted(lengths)))} numbers, which stand beside each other"
    for name in type(found).model_fields:
        value = getattr(found, name)
        for one in value if isinstance(value, list) else [value]:
            drawn = name in _FRACTIONS or (isinstance(found, Level) and name in _OF_LEVEL)
            if drawn and isinstance(one, float) and not 0 <= one < 1:
                yield f"{at}.{name}: {one:g} is no share that can be removed (0 to below 1)"
            if name in _PROBABILITIES and isinstance(one, float) and not 0 <= one <= 1:
                yield f"{at}.{name}: {one:g} is no probability"
