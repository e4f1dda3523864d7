"""From the screening to the study's plan, and from a run folder to one Parquet file.

    python benchmarks/smollm2/study.py select SCREEN_RUN benchmarks/smollm2/grid.yaml > study.yaml
    python benchmarks/smollm2/study.py pack RUN FOLDER

`select` adds to a plan the tasks at the lengths whose mean dense score in the screening is at least ``LEAST``; the
study asks other items (another seed), so a cell that was lucky in the screening is not for that lucky in it.

`pack` writes ``outcomes.parquet``, which ``tolerance import`` takes, and ``manifest.json``. Needs pandas and pyarrow.
"""

import json
import shutil
import sys
from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq
import yaml

LEAST = 0.6
ORDER = ["task", "context_length", "sparsifier", "sparsity_requested", "item_id"]


def select(run: str, grid: str) -> None:
    """Print the plan; the screening's table goes to the other stream."""
    rows = pd.read_parquet(Path(run) / "outcomes", columns=["task", "context_length", "sparsifier", "score", "chance"])
    named = rows.assign(sparsifier=rows["sparsifier"].where(rows["sparsifier"] == "dense", "control"))
    table = named.pivot_table(index=["task", "context_length"], columns="sparsifier", values="score", aggfunc="mean")
    table["chance"] = rows.groupby(["task", "context_length"])["chance"].mean()
    table["taken"] = table["dense"] >= LEAST
    print(table.round(3).to_string(), file=sys.stderr)
    taken = table[table["taken"]].reset_index()
    if taken.empty:
        sys.exit(f"error: no task is answered at {LEAST} dense. There is nothing to study.")
    asked = json.loads((Path(run) / "manifest.json").read_text())["plan"]["tasks"]
    lengths = {task: sorted(map(int, own)) for task, own in taken.groupby("task")["context_length"]}
    names = [next(iter(task)) if isinstance(task, dict) else task for task in asked]
    tasks = [{task: {"context_lengths": lengths[task]}} for task in names if task in lengths]
    plan = {"tasks": tasks, **yaml.safe_load(Path(grid).read_text())}
    n = rows.loc[rows["sparsifier"] == "dense"].groupby(["task", "context_length"]).size().min()
    print(f"# grid.yaml with the tasks and lengths that {n} screening items each were answered at >= {LEAST:g}, dense")
    print(yaml.safe_dump(plan, sort_keys=False, default_flow_style=None, width=110), end="")


def pack(run: str, out: str) -> None:
    """One file of all shards, sorted, so that equal values stand together."""
    folder, into = Path(run), Path(out)
    into.mkdir(parents=True, exist_ok=True)
    whole = pq.read_table(folder / "outcomes").sort_by([(column, "ascending") for column in ORDER])
    pq.write_table(whole, into / "outcomes.parquet", compression="zstd", compression_level=19)
    shutil.copy(folder / "manifest.json", into / "manifest.json")
    print(f"{whole.num_rows:,} answers, {(into / 'outcomes.parquet').stat().st_size:,} bytes")


if __name__ == "__main__":
    {"select": select, "pack": pack}[sys.argv[1]](*sys.argv[2:])
