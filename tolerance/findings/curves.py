"""Curves, and the sparsity that they tolerate."""

from typing import Literal

from tolerance.findings.base import Finding, Reason, Status
from tolerance.stats.intervals import Estimate, Interval, Number


class Observed(Finding):
    """One observed cell: a method at a level, averaged over the items of a task type."""

    sparsity: Number
    accuracy: Number
    interval: Interval
    n_items: int


class Band(Finding):
    """Posterior accuracy on a grid of sparsity, each list ``(grid point,)``; the bands are 50% and 90% equal-tailed."""

    sparsity: list[Number]
    median: list[Number]
    lower_50: list[Number]
    upper_50: list[Number]
    lower_90: list[Number]
    upper_90: list[Number]


# Curves are drawn so many halvings beyond their last measured level.
BEYOND = 0.45


class Curve(Finding):
    """Accuracy against sparsity for one task type under one method, averaged over its tasks and configurations.

    ``band`` ends at the last measured level. ``beyond`` is what the model makes of a little more sparsity: it is drawn,
    and no other finding rests on it. ``required`` is the accuracy that has to be kept, posterior median.
    """

    id: str
    task_type: str
    tasks: list[str]
    sparsifier: str
    unit: str
    status: Status
    reason: Reason | None
    observed: list[Observed]
    band: Band | None
    beyond: Band | None = None
    required: Number | None = None


class Assured(Finding):
    """The largest level up to which enough is kept with the required probability ``prob``: a one-sided bound.

    Outside the measured range it is null, and ``censored`` says on which side.
    """

    value: Number | None
    prob: float
    censored: Literal["none", "left", "right"]


class Exceedance(Finding):
    """Posterior probability that the tolerated level lies above a sparsity, from the first to the last measured one.

    Each list ``(grid point,)``.
    """

    sparsity: list[Number]
    probability: list[Number]


class Area(Finding):
    """Area under the retention curve over its width: mean retention from sparsity 0 to ``upto``.

    All curves of one unit reach ``upto``, so that their areas can be compared.

    Over halvings of the density, and over sparsity; 1 where all is kept, above 1 where more than dense is.
    """

    upto: Number
    over_halvings: Estimate
    over_sparsity: Estimate


ShapeKind = Literal["plateau", "dip", "better than dense", "cliff before the first level", "flat"]


class Shape(Finding):
    """What is unusual about a curve: a kind that it has with at least the probability at which orders are decided.

    ``low`` and ``high`` are the sparsities between which it shows. `tolerance.estimands.curve_shapes` has the rule of
    each kind.
    """

    id: str
    task_type: str
    sparsifier: str
    kind: ShapeKind
    probability: Number
    low: Number
    high: Number


class Level(Finding):
    """A sparsity that may lie outside the measured range: an end that does is null, and so is the median.

    ``prob_below`` and ``prob_beyond`` are the posterior probabilities that the level lies below ``first`` (the lowest
    measured sparsity above 0) and beyond ``last`` (the highest).
    """

    median: Number | None
    lower: Number | None
    upper: Number | None
    prob: float
    first: Number
    last: Number
    prob_below: Number
    prob_beyond: Number
    assured: Assured | None = None

    @property
    def censored(self) -> Literal["none", "left", "right"]:
        """Where the median lies: inside the measured range, below it, or beyond it."""
        if self.median is not None:
            return "none"
        return "left" if self.prob_below > self.prob_beyond else "right"


class Kept(Finding):
    """Probability that at least ``retention`` of dense accuracy is kept at every sparsity up to a measured one."""

    sparsity: Number
    probability: Number


Leaning = Literal["prior-data conflict", "strong prior"]


class Threshold(Finding):
    """The largest sparsity up to which at least ``retention`` of dense accuracy above the floor is kept.

    With ``margin``, it is the largest up to which accuracy is at most ``margin`` below dense.
    """

    id: str
    task_type: str
    sparsifier: str
    unit: str
    retention: float
    status: Status
    reason: Reason | None
    n_items: int
    n_levels: int
    dense: Estimate | None
    level: Level | None
    kept: list[Kept]
    margin: float | None = None
    exceedance: Exceedance | None = None
    area: Area | None = None
    leaning: Leaning | None = None
