"""What a fit says about itself beside its checks, as findings: predictions, sensitivity to priors, shapes, left-outs.

A fit that failed its checks says nothing of its curves: their numbers are withheld here as anywhere. What the answers
were predicted to be stays, where the draws are one posterior: it is how one sees why a fit failed.
"""

from collections.abc import Iterator, Sequence
from math import isnan

from tolerance import findings
from tolerance.diagnostics import power_scaling
from tolerance.diagnostics.loo import leave_out
from tolerance.diagnostics.posterior_predictive import PROB, Predictive
from tolerance.estimands.curve_shapes import named
from tolerance.estimands.curve_state import CurveState, curve_id
from tolerance.inference.saved import Fit


def predicted(fit: Fit, sampled: bool) -> list[findings.Predicted]:
    """Every task x sparsifier x level, the most unlike its prediction first."""
    table = Predictive(fit).table
    names = {"sparsity_requested": "sparsity", "n": "n_items"}
    told = table.rename(columns=names).drop(columns=["right", "corrected"]).assign(prob=PROB)
    if not sampled:
        told = told.assign(lower=None, upper=None)
    return [findings.Predicted.model_validate(row) for row in told.to_dict("records")]


def sensitivities(fit: Fit, states: Sequence[CurveState], least: float) -> list[findings.Sensitivity]:
    """How far priors decide, one finding a curve."""
    passed = all(one.passed for one in states)
    curves = [one.curve for one in states]
    found = power_scaling.sensitivities(fit, curves, least) if passed else [[] for _ in curves]
    return [
        findings.Sensitivity(
            id=curve_id("sensitivity", curve),
            task_type=curve.task_type,
            sparsifier=curve.sparsifier,
            status="ok" if passed else "withheld",
            leaning=power_scaling.leaning(quantities),
            quantities=[
                findings.Scaled(
                    quantity=one.what,
                    sparsity=one.sparsity,
                    prior=_or_none(one.prior),
                    likelihood=_or_none(one.likelihood),
                )
                for one in quantities
            ],
        )
        for curve, quantities in zip(curves, found, strict=True)
    ]


def shapes(states: Sequence[CurveState], prob: float) -> Iterator[findings.Shape]:
    """What is unusual about each curve, where that is decided."""
    for curve in (one.curve for one in states if one.passed):
        for shape in named(curve, prob):
            yield findings.Shape(
                id=curve_id(f"shape-{shape.kind.replace(' ', '-')}", curve),
                task_type=curve.task_type,
                sparsifier=curve.sparsifier,
                kind=shape.kind,
                probability=shape.probability,
                low=shape.low,
                high=shape.high,
            )


def left_out(fit: Fit, passed: bool) -> list[findings.LeftOut]:
    """PSIS-LOO by cell and by block."""
    found = [leave_out(fit, "cell"), leave_out(fit, "block")]
    return [
        findings.LeftOut(
            unit=one.unit,
            status="ok" if passed and not one.high else "withheld",
            n_units=len(one.k),
            high_k=one.high,
            limit_k=one.limit,
            elpd=one.elpd if passed and not one.high else None,
            se=one.se if passed and not one.high else None,
        )
        for one in found
    ]


def _or_none(value: float) -> float | None:
    return None if isnan(value) else value
