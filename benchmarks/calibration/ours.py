"""Our estimates of one simulated data set, in the form that the study scores."""

from itertools import combinations

import numpy as np
import pandas as pd

from tolerance import Question, Settings, validate
from tolerance.data.cells import halvings, sparsity
from tolerance.diagnostics.refit import Refitted, refitted
from tolerance.estimands.curves import averaged
from tolerance.estimands.thresholds import in_range, ordered
from tolerance.estimands.type_curve import TypeCurve
from tolerance.stats.decide import decide, which

PROB = 0.9
ASK = Question()
Interval = tuple[float, float, float]
# Estimate, ends of its interval, and the verdict of a contrast.
Told = tuple[float, float, float] | tuple[float, float, float, str]


def estimates(answers: pd.DataFrame, levels: tuple[float, ...], settings: Settings, least: float = 0.95) -> dict:
    """Posterior medians and intervals by quantity, the checks that failed, and how many attempts there were."""
    done = refitted(validate(answers), settings)
    failed = [one.name for one in done.checks if not one.passed]
    found = summarised(done.curves, levels, least)
    if len(done.fit.cells.configs) > 1:
        found |= by_model(done, levels, least)
    return {"found": found, "failed": failed, "attempts": len(done.attempts)}


def summarised(curves: list[TypeCurve], levels: tuple[float, ...], least: float = 0.95) -> dict[str, dict]:
    """Posterior medians and intervals by quantity."""
    found: dict[str, dict] = {"tolerated": {}, "retention": {}, "accuracy": {}, "contrast": {}, "order": {}}
    for curve in curves:
        _add(found, "", (curve.task_type, curve.sparsifier), (), curve, levels, least)
    for one, other in combinations(curves, 2):
        if one.task_type == other.task_type and one.has_dense:
            one, other = sorted((one, other), key=lambda curve: curve.sparsifier)
            for s in levels:
                found["contrast"][one.task_type, s] = _decided(one.retained_at(s) - other.retained_at(s))
        if one.sparsifier == other.sparsifier and one.has_dense and other.has_dense:
            found["order"][one.sparsifier, one.task_type, other.task_type] = _order(one, other, least)
    return found


def by_model(done: Refitted, levels: tuple[float, ...], least: float) -> dict[str, dict]:
    """The same by model, and accuracies of models at each level against each other."""
    source, cells = done.source, done.fit.cells
    models = sorted({model for model, _ in cells.configs})
    found: dict[str, dict] = {f"{name} by model": {} for name in ("tolerated", "retention", "accuracy")}
    found["models"] = {}
    for curve in done.curves:
        method, key = cells.sparsifiers.index(curve.sparsifier), (curve.task_type, curve.sparsifier)
        each = {}
        for model in models:
            places = [place for place in curve.places if cells.configs[place[1]][0] == model]
            each[model] = averaged(source, method, places)
            _add(found, " by model", key, (model,), each[model], levels, least)
        for a, b in combinations(models, 2):
            for s in levels:
                found["models"][*key, s, a, b] = _decided(each[a].accuracy_at(s) - each[b].accuracy_at(s))
    return found


def _add(
    found: dict[str, dict],
    suffix: str,
    key: tuple[str, ...],
    last: tuple[str, ...],
    curve: TypeCurve,
    levels: tuple[float, ...],
    least: float,
) -> None:
    """Tolerated level, retention and accuracy of one curve."""
    if curve.has_dense:
        draws = sparsity(np.minimum(curve.tolerated(least), 60))
        found[f"tolerated{suffix}"][*key, *last] = _censored(draws, curve.first, curve.last)
    for s in levels:
        if curve.has_dense:
            found[f"retention{suffix}"][*key, s, *last] = _interval(curve.retained_at(s))
        # at a level whose realised values differ, curves are straight between grid points
        found[f"accuracy{suffix}"][*key, s, *last] = _interval(curve.accuracy_at(s))


def _interval(draws: np.ndarray) -> Interval:
    low, middle, high = np.quantile(draws, [(1 - PROB) / 2, 0.5, (1 + PROB) / 2])
    return float(middle), float(low), float(high)


def _decided(draws: np.ndarray) -> Told:
    return *_interval(draws), decide(draws, ASK).verdict


def _order(one: TypeCurve, other: TypeCurve, least: float) -> Told:
    """Difference in tolerated halvings, of which what lies outside the levels is at their ends, and which is higher."""
    told = [np.minimum(in_range(curve, least), halvings(np.array(curve.last))) for curve in (one, other)]
    found = ordered(in_range(one, least), in_range(other, least))
    return *_interval(told[0] - told[1]), which(found.first, found.second, found.neither, ASK)


def _censored(draws: np.ndarray, first: float, last: float) -> Interval:
    """An end below the first level is 0, one beyond the last is 1: nothing is claimed there."""
    middle, low, high = _interval(draws)
    return min(middle, last), min(low, last) if low >= first else 0.0, high if high <= last else 1.0
