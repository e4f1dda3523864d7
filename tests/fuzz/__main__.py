"""python -m tests.fuzz --n 10000 ENTRY ...: counts by entry; inputs that ended in a traceback are kept and named."""

import argparse
import collections
import logging
import shutil
import signal
import tempfile
import time
import traceback
import warnings
from pathlib import Path

import numpy as np

from tests.fuzz.entries import ENTRIES, tried

HEADS = ("entry", "inputs", "accepted", "refused", "tracebacks", "changed unseen", "slower than 10 s", "CPU s")
LONGEST = 10


class TooSlowError(BaseException):
    """An input took longer than `LONGEST` seconds of processor time."""


def _too_slow(*_: object) -> None:
    raise TooSlowError


def run(name: str, n: int, seed: int, keep: Path | None) -> collections.Counter[str]:
    """So many inputs of one entry, or those until it is terminated; the i-th is the same whatever the others are."""
    counts: collections.Counter[str] = collections.Counter()
    said: collections.Counter[str] = collections.Counter()
    signal.signal(signal.SIGVTALRM, _too_slow)
    stopped: list[int] = []
    signal.signal(signal.SIGTERM, lambda *_: stopped.append(1))
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / "input"
        folder.mkdir()
        for i in range(n):
            if stopped:
                break
            rng = np.random.default_rng([seed, i, *name.encode()])
            signal.setitimer(signal.ITIMER_VIRTUAL, LONGEST)
            try:
                became, words = tried(ENTRIES[name], rng, folder)
            except TooSlowError:
                became, words = "slow", traceback.format_exc().splitlines()[-3].strip()
            finally:
                signal.setitimer(signal.ITIMER_VIRTUAL, 0)
            counts[became] += 1
            if became not in ("accepted", "refused"):
                said[words[:160]] += 1
                if keep is not None and said[words[:160]] == 1:
                    shutil.copytree(folder, keep / f"{name}-{i}", dirs_exist_ok=True)
                    print(f"  {name} {i}: {became}: {words[:400]}", flush=True)
    return counts


def main() -> None:
    """The long run."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("entries", nargs="*", default=list(ENTRIES), metavar="ENTRY", help=", ".join(ENTRIES))
    parser.add_argument("--n", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--keep", type=Path, help="folder for inputs that ended in a traceback")
    asked = parser.parse_args()
    warnings.simplefilter("ignore")
    logging.disable()
    print(f"| {' | '.join(HEADS)} |\n|{'---|' * len(HEADS)}")
    for name in asked.entries:
        started = time.process_time()
        counts = run(name, asked.n, asked.seed, asked.keep)
        each = [counts[one] for one in ("accepted", "refused", "traceback", "changed", "slow")]
        took = f"{time.process_time() - started:.0f}"
        print(f"| {name} | {counts.total():,} | {' | '.join(f'{one:,}' for one in each)} | {took} |", flush=True)
        if counts.total() < asked.n:
            break


if __name__ == "__main__":
    main()
