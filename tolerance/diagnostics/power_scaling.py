"""Do the answers or the priors decide? Power-scaling of what is reported, curve by curve.

The prior of the top level, and the likelihood, are raised to a power near 1, by importance weights; how far the
posterior of a quantity moves is its sensitivity (Kallioinen et al. 2024, Stat. Comput. 34:57). From `LIMIT` on, the
authors' own, a prior is felt: with a likelihood that is felt as well the two pull (conflict), else the prior leads.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from tolerance.data.cells import halvings
from tolerance.estimands.source import MOST_DRAWS
from tolerance.estimands.type_curve import TypeCurve
from tolerance.findings import Leaning
from tolerance.inference.saved import Fit

Floats = NDArray[np.float64]
LIMIT = 0.05
What = Literal["tolerated level", "retention", "accuracy"]


@dataclass(frozen=True)
class Quantity:
    """One reported quantity and its sensitivities; NaN where it is the same in every draw."""

    what: What
    sparsity: float | None
    prior: float
    likelihood: float

    @property
    def leaning(self) -> Leaning | None:
        """What is wrong, if anything."""
        if not self.prior >= LIMIT:
            return None
        return "prior-data conflict" if self.likelihood >= LIMIT else "strong prior"


def sensitivities(fit: Fit, curves: list[TypeCurve], least: float) -> list[list[Quantity]]:
    """For each curve: its tolerated level and its retention at each level; without a dense baseline, its accuracy."""
    import arviz_stats as az

    asked = [list(_quantities(curve, least)) for curve in curves]
    flat = [draws for quantities in asked for _, _, draws in quantities]
    varying = {f"q{i}": draws for i, draws in enumerate(flat) if np.ptp(draws) > 0}
    tree = _tree(fit, varying)
    prior, likelihood = (az.psense(tree, group=group) for group in ("prior", "likelihood"))
    found, at = [], 0
    for quantities in asked:
        names = [f"q{at + i}" for i in range(len(quantities))]
        found.append(
            [
                Quantity(what, sparsity, _value(prior, name), _value(likelihood, name))
                for name, (what, sparsity, _) in zip(names, quantities, strict=True)
            ]
        )
        at += len(quantities)
    return found


def leaning(quantities: list[Quantity]) -> Leaning | None:
    """The diagnosis of a curve: that of its tolerated level, or of the accuracy whose prior sensitivity is largest."""
    levels = [one for one in quantities if one.what == "tolerated level"]
    chosen = levels or sorted(quantities, key=lambda one: -np.nan_to_num(one.prior))[:1]
    return chosen[0].leaning if chosen else None


def _quantities(curve: TypeCurve, least: float) -> Iterator[tuple[What, float | None, Floats]]:
    """What is reported of a curve, with its draws; the tolerated level ends at the last measured one."""
    if curve.has_dense:
        yield "tolerated level", None, np.minimum(curve.tolerated(least), curve.grid[-1])
    share = curve.retention if curve.has_dense else curve.accuracy
    for level, x in zip(curve.distinct, halvings(curve.distinct), strict=True):
        draws = share[:, np.abs(curve.grid - x).argmin()]
        yield ("retention" if curve.has_dense else "accuracy"), float(level), draws.astype(np.float64)


def _tree(fit: Fit, quantities: dict[str, Floats]) -> xr.DataTree:
    """Quantities as a posterior, with the densities of the same draws."""
    chosen = slice(None, None, fit.step(MOST_DRAWS))
    kept = {name: fit.draws[name].to_dataset().isel(draw=chosen) for name in ("log_likelihood", "log_prior")}
    n_chains = fit.draws["posterior"].sizes["chain"]
    posterior = {name: (("chain", "draw"), draws.reshape(n_chains, -1)) for name, draws in quantities.items()}
    dataset = xr.Dataset(posterior, coords={name: kept["log_prior"][name] for name in ("chain", "draw")})
    return xr.DataTree.from_dict({"posterior": dataset, **kept})


def _value(found: xr.Dataset, name: str) -> float:
    return float(found[name]) if name in found else float("nan")
