"""The scale of a level that is no fraction: tokens, bits, layers. Its numbers are written here, and nowhere as percent.

Statistics need levels that rise from 0 (dense) towards 1. Where what dense has is known, that is the share removed.
Where it is not, the place is a coordinate alone: with what is kept B and the mildest level of the data B_ref it is
B_ref / (B + B_ref), with what is removed R it is R / (R + R_ref), so that the mildest level lies one halving from
dense. It orders levels and spaces them; it is no share of anything and is shown to nobody.
"""

from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from tolerance.findings.base import Finding
from tolerance.stats.intervals import Number

Direction = Literal["kept", "removed"]
# A place that is a rounded one of a level that was set is that level.
SNAP = 1e-3


class Scale(Finding):
    """Levels of one unit. ``dense`` is what the dense model has (null where unknown), ``reference`` the mildest level.

    ``levels`` are those that were set, ascending; ``noun`` and ``one`` name several and one of the unit.
    """

    unit: str
    noun: str
    one: str
    direction: Direction
    dense: Number | None
    reference: Number
    levels: list[Number]

    @property
    def said_unit(self) -> str:
        """What a level counts: ``"tokens kept"``. Levels are compared where this is the same."""
        return f"{self.unit.removesuffix(f'-{self.direction}')} {self.direction}"

    @property
    def bounded(self) -> bool:
        """Whether what dense has is known, so that a place is a share."""
        return self.dense is not None

    def place(self, level: float) -> float:
        """Where a level stands on [0, 1): 0 is dense."""
        if self.dense is not None:
            return level / self.dense if self.direction == "removed" else 1 - level / self.dense
        removed = level if self.direction == "removed" else self.reference
        kept = self.reference if self.direction == "removed" else level
        return removed / (removed + kept)

    def value(self, place: float) -> float:
        """The level at a place above 0: the inverse of `place`."""
        found = float(self.values(np.array(place)))
        near = min(self.levels, key=lambda level: abs(level - found), default=found)
        return near if abs(near - found) <= SNAP * abs(near) else found

    def values(self, places: NDArray[np.float64]) -> NDArray[np.float64]:
        """Levels at places above 0, none taken for one that was set."""
        if self.dense is not None:
            return np.asarray(self.dense * (places if self.direction == "removed" else 1 - places))
        odds = places / (1 - places)
        return np.asarray(self.reference * (odds if self.direction == "removed" else 1 / odds))

    def bare(self, place: float) -> str:
        """The number of a level that was set: ``"2,048"``."""
        return "dense" if place <= 0 else _exact(self.value(place))

    def level(self, place: float) -> str:
        """A level that was set: ``"2,048 tokens"``, ``"1 bit"``; dense is no number of anything."""
        return "dense" if place <= 0 else self.counted(self.bare(place))

    def counted(self, number: str) -> str:
        """A written number with its noun."""
        return f"{number} {self.one if number == '1' else self.noun}"

    def estimates(self, places: Sequence[float]) -> list[str]:
        """Numbers of one estimate and its ends, rounded alike; levels that were set stay as they are."""
        values = [self.value(place) for place in places]
        rounded = _together(values)
        return [_exact(value) if value in self.levels else said for value, said in zip(values, rounded, strict=True)]

    def past(self, place: float, *, end: Literal["first", "last"]) -> str:
        """What lies outside the measured range: less compressed than the first level, or more than the last."""
        fewer = (end == "last") == (self.direction == "kept")
        return f"{'fewer' if fewer else 'more'} than {self.level(place)}"


# A finding about a fraction has no scale, and its JSON no such field.
UNSAID = Field(default=None, exclude_if=lambda scale: scale is None)


def numbered(place: float | None, scale: Scale | None) -> float | None:
    """A level as a number for tables: the fraction removed, or what was set; null for dense where that is unknown."""
    if scale is None or place is None:
        return place
    if place > 0:
        return scale.value(place)
    return scale.dense if scale.direction == "kept" else 0.0


def comparable(unit: str, other: str) -> bool:
    """Whether levels in two units may stand on one axis: fractions, of whatever, or counts of the same thing."""
    return unit == other or not any(one.endswith((" kept", " removed")) for one in (unit, other))


def _exact(value: float) -> str:
    if value == round(value):
        return f"{value:,.0f}"
    return f"{value:,.6g}"


def _together(values: Sequence[float]) -> list[str]:
    """Numbers rounded alike: to three digits from 1,000 on, else to decimals that tell them apart."""
    largest = max((abs(value) for value in values), default=0.0)
    if largest >= 1000:
        return [f"{float(f'{value:.3g}'):,.0f}" for value in values]
    decimals = 0 if largest >= 100 else 1
    said = [f"{value:.{decimals}f}" for value in values]
    if len(set(said)) < len(set(values)):
        said = [f"{value:.{decimals + 1}f}" for value in values]
    return said


def stated[F: Finding](found: F, by_method: Mapping[str, Scale]) -> F:
    """A finding with the scale of its method in every part that says a level."""
    return found if not by_method else _stated(found, by_method, None)


def _stated[F: Finding](found: F, by_method: Mapping[str, Scale], inherited: Scale | None) -> F:
    if isinstance(found, Scale):
        return found
    scale = _own(found, by_method, inherited)
    made: dict[str, object] = {}
    for name, value in found:
        if isinstance(value, list):
            made[name] = [_stated(one, by_method, scale) if isinstance(one, Finding) else one for one in value]
        elif isinstance(value, Finding):
            made[name] = _stated(value, by_method, scale)
    if "scale" in type(found).model_fields:
        made["scale"] = scale
    return found.model_copy(update=made)


def _own(found: Finding, by_method: Mapping[str, Scale], inherited: Scale | None) -> Scale | None:
    """The scale of the method that a finding is about; of what surrounds it where it names none."""
    named = [getattr(found, name, None) for name in ("sparsifier", "first", "within", "subject")]
    if not any(isinstance(one, str) for one in named):
        return inherited
    # a contrast of models is within a task type "under" a method
    methods = [one.rpartition(" under ")[2] for one in named if isinstance(one, str)]
    return next((by_method[one] for one in methods if one in by_method), None)
