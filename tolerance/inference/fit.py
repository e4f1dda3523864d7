"""Sampling: cells -> posterior draws. A short pilot sets the centring, then four chains; remembered by content.

`fit` does no more than its inputs ask for: an unchanged fit is read back from the analysis folder, and the seed follows
from the data unless it is given, so the same outcomes give the same draws (to the bit on one machine with one build).
"""

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import xarray as xr

from tolerance.data.cells import Cells
from tolerance.data.manifest import versions
from tolerance.data.prepared import Outcomes, prepare
from tolerance.inference.draws import tree
from tolerance.inference.folder import opened, require_room
from tolerance.inference.saved import PACKAGES, Fit, key_of, read_kept, seed_of
from tolerance.inference.settings import Settings
from tolerance.inference.warmup import Floats, after_pilot, final_blocks, pilot_run, plug_in, suited
from tolerance.model import covariance, density
from tolerance.model.parameters import Parameters
from tolerance.model.transform import Meaning, accuracies, meaning

Stage = Callable[[str], None]


def fit(
    outcomes: Outcomes,
    *,
    settings: Settings | None = None,
    seed: int | None = None,
    folder: str | os.PathLike[str] | None = None,
    force: bool = False,
    stage: Stage | None = None,
    before: Fit | None = None,
) -> Fit:
    """Fit the hierarchical tolerance model to validated outcomes.

    With ``folder``, an unchanged fit is read from there and a new one is saved there; ``force`` writes over one of
    another run. ``stage`` is told what is being done, for progress. The seed defaults to one that follows from the
    data. ``before`` is an earlier fit of the same outcomes, from whose draws this one begins.

    Raises:
        DesignError: the outcomes hold nothing to fit.
        StoreError: the folder cannot be written to, holds something else or another run's analysis, or another process
            writes there (all before anything is sampled); or the saved draws cannot be read.
    """
    settings, tell = settings or Settings(), stage or (lambda _: None)
    if before is not None:
        settings = replace(settings, after=before.key)
    folder = None if folder is None else Path(folder)
    prepared = prepare(outcomes)
    cells = prepared.cells
    seed = seed_of(prepared.content) if seed is None else seed
    key = key_of(prepared.content, settings, seed)

    def made() -> Fit:
        return Fit(cells, _sample(cells, settings, seed, key, before, tell), settings, seed, key, versions(PACKAGES))

    if folder is None:
        return made()
    with opened(folder, prepared.outcomes, force=force):
        if (kept := read_kept(folder, key, cells, settings, seed)) is not None:
            return kept
        require_room(folder, _size(cells, settings))
        done = made()
        done.save(folder)
    return done


def _sample(cells: Cells, settings: Settings, seed: int, key: str, before: Fit | None, stage: Stage) -> xr.DataTree:
    """A pilot with independent items, or an earlier fit, sets centring, covariances and where the chains start."""
    parameters = Parameters(cells, settings.priors)
    settings = suited(settings, parameters)
    if before is None:
        stage("pilot run")
        m, pilot = _piloted(parameters, settings, seed)
    else:
        m, pilot = _earlier(before)
    final = final_blocks(cells, settings.likelihood, *plug_in(parameters, m))
    stage("sampling")
    design, positions, statistics = after_pilot(parameters, final, pilot, m, settings, seed)
    drawn = tree(parameters, design, final, positions, statistics, seed)
    drawn.attrs["fit"] = key
    return drawn


def _piloted(parameters: Parameters, settings: Settings, seed: int) -> tuple[Meaning, Floats]:
    """Draws of a short run with independent items, and what they mean."""
    cells = parameters.cells
    observed = (cells.right + 0.5) / (cells.n + 1)
    plain = covariance.independent(cells)
    design = density.design(
        parameters, covariance.blocks(cells, observed, plain, covariance.departures(cells, observed))
    )
    pilot = pilot_run(parameters, design, settings, seed)
    return meaning(pilot, parameters, design), pilot


def _earlier(before: Fit) -> tuple[Meaning, Floats]:
    """Draws of an earlier fit, and what they mean; its priors may have been others."""
    kept = before.draws["coordinates"]
    positions, lambdas = (np.asarray(kept[name]) for name in ("position", "centring"))
    return meaning(positions, Parameters(before.cells, before.settings.priors), density.Design([], lambdas)), positions


def _size(cells: Cells, settings: Settings) -> int:
    """Bytes of the draws before they are compressed: accuracies and log densities by cell, and the parameters."""
    parameters = Parameters(cells, settings.priors)
    settings = suited(settings, parameters)
    by_cell, by_parameter = 4 * 3 + 8, 8
    a_draw = by_cell * len(cells.frame) + by_parameter * parameters.size
    return settings.chains * settings.draws * a_draw


def without_cell(fit: Fit, cell: int) -> tuple[Floats, Floats]:
    """What draws that have not seen one cell say: accuracy that curves give each cell, and the departures' sigma.

    ``(chain, draw, cell)`` and ``(chain, draw)``; the covariance of the other cells stays that of the fit.
    """
    parameters = Parameters(fit.cells, fit.settings.priors)
    settings = suited(fit.settings, parameters)
    others = covariance.without(fit.blocks, cell)
    design = density.design(parameters, others)
    pilot = pilot_run(parameters, design, settings, fit.seed)
    m = meaning(pilot, parameters, design)
    design, positions, _ = after_pilot(parameters, others, pilot, m, settings, fit.seed)
    chains, draws, size = positions.shape
    m = meaning(positions.reshape(-1, size), parameters, design)
    fitted = accuracies(m, parameters).reshape(chains, draws, -1)
    return fitted, np.exp(m.log_scales["departure"]).reshape(chains, draws)
