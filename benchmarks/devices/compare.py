"""The same items on two devices: accuracy by task, method and level, and how many answers differ.

    python benchmarks/devices/compare.py RUN [benchmarks/devices/outcomes.parquet]

RUN is a run folder collected here from benchmarks/devices/plan.yaml (``tolerance collect``). The committed Parquet file
holds the answers of one H100 to the same plan (float32; its manifest is beside it), made by

    python -m tolerance.runners.collect benchmarks/devices/plan.yaml --out RUN --device cuda
"""

import sys
from pathlib import Path

import pandas as pd

from tolerance import read_run, validate

KEY = ["task", "sparsifier", "sparsity_requested", "item_id"]
CELL = KEY[:-1]


def main() -> None:
    """Print one line a cell."""
    here = read_run(Path(sys.argv[1]))
    there = validate(
        pd.read_parquet(sys.argv[2] if len(sys.argv) > 2 else Path(__file__).with_name("outcomes.parquet"))
    )
    both = here.merge(there, on=KEY, suffixes=("_here", "_there"), validate="one_to_one")
    assert len(both) == len(here) == len(there), "the two runs hold different items"
    both["differs"] = both["answer_here"] != both["answer_there"]
    both["pairs"] = (both["sparsity_realised_here"] - both["sparsity_realised_there"]).abs() > 1e-12
    cells = both.groupby(CELL).agg(
        n=("item_id", "size"),
        here=("score_here", "mean"),
        there=("score_there", "mean"),
        answers_differ=("differs", "sum"),
        realised_differ=("pairs", "sum"),
    )
    print(cells.round(3).to_string())
    print(f"{both['differs'].sum()} of {len(both)} answers differ; realised sparsity differs in {both['pairs'].sum()}")


if __name__ == "__main__":
    main()
