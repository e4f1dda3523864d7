"""Chains of the No-U-Turn sampler on a compiled density.

nutpie calls the density as it calls a compiled PyMC model, by its address: chains side by side never wait for the
interpreter, which a density in Python makes them do at every step.
"""

import importlib
import sys
import warnings
from types import ModuleType

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from tolerance.model.density import LogDensity, compiled, copying

Floats = NDArray[np.float64]
# Of coordinates that are about standard normal a priori.
STEP = 1e-3


def sample(
    density: LogDensity,
    starts: Floats,
    *,
    draws: int,
    tune: int,
    chains: int,
    cores: int,
    seed: int,
    target_accept: float,
) -> tuple[Floats, xr.Dataset]:
    """Coordinates ``(chain, draw, size)`` and the sampler's statistics; each chain starts at one of ``starts``."""
    nutpie = _nutpie()
    from nutpie.compile_pymc import CompiledPyMCModel

    size, starts = density.size, _sloping(density, starts)

    def start(chain_seed: int) -> Floats:
        return np.asarray(starts[np.random.default_rng(chain_seed).integers(len(starts))])

    model = CompiledPyMCModel(
        dims={},
        compiled_logp_func=compiled(),
        compiled_expand_func=copying(),
        initial_point_func=start,
        shared_data={},
        shared_var_keys={},
        user_data=density.data,
        n_expanded=size,
        shape_info=(["z"], [slice(0, size)], [(size,)]),
        logp_func=None,
        expand_func=None,
        reparameterized_names=[],
        _n_dim=size,
        _shapes={"z": (size,)},
        _coords={},
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        tree = nutpie.sample(
            model,
            draws=draws,
            tune=tune,
            chains=chains,
            cores=cores,
            seed=seed,
            target_accept=target_accept,
            progress_bar=False,
            save_warmup=False,
        )
    return np.asarray(tree["posterior"]["z"], dtype=np.float64), tree["sample_stats"].to_dataset()


def _sloping(density: LogDensity, starts: Floats) -> Floats:
    """Starts moved a little along coordinates in which the density is exactly level, where nutpie cannot begin.

    Two tasks, or two models, that were answered alike have no effect of their own, and at none the slope is 0.
    """
    moved = starts.copy()
    for start in moved:
        _, slope = density(start)
        start[slope == 0] += STEP
    return moved


def _nutpie() -> ModuleType:
    """nutpie, which imports all of ArviZ for two functions of `arviz_base`; with them alone plotting is not loaded."""
    light = not {"arviz", "nutpie"} & set(sys.modules)
    if light:
        sys.modules["arviz"] = importlib.import_module("arviz_base")
    try:
        return importlib.import_module("nutpie")
    finally:
        if light:
            del sys.modules["arviz"]
