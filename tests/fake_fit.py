"""A fit without sampling: cells of a table, and draws scattered around stated curves. For what is asked of draws."""

import numpy as np
import pandas as pd
import xarray as xr

from tolerance.data.cells import Cells, collapse
from tolerance.inference.saved import Fit
from tolerance.inference.settings import Settings
from tolerance.model.knots import knots_of


def fake_fit(
    outcomes: pd.DataFrame | Cells,
    *,
    chains: int = 4,
    draws: int = 100,
    loc: float = 0.8,
    spread: float = 0.3,
    departure: float = 0.02,
    seed: int = 0,
) -> Fit:
    """Draws whose log locations scatter by ``spread`` around ``loc``, between curves and between draws."""
    cells = outcomes if isinstance(outcomes, Cells) else collapse(outcomes)
    rng = np.random.default_rng(seed)
    methods, tasks, configs = len(cells.sparsifiers), len(cells.tasks), len(cells.configs)

    def scattered(centre: float, width: float, *shape: int) -> np.ndarray:
        own = centre + width * rng.standard_normal(shape)
        return own + width / 3 * rng.standard_normal((chains, draws, *shape))

    chance = np.asarray(cells.chance)
    found = {
        "dense": (("task", "config"), scattered(2.0, 0.3, tasks, configs)),
        "loc": (("sparsifier", "task", "config"), scattered(loc, spread, methods, tasks, configs)),
        "shape": (("sparsifier", "task", "config"), scattered(0.8, 0.3, methods, tasks, configs)),
        "tail": ((), np.exp(scattered(-0.9, 0.2))),
        "floor": (("task",), np.broadcast_to(chance, (chains, draws, tasks)).copy()),
        "departure": (("cell",), scattered(0.0, departure, len(cells.frame)).astype(np.float32)),
        "sd_departure": ((), np.full((chains, draws), departure)),
        "departure_type": (("increment",), scattered(0.0, departure, len(knots_of(cells).knot))),
        "sd_departure_type": ((), np.full((chains, draws), departure)),
    }
    posterior = xr.Dataset({name: (("chain", "draw", *dims), values) for name, (dims, values) in found.items()})
    tree = xr.DataTree.from_dict({"posterior": posterior})
    return Fit(cells, tree, Settings(chains=chains, draws=draws), seed, f"fake-{seed}", {})
