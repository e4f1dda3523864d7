"""A process that saves a fit is killed before each thing that it does to its folder; what is left is told.

Inside of the draws' own folder, which takes hundreds of files, it is killed before each 100th.

Runs by itself, for it forks: python -m tests.killed_saves FOLDER. Prints one line of JSON for each place of the kill.
"""

import json
import os
import shutil
import sys
from pathlib import Path

import xarray as xr

from tests.fake_fit import fake_fit
from tests.simulated import outcomes
from tolerance import validate
from tolerance.errors import ToleranceError
from tolerance.inference.folder import opened
from tolerance.inference.saved import Fit, read_kept

TABLE = validate(outcomes(n_items=4, levels=(0.5,), sparsifiers=("top-k",), tasks={"a": "single-qa"}))
EVENTS = ("open", "os.rename", "os.remove", "os.rmdir", "os.mkdir", "shutil.rmtree", "os.truncate")
KILLED = 9


def small_fit(seed: int) -> Fit:
    made = fake_fit(TABLE, chains=1, draws=4, seed=seed)
    made.draws.attrs["fit"] = made.key
    return made


def dies_before(step: int, folder: Path, fit: Fit) -> bool:
    """Save in a child that dies before its ``step``-th event in the folder; False where it had no more to do."""
    child = os.fork()
    if child == 0:
        seen = [0.0]

        def hook(event: str, arguments: tuple[object, ...]) -> None:
            if event not in EVENTS:
                return
            path = str(arguments[0])
            if path.startswith("/") and not path.startswith(str(folder)):
                return
            inside = "draws.zarr/" in path or "draws.zarr.tmp/" in path or not path.startswith("/")
            seen[0] += 1 / 100 if inside else 1
            if seen[0] > step:
                os._exit(KILLED)

        sys.addaudithook(hook)
        save(folder, fit)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == KILLED


def save(folder: Path, fit: Fit) -> None:
    with opened(folder, TABLE):
        fit.save(folder)


def holds(folder: Path, fit: Fit) -> bool:
    """Whether a folder holds this fit, whole; never another under its name."""
    found = read_kept(folder, fit.key, fit.cells, fit.settings, fit.seed)
    if found is None:
        return False
    xr.testing.assert_identical(found.draws["posterior"].ds, fit.draws["posterior"].ds)
    return True


def main(root: Path) -> None:
    old, new = small_fit(1), small_fit(2)
    for before in (None, old):
        step = 0
        while True:
            folder = root / f"{before is not None}-{step}"
            if before is not None:
                save(folder, before)
            killed = dies_before(step, folder, new)
            try:
                left = [fit is old for fit in (old, new) if holds(folder, fit)]
                save(folder, new)
                mended = holds(folder, new)
            except (ToleranceError, AssertionError) as error:
                left, mended = [], f"{type(error).__name__}: {error}"
            print(json.dumps({"again": before is not None, "step": step, "left_old": left, "mended": mended}))
            shutil.rmtree(folder)
            if not killed:
                break
            step += 1


if __name__ == "__main__":
    main(Path(sys.argv[1]))
