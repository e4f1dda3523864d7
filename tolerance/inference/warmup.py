"""Pilot, centring and start: where the chains begin, and on which coordinates."""

from dataclasses import replace

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from scipy.optimize import minimize

from tolerance.data.cells import Cells
from tolerance.inference.nuts import sample
from tolerance.inference.preconditioning import straightened
from tolerance.inference.settings import Likelihood, Settings
from tolerance.model import covariance, density
from tolerance.model.covariance import Covariance
from tolerance.model.parameters import DEPARTURE, Parameters
from tolerance.model.transform import Meaning, accuracies, location_slopes

# Designs of more parameters are sampled twice as long at once: on 1,083 shorter chains were mostly refused.
WIDE = 1000
# Where few curves or few levels, or several configurations, leave scales of effects to their priors, with larger steps
# transitions diverge and the first attempt is lost: the share of steps that may be refused is so many times smaller.
FEW_CURVES, FEW_LEVELS = 12, 4
CAREFUL, CAREFUL_OF_SEVERAL = 3, 5
# The share of divergent transitions that a fit may have.
DIVERGENT = 0.001
# Steps towards the pilot's start at most; one that is not quite at the top is as good.
CLIMB = 500
Floats = NDArray[np.float64]


def suited(settings: Settings, parameters: Parameters) -> Settings:
    """The settings for a design: longer for a large one, smaller steps for a thin one."""
    cells, several = parameters.cells, len(parameters.cells.configs) > 1
    few = len(cells.sparsifiers) * len(cells.tasks) <= FEW_CURVES
    levels = cells.frame["sparsity_requested"][cells.frame["sparsity"] > 0].nunique()
    careful = CAREFUL_OF_SEVERAL if several else CAREFUL if few or levels <= FEW_LEVELS else 1
    settings = replace(settings, target_accept=1 - (1 - settings.target_accept) / careful)
    if parameters.size <= WIDE:
        return settings
    lengths = ("tune", "draws", "pilot_tune", "pilot_draws")
    return replace(settings, **{name: 2 * getattr(settings, name) for name in lengths})


def after_pilot(
    parameters: Parameters,
    blocks: Covariance,
    pilot: Floats,
    m: Meaning,
    settings: Settings,
    seed: int,
) -> tuple[density.Design, Floats, xr.Dataset]:
    """The chains proper, centred as the pilot says and started where it was; with the design of their positions."""
    design = density.design(parameters, blocks, centring(parameters, m))
    starts = _recentred(parameters, design, pilot, m)
    coordinates = straightened(design, starts)
    z, statistics = _chains(coordinates.log_density(design), coordinates.coordinates(starts), settings, seed)
    return design, coordinates.positions(z), statistics


def _chains(at: density.LogDensity, starts: Floats, settings: Settings, seed: int) -> tuple[Floats, xr.Dataset]:
    """All chains; or the first half of them, where so many transitions diverged that whatever follows is refused."""
    first = settings.chains // 2
    parts: list[tuple[Floats, xr.Dataset]] = []
    for n, chains in enumerate((first, settings.chains - first)):
        if chains:
            parts.append(
                sample(
                    at,
                    starts,
                    draws=settings.draws,
                    tune=settings.tune,
                    chains=chains,
                    cores=settings.cores,
                    seed=seed + 2 * n,
                    target_accept=settings.target_accept,
                )
            )
        if sum(int(part["diverging"].sum()) for _, part in parts) > DIVERGENT * settings.chains * settings.draws:
            break
    statistics = xr.concat([part for _, part in parts], "chain")
    return np.concatenate([z for z, _ in parts]), statistics.assign_coords(chain=np.arange(statistics.sizes["chain"]))


def pilot_run(parameters: Parameters, design: density.Design, settings: Settings, seed: int) -> Floats:
    """Positions of a short run ``(draw, size)``."""
    at = density.log_density(design)
    positions, _ = sample(
        at,
        _top(parameters, at)[None],
        draws=settings.pilot_draws,
        tune=settings.pilot_tune,
        chains=2,
        cores=settings.cores,
        seed=seed + 1,
        target_accept=0.8,
    )
    return positions.reshape(-1, parameters.size)


def _top(parameters: Parameters, at: density.LogDensity) -> Floats:
    """Where the density is highest while all scales are at the medians of their priors ``(size,)``.

    From far away the sampler takes very many very small steps before it finds its way. Scales are held because with
    them there is no top: the density grows without end as a scale and its effects go to 0.
    """
    top, free = parameters.centre(), ~parameters.is_scale

    def downhill(values: Floats) -> tuple[float, Floats]:
        position = top.copy()
        position[free] = values
        value, gradient = at(position)
        return -value, -gradient[free]

    top[free] = minimize(downhill, top[free], jac=True, method="L-BFGS-B", options={"maxiter": CLIMB}).x
    return top


def final_blocks(cells: Cells, likelihood: Likelihood, accuracy: Floats, slope: Floats) -> Covariance:
    """Covariance and departures of the chains proper, with the pilot's accuracies plugged in."""
    noise = covariance.paired(cells, accuracy) if likelihood == "paired" else covariance.independent(cells)
    departures = covariance.departures(cells, accuracy, _shifting(cells, slope))
    if likelihood == "independent":
        departures = [np.zeros_like(one) for one in departures]
    return covariance.blocks(cells, accuracy, noise, departures)


def plug_in(parameters: Parameters, m: Meaning) -> tuple[Floats, Floats]:
    """Posterior means, over a pilot, of each cell's accuracy and of its slope in the log location ``(cell,)``."""
    accuracy = accuracies(m, parameters)
    return accuracy.mean(axis=0), location_slopes(m, accuracy, parameters).mean(axis=0)


def _shifting(cells: Cells, slope: Floats) -> Floats:
    """Slopes of cells whose curve is measured under several configurations: elsewhere a shift is the curve's own."""
    frame = cells.frame.assign(config=cells.config)
    several = frame.groupby(["sparsifier", "task"])["config"].transform("nunique").to_numpy() > 1
    return np.where(several, slope, 0.0)


def centring(parameters: Parameters, m: Meaning) -> dict[str, Floats]:
    """The share of centring of each effect, from its information in a pilot run.

    lambda = 1 - min(Var(non-centred coordinate), Var(effect) / sd^2): 0 where the data say nothing, towards 1 where
    they say everything.
    """
    shares = {}
    for name, effect in m.effects.items():
        away = effect / np.exp(m.log_scales[name])[:, None]
        variance = np.exp(2 * m.log_scales[name].mean())
        share = 1 - np.minimum(away.var(axis=0), (effect + m.means[name]).var(axis=0) / variance)
        shares[name] = np.clip(share, 0.0, 1.0).reshape(parameters.shapes[f"{name}_z"])
    return shares


def _recentred(parameters: Parameters, design: density.Design, positions: Floats, m: Meaning) -> Floats:
    """The same effects as positions of a design with other shares of centring, or other priors of scales."""
    out = positions.copy()
    for name, log_scale in m.log_scales.items():
        scale = DEPARTURE if name == "departure" else f"sd_{name}"
        median, spread = parameters.scale(scale)
        out[:, parameters.where[f"{scale}_z"]] = ((log_scale - np.log(median)) / spread)[:, None]
    for name, effect in m.effects.items():
        place = parameters.where[f"{name}_z"]
        weight = design.lambdas[place]
        out[:, place] = weight * m.means[name] + effect * np.exp(-(1 - weight) * m.log_scales[name][:, None])
    return out
