"""Posterior draws with names and dimensions, as ArviZ reads them."""

import numpy as np
import xarray as xr

from tolerance.inference.warmup import Floats
from tolerance.model import curve, density, log_likelihood
from tolerance.model.covariance import Covariance
from tolerance.model.parameters import Parameters
from tolerance.model.transform import accuracies, departures, meaning

# So many positions of the sampler are kept, from which a later fit of the same answers can begin.
BEGINNINGS = 256


def tree(
    parameters: Parameters,
    design: density.Design,
    blocks: Covariance,
    positions: Floats,
    statistics: xr.Dataset,
    seed: int,
) -> xr.DataTree:
    """Draws with names and dimensions."""
    cells = parameters.cells
    chains, draws, size = positions.shape
    flat = positions.reshape(-1, size)
    m = meaning(flat, parameters, design)
    fitted = accuracies(m, parameters)
    departure = departures(m, fitted, parameters, blocks, np.random.default_rng(seed))
    found: dict[str, tuple[tuple[str, ...], Floats]] = {
        "dense": (("task", "config"), m.dense),
        "loc": (("sparsifier", "task", "config"), m.loc),
        "shape": (("sparsifier", "task", "config"), m.shape),
        "departure_type": (("increment",), m.increments),
        "tail": ((), m.tail),
        "floor": (("task",), m.floor),
        "fitted": (("cell",), fitted.astype(np.float32)),
        "departure": (("cell",), departure.astype(np.float32)),
        "accuracy": (("cell",), curve.departed(fitted, departure).astype(np.float32)),
    }
    for name in ("dense_mean", "loc_mean", "shape_mean"):
        found[name] = ((), flat[:, parameters.where[name].start])
    for name, log_scale in m.log_scales.items():
        found[f"sd_{name}"] = ((), np.exp(log_scale))
    posterior = xr.Dataset(
        {n: (("chain", "draw", *dims), v.reshape(chains, draws, *v.shape[1:])) for n, (dims, v) in found.items()},
        coords={
            "chain": np.arange(chains),
            "draw": np.arange(draws),
            "task": list(cells.tasks),
            "sparsifier": list(cells.sparsifiers),
            "config": [f"{model} @ {context}" for model, context in cells.configs],
        },
    )
    kept = [v for v in ("diverging", "energy", "depth", "n_steps", "step_size", "logp") if v in statistics]
    held = xr.Dataset(
        {name: ((f"{name}_place",), np.asarray(getattr(blocks, name))) for name in Covariance.__dataclass_fields__}
    )
    some = flat[np.linspace(0, len(flat) - 1, min(BEGINNINGS, len(flat))).astype(int)]
    beginnings = xr.Dataset({"position": (("beginning", "place"), some), "centring": (("place",), design.lambdas)})
    densities = log_likelihood.groups(parameters, blocks, positions, fitted, found["sd_departure"][1])
    return xr.DataTree.from_dict(
        {
            "posterior": posterior,
            "sample_stats": statistics[kept],
            "constant_data": held,
            "coordinates": beginnings,
            **densities,
        }
    )
