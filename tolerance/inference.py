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
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from tolerance.cells import Cells, collapse
from tolerance.errors import StoreError
from tolerance.manifest import digest, versions
from tolerance.priors import PRIORS, Priors
from tolerance.store import write_atomically

if TYPE_CHECKING:
    from nutpie.sample import CompiledModel

DRAWS, FACTS = "draws.zarr", "fit.json"
PACKAGES = ("sparsity-tolerance", "pymc", "nutpie", "pytensor", "numba", "arviz", "numpy", "scipy", "pandas", "xarray")
Stage = Callable[[str], None]
# Helpers of the sampler, of no use afterwards.
_PILOT_ONLY = ("_away", "_z")
_LAST: "dict[str, CompiledModel]" = {}


@dataclass(frozen=True)
class Settings:
    """How to sample. The pilot runs half as many warm-up steps on half the chains."""

    chains: int = 4
    tune: int = 800
    draws: int = 1000
    pilot_tune: int = 400
    pilot_draws: int = 200
    target_accept: float = 0.95
    cores: int = 2
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
        n_chains, n_draws = values.shape[:2]
        step = 1 if at_most is None else max(1, -(-n_chains * n_draws // at_most))
        thinned = values[:, ::step]
        return thinned.reshape(-1, *values.shape[2:])

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
    return hashlib.sha256(rows.tobytes() + json.dumps(cells.chance).encode()).hexdigest()


def _sample(cells: Cells, settings: Settings, seed: int, stage: Stage) -> xr.DataTree:
    import nutpie

    stage("compiling the model")
    compiled = _compiled(cells, settings.priors)
    common: dict[str, Any] = {"progress_bar": False, "save_warmup": False, "cores": settings.cores}
    stage("pilot run")
    pilot = nutpie.sample(
        compiled, draws=settings.pilot_draws, tune=settings.pilot_tune, chains=2, seed=seed + 1, **common
    )
    stage("sampling")
    draws = nutpie.sample(
        compiled.with_data(**centring(pilot)),
        draws=settings.draws,
        tune=settings.tune,
        chains=settings.chains,
        seed=seed,
        target_accept=settings.target_accept,
        **common,
    )
    return _tidy(draws)


def _compiled(cells: Cells, priors: Priors) -> "CompiledModel":
    """The compiled model; the last one is kept, so that a second, longer run starts at once."""
    import nutpie

    from tolerance.model import build

    key = digest([content_hash(cells), asdict(priors)])
    if key not in _LAST:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # numba and pytensor warn about their own internals
            model = nutpie.compile_pymc_model(build(cells, priors), backend="numba", freeze_model=False)
        _LAST.clear()
        _LAST[key] = model
    return _LAST[key]


def centring(pilot: xr.DataTree) -> dict[str, NDArray[np.float64]]:
    """The share of centring of each effect, from its information in a pilot run.

    lambda = 1 - min(Var(non-centred coordinate), Var(effect) / sd^2): 0 where the data say nothing, towards 1 where
    they say everything.
    """
    from tolerance.model import PARTIAL

    posterior = pilot["posterior"]
    weights = {}
    for name in PARTIAL:
        if name not in posterior:
            continue
        away, effect = (np.asarray(posterior[v]) for v in (f"{name}_away", name))
        variance = np.exp(2 * np.asarray(posterior[f"log_sd_{name}"]).mean())
        spread = np.minimum(away.var(axis=(0, 1)), effect.var(axis=(0, 1)) / variance)
        weights[f"lambda_{name}"] = np.clip(1 - spread, 0.0, 1.0)
    return weights


def _tidy(draws: xr.DataTree) -> xr.DataTree:
    """Keep what has a meaning: helpers go, the cells get their coordinate."""
    posterior = draws["posterior"].to_dataset()
    posterior = posterior.drop_vars([v for v in posterior.data_vars if str(v).endswith(_PILOT_ONLY)])
    posterior = posterior.rename({posterior["accuracy"].dims[-1]: "cell"})
    statistics = draws["sample_stats"].to_dataset()
    kept = [v for v in ("diverging", "energy", "depth", "n_steps", "step_size", "logp") if v in statistics]
    return xr.DataTree.from_dict({"posterior": posterior, "sample_stats": statistics[kept]})


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
    """Changes whenever the text of the model or of the curve does."""
    here = Path(__file__).parent
    return hashlib.sha256(b"".join((here / name).read_bytes() for name in ("model.py", "curves.py"))).hexdigest()
