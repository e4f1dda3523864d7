"""A fit in an analysis folder: whole or not at all, and known again by what it was made of."""

import hashlib
import json
import shutil
import warnings
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from tolerance.data.cells import Cells, collapse
from tolerance.data.manifest import digest
from tolerance.data.run_folder import write_atomically
from tolerance.errors import StoreError
from tolerance.inference.settings import Settings
from tolerance.model.covariance import Blocks
from tolerance.model.priors import Priors

DRAWS, FACTS = "draws.zarr", "fit.json"
PACKAGES = ("sparsity-tolerance", "pymc", "nutpie", "pytensor", "numba", "arviz", "numpy", "scipy", "pandas", "xarray")
# The files that say what is sampled.
MODEL = (
    *("model/pymc_model.py", "model/parameters.py", "model/density.py", "model/numba_math.py", "model/transform.py"),
    *("model/covariance.py", "model/curve.py", "model/log_likelihood.py"),
    *("inference/preconditioning.py", "inference/nuts.py", "inference/warmup.py"),
)


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
    found = read_kept(folder, key_of(content_hash(cells), settings, facts["seed"]), cells, settings, facts["seed"])
    if found is None:
        raise StoreError(f"{folder}: the fit is of other outcomes, or of another version. Run tolerance fit again.")
    return found


def saved_among(outcomes: pd.DataFrame, settings: Sequence[Settings], seed: int | None, folder: Path) -> int | None:
    """Which of several settings the fit saved in a folder was made with, if it is of these outcomes."""
    if (saved := _saved_facts(folder)) is None:
        return None
    cells = collapse(outcomes)
    seed = seed_of(cells) if seed is None else seed
    content = content_hash(cells)
    keys = [key_of(content, one, seed) for one in settings]
    return keys.index(saved["key"]) if saved.get("key") in keys else None


def seed_of(cells: Cells) -> int:
    """The seed that follows from the data."""
    return int(content_hash(cells)[:8], 16) % 2**31


def key_of(content: str, settings: Settings, seed: int) -> str:
    """Hash of data (by `content_hash`), settings, seed and model."""
    return digest([content, asdict(settings), seed, _model_hash()])


def content_hash(cells: Cells) -> str:
    """SHA-256 of what enters the likelihood."""
    rows = pd.util.hash_pandas_object(cells.frame, index=False).to_numpy()
    pairs = b"".join(pair.products.tobytes() + pair.common.tobytes() for pair in cells.pairs)
    return hashlib.sha256(rows.tobytes() + json.dumps(cells.chance).encode() + pairs).hexdigest()


def read_kept(folder: Path, key: str, cells: Cells, settings: Settings, seed: int) -> Fit | None:
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
