"""Can the fit be trusted? Every check with its limit and what its failure would mean, stated either way."""

import warnings
from collections.abc import Callable

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from tolerance.data.cells import halvings
from tolerance.diagnostics.posterior_predictive import LIMIT, Predictive, named
from tolerance.estimands.type_curve import TypeCurve
from tolerance.findings import Check
from tolerance.inference.saved import Fit
from tolerance.inference.warmup import DIVERGENT

RHAT, RHAT_ANY, ESS, BFMI = 1.01, 1.05, 400.0, 0.3
UNLIKE_NAMED = 4
ANY = "R-hat of any parameter, largest"
DIVERGENCES = "divergent transitions, share"
REPORTED = "p of observed accuracies as reported, smallest, times the number of groups"
PREDICTIVE = "posterior predictive p, smallest, times the number of groups"


def check(fit: Fit, curves: list[TypeCurve]) -> list[Check]:
    """Whether chains agree on what is reported, whether the sampler got everywhere, whether the data look like the fit.

    R-hat and ESS (Vehtari et al. 2021) of every reported curve, at and between the measured levels; R-hat of all
    parameters, more loosely; divergences; E-BFMI (Betancourt 2016); and, last, those of the model against the answers.
    """
    import arviz_stats as az

    reported = _reported(fit, curves)
    rhat = _extreme(az.rhat(reported), np.max)
    bulk, tail = (_extreme(az.ess(reported, method=m), np.min) for m in ("bulk", "tail"))
    statistics = fit.draws["sample_stats"]
    return [
        _at_most("R-hat of reported curves, largest", rhat, RHAT, "the chains disagree: not one posterior"),
        _at_least("bulk ESS of reported curves, smallest", bulk, ESS, "too few independent draws for medians"),
        _at_least("tail ESS of reported curves, smallest", tail, ESS, "too few independent draws for interval ends"),
        _at_most(ANY, _any_rhat(fit), RHAT_ANY, "some chains explore another place"),
        _at_most(
            DIVERGENCES,
            float(statistics["diverging"].mean()),
            DIVERGENT,
            "the sampler could not follow the posterior somewhere, so part of it may be missing",
        ),
        _at_least(
            "E-BFMI, smallest", _bfmi(np.asarray(statistics["energy"])), BFMI, "heavy tails were explored too slowly"
        ),
        *_like_the_answers(Predictive(fit)),
    ]


def _like_the_answers(found: Predictive) -> list[Check]:
    """Gates over sparsifier x level by task, type and configuration; a failing one names who defeats the family."""
    elsewhere = _named([named(group, found.fit.cells.scales) for group in found.reported.unlike.to_dict("records")])
    return [
        _at_least(
            REPORTED, found.reported.smallest, LIMIT, f"what was observed is not what would be reported: {elsewhere}"
        ),
        _at_least(
            PREDICTIVE,
            found.smallest,
            LIMIT,
            f"answers are unlike what the fitted curves predict: {_named(list(found.unlike()))}",
        ),
    ]


def _named(groups: list[str]) -> str:
    more = f", and {len(groups) - UNLIKE_NAMED} more" if len(groups) > UNLIKE_NAMED else ""
    return "; ".join(groups[:UNLIKE_NAMED]) + more if groups else "of some task, method and level"


def _reported(fit: Fit, curves: list[TypeCurve]) -> xr.Dataset:
    """Accuracy and, with a dense baseline, retention of every curve at its levels and half-way between them."""
    n_chains = fit.draws["posterior"].sizes["chain"]
    found = {}
    for i, curve in enumerate(curves):
        measured = halvings(np.concatenate([[0.0], curve.levels] if curve.has_dense else [curve.levels]))
        points = np.union1d(measured, (measured[1:] + measured[:-1]) / 2)
        nearest = np.unique(np.searchsorted(curve.grid, points).clip(max=len(curve.grid) - 1))
        for name, draws in (("accuracy", curve.accuracy), ("retention", curve.retention)):
            values = draws[:, nearest].astype(np.float64).reshape(n_chains, -1, len(nearest))
            # retention at sparsity 0 is 1 by definition
            varying = values[:, :, values.std(axis=(0, 1)) > 0]
            if name == "accuracy" or curve.has_dense:
                found[f"{name}_{i}"] = (("chain", "draw", f"point_{name}_{i}"), varying)
    return xr.Dataset(found)


def _any_rhat(fit: Fit) -> float:
    import arviz_stats as az

    posterior = fit.draws["posterior"].to_dataset().drop_vars(["accuracy", "fitted", "departure"])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a floor fixed at 0 has no variance, and so no R-hat
        return _extreme(az.rhat(posterior), np.nanmax)


def trustworthy(checks: list[Check]) -> bool:
    """Only a fit that passes every check may become a conclusion."""
    return all(one.passed for one in checks)


def sampled(checks: list[Check]) -> bool:
    """Whether the draws are one posterior: every check but those of the model against the answers has passed."""
    return not unsampled(checks)


def stopped(fit: Fit) -> bool:
    """Whether sampling stopped half-way, because it had failed by divergent transitions already."""
    return fit.draws["posterior"].sizes["chain"] < fit.settings.chains


def unsampled(checks: list[Check]) -> list[str]:
    """The checks of the draws that failed, by name."""
    return [one.name for one in checks if not one.passed and one.name not in (REPORTED, PREDICTIVE)]


def _bfmi(energy: NDArray[np.float64]) -> float:
    """Energy Bayesian fraction of missing information of the worst chain; energy ``(chain, draw)``."""
    return float((np.square(np.diff(energy, axis=1)).mean(1) / energy.var(axis=1)).min())


def _extreme(statistic: xr.Dataset, of: Callable[[NDArray[np.float64]], np.float64]) -> float:
    values = np.concatenate([np.ravel(v.values) for v in statistic.data_vars.values()])
    return float(of(values))


def _at_most(name: str, worst: float, limit: float, meaning: str) -> Check:
    return Check(name=name, worst=worst, limit=limit, sense="at most", passed=worst <= limit, meaning=meaning)


def _at_least(name: str, worst: float, limit: float, meaning: str) -> Check:
    return Check(name=name, worst=worst, limit=limit, sense="at least", passed=worst >= limit, meaning=meaning)
