"""How well are left-out answers predicted? PSIS-LOO by block and by cell, and where it can be believed.

A block (a task under one configuration) is what new data would bring whole; but it owns its dense accuracy and most of
its curves' parameters, so draws that have seen it say little about draws that have not: its Pareto k is high in nearly
every fit. A cell given the other cells of the same items is the finer unit, of which importance sampling is more often
good (Buerkner, Gabry & Vehtari 2021, Comput. Stat. 36:1243). Where a k is too high for the number of draws the sum is
no number to quote (Vehtari et al. 2024, JMLR 25:72): it is withheld. The fit itself is not the worse for it.
"""

import warnings
from dataclasses import dataclass
from typing import Literal

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from tolerance.inference import Fit
from tolerance.pointwise import by_cell

Floats = NDArray[np.float64]
Unit = Literal["cell", "block"]


@dataclass(frozen=True)
class LeftOut:
    """Expected log density ``(unit,)`` of each left-out unit with its Pareto k, and the k from which it is not good."""

    unit: Unit
    each: Floats
    k: Floats
    limit: float

    @property
    def high(self) -> int:
        """How many units importance sampling does not reach."""
        return int((self.k > self.limit).sum())

    @property
    def elpd(self) -> float:
        """The sum over units."""
        return float(self.each.sum())

    @property
    def se(self) -> float:
        """Standard error of the sum."""
        return float(np.sqrt(len(self.each)) * self.each.std())


def leave_out(fit: Fit, unit: Unit) -> LeftOut:
    """PSIS-LOO by cell or by block."""
    import arviz as az

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about high k, which is kept and judged
        found = az.loo(_tree(fit, unit), pointwise=True)
    return LeftOut(unit, np.asarray(found.elpd_i), np.asarray(found.pareto_k), float(found.good_k))


def _tree(fit: Fit, unit: Unit) -> xr.DataTree:
    """The draws, with the log likelihood of these units."""
    if unit == "block":
        return fit.draws
    densities, _ = by_cell(fit.cells, fit.blocks, fit.variable("fitted"), fit.variable("sd_departure"))
    posterior = fit.draws["posterior"].to_dataset()
    shaped = densities.reshape(posterior.sizes["chain"], posterior.sizes["draw"], -1)
    likelihood = xr.Dataset({"answers": (("chain", "draw", "cell"), shaped)})
    return xr.DataTree.from_dict({"posterior": posterior, "log_likelihood": likelihood})


def difference(one: LeftOut, other: LeftOut) -> tuple[float, float]:
    """By how much the first predicts better, and the standard error, over the same units."""
    apart = one.each - other.each
    return float(apart.sum()), float(np.sqrt(len(apart)) * apart.std())
