"""What is said of one curve: what was observed, the curve itself, and the sparsity that it tolerates."""

from collections.abc import Iterator, Sequence
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tolerance import findings
from tolerance.data.cells import halvings, sparsity
from tolerance.estimands.contrasts import Contrasted
from tolerance.estimands.curve_state import CurveState, curve_id, curve_states
from tolerance.estimands.curves import beyond
from tolerance.estimands.parts import PartCurves
from tolerance.estimands.rankings import comparisons
from tolerance.estimands.source import Source
from tolerance.estimands.thresholds import tolerated
from tolerance.estimands.type_curve import TypeCurve
from tolerance.inference.saved import Fit
from tolerance.question import Question
from tolerance.stats.intervals import Estimate, Interval, lower_limit, quantiles, summarise, wilson

BEYOND_POINTS = 7


def curve(state: CurveState, source: Source, question: Question, part: str = "") -> findings.Curve:
    """Observed accuracies with Wilson intervals; the fitted band where the fit may be believed."""
    mine = state.curve
    observed = [
        findings.Observed(
            sparsity=float(group["sparsity"].mean()),
            accuracy=float(group["right"].sum() / group["n"].sum()),
            interval=_observed(group, question),
            n_items=_items(group),
        )
        for _, group in state.cells.groupby("sparsity_requested")
    ]
    return findings.Curve(
        id=curve_id("curve", mine, part),
        task_type=mine.task_type,
        tasks=list(mine.tasks),
        sparsifier=mine.sparsifier,
        unit=state.unit,
        status="ok" if state.passed else "withheld",
        reason=None if state.passed else "fit failed its checks",
        observed=observed,
        band=_within(mine) if state.passed else None,
        beyond=_beyond(mine, source) if state.passed else None,
        required=_required(mine, question) if state.ok else None,
        **_averaged(mine, source),
    )


def _observed(group: pd.DataFrame, question: Question) -> Interval:
    """Wilson's interval with as many 0/1 answers as would vary as much: an item asked five times is no five items."""
    weight = float(group["weight"].sum())
    return wilson(float(group["right"].sum() / group["n"].sum()) * weight, weight, question.interval_prob)


def _items(group: pd.DataFrame) -> int:
    """Items of cells, each once: models and contexts share those of a task."""
    return int(group.groupby("task")["items"].max().sum())


def _averaged(curve: TypeCurve, source: Source) -> dict[str, Any]:
    """Models and context lengths that a curve averages."""
    configs = [source.fit.cells.configs[config] for _, config in curve.places]
    return {
        "models": sorted({m for m, _ in configs}),
        "context_lengths": sorted({c for _, c in configs if c is not None}),
    }


def common_ends(states: Sequence[CurveState]) -> dict[str, float]:
    """The sparsity that all curves of a unit reach, so that areas under them can be compared."""
    ends: dict[str, float] = {}
    for state in states:
        if state.ok:
            ends[state.unit] = min(ends.get(state.unit, 1.0), state.curve.last)
    return ends


def threshold(
    state: CurveState,
    ends: dict[str, float],
    leaning: findings.Leaning | None,
    question: Question,
    source: Source,
    part: str = "",
) -> findings.Threshold:
    """The tolerated level with all that is said beside it; ``ends`` are those of `common_ends`."""
    mine, answerable = state.curve, state.ok
    has_dense = answerable or state.reason == "dense accuracy is at the guessing floor"
    return findings.Threshold(
        id=curve_id("threshold", mine, part),
        task_type=mine.task_type,
        sparsifier=mine.sparsifier,
        unit=state.unit,
        retention=question.retention,
        status=state.status,
        reason=state.reason,
        n_items=min(_items(group) for _, group in state.cells.groupby("sparsity_requested")),
        n_levels=len(mine.distinct),
        dense=_dense(mine, question) if has_dense else None,
        level=_level(mine, question) if answerable else None,
        kept=[_kept(mine, s, question) for s in mine.distinct] if answerable else [],
        margin=question.margin,
        exceedance=_exceedance(mine, question) if answerable else None,
        area=_area(mine, ends[state.unit], question) if answerable else None,
        leaning=leaning,
        **_averaged(mine, source),
    )


def _within(curve: TypeCurve) -> findings.Band:
    """Accuracy on the grid; without a dense baseline nothing below the first measured level is shown."""
    shown = np.full(len(curve.grid), curve.has_dense) | (sparsity(curve.grid) >= curve.first - 1e-12)
    return _band(curve.grid[shown], curve.accuracy[:, shown])


def _beyond(curve: TypeCurve, source: Source) -> findings.Band:
    """Accuracy at a little more sparsity than was measured."""
    at = curve.grid[-1] + np.linspace(0.0, findings.BEYOND, BEYOND_POINTS)
    return _band(at, beyond(source, curve, at))


def _band(at: NDArray[np.float64], accuracy: NDArray[np.floating]) -> findings.Band:
    """Quantiles of accuracy ``(draw, point)`` at halvings ``(point,)``."""
    quantiles = np.quantile(accuracy, [0.05, 0.25, 0.5, 0.75, 0.95], axis=0)
    names = ("lower_90", "lower_50", "median", "upper_50", "upper_90")
    lists = {name: values.tolist() for name, values in zip(names, quantiles, strict=True)}
    return findings.Band(sparsity=sparsity(at).tolist(), **lists)


def _required(curve: TypeCurve, question: Question) -> float:
    return float(np.median(curve.required(question.retention, margin=question.margin)))


def _dense(curve: TypeCurve, question: Question) -> Estimate:
    return summarise(curve.dense.astype(np.float64), question.interval_prob)


def _kept(curve: TypeCurve, at: float, question: Question) -> findings.Kept:
    above = tolerated(curve, question) >= halvings(np.array(at)) - 1e-9
    return findings.Kept(sparsity=at, probability=float(np.mean(above)))


def _exceedance(curve: TypeCurve, question: Question) -> findings.Exceedance:
    """P(threshold > s) on the grid from the first to the last measured level: outside, nothing is known of where."""
    draws = np.sort(tolerated(curve, question))
    grid = curve.grid[sparsity(curve.grid) >= curve.first - 1e-12]
    above = 1 - np.searchsorted(draws, grid, side="right") / len(draws)
    return findings.Exceedance(sparsity=sparsity(grid).tolist(), probability=above.tolist())


def _area(curve: TypeCurve, upto: float, question: Question) -> findings.Area:
    return findings.Area(
        upto=upto,
        over_halvings=summarise(curve.area(upto), question.interval_prob),
        over_sparsity=summarise(curve.area(upto, over_sparsity=True), question.interval_prob),
    )


def _level(curve: TypeCurve, question: Question) -> findings.Level:
    """The tolerated level; an end outside the measured range is null, not extrapolated."""
    draws = tolerated(curve, question)
    low, median, high = (
        _inside(float(sparsity(np.array(end))), curve) for end in quantiles(draws, question.interval_prob)
    )
    return findings.Level(
        median=median,
        lower=low,
        upper=high,
        prob=question.interval_prob,
        first=curve.first,
        last=curve.last,
        prob_below=float(np.mean(sparsity(draws) < curve.first)),
        prob_beyond=float(np.mean(~np.isfinite(draws))),
        assured=_assured(draws, curve, question),
    )


def _assured(draws: NDArray[np.float64], curve: TypeCurve, question: Question) -> findings.Assured:
    """The level that is tolerated with the required probability: a lower limit, as a benchmark dose has one (BMDL)."""
    least = lower_limit(draws, question.decision_prob)
    value = _inside(float(sparsity(np.array(least))), curve)
    outside: Literal["left", "right"] = "left" if np.isfinite(least) else "right"
    return findings.Assured(value=value, prob=question.decision_prob, censored="none" if value is not None else outside)


def _inside(value: float, curve: TypeCurve) -> float | None:
    return value if curve.first <= value <= curve.last else None


def parts(
    fit: Fit, source: Source, found: Sequence[PartCurves], passed: bool, question: Question
) -> Iterator[findings.Part]:
    """The findings of each model and of each context length."""
    for one in found:
        states, named = curve_states(fit, one.curves, passed), f"{one.of} {one.name}"
        ends, contrasted = common_ends(states), Contrasted(source, states, question, named)
        yield findings.Part(
            of=one.of,
            name=one.name,
            curves=[curve(state, source, question, named) for state in states],
            thresholds=[threshold(state, ends, None, question, source, named) for state in states],
            contrasts=list(contrasted.contrasts()),
            comparisons=list(comparisons(contrasted)),
        )
