"""Our estimates of one simulated data set, in the form that the study scores."""

import numpy as np
import pandas as pd

from tolerance import Settings, validate
from tolerance.data.cells import sparsity
from tolerance.diagnostics.refit import refitted
from tolerance.estimands.type_curve import TypeCurve

PROB = 0.9


def estimates(answers: pd.DataFrame, levels: tuple[float, ...], settings: Settings, least: float = 0.95) -> dict:
    """Posterior medians and intervals by quantity, and the checks that failed."""
    done = refitted(validate(answers), settings)
    failed = [one.name for one in done.checks if not one.passed]
    return {"found": summarised(done.curves, levels, least), "failed": failed}


def summarised(curves: list[TypeCurve], levels: tuple[float, ...], least: float = 0.95) -> dict[str, dict]:
    """Posterior medians and intervals by quantity."""
    found: dict[str, dict] = {"tolerated": {}, "retention": {}, "accuracy": {}, "contrast": {}}
    for curve in curves:
        key = (curve.task_type, curve.sparsifier)
        if curve.has_dense:
            draws = sparsity(np.minimum(curve.tolerated(least), 60))
            found["tolerated"][key] = _censored(draws, curve.first, curve.last)
        for s in levels:
            if curve.has_dense:
                found["retention"][*key, s] = _interval(curve.retained_at(s))
            at = np.argmin(np.abs(sparsity(curve.grid) - s))
            found["accuracy"][*key, s] = _interval(curve.accuracy[:, at])
    for one in curves:
        for other in curves:
            if one.task_type == other.task_type and one.sparsifier < other.sparsifier and one.has_dense:
                for s in levels:
                    found["contrast"][one.task_type, s] = _interval(one.retained_at(s) - other.retained_at(s))
    return found


def _interval(draws: np.ndarray) -> tuple[float, float, float]:
    low, middle, high = np.quantile(draws, [(1 - PROB) / 2, 0.5, (1 + PROB) / 2])
    return float(middle), float(low), float(high)


def _censored(draws: np.ndarray, first: float, last: float) -> tuple[float, float, float]:
    """An end below the first level is 0, one beyond the last is 1: nothing is claimed there."""
    middle, low, high = _interval(draws)
    return min(middle, last), min(low, last) if low >= first else 0.0, high if high <= last else 1.0
