"""Sampling: cells -> posterior draws. A short pilot sets the centring, then four chains; remembered by content.

`fit` does no more than its inputs ask for: an unchanged fit is read back from the analysis folder, and the seed follows
from the data unless it is given, so the same outcomes give the same draws (to the bit on one machine with one build).
"""

import hashlib
import json
import shutil
import warnings
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray
from scipy.optimize import minimize

from tolerance.data.cells import Cells, collapse
from tolerance.data.manifest import digest, versions
from tolerance.data.run_folder import write_atomically
from tolerance.errors import StoreError
from tolerance.inference.nuts import sample
from tolerance.inference.preconditioning import straightened
from tolerance.model import covariance, curve, density, log_likelihood
from tolerance.model.covariance import Blocks
from tolerance.model.parameters import Parameters
from tolerance.model.priors import PRIORS, Priors
from tolerance.model.transform import Meaning, accuracies, departures, location_slopes, meaning

DRAWS, FACTS = "draws.zarr", "fit.json"
PACKAGES = ("sparsity-tolerance", "pymc", "nutpie", "pytensor", "numba", "arviz", "numpy", "scipy", "pandas", "xarray")
# The files that say what is sampled.
MODEL = (
    *("model/pymc_model.py", "model/parameters.py", "model/density.py", "model/numba_math.py", "model/transform.py"),
    *("model/covariance.py", "model/curve.py", "model/log_likelihood.py"),
    *("inference/preconditioning.py", "inference/nuts.py"),
)
# Designs of more parameters are sampled twice as long at once: on 1,083 shorter chains were mostly refused.
WIDE = 600
# Steps towards the pilot's start at most; one that is not quite at the top is as good.
CLIMB = 500
Stage = Callable[[str], None]
Floats = NDArray[np.float64]
# Whether cells that asked the same items are correlated, and whether cells may depart from the curve.
Likelihood = Literal["paired", "over-dispersed", "independent"]


@dataclass(frozen=True)
class Settings:
    """How to sample. The pilot runs on two chains."""

    chains: int = 4
    tune: int = 150
    draws: int = 700
    pilot_tune: int = 100
    pilot_draws: int = 100
    target_accept: float = 0.85
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
    key = _key(content_hash(cells), settings, seed)
    if folder is not None and (kept := _kept(folder, key, cells, settings, seed)) is not None:
        return kept
    draws = _sample(cells, settings, seed, stage or (lambda _: None))
    done = Fit(cells, draws, settings, seed, key, versions(PACKAGES))
    if folder is not None:
        done.save(folder)
    return done


def read_fit(outcomes: pd.DataFrame, folder: Path) -> Fit:
    """The fit that was saved in an analysis folder, which must be one of these outcomes.

    Raises:
        StoreError: no fit is saved there, or it is of other outcomes or of another version of the model.
    """
    facts = _saved_facts(folder)
    if facts is None:
        raise StoreError(f"{folder}: no fit ({FACTS} missing). Give the --out of tolerance fit.")
    cells, asked = collapse(outcomes), facts["settings"]
    priors: dict[str, Any] = {name: tuple(v) if isinstance(v, list) else v for name, v in asked["priors"].items()}
    try:
        settings = Settings(**{**asked, "priors": Priors(**priors)})
    except TypeError:  # another version's settings
        settings = Settings()
    found = _kept(folder, _key(content_hash(cells), settings, facts["seed"]), cells, settings, facts["seed"])
    if found is None:
        raise StoreError(f"{folder}: the fit is of other outcomes, or of another version. Run tolerance fit again.")
    return found


def saved_among(outcomes: pd.DataFrame, settings: Sequence[Settings], seed: int | None, folder: Path) -> int | None:
    """Which of several settings the fit saved in a folder was made with, if it is of these outcomes."""
    if (saved := _saved_facts(folder)) is None:
        return None
    cells = collapse(outcomes)
    seed = _seed(cells) if seed is None else seed
    content = content_hash(cells)
    keys = [_key(content, one, seed) for one in settings]
    return keys.index(saved["key"]) if saved.get("key") in keys else None


def _seed(cells: Cells) -> int:
    return int(content_hash(cells)[:8], 16) % 2**31


def _key(content: str, settings: Settings, seed: int) -> str:
    """Hash of data (by `content_hash`), settings, seed and model."""
    return digest([content, asdict(settings), seed, _model_hash()])


def content_hash(cells: Cells) -> str:
    """SHA-256 of what enters the likelihood."""
    rows = pd.util.hash_pandas_object(cells.frame, index=False).to_numpy()
    pairs = b"".join(pair.products.tobytes() + pair.common.tobytes() for pair in cells.pairs)
    return hashlib.sha256(rows.tobytes() + json.dumps(cells.chance).encode() + pairs).hexdigest()


def _sample(cells: Cells, settings: Settings, seed: int, stage: Stage) -> xr.DataTree:
    """A pilot with independent items sets the centring, the blocks' covariance and where the chains start."""
    parameters = Parameters(cells, settings.priors)
    settings = _long_enough(settings, parameters)
    observed = (cells.right + 0.5) / (cells.n + 1)
    plain = covariance.independent(cells)
    first = covariance.blocks(cells, observed, plain, covariance.departures(cells, observed))
    stage("pilot run")
    design = density.design(parameters, first)
    pilot = _pilot(parameters, design, settings, seed)
    m = meaning(pilot, parameters, design)
    final = _final_blocks(cells, settings.likelihood, *plug_in(parameters, m))
    stage("sampling")
    design, positions, statistics = _after_pilot(parameters, final, design, pilot, m, settings, seed)
    return _tree(parameters, design, final, positions, statistics, seed)


def without_cell(fit: Fit, cell: int) -> tuple[Floats, Floats]:
    """What draws that have not seen one cell say: accuracy that curves give each cell, and the departures' sigma.

    ``(chain, draw, cell)`` and ``(chain, draw)``; the covariance of the other cells stays that of the fit.
    """
    parameters = Parameters(fit.cells, fit.settings.priors)
    settings = _long_enough(fit.settings, parameters)
    others = covariance.without(fit.blocks, cell)
    design = density.design(parameters, others)
    pilot = _pilot(parameters, design, settings, fit.seed)
    m = meaning(pilot, parameters, design)
    design, positions, _ = _after_pilot(parameters, others, design, pilot, m, settings, fit.seed)
    chains, draws, size = positions.shape
    m = meaning(positions.reshape(-1, size), parameters, design)
    fitted = accuracies(m, parameters).reshape(chains, draws, -1)
    return fitted, np.exp(m.log_scales["departure"]).reshape(chains, draws)


def _long_enough(settings: Settings, parameters: Parameters) -> Settings:
    """The settings for a design of this size."""
    if parameters.size <= WIDE:
        return settings
    lengths = ("tune", "draws", "pilot_tune", "pilot_draws")
    return replace(settings, **{name: 2 * getattr(settings, name) for name in lengths})


def _after_pilot(
    parameters: Parameters,
    blocks: Blocks,
    first: density.Design,
    pilot: Floats,
    m: Meaning,
    settings: Settings,
    seed: int,
) -> tuple[density.Design, Floats, xr.Dataset]:
    """The chains proper, centred as the pilot says and started where it was; with the design of their positions."""
    effects = _effects(parameters, first, pilot, m)
    design = density.design(parameters, blocks, centring(parameters, effects, m))
    starts = _recentred(parameters, design, pilot, effects, m)
    coordinates = straightened(design, starts)
    z, statistics = sample(
        coordinates.log_density(design),
        coordinates.coordinates(starts),
        draws=settings.draws,
        tune=settings.tune,
        chains=settings.chains,
        cores=settings.cores,
        seed=seed,
        target_accept=settings.target_accept,
    )
    return design, coordinates.positions(z), statistics


def _pilot(parameters: Parameters, design: density.Design, settings: Settings, seed: int) -> Floats:
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


def _final_blocks(cells: Cells, likelihood: Likelihood, accuracy: Floats, slope: Floats) -> Blocks:
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


def _effects(
    parameters: Parameters, design: density.Design, positions: Floats, m: Meaning
) -> dict[str, tuple[Floats, Floats]]:
    """Each effect with an estimated scale and the mean it lies around ``(draw, element)``."""
    leaves = {
        "dense_task": m.dense_task,
        "dense_config": m.dense,
        "loc_curve": m.loc,
        "shape_curve": m.shape,
        "loc_config": m.loc_config @ parameters.contrasts["config"],
    }
    found = {}
    for name in parameters.scaled:
        place = parameters.where[f"{name}_z"]
        if name in leaves:
            effect, mean = (values.reshape(len(positions), -1) for values in (leaves[name], m.means[name]))
        else:
            effect = positions[:, place] * np.exp(m.log_scales[name][:, None] * (1 - design.lambdas[place]))
            mean = np.zeros_like(effect)
        found[name] = (effect, mean)
    return found


def centring(parameters: Parameters, effects: dict[str, tuple[Floats, Floats]], m: Meaning) -> dict[str, Floats]:
    """The share of centring of each effect, from its information in a pilot run.

    lambda = 1 - min(Var(non-centred coordinate), Var(effect) / sd^2): 0 where the data say nothing, towards 1 where
    they say everything.
    """
    shares = {}
    for name, (effect, mean) in effects.items():
        away = (effect - mean) / np.exp(m.log_scales[name])[:, None]
        variance = np.exp(2 * m.log_scales[name].mean())
        share = 1 - np.minimum(away.var(axis=0), effect.var(axis=0) / variance)
        shares[name] = np.clip(share, 0.0, 1.0).reshape(parameters.shapes[f"{name}_z"])
    return shares


def _recentred(
    parameters: Parameters,
    design: density.Design,
    positions: Floats,
    effects: dict[str, tuple[Floats, Floats]],
    m: Meaning,
) -> Floats:
    """The same effects as positions of a design with other shares of centring."""
    out = positions.copy()
    for name, (effect, mean) in effects.items():
        place = parameters.where[f"{name}_z"]
        weight = design.lambdas[place]
        out[:, place] = weight * mean + (effect - mean) * np.exp(-(1 - weight) * m.log_scales[name][:, None])
    return out


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
    m = meaning(flat, parameters, design)
    fitted = accuracies(m, parameters)
    departure = departures(m, fitted, parameters, blocks, np.random.default_rng(seed))
    found: dict[str, tuple[tuple[str, ...], Floats]] = {
        "dense": (("task", "config"), m.dense),
        "loc": (("sparsifier", "task"), m.loc),
        "loc_config": (("config",), m.loc_config),
        "shape": (("sparsifier", "task"), m.shape),
        "departure_type": (("knot",), m.increments),
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
        {name: ((f"{name}_place",), np.asarray(getattr(blocks, name))) for name in Blocks.__dataclass_fields__}
    )
    densities = log_likelihood.groups(parameters, blocks, positions, fitted, found["sd_departure"][1])
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
    here = Path(__file__).parent.parent
    return hashlib.sha256(b"".join((here / name).read_bytes() for name in MODEL)).hexdigest()
