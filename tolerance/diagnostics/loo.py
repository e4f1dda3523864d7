"""How well are left-out answers predicted? PSIS-LOO by block and by cell, and where it can be believed.

A block (a task under one configuration) is what new data would bring whole; but it owns its dense accuracy and most of
its curves' parameters, so draws that have seen it say little about draws that have not: its Pareto k is high in nearly
every fit. A cell given the other cells of the same items is the finer unit, of which importance sampling is more often
good (Buerkner, Gabry & Vehtari 2021, Comput. Stat. 36:1243). Where a k is too high for the number of draws the sum is
no number to quote (Vehtari et al. 2024, JMLR 25:72): it is withheld, unless such cells are left out in earnest, by fits
that do not see them. The fit itself is not the worse for it.
"""

import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from scipy.special import logsumexp

from tolerance.diagnostics.checks import RHAT_ANY
from tolerance.inference.fit import without_cell
from tolerance.inference.saved import Fit
from tolerance.model.log_likelihood import by_cell

Floats = NDArray[np.float64]
Unit = Literal["cell", "block"]
# So many cells at most are left out by fits of their own.
REFITS = 20


@dataclass(frozen=True)
class Loo:
    """Expected log density ``(unit,)`` of each left-out unit with its Pareto k, and the k from which it is not good.

    ``refitted`` units were left out by fits of their own: their k no longer matters and is 0.
    """

    unit: Unit
    each: Floats
    k: Floats
    limit: float
    refitted: int = 0

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


def leave_out(fit: Fit, unit: Unit) -> Loo:
    """PSIS-LOO by cell or by block."""
    import arviz_stats as az

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about high k, which is kept and judged
        found = az.loo(_tree(fit, unit), pointwise=True)
    return Loo(unit, np.asarray(found.elpd_i), np.asarray(found.pareto_k), float(found.good_k))


def refit_high_k(fit: Fit, *, at_most: int = REFITS, stage: Callable[[str], None] = lambda _: None) -> Loo:
    """PSIS-LOO by cell, with a fit of its own for each cell that importance sampling does not reach.

    With more than ``at_most`` such cells nothing is fitted. A cell stays high where the chains of its fit disagree.
    """
    found = leave_out(fit, "cell")
    high = np.flatnonzero(found.k > found.limit)
    if len(high) > at_most:
        return found
    each, k = found.each.copy(), found.k.copy()
    for number, cell in enumerate(high, 1):
        stage(f"left-out cell {number} of {len(high)}")
        densities = _unseen(fit, int(cell))
        if densities is not None:
            each[cell], k[cell] = logsumexp(densities) - np.log(densities.size), 0.0
    return replace(found, each=each, k=k, refitted=int((found.k > k).sum()))


def _unseen(fit: Fit, cell: int) -> Floats | None:
    """Log densities ``(chain, draw)`` of a cell under draws that have not seen it; None where chains disagree."""
    import arviz_stats as az

    fitted, scale = without_cell(fit, cell)
    densities, _ = by_cell(fit.cells, fit.blocks, fitted.reshape(-1, fitted.shape[-1]), scale.ravel())
    mine = densities[:, cell].reshape(scale.shape)
    return mine if float(az.rhat(mine)) <= RHAT_ANY else None


def _tree(fit: Fit, unit: Unit) -> xr.DataTree:
    """The draws, with the log likelihood of these units."""
    if unit == "block":
        return fit.draws
    densities, _ = by_cell(fit.cells, fit.blocks, fit.variable("fitted"), fit.variable("sd_departure"))
    posterior = fit.draws["posterior"].to_dataset()
    shaped = densities.reshape(posterior.sizes["chain"], posterior.sizes["draw"], -1)
    likelihood = xr.Dataset({"answers": (("chain", "draw", "cell"), shaped)})
    return xr.DataTree.from_dict({"posterior": posterior, "log_likelihood": likelihood})


def difference(one: Loo, other: Loo) -> tuple[float, float]:
    """By how much the first predicts better, and the standard error, over the same units."""
    apart = one.each - other.each
    return float(apart.sum()), float(np.sqrt(len(apart)) * apart.std())
