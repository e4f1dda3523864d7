"""Curves, and the sparsity that they tolerate."""

from collections.abc import Iterator
from typing import Literal

from pydantic import Field

from tolerance.findings.base import Finding, Reason, Status
from tolerance.findings.columns import Row, estimate, interval
from tolerance.findings.levels import UNSAID, Scale, numbered
from tolerance.stats.intervals import Estimate, Interval, Number


class Observed(Finding):
    """One observed cell: a method at a level, averaged over the items of a task type."""

    sparsity: Number
    accuracy: Number
    interval: Interval
    n_items: int
    scale: Scale | None = UNSAID


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
    and no other finding rests on it. ``required`` is the accuracy that has to be kept, posterior median. ``models`` and
    ``context_lengths`` are those that it averages; a length of 0 is not known.
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
    scale: Scale | None = UNSAID
    models: list[str] = Field(default=[], exclude_if=lambda one: not one)
    context_lengths: list[int] = Field(default=[], exclude_if=lambda one: not one)

    def rows(self) -> Iterator[Row]:
        """One for each point of the bands; ``part`` says which. None where the curve is withheld."""
        bands = {"measured": self.band, "beyond": self.beyond}
        for part, band in bands.items():
            if band is None or self.status == "withheld":
                continue
            ends = ("lower_50", "upper_50", "lower_90", "upper_90")
            for i, (sparsity, median) in enumerate(zip(band.sparsity, band.median, strict=True)):
                at = {f"accuracy_{end}": getattr(band, end)[i] for end in ends}
                where = self._level(sparsity)
                yield {**self._named(), "part": part, **where, "accuracy": median, **at}

    def observed_rows(self) -> Iterator[Row]:
        """One for each cell that was observed; these do not rest on the fit."""
        for one in self.observed:
            counted = {**self._level(one.sparsity), "n_items": one.n_items, "accuracy": one.accuracy}
            yield {**self._named(), **counted, **interval("accuracy", one.interval)}

    def _level(self, place: float) -> Row:
        """Where a point lies: the fraction removed as ``sparsity``, any other level as ``level``."""
        if self.scale is None:
            return {"sparsity": place}
        return {"sparsity": None, "level": numbered(place, self.scale), "level_unit": self.scale.unit}

    def _named(self) -> Row:
        named = {"id": self.id, "task_type": self.task_type, "sparsifier": self.sparsifier, "unit": self.unit}
        return {**named, "status": self.status, "reason": self.reason}


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
    scale: Scale | None = UNSAID


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
    scale: Scale | None = UNSAID

    @property
    def censored(self) -> Literal["none", "left", "right"]:
        """Where the median lies: inside the measured range, below it, or beyond it."""
        if self.median is not None:
            return "none"
        return "left" if self.prob_below > self.prob_beyond else "right"

    @staticmethod
    def columns(name: str, found: "Level | None") -> Row:
        """A level as columns: an end outside the measured range is null, and ``censored`` says where the median is.

        Of a level that is no fraction all are in ``level_unit``. ``lower`` is the smaller number, ``first`` the level
        closest to dense; left is towards dense, right away from it.
        """
        scale = None if found is None else found.scale
        ends = {"": "median", "_lower": "lower", "_upper": "upper"}
        if scale is not None and scale.direction == "kept":
            ends |= {"_lower": "upper", "_upper": "lower"}
        assured = None if found is None else found.assured
        at = {"assured_prob": "prob", "assured_censored": "censored"}
        return {
            **{f"{name}{end}": numbered(getattr(found, field, None), scale) for end, field in ends.items()},
            f"{name}_prob": None if found is None else found.prob,
            "censored": None if found is None else found.censored,
            **{field: numbered(getattr(found, field, None), scale) for field in ("first", "last")},
            **{field: getattr(found, field, None) for field in ("prob_below", "prob_beyond")},
            "assured": numbered(getattr(assured, "value", None), scale),
            **{column: getattr(assured, field, None) for column, field in at.items()},
            **({} if scale is None else {"level_unit": scale.unit}),
        }


class Kept(Finding):
    """Probability that at least ``retention`` of dense accuracy is kept at every sparsity up to a measured one."""

    sparsity: Number
    probability: Number


Leaning = Literal["prior-data conflict", "strong prior"]


class Threshold(Finding):
    """The largest sparsity up to which at least ``retention`` of dense accuracy above the floor is kept.

    With ``margin``, it is the largest up to which accuracy is at most ``margin`` below dense. It is that of the mean
    accuracy over the tasks of the type, and over the ``models`` and ``context_lengths`` that are listed.
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
    scale: Scale | None = UNSAID
    models: list[str] = Field(default=[], exclude_if=lambda one: not one)
    context_lengths: list[int] = Field(default=[], exclude_if=lambda one: not one)

    def rows(self) -> Iterator[Row]:
        """One row; its numbers are null unless the threshold could be given."""
        ok = self.status == "ok"
        # a mean over places of an unbounded level is a mean over no quantity
        area = self.area if ok and (self.scale is None or self.scale.bounded) else None
        yield {
            "id": self.id,
            "task_type": self.task_type,
            "sparsifier": self.sparsifier,
            "unit": self.unit,
            "retention": self.retention,
            "margin": self.margin,
            "status": self.status,
            "reason": self.reason,
            "n_items": self.n_items,
            "n_levels": self.n_levels,
            **Level.columns("level", self.level if ok else None),
            **estimate("dense", self.dense if ok else None),
            "area_upto": None if area is None else numbered(area.upto, self.scale),
            **estimate("area_over_halvings", None if area is None else area.over_halvings),
            **estimate("area_over_sparsity", None if area is None else area.over_sparsity),
            "leaning": self.leaning if ok else None,
        }
