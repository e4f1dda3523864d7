"""A fit in an analysis folder: whole or not at all, and known again by what it was made of."""

import json
import os
import shutil
import textwrap
import warnings
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from tolerance.data.cells import Cells
from tolerance.data.manifest import digest
from tolerance.data.prepared import Outcomes, content_hash, prepare
from tolerance.data.run_folder import flush_folder, storing, write_atomically
from tolerance.errors import OtherFitError, StoreError
from tolerance.inference.folder import DRAWS, FACTS, HALF_DRAWS
from tolerance.inference.settings import Settings
from tolerance.model.covariance import Covariance
from tolerance.model.priors import Priors
from tolerance.model.version import MODEL

PACKAGES = ("sparsity-tolerance", "pymc", "nutpie", "pytensor", "numba", "arviz", "numpy", "scipy", "pandas", "xarray")


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

    def __repr__(self) -> str:
        """What was fitted and how, on one screen; whether the draws may be believed is not asked here."""
        cells, sizes = self.cells, self.draws["posterior"].sizes
        lines = {
            f"Fit of {len(cells.frame):,} cells": f"{sizes['chain']} chains of {sizes['draw']} draws, seed {self.seed}",
            "task types": ", ".join(cells.task_types),
            "tasks": ", ".join(cells.tasks),
            "methods": ", ".join(cells.sparsifiers),
            "models @ context": ", ".join(f"{model} @ {context}" for model, context in cells.configs),
        }
        told = [textwrap.shorten(f"{name}: {text}", 80, placeholder=" ...") for name, text in lines.items()]
        return "\n".join([*told, "More: fit.draws (ArviZ), with_thresholds(fit), compare(outcomes, fit, a, b)"])

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
    def blocks(self) -> Covariance:
        """Covariance of the cells that the draws rest on."""
        held = self.draws["constant_data"]
        return Covariance(**{name: np.asarray(held[name]) for name in Covariance.__dataclass_fields__})

    def save(self, folder: str | os.PathLike[str]) -> None:
        """Write draws and facts into an analysis folder, whole or not at all. Call inside `folder.opened`.

        Raises:
            StoreError: the disk is full.
        """
        folder = Path(folder)
        beside = folder / HALF_DRAWS
        try:
            with storing(folder / DRAWS), warnings.catch_warnings():
                warnings.simplefilter("ignore")  # zarr's notes on its own format versions
                self.draws.to_zarr(beside, mode="w", consolidated=False)
                # Without facts draws are nobody's: a save that is cut short can't leave old facts beside new draws.
                (folder / FACTS).unlink(missing_ok=True)
                flush_folder(folder)
                shutil.rmtree(folder / DRAWS, ignore_errors=True)
                beside.rename(folder / DRAWS)
        except StoreError:
            shutil.rmtree(beside, ignore_errors=True)
            raise
        write_atomically(folder / FACTS, (json.dumps(self._facts(), indent=2, sort_keys=True) + "\n").encode())

    def _facts(self) -> dict[str, Any]:
        return {
            "key": self.key,
            "model": MODEL,
            "content": content_hash(self.cells),
            "settings": _asked(self.settings),
            "seed": self.seed,
            "packages": self.packages,
        }


def read_fit(outcomes: Outcomes, folder: str | os.PathLike[str]) -> Fit:
    """The fit that was saved in an analysis folder, which must be one of these outcomes.

    Raises:
        OtherFitError: it is of another version of the model, or of other outcomes.
        StoreError: no fit is saved there, or it cannot be read.
    """
    folder = Path(folder)
    facts = _saved_facts(folder)
    if facts is None:
        raise StoreError(f"{folder}: no fit ({FACTS} missing). Give the --out of tolerance fit, or run it (again).")
    if facts.get("model") != MODEL:
        raise OtherFitError(
            f"{folder}: the fit is of another version of the model ({facts.get('model', 'an early one')}; this is "
            f"{MODEL}). Run tolerance fit again.",
            "another model",
        )
    prepared, seed = prepare(outcomes), facts["seed"]
    cells, content = prepared.cells, prepared.content
    if facts["content"] != content:
        raise OtherFitError(
            f"{folder}: the fit is of other outcomes than the run holds. Run tolerance fit again, or give the run that "
            "it was made from.",
            "other outcomes",
        )
    settings = _settings(facts, folder)
    found = read_kept(folder, key_of(content, settings, seed), cells, settings, seed)
    if found is None:
        raise StoreError(f"{folder / FACTS}: says other settings than its key is of. Run tolerance fit again.")
    return found


def saved_among(
    outcomes: Outcomes, settings: Sequence[Settings], seed: int | None, folder: Path
) -> tuple[int, Settings] | None:
    """Which of several settings the fit saved in a folder was made with, if it is of these outcomes; and its own.

    What it began from is no part of the comparison.
    """
    saved = _saved_facts(folder)
    if saved is None or saved.get("model") != MODEL or saved.get("settings") is None:
        return None
    content = prepare(outcomes).content
    seed = seed_of(content) if seed is None else seed
    made = _settings(saved, folder)
    if saved.get("key") != key_of(content, made, seed):
        return None
    asked = _asked(replace(made, after=""))
    found = next((i for i, one in enumerate(settings) if _asked(one) == asked), None)
    return None if found is None else (found, replace(made, cores=settings[found].cores))


def saved_key(folder: Path) -> str | None:
    """The key of the fit that is saved in a folder, if one is."""
    facts = _saved_facts(folder)
    return None if facts is None else facts.get("key")


def seed_of(content: str) -> int:
    """The seed that follows from the data, by their `content_hash`."""
    return int(content[:8], 16) % 2**31


def key_of(content: str, settings: Settings, seed: int) -> str:
    """Hash of data (by `content_hash`), settings, seed and version of the model."""
    return digest([content, _asked(settings), seed, MODEL])


def read_kept(folder: Path, key: str, cells: Cells, settings: Settings, seed: int) -> Fit | None:
    """The fit saved in this folder, if it is of the same data, model and settings.

    Raises:
        StoreError: its draws cannot be read, or are of another fit.
    """
    facts = _saved_facts(folder)
    if facts is None or facts.get("key") != key:
        return None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            draws = xr.open_datatree(folder / DRAWS, engine="zarr", consolidated=False).load()
    except (ValueError, KeyError, OSError) as error:
        raise StoreError(f"{folder}: saved draws cannot be read ({error}). Remove the folder and fit again.") from error
    if draws.attrs.get("fit") != key:
        raise StoreError(f"{folder}: {DRAWS} is of another fit than {FACTS}. Remove the folder and fit again.")
    return Fit(cells, draws, settings, seed, key, facts["packages"])


def _asked(settings: Settings) -> dict[str, Any]:
    """The settings that decide the draws: how many cores make them does not."""
    return {name: value for name, value in asdict(settings).items() if name != "cores"}


def _settings(facts: dict[str, Any], folder: Path) -> Settings:
    """What was asked for, of facts that this version of the model wrote."""
    asked = facts["settings"]
    try:
        priors: dict[str, Any] = {n: tuple(v) if isinstance(v, list) else v for n, v in asked["priors"].items()}
        return Settings(**{**asked, "priors": Priors(**priors)})
    except (TypeError, KeyError, AttributeError) as error:
        raise StoreError(f"{folder / FACTS}: settings cannot be read ({error}). Run tolerance fit again.") from error


def _saved_facts(folder: Path) -> dict[str, Any] | None:
    """What is said of the draws in a folder; None where nothing is saved."""
    if not (folder / FACTS).is_file():
        return None
    try:
        facts: dict[str, Any] = json.loads((folder / FACTS).read_text())
    except ValueError as error:
        raise StoreError(f"{folder / FACTS}: cannot be read ({error}). Remove the folder and fit again.") from error
    return facts
