"""One conclusion along one axis held equal, and one label across axes: functions of posterior draws alone.

Each arm of a comparison is a path: what moves along the axis, and the draws there. Two paths of one stratum (the same
context, model, level: whatever both arms share) are compared where both were measured or lie between measurements,
never beyond; differences are averaged over strata within draws, and summarised last.

Between sizes that were measured, accuracy is taken as straight on the axis plus a Wiener bridge, so that an
interpolated value is less certain the farther it lies from a measurement. The bridge's scale is estimated from how far
inner sizes lie off the line between their neighbours, under a prior that few sizes hardly move.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from tolerance import findings
from tolerance.axes.table import SAME, Axis, one_value
from tolerance.model.priors import PRIORS
from tolerance.question import Question
from tolerance.stats.decide import Decision, decide
from tolerance.stats.intervals import summarise

Floats = NDArray[np.float64]
GRID = 25
# Prior of the bridge's scale, in logits for each root doubling of size: how far a model's dense accuracy lies off the
# trend over sizes a priori, worth this many sizes.
WOBBLE, WOBBLE_WORTH = PRIORS.sd_dense_config[0], 3.0
DECISIVE: tuple[findings.AxisVerdict, ...] = ("better", "worse", "equivalent")
SUPPORTED: tuple[findings.AxisVerdict, ...] = (*DECISIVE, "undecided")
LARGE = ((1e12, "trillion"), (1e9, "billion"), (1e6, "million"))


@dataclass(frozen=True)
class AxisPath:
    """One arm along an axis: ``x`` ``(point,)`` ascending on the scale of `Axis.forward`, and draws ``(draw, point)``.

    Between points lie other sizes (``steps``) or levels of a fitted curve (``curve``), whose draws carry all there is;
    ``measured`` are the points that are no interpolation, all unless given.
    """

    x: Floats
    draws: Floats
    between: Literal["steps", "curve"] = "steps"
    measured: NDArray[np.int64] | None = None

    def inside(self, low: float, high: float) -> NDArray[np.int64]:
        """Measured points in a range."""
        measured = np.arange(len(self.x)) if self.measured is None else self.measured
        x = self.x[measured]
        return np.asarray(measured[(x >= low - SAME) & (x <= high + SAME)])


@dataclass(frozen=True)
class Stratum:
    """Two arms that share all but what differs and what moves along the axis."""

    treatment: AxisPath
    reference: AxisPath


@dataclass(frozen=True)
class Held:
    """An axis as compared: the finding's numbers and the draws of the mean difference, none without support."""

    verdict: findings.AxisVerdict
    reason: str | None = None
    low: float | None = None
    high: float | None = None
    n_strata: int = 0
    n_outside: int = 0
    interpolated: bool = False
    draws: Floats | None = field(default=None, repr=False)
    decision: Decision | None = None
    along: findings.Along | None = None
    crossover: findings.Crossover | None = None


def at_equal(axis: Axis, strata: Sequence[Stratum], question: Question, *, seed: int = 0) -> Held:
    """Treatment against reference with one axis held equal: the mean over its common support and over strata.

    A difference that surely changes its sign on the way is undecided, whatever its mean: see ``crossover``.
    """
    rng = np.random.default_rng(seed)
    found = [one for stratum in strata if (one := _difference(stratum, rng)) is not None]
    outside = len(strata) - len(found)
    if not found:
        return Held("no overlap", _apart(axis, strata), n_outside=outside)
    mean = np.mean([one.mean for one in found], axis=0)
    low, high = min(one.grid[0] for one in found), max(one.grid[-1] for one in found)
    same = all(one.grid.shape == found[0].grid.shape and np.allclose(one.grid, found[0].grid) for one in found)
    along = np.mean([one.draws for one in found], axis=0) if same else None
    crossover = None if along is None else _crossover(axis, found[0].grid, along, question)
    decision = decide(mean, question)
    said: findings.AxisVerdict = decision.verdict
    reason = None
    if crossover is not None and crossover.probability >= question.decision_prob:
        said, reason = "undecided", "the difference changes its sign along the axis"
    return Held(
        said,
        reason,
        low=float(axis.back(np.array(low))),
        high=float(axis.back(np.array(high))),
        n_strata=len(found),
        n_outside=outside,
        interpolated=any(one.interpolated for one in found),
        draws=mean,
        decision=decision,
        along=None if along is None else _along(axis, found[0].grid, along, question),
        crossover=crossover,
    )


def label(held: Sequence[Held], question: Question) -> tuple[findings.AxisLabel, NDArray[np.bool_] | None]:
    """One label over all axes, and for a flip the draws in which every verdict that disagrees is as stated ``(draw,)``.

    Verdicts disagree if one is not what the other is; that is called axis-dependent only if they are jointly as stated
    with the required probability, and fragile otherwise.
    """
    asked = [one for one in held if one.verdict in SUPPORTED]
    if len(asked) < 2:
        return "untestable", None
    verdicts = {one.verdict for one in asked if one.verdict in DECISIVE}
    if len(verdicts) > 1:
        # beside an equivalent one, better is better by more than that
        least = question.equivalence if "equivalent" in verdicts else 0.0
        decisive = [one for one in asked if one.verdict in DECISIVE]
        flip = np.all([_as_stated(one, least, question) for one in decisive], axis=0)
        return ("axis-dependent" if np.mean(flip) >= question.decision_prob else "fragile"), flip
    return ("robust" if verdicts and all(one.verdict in DECISIVE for one in asked) else "fragile"), None


def joint(flips: Sequence[NDArray[np.bool_]]) -> float | None:
    """Probability that all of several flips are real at once; None without any."""
    return float(np.mean(np.all(flips, axis=0))) if flips else None


def _as_stated(one: Held, least: float, question: Question) -> NDArray[np.bool_]:
    """Draws in which a verdict holds, better and worse by more than ``least``."""
    assert one.draws is not None
    if one.verdict == "equivalent":
        return np.asarray(np.abs(one.draws) < question.equivalence)
    return np.asarray(one.draws > least if one.verdict == "better" else one.draws < -least)


@dataclass(frozen=True)
class _Difference:
    grid: Floats
    draws: Floats
    interpolated: bool

    @property
    def mean(self) -> Floats:
        """Over the support: at the points that both arms measured, or evenly along the axis."""
        if not self.interpolated or len(self.grid) == 1:
            return np.asarray(self.draws.mean(axis=1))
        return np.asarray(np.trapezoid(self.draws, self.grid, axis=1) / (self.grid[-1] - self.grid[0]))


def _difference(stratum: Stratum, rng: np.random.Generator) -> _Difference | None:
    """Treatment minus reference on the common support; none without."""
    a, b = stratum.treatment, stratum.reference
    low, high = max(a.x[0], b.x[0]), min(a.x[-1], b.x[-1])
    if high < low - SAME:
        return None
    mine, theirs = a.inside(low, high), b.inside(low, high)
    if len(mine) == len(theirs) > 0 and np.all(np.abs(a.x[mine] - b.x[theirs]) <= SAME):
        return _Difference((a.x[mine] + b.x[theirs]) / 2, a.draws[:, mine] - b.draws[:, theirs], interpolated=False)
    grid = np.linspace(low, high, GRID) if high - low > SAME else np.array([(low + high) / 2])
    return _Difference(grid, _on(a, grid, rng) - _on(b, grid, rng), interpolated=True)


def _on(path: AxisPath, grid: Floats, rng: np.random.Generator) -> Floats:
    """Draws on a grid inside a path's hull ``(draw, grid)``."""
    straight = _straight(path.x, path.draws, grid)
    if path.between == "curve" or len(path.x) == 1:
        return straight
    return np.asarray(straight + _bridges(path, grid, rng) * _slope(straight))


def _straight(x: Floats, draws: Floats, grid: Floats) -> Floats:
    if len(x) == 1:
        return np.repeat(draws, len(grid), axis=1)
    right = np.clip(np.searchsorted(x, grid), 1, len(x) - 1)
    part = np.clip((grid - x[right - 1]) / (x[right] - x[right - 1]), 0.0, 1.0)
    return np.asarray(draws[:, right - 1] * (1 - part) + draws[:, right] * part)


def _slope(share: Floats) -> Floats:
    """Change of a share with its logit, kept away from 0 where the share is 0 or 1."""
    inner = np.clip(share, 0.05, 0.95)
    return np.asarray(inner * (1 - inner))


def _bridges(path: AxisPath, grid: Floats, rng: np.random.Generator) -> Floats:
    """Wiener bridges, 0 at every measured point, in logits ``(draw, grid)``."""
    at = np.union1d(path.x, grid)
    steps = np.sqrt(np.diff(at, prepend=at[0])) * rng.standard_normal((len(path.draws), len(at)))
    walk = np.cumsum(steps, axis=1)
    off = walk - _straight(path.x, walk[:, np.searchsorted(at, path.x)], at)
    return np.asarray(off[:, np.searchsorted(at, grid)] * _wobble(path, rng)[:, None])


def _wobble(path: AxisPath, rng: np.random.Generator) -> Floats:
    """Draws of the bridge's scale: scaled inverse chi-squared, from inner points against the line beside them."""
    x, mean = path.x, path.draws.mean(axis=0)
    inner = np.arange(1, len(x) - 1)
    part = (x[inner] - x[inner - 1]) / (x[inner + 1] - x[inner - 1])
    off = (mean[inner] - mean[inner - 1] * (1 - part) - mean[inner + 1] * part) / _slope(mean[inner])
    variance = (x[inner] - x[inner - 1]) * (x[inner + 1] - x[inner]) / (x[inner + 1] - x[inner - 1])
    squares = WOBBLE_WORTH * WOBBLE**2 + float(np.sum(off**2 / variance))
    return np.asarray(np.sqrt(squares / rng.chisquare(WOBBLE_WORTH + len(inner), len(path.draws))))


def _crossover(axis: Axis, grid: Floats, draws: Floats, question: Question) -> findings.Crossover | None:
    """The more probable of the two changes of sign between the ends, if it is at all probable."""
    if len(grid) < 2:
        return None
    falls = (draws[:, 0] > 0) & (draws[:, -1] < 0)
    rises = (draws[:, 0] < 0) & (draws[:, -1] > 0)
    changes, first = (falls, "treatment") if falls.mean() >= rises.mean() else (rises, "reference")
    if changes.mean() < 0.5:
        return None
    mine = draws[changes] * (1 if first == "treatment" else -1)
    right = np.argmax(mine < 0, axis=1)
    row = np.arange(len(mine))
    part = mine[row, right - 1] / (mine[row, right - 1] - mine[row, right])
    at = grid[right - 1] + part * (grid[right] - grid[right - 1])
    return findings.Crossover(
        first_better="treatment" if first == "treatment" else "reference",
        probability=float(changes.mean()),
        at=summarise(axis.back(at), question.interval_prob),
    )


def _along(axis: Axis, grid: Floats, draws: Floats, question: Question) -> findings.Along:
    tail = (1 - question.interval_prob) / 2
    lower, median, upper = np.quantile(draws, [tail, 0.5, 1 - tail], axis=0).tolist()
    return findings.Along(at=axis.back(grid).tolist(), median=median, lower=lower, upper=upper)


def _apart(axis: Axis, strata: Sequence[Stratum]) -> str:
    """Where each arm lies."""

    def ends(paths: Sequence[AxisPath]) -> str:
        low, high = (float(axis.back(np.array(end))) for end in _ends(paths))
        return _short(low) if one_value(low, high) else f"{_short(low)} to {_short(high)}"

    arms = [[s.treatment for s in strata], [s.reference for s in strata]]
    return f"treatment at {ends(arms[0])}, reference at {ends(arms[1])}"


def _short(value: float) -> str:
    """A number to four digits, large ones with a word rather than a power of ten."""
    for size, word in LARGE:
        if abs(value) >= size:
            return f"{value / size:.4g} {word}"
    return f"{float(f'{value:.4g}'):,.0f}" if abs(value) >= 1000 else f"{value:.4g}"


def _ends(paths: Sequence[AxisPath]) -> tuple[float, float]:
    return min(path.x[0] for path in paths), max(path.x[-1] for path in paths)
