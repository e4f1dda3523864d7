"""Sampling: cells -> posterior draws. A short pilot sets the centring, then four chains; remembered by content.

`fit` does no more than its inputs ask for: an unchanged fit is read back from the analysis folder, and the seed follows
from the data unless it is given, so the same outcomes give the same draws (to the bit on one machine with one build).
"""

import hashlib
import json
import shutil
import warnings
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from tolerance import blocks as blocking
from tolerance import curves, density, pointwise
from tolerance.blocks import Blocks
from tolerance.cells import Cells, collapse
from tolerance.errors import StoreError
from tolerance.manifest import digest, versions
from tolerance.parameters import DEPARTURE, SCALED, Parameters
from tolerance.priors import PRIORS, Priors
from tolerance.store import write_atomically

DRAWS, FACTS = "draws.zarr", "fit.json"
PACKAGES = ("sparsity-tolerance", "pymc", "nutpie", "pytensor", "numba", "arviz", "numpy", "scipy", "pandas", "xarray")
Stage = Callable[[str], None]
Floats = NDArray[np.float64]
# Whether cells that asked the same items are correlated, and whether cells may depart from the curve.
Likelihood = Literal["paired", "over-dispersed", "independent"]


@dataclass(frozen=True)
class Settings:
    """How to sample. The pilot runs half as many warm-up steps on half the chains."""

    chains: int = 4
    tune: int = 400
    draws: int = 400
    pilot_tune: int = 200
    pilot_draws: int = 100
    target_accept: float = 0.9
    cores: int = 2
    likelihood: Likelihood = "paired"
    priors: Priors = field(default_factory=lambda: PRIORS)


@dataclass(frozen=True)
class Fit:
    """Posterior draws as an xarray `DataTree` that ArviZ reads directly, with the cells they rest on.

    Coordinates: chain, draw, task, sparsifier, config. ``posterior`` holds dense (logit), loc (log halvings),
    shape (log), tail, floor, the hierarchical means and log scales, and accuracy ``(chain, draw, cell)``.
    """

    cells: Cells
    draws: xr.DataTree
    settings: Settings
    seed: int
    key: str
    packages: dict[str, str]

    def variable(self, name: str, *, at_most: int | None = None) -> NDArray[np.float64]:
        """Draws of one variable, chain after chain ``(draw, ...)``, each chain thinned so that ``at_most`` are left."""
        values: NDArray[np.float64] = np.asarray(self.draws["posterior"][name], dtype=np.float64)
        thinned = values[:, :: self.step(at_most)]
        return thinned.reshape(-1, *values.shape[2:])

    def step(self, at_most: int | None) -> int:
        """Every how many draws one is taken so that ``at_most`` are left."""
        sizes = self.draws["posterior"].sizes
        return 1 if at_most is None else max(1, -(-sizes["chain"] * sizes["draw"] // at_most))

    @cached_property
    def blocks(self) -> Blocks:
        """Covariance of the cells that the draws rest on."""
        held = self.draws["constant_data"]
        return Blocks(**{name: np.asarray(held[name]) for name in Blocks.__dataclass_fields__})

    def save(self, folder: Path) -> None:
        """Write draws and facts into an analysis folder, whole or not at all."""
        folder.mkdir(parents=True, exist_ok=True)
        beside = folder / f".{DRAWS}.tmp"
        shutil.rmtree(beside, ignore_errors=True)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # zarr's notes on its own format versions
            self.draws.to_zarr(beside, mode="w", consolidated=False)
        # Without facts draws are nobody's: a save that is cut short can't leave old facts beside new draws.
        (folder / FACTS).unlink(missing_ok=True)
        shutil.rmtree(folder / DRAWS, ignore_errors=True)
        beside.rename(folder / DRAWS)
        facts = {"key": self.key, "seed": self.seed, "settings": asdict(self.settings), "packages": self.packages}
        write_atomically(folder / FACTS, (json.dumps(facts, indent=2, sort_keys=True) + "\n").encode())


def fit(
    outcomes: pd.DataFrame,
    *,
    settings: Settings | None = None,
    seed: int | None = None,
    folder: Path | None = None,
    stage: Stage | None = None,
) -> Fit:
    """Fit the hierarchical tolerance model to validated outcomes.

    With ``folder``, an unchanged fit is read from there and a new one is saved there. ``stage`` is told what is being
    done, for progress. The seed defaults to one that follows from the data.

    Raises:
        DesignError: the outcomes hold nothing to fit.
        StoreError: the saved draws cannot be read.
    """
    settings = settings or Settings()
    cells = collapse(outcomes)
    seed = _seed(cells) if seed is None else seed
    key = _key(cells, settings, seed)
    if folder is not None and (kept := _kept(folder, key, cells, settings, seed)) is not None:
        return kept
    draws = _sample(cells, settings, seed, stage or (lambda _: None))
    done = Fit(cells, draws, settings, seed, key, versions(PACKAGES))
    if folder is not None:
        done.save(folder)
    return done


def saved_among(outcomes: pd.DataFrame, settings: Sequence[Settings], seed: int | None, folder: Path) -> int | None:
    """Which of several settings the fit saved in a folder was made with, if it is of these outcomes."""
    if (saved := _saved_facts(folder)) is None:
        return None
    cells = collapse(outcomes)
    seed = _seed(cells) if seed is None else seed
    keys = [_key(cells, one, seed) for one in settings]
    return keys.index(saved["key"]) if saved.get("key") in keys else None


def _seed(cells: Cells) -> int:
    return int(content_hash(cells)[:8], 16) % 2**31


def _key(cells: Cells, settings: Settings, seed: int) -> str:
    """Hash of data, settings, seed and model."""
    return digest([content_hash(cells), asdict(settings), seed, _model_hash()])


def content_hash(cells: Cells) -> str:
    """SHA-256 of what enters the likelihood."""
    rows = pd.util.hash_pandas_object(cells.frame, index=False).to_numpy()
    pairs = b"".join(pair.products.tobytes() + pair.common.tobytes() for pair in cells.pairs)
    return hashlib.sha256(rows.tobytes() + json.dumps(cells.chance).encode() + pairs).hexdigest()


def _sample(cells: Cells, settings: Settings, seed: int, stage: Stage) -> xr.DataTree:
    """A pilot with independent items sets the centring and the blocks' covariance; then the chains."""
    parameters = Parameters(cells, settings.priors)
    observed = (cells.right + 0.5) / (cells.n + 1)
    start = blocking.blocks(cells, blocking.independent(cells), blocking.departures(cells, observed))
    stage("pilot run")
    design = density.design(parameters, start)
    pilot, _ = _chains(design, settings.pilot_draws, settings.pilot_tune, 2, settings.cores, seed + 1, 0.9)
    final = _final_blocks(cells, settings.likelihood, *plug_in(design, pilot))
    design = density.design(parameters, final, centring(parameters, design, pilot))
    stage("sampling")
    positions, statistics = _chains(
        design, settings.draws, settings.tune, settings.chains, settings.cores, seed, settings.target_accept
    )
    return _tree(parameters, design, final, positions, statistics, seed)


def _final_blocks(cells: Cells, likelihood: Likelihood, accuracy: Floats, slope: Floats) -> Blocks:
    noise = blocking.paired(cells, accuracy) if likelihood == "paired" else blocking.independent(cells)
    departures = blocking.departures(cells, accuracy, _shifting(cells, slope))
    if likelihood == "independent":
        departures = [np.zeros_like(one) for one in departures]
    return blocking.blocks(cells, noise, departures)


def _chains(
    design: density.Design, draws: int, tune: int, chains: int, cores: int, seed: int, target_accept: float
) -> tuple[Floats, xr.Dataset]:
    """Positions ``(chain, draw, size)`` and the sampler's statistics."""
    import nutpie
    from nutpie.compiled_pyfunc import from_pyfunc

    size = len(design.lambdas)

    def log_density(position: Floats) -> tuple[float, Floats]:
        # the sampler's own array is read-only, which would be compiled a second time
        value, gradient = density.log_density(position.copy(), design)
        return value, gradient

    def expand(position: Floats) -> dict[str, Floats]:
        return {"position": position}

    model = from_pyfunc(
        size,
        lambda: log_density,
        lambda *_: expand,
        [np.dtype("float64")],
        [(size,)],
        ["position"],
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
    return np.asarray(tree["posterior"]["position"], dtype=np.float64), tree["sample_stats"].to_dataset()


def plug_in(design: density.Design, positions: Floats) -> tuple[Floats, Floats]:
    """Posterior means, over a pilot, of each cell's accuracy and of its slope in the log location ``(cell,)``."""
    each = [density.values(position, design) for position in positions.reshape(-1, positions.shape[-1])]
    accuracy = np.mean([density.accuracies(value, design) for value in each], axis=0)
    return accuracy, np.mean([density.location_slopes(value, design) for value in each], axis=0)


def _shifting(cells: Cells, slope: Floats) -> Floats:
    """Slopes of cells whose curve is measured under several configurations: elsewhere a shift is the curve's own."""
    frame = cells.frame.assign(config=cells.config)
    several = frame.groupby(["sparsifier", "task"])["config"].transform("nunique").to_numpy() > 1
    return np.where(several, slope, 0.0)


def centring(parameters: Parameters, design: density.Design, positions: Floats) -> dict[str, Floats]:
    """The share of centring of each effect, from its information in a pilot run.

    lambda = 1 - min(Var(non-centred coordinate), Var(effect) / sd^2): 0 where the data say nothing, towards 1 where
    they say everything.
    """
    flat = positions.reshape(-1, positions.shape[-1])
    each = [density.values(position, design) for position in flat]
    log_scales = dict(zip(SCALED, np.array([value.log_scales for value in each]).T[: len(SCALED)], strict=True))
    leaves = {
        "dense_task": np.array([(value.by_task, value.means[0]) for value in each]),
        "dense_config": np.array([(value.dense, value.means[1]) for value in each]),
        "loc_curve": np.array([(value.loc, value.means[2]) for value in each]),
        "shape_curve": np.array([(value.shape, value.means[3]) for value in each]),
        "loc_config": np.array([(value.loc_config @ design.contrasts_config, value.means[4]) for value in each]),
    }
    shares = {}
    for name in parameters.scaled:
        sd = np.exp(log_scales[name])[:, None]
        place = parameters.where[f"{name}_z"]
        if name in leaves:
            effect, mean = leaves[name][:, 0], leaves[name][:, 1]
        else:
            effect = flat[:, place] * sd ** (1 - design.lambdas[place])
            mean = np.zeros_like(effect)
        away = (effect - mean) / sd
        variance = np.exp(2 * log_scales[name].mean())
        share = 1 - np.minimum(away.var(axis=0), effect.var(axis=0) / variance)
        shares[name] = np.clip(share, 0.0, 1.0).reshape(parameters.shapes[f"{name}_z"])
    return shares


def _tree(
    parameters: Parameters,
    design: density.Design,
    blocks: Blocks,
    positions: Floats,
    statistics: xr.Dataset,
    seed: int,
) -> xr.DataTree:
    """Draws with names and dimensions."""
    cells = parameters.cells
    chains, draws, size = positions.shape
    flat = positions.reshape(-1, size)
    normals = np.random.default_rng(seed).standard_normal((len(flat), len(cells.frame)))
    fitted, departure = density.explained(flat, design, blocks.unwhitening, normals)
    each = [density.values(position, design) for position in flat]
    tasks, methods, configs = len(cells.tasks), len(cells.sparsifiers), len(cells.configs)
    log_scales = np.array([value.log_scales for value in each])
    found: dict[str, tuple[tuple[str, ...], Floats]] = {
        "dense": (("task", "config"), np.array([v.dense for v in each]).reshape(-1, tasks, configs)),
        "loc": (("sparsifier", "task"), np.array([v.loc for v in each]).reshape(-1, methods, tasks)),
        "loc_config": (("config",), np.array([v.loc_config for v in each])),
        "shape": (("sparsifier", "task"), np.array([v.shape for v in each]).reshape(-1, methods, tasks)),
        "departure_type": (("knot",), np.array([v.increments for v in each])),
        "tail": ((), np.array([v.tail for v in each])),
        "floor": (("task",), np.array([v.floor for v in each])),
        "fitted": (("cell",), fitted.astype(np.float32)),
        "departure": (("cell",), departure.astype(np.float32)),
        "accuracy": (("cell",), curves.departed(fitted, departure).astype(np.float32)),
    }
    for name in ("dense_mean", "loc_mean", "shape_mean"):
        found[name] = ((), flat[:, parameters.where[name].start])
    for g, name in enumerate((*(f"sd_{n}" for n in SCALED), DEPARTURE)):
        if f"{name}_z" in parameters.where:
            found[name] = ((), np.exp(log_scales[:, g]))
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
        {name: ((f"{name}_place",), np.asarray(getattr(blocks, name))) for name in Blocks.__dataclass_fields__}
    )
    densities = pointwise.groups(parameters, blocks, positions, fitted, found[DEPARTURE][1])
    return xr.DataTree.from_dict(
        {"posterior": posterior, "sample_stats": statistics[kept], "constant_data": held, **densities}
    )


def _kept(folder: Path, key: str, cells: Cells, settings: Settings, seed: int) -> Fit | None:
    """The fit saved in this folder, if it is of the same data, model and settings."""
    facts = _saved_facts(folder)
    if facts is None or facts.get("key") != key:
        return None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            draws = xr.open_datatree(folder / DRAWS, engine="zarr", consolidated=False).load()
    except (ValueError, KeyError, OSError) as error:
        raise StoreError(f"{folder}: saved draws cannot be read ({error}). Remove the folder and fit again.") from error
    return Fit(cells, draws, settings, seed, key, facts["packages"])


def _saved_facts(folder: Path) -> dict[str, Any] | None:
    """What is said of the draws in a folder; None where nothing is saved."""
    if not (folder / FACTS).is_file():
        return None
    try:
        facts: dict[str, Any] = json.loads((folder / FACTS).read_text())
    except ValueError as error:
        raise StoreError(f"{folder / FACTS}: cannot be read ({error}). Remove the folder and fit again.") from error
    return facts


def _model_hash() -> str:
    """Changes whenever the text of the model, of the curve, or of what is kept beside the draws does."""
    here = Path(__file__).parent
    names = ("model.py", "parameters.py", "density.py", "blocks.py", "curves.py", "pointwise.py")
    return hashlib.sha256(b"".join((here / name).read_bytes() for name in names)).hexdigest()
