"""The analysis folder: whose it is, who writes to it, and whether what sampling will give can be kept there."""

import contextlib
import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pandas as pd

from tolerance.data.run_folder import LOCK, locked, storing, write_atomically
from tolerance.errors import StoreError

DRAWS, FACTS, OF = "draws.zarr", "fit.json", "analysis.json"
HALF_DRAWS = f".{DRAWS}.tmp"
FORMAT = "tolerance-analysis/1"
# What a writer that was killed before its folder said whose it is may have left.
LEFTOVERS = {LOCK, DRAWS, HALF_DRAWS, f".{FACTS}.tmp", f".{OF}.tmp"}
# What stands beside draws, and alone is no sign of ours.
BESIDE = {"report.json", ".report.json.tmp", "attempts.json", ".attempts.json.tmp", "families"}
# Compressed, draws take at least this share of what they take in memory.
SHRINKS = 0.5


@contextlib.contextmanager
def opened(folder: Path, outcomes: pd.DataFrame, *, force: bool = False) -> Iterator[None]:
    """Hold an analysis folder for writing, and say of which run it is; what cannot be kept is refused before sampling.

    ``force`` writes over the analysis of another run. Whoever holds the folder already may open it again.

    Raises:
        StoreError: the folder holds something else, or an analysis of another run; another process is writing there;
            or nothing can be written.
    """
    refuse_strangers(folder)
    with storing(folder):
        folder.mkdir(parents=True, exist_ok=True)
    with locked(folder, again=True):
        runs = _runs(outcomes)
        if not force:
            _refuse_another_run(folder, runs)
        with storing(folder):
            shutil.rmtree(folder / HALF_DRAWS, ignore_errors=True)
        write_atomically(folder / OF, (json.dumps({"format": FORMAT, "of": runs}, indent=2) + "\n").encode())
        yield


def require_room(folder: Path, size: int) -> None:
    """Refuse to sample what a disk has no room for; ``size`` in bytes, before draws are compressed.

    Raises:
        StoreError: less than half of it is free.
    """
    with storing(folder):
        free = shutil.disk_usage(folder).free
    if free < SHRINKS * size:
        raise StoreError(
            f"{folder}: cannot keep the draws, which take up to {size / 1e6:,.1f} MB; {free / 1e6:,.1f} MB are free. "
            "Make room, or use another folder; nothing was sampled."
        )


def refuse_strangers(folder: Path) -> None:
    """An analysis is written over only by another analysis, and so is what one left that was killed.

    Raises:
        StoreError: the folder holds something else.
    """
    if not folder.exists():
        return
    names = {one.name for one in folder.iterdir()} if folder.is_dir() else {""}
    ours = bool(names & {OF, FACTS}) or (bool(names - BESIDE) and names - BESIDE <= LEFTOVERS)
    if names and not ours:
        raise StoreError(
            f"{folder}: exists and is no analysis folder. Give a new or empty folder; nothing was written."
        )


def _refuse_another_run(folder: Path, runs: list[str]) -> None:
    if not (folder / OF).is_file():  # new, or of before folders said so
        return
    try:
        there = list(json.loads((folder / OF).read_text())["of"])
    except (ValueError, KeyError, TypeError) as error:
        raise StoreError(f"{folder / OF}: cannot be read ({error!r}). Remove the folder and fit again.") from error
    if not set(there) & set(runs):
        raise StoreError(
            f"{folder}: holds an analysis of another run ({', '.join(there)} there, {', '.join(runs)} now). "
            "Use another folder, or write over it with --force (force=True); nothing was written."
        )


def _runs(outcomes: pd.DataFrame) -> list[str]:
    """The runs that outcomes belong to; where none are named, the models and tasks that they are of."""
    named = outcomes["run_id"].dropna() if "run_id" in outcomes else pd.Series(dtype="str")
    if len(named):
        return sorted(set(map(str, named)))
    pairs = outcomes[["model", "task"]].drop_duplicates().itertuples(index=False)
    return sorted(f"{model} on {task}" for model, task in pairs)
