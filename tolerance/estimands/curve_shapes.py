"""What is unusual about a curve, named: a plateau, a gain over dense, a dip, a cliff before the first level, no loss.

Each kind is a rule on the share of dense accuracy that is left at the measured levels, asked of every draw of the curve
(departures from the family included); its probability is the share of draws that follow it, at the place where most do:
were any place enough, noise would have every shape. Levels within `TOGETHER` halvings are one point. The rules:

* plateau: over a stretch between two points, not the first, a change per halving of less than a third of the loss in
  the steepest stretch before it, with between 20% and 90% of dense accuracy left. Curves of the family hardly do this.
* better than dense: at some point more than 102% of dense accuracy.
* dip: from some point above 0 to a later one, a rise of more than 5% of dense accuracy.
* cliff before the first level: less than half left at the first point, so that nothing tells where it was lost.
* flat: at least 95% left at every point, so that nothing tells where it will be lost.

Without a dense baseline the share is that of the first level, and only plateau and dip are asked for.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from tolerance.data.cells import halvings, sparsity
from tolerance.estimands.type_curve import TypeCurve
from tolerance.findings import ShapeKind

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
TOGETHER = 0.2
SLOWER, STEEP, STANDING = 1 / 3, 0.1, (0.2, 0.9)
GAIN, RISE, LOST, KEPT = 0.02, 0.05, 0.5, 0.95


@dataclass(frozen=True)
class NamedShape:
    """A kind of curve with its posterior probability, and the sparsities between which it shows."""

    kind: ShapeKind
    probability: float
    low: float
    high: float


def shapes(curve: TypeCurve) -> list[NamedShape]:
    """Every kind that can be asked of a curve, named or not."""
    points = _points(curve)
    share = _share(curve, points)
    at = curve.grid[points]
    kinds = [_plateau(share, at), _dip(share, at)]
    if curve.has_dense:
        kinds += [_gain(share, at), *_ends(share, at)]
    return [one for one in kinds if one is not None]


def named(curve: TypeCurve, prob: float) -> Iterator[NamedShape]:
    """The kinds that a curve has with at least a probability."""
    return (shape for shape in shapes(curve) if shape.probability >= prob)


def _points(curve: TypeCurve) -> NDArray[np.int64]:
    """Grid points of the dense end, if it was measured, and of the measured levels, near ones once."""
    measured = halvings(curve.levels)
    first = np.r_[True, np.diff(measured) > TOGETHER]
    groups = np.split(measured, np.flatnonzero(first)[1:])
    chosen = [float(group[len(group) // 2]) for group in groups]
    wanted = [0.0, *chosen] if curve.has_dense else chosen
    return np.array([int(np.abs(curve.grid - x).argmin()) for x in wanted])


def _share(curve: TypeCurve, points: NDArray[np.int64]) -> Floats:
    """What is left above the floor of dense, or of the first level ``(draw, point)``."""
    above = curve.accuracy[:, points] - curve.floor[:, None]
    whole = curve.dense - curve.floor if curve.has_dense else above[:, 0]
    share = above / np.maximum(whole, 1e-9)[:, None]
    if curve.has_dense:
        share[:, 0] = 1.0
    return np.asarray(share)


def _plateau(share: Floats, at: Floats) -> NamedShape | None:
    """A stretch that stands still after a loss."""
    if len(at) < 3:
        return None
    rate = -np.diff(share, axis=1) / np.diff(at)
    steepest = np.maximum.accumulate(rate, axis=1)[:, :-1]
    start, end = share[:, 1:-1], share[:, 2:]
    low, high = STANDING
    still = (start <= high) & (end >= low) & (steepest >= STEEP) & (np.abs(rate[:, 1:]) <= SLOWER * steepest)
    where = int(still.mean(0).argmax())
    return _shape("plateau", still[:, where], at[where + 1], at[where + 2])


def _dip(share: Floats, at: Floats) -> NamedShape | None:
    """A rise between two points above 0."""
    first = 1 if at[0] == 0 else 0
    inner, inner_at = share[:, first:], at[first:]
    if inner.shape[1] < 2:
        return None
    pairs = list(combinations(range(inner.shape[1]), 2))
    rises = np.stack([inner[:, later] - inner[:, earlier] > RISE for earlier, later in pairs], axis=1)
    where = int(rises.mean(0).argmax())
    earlier, later = pairs[where]
    return _shape("dip", rises[:, where], inner_at[earlier], inner_at[later])


def _gain(share: Floats, at: Floats) -> NamedShape:
    """A point that is better than dense."""
    better = share[:, 1:] > 1 + GAIN
    where = int(better.mean(0).argmax()) + 1
    return _shape("better than dense", better[:, where - 1], at[where], at[where])


def _ends(share: Floats, at: Floats) -> Iterator[NamedShape]:
    """What levels that start too high, or end too low, cannot tell."""
    yield _shape("cliff before the first level", share[:, 1] < LOST, 0.0, at[1])
    yield _shape("flat", (share[:, 1:] >= KEPT).all(1), at[1], at[-1])


def _shape(kind: ShapeKind, follows: Bools, low: float, high: float) -> NamedShape:
    ends = sparsity(np.array([low, high]))
    return NamedShape(kind, float(follows.mean()), float(ends[0]), float(ends[1]))
