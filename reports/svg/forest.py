"""Differences -> rows of a forest: a table with one small SVG a row, on one scale for all rows of a group.

As a table it breaks across printed pages, is read aloud, and stacks on a phone; every group has an axis of its own.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import floor, log10

from tolerance.reports.words import numbers
from tolerance.stats.intervals import Estimate

WIDTH, HEIGHT, PAD = 240.0, 22.0, 10.0
STEPS = (1.0, 2.0, 5.0, 10.0)


@dataclass(frozen=True)
class Tick:
    """A position on the axis with its label."""

    at: float
    label: str


@dataclass(frozen=True)
class Strip:
    """One estimate: its interval as a line, its median as a mark, in the units of the viewBox."""

    low: float
    high: float
    middle: float


@dataclass(frozen=True)
class Scale:
    """Differences to x, symmetric around 0, with the band of practical equivalence ``(left, width)``."""

    reach: float
    equivalence: float
    width: int = int(WIDTH)
    height: int = int(HEIGHT)

    @property
    def zero(self) -> float:
        """Where 0 is."""
        return WIDTH / 2

    @property
    def band(self) -> tuple[float, float]:
        """The band of practical equivalence: left edge and width."""
        left = self.x(-self.equivalence)
        return left, round(self.x(self.equivalence) - left, 1)

    @property
    def ticks(self) -> list[Tick]:
        """0 and one value on either side."""
        at = _below(self.reach)
        return [Tick(self.x(value), numbers.signed(value)) for value in (-at, 0.0, at)]

    def x(self, difference: float) -> float:
        """Horizontal position of a difference, kept on the strip."""
        share = max(-1.0, min(1.0, difference / self.reach))
        return round(WIDTH / 2 + share * (WIDTH / 2 - PAD), 1)

    def strip(self, found: Estimate | None) -> Strip | None:
        """An estimate as a line and a mark; none where there is no estimate."""
        if found is None:
            return None
        return Strip(self.x(found.interval.lower), self.x(found.interval.upper), self.x(found.value))


def scale(found: Sequence[Estimate | None], equivalence: float) -> Scale:
    """A scale that holds all estimates of a group with their intervals."""
    ends = [abs(end) for one in found if one is not None for end in (one.interval.lower, one.interval.upper)]
    return Scale(1.05 * max([2 * equivalence, *ends]), equivalence)


def _below(value: float) -> float:
    """The largest of 1, 2, 5 times a power of ten that is at most a value."""
    power = 10.0 ** floor(log10(value))
    return max(step * power for step in STEPS if step * power <= value)
