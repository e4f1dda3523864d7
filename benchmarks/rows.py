"""What a run of N answers costs to import, to answer at once and to fit: CPU seconds and peak memory of each command.

    python -m benchmarks.rows 1e6 1e7 1e8
    python -m benchmarks.rows 1e7 --csv --shuffled --commands import,quick

A table has 12 tasks of 6 types, dense and 2 methods at 5 levels, the same items under each, 11 columns, 0/1 scores
whose log odds fall with the level and vary by item. Its rows stand by task and item, or ``--shuffled`` within each
million. Printed: rows, command, CPU seconds of the process and its threads, and the peak of its resident memory.
"""

import argparse
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

TASKS, METHODS, LEVELS = 12, ("streaming", "snapkv"), (0.5, 0.75, 0.875, 0.9375, 0.96875)
KINDS = ("single-qa", "retrieval", "multi-hop", "aggregation", "reasoning", "knowledge")
# Log odds that a level takes, and how much more the second method does.
LOSS, MORE = (0.0, 0.1, 0.3, 0.7, 1.3, 2.0), 0.3
CELLS = [(0, 0), *((m + 1, at + 1) for m in range(len(METHODS)) for at in range(len(LEVELS)))]
PART = 2**20
# The command in a process of its own; what it used is known once it has ended.
COMMAND = [sys.executable, "-m", "tolerance"]


def parts(n: int, *, shuffled: bool) -> Iterator[pa.Table]:
    """About a million rows of the table at a time, ``n`` in all."""
    rng = np.random.default_rng(0)
    n_items = -(-n // (TASKS * len(CELLS)))
    left = n
    for task in range(TASKS):
        for start in range(0, n_items, PART // len(CELLS)):
            items = np.arange(start, min(n_items, start + PART // len(CELLS)))
            item, cell = np.repeat(items, len(CELLS)), np.tile(np.arange(len(CELLS)), len(items))
            ability = np.repeat(rng.normal(size=len(items)), len(CELLS))
            if left <= 0:
                return
            order = rng.permutation(len(item)) if shuffled else np.arange(len(item))
            yield _part(task, item[order][:left], cell[order][:left], ability[order][:left], rng)
            left -= len(item)


def _part(task: int, item: np.ndarray, cell: np.ndarray, ability: np.ndarray, rng: np.random.Generator) -> pa.Table:
    n = len(item)
    method, level = np.array(CELLS).T[:, cell]
    odds = 1.5 + ability - np.array(LOSS)[level] * (1 + MORE * (method == 2))
    ids, code = np.unique(item, return_inverse=True)
    one = np.zeros(n, dtype=np.int64)
    return pa.table(
        {
            "item_id": _text(code, [f"item-{i:07d}" for i in ids]),
            "task": _text(one, [f"task-{task:02d}"]),
            "task_type": _text(one, [KINDS[task % len(KINDS)]]),
            "model": _text(one, ["org/model"]),
            "sparsifier": _text(method, ["dense", *METHODS]),
            "sparsity_kind": _text(np.minimum(method, 1), ["none", "kv-cache"]),
            "unit": _text(np.minimum(method, 1), ["none", "kv-entries"]),
            "sparsity_requested": np.array([0.0, *LEVELS])[level],
            "context_length": np.full(n, 8192),
            "score": (rng.random(n) < 1 / (1 + np.exp(-odds))).astype(float),
            "chance": np.full(n, 0.25),
        }
    )


def _text(codes: np.ndarray, values: list[str]) -> pa.Array:
    return pa.DictionaryArray.from_arrays(pa.array(codes.astype(np.int32)), pa.array(values)).cast(pa.string())


def write(path: Path, n: int, *, shuffled: bool) -> None:
    """The table as Parquet, or as CSV by its ending."""
    writer = None
    for part in parts(n, shuffled=shuffled):
        if writer is None:
            make = pyarrow.csv.CSVWriter if path.suffix == ".csv" else pyarrow.parquet.ParquetWriter
            writer = make(path, part.schema)
        writer.write_table(part)
    assert writer is not None
    writer.close()


def measured(arguments: list[str]) -> tuple[float, float]:
    """CPU seconds and peak memory in GB of one command."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    script = (
        "import resource, subprocess, sys; code = subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL).returncode; "
        "used = resource.getrusage(resource.RUSAGE_CHILDREN); print(used.ru_utime + used.ru_stime, used.ru_maxrss); "
        "sys.exit(code)"
    )
    found = subprocess.run(
        [sys.executable, "-c", script, *COMMAND, *arguments],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    seconds, kilobytes = found.stdout.split()[-2:]
    return float(seconds), float(kilobytes) / 1e6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("rows", nargs="+", type=float)
    parser.add_argument("--csv", action="store_true")
    parser.add_argument("--shuffled", action="store_true")
    parser.add_argument("--commands", default="import,quick,fit")
    parser.add_argument("--folder", type=Path, help="where tables and runs are made; a temporary one")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=asked.folder) as folder:
        for rows in map(int, asked.rows):
            table, run = Path(folder) / f"{rows}{'.csv' if asked.csv else '.parquet'}", Path(folder) / f"run-{rows}"
            write(table, rows, shuffled=asked.shuffled)
            commands = {
                "import": ["import", str(table), "--out", str(run)],
                "quick": ["quick", str(run), "--json"],
                "fit": ["fit", str(run), "--out", str(Path(folder) / f"fit-{rows}"), "--json"],
            }
            for name in asked.commands.split(","):
                seconds, memory = measured(commands[name])
                print(f"{rows:>12,}  {name:<7} {seconds:8.1f} CPU-s  {memory:6.2f} GB", flush=True)


if __name__ == "__main__":
    main()
