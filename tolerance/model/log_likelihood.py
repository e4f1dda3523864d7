"""Log likelihood of blocks and cells, and log prior of the top level, draw by draw, as ArviZ wants them.

The working likelihood of a block (a task at one context length: the cells that asked the same items) is that of its
signed-root residuals, r ~ N(c, R + sigma^2 A), with the departures of cells integrated out. Two terms that no draw
changes make it a log probability of counts: half the log determinant of R, and the binomial log mass at the observed
share. With R the identity and no departures it is then exactly the binomial's, whatever the settings of a fit, so that
fits with other covariances can be compared. Where answers vary less than 0/1 answers it is that of the 0/1 answers
which would vary as much.
"""

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from scipy.special import gammaln, xlogy

from tolerance.data.cells import Cells
from tolerance.model.covariance import Covariance
from tolerance.model.curve import signed_root
from tolerance.model.parameters import Parameters

Floats = NDArray[np.float64]
type Groups = dict[str, xr.Dataset]


def groups(parameters: Parameters, blocks: Covariance, positions: Floats, fitted: Floats, scale: Floats) -> Groups:
    """``log_likelihood`` by block and ``log_prior`` by top-level parameter; positions ``(chain, draw, size)``.

    ``fitted`` ``(chain x draw, cell)`` is what the curves give each cell, ``scale`` the departures' sigma.
    """
    chains, draws = positions.shape[:2]
    at = {"chain": np.arange(chains), "draw": np.arange(draws)}
    likelihood = by_block(parameters.cells, blocks, fitted, scale).reshape(chains, draws, -1)
    prior = {n: (("chain", "draw"), v) for n, v in top_level(parameters, positions).items()}
    names = {"block": block_names(parameters.cells)}
    return {
        "log_likelihood": xr.Dataset({"answers": (("chain", "draw", "block"), likelihood)}, coords={**at, **names}),
        "log_prior": xr.Dataset(prior, coords=at),
    }


def residuals(cells: Cells, fitted: Floats) -> Floats:
    """Signed-root residuals ``(draw, cell)``."""
    return signed_root(_share(cells), cells.weight, fitted)


def by_block(cells: Cells, blocks: Covariance, fitted: Floats, scale: Floats) -> Floats:
    """Log likelihood of each block ``(draw, block)``."""
    residual, mass = residuals(cells, fitted) - blocks.centre, saturated(cells)
    out = np.empty((len(residual), len(blocks.matrices)))
    for b, (group, whitening, spread) in enumerate(blocks.matrices):
        variance = 1 + np.square(scale)[:, None] * spread
        white = residual[:, group] @ whitening.T
        constant = np.linalg.slogdet(whitening)[1] + mass[group].sum()
        out[:, b] = -0.5 * (white**2 / variance + np.log(variance)).sum(1) + constant
    return out


def by_cell(cells: Cells, blocks: Covariance, fitted: Floats, scale: Floats) -> tuple[Floats, Floats]:
    """Log density of each cell given the other cells of its block, and its residual given them; ``(draw, cell)`` both.

    With P the inverse covariance of a block's residuals, a residual given the others is normal with precision P_ii
    around r_i - (P r)_i / P_ii (Buerkner, Gabry & Vehtari 2021, Comput. Stat. 36:1243); it is returned standardised.
    """
    residual, mass = residuals(cells, fitted) - blocks.centre, saturated(cells)
    density, given = np.empty_like(residual), np.empty_like(residual)
    for group, whitening, spread in blocks.matrices:
        precision = 1 / (1 + np.square(scale)[:, None] * spread)
        pulled = ((residual[:, group] @ whitening.T) * precision) @ whitening
        own = precision @ whitening**2
        given[:, group] = pulled / np.sqrt(own)
        density[:, group] = 0.5 * (np.log(own) - pulled**2 / own) + mass[group]
    return density, given


def top_level(parameters: Parameters, positions: Floats) -> dict[str, Floats]:
    """Log prior ``(...,)`` of all that has a prior of fixed location and scale, in the sampler's coordinates.

    Effects whose scale is estimated are left out: scaling their prior too would fight the scales' own (Kallioinen et
    al. 2024, Stat. Comput. 34:57, on hierarchical models).
    """
    centres = parameters.normals
    effects = {f"{name}_z" for name in parameters.scaled}
    return {
        name.removesuffix("_z"): _normal(values, *centres.get(name, (0.0, 1.0)))
        .reshape(*positions.shape[:-1], -1)
        .sum(-1)
        for name, values in parameters.named(positions).items()
        if name not in effects
    }


def saturated(cells: Cells) -> Floats:
    """Binomial log mass of each cell's answers at its observed share ``(cell,)``."""
    n, share = cells.weight, _share(cells)
    right = n * share
    ways = gammaln(n + 1) - gammaln(right + 1) - gammaln(n - right + 1)
    return np.asarray(ways + xlogy(right, share) + xlogy(n - right, 1 - share))


def block_names(cells: Cells) -> list[str]:
    """Task and configurations of each block."""
    return [f"{cells.tasks[cells.task[group[0]]]} | {_configs(cells, group)}" for group in cells.blocks]


def _configs(cells: Cells, group: NDArray[np.int64]) -> str:
    """The model of a block, or how many there are, and its context length."""
    models = sorted({cells.configs[c][0] for c in cells.config[group]})
    context = cells.configs[cells.config[group[0]]][1]
    return f"{models[0] if len(models) == 1 else f'{len(models)} models'} @ {context}"


def _share(cells: Cells) -> Floats:
    return np.clip(cells.right / cells.n, 0.0, 1.0)


def _normal(values: Floats, mean: float, sd: float) -> Floats:
    """Log density of a normal distribution; `scipy.stats` would take a second to import."""
    return np.asarray(-0.5 * np.square((values - mean) / sd) - np.log(sd * np.sqrt(2 * np.pi)))
