"""Ask one checkpoint at one context length: screen it, then collect what it can answer under every method.

    python -m benchmarks.reference.sweep CHECKPOINT OUT --length 1024 --plans listing short --device cuda

The plans are those of `plans/`, without model and length. A task is asked where its mean dense score in the screening
is at least --least; the screening asks other items. OUT/<plan>/ are run folders; the same call goes on where it ended.

Several sweeps share a GPU: --share bounds the memory of each, and batches are small enough for it. That decides how
fast it goes and nothing else.
"""

import argparse
import dataclasses
import time
from pathlib import Path

import pandas as pd
import yaml

from tolerance.data.run_folder import RunFolder
from tolerance.runners.collect.collect import Progress, collect
from tolerance.runners.collect.plan import Plan
from tolerance.runners.decoding import shared_prefill as levels

PLANS = Path(__file__).parent / "plans"
LEAST = 0.6
PREFILL_TOKENS, KEPT_BYTES = 65_536, 4 * 2**30


def planned(o: argparse.Namespace, name: str, among: set[str] | None) -> Plan | None:
    """A plan of `plans/` for a checkpoint and length, with the tasks that are ``among`` some; None without any."""
    given = yaml.safe_load((PLANS / f"{name}.yaml").read_text())
    tasks = [task for task in given["tasks"] if among is None or task in among]
    more = {} if o.items is None else {"items": o.items}
    made = {**given, **more, "models": [o.checkpoint], "context_lengths": [o.length], "tasks": tasks}
    return Plan.make(name, **made) if tasks else None


def passed(screen: RunFolder, least: float) -> set[str]:
    """Tasks whose mean dense score is at least ``least``."""
    rows = pd.read_parquet(screen.path / "outcomes", columns=["task", "sparsifier", "score"])
    means = rows[rows["sparsifier"] == "dense"].groupby("task")["score"].mean()
    print(means.round(3).to_dict(), flush=True)
    return set(means.index[means >= least])


def share(part: float) -> None:
    """Take a part of the GPU's memory at most."""
    import torch

    if torch.cuda.is_available():
        torch.cuda.set_per_process_memory_fraction(part)
    whole = levels.Sizes.of

    def narrowed(loaded: object) -> levels.Sizes:
        return dataclasses.replace(whole(loaded), prefill_tokens=PREFILL_TOKENS, kept_bytes=KEPT_BYTES)

    levels.Sizes.of = staticmethod(narrowed)


class Reporter:
    """A line now and then."""

    def __init__(self, name: str, every: float = 10.0) -> None:
        self.name, self.every, self.told = name, every, 0.0

    def __call__(self, progress: Progress) -> None:
        """Print, unless a line was printed just before."""
        if time.monotonic() - self.told > self.every or progress.items_done == progress.items_total:
            self.told = time.monotonic()
            done = f"{progress.items_done}/{progress.items_total}, {progress.items_per_second:.0f}/s"
            print(f"{time.strftime('%H:%M:%S')} {self.name}: {done}, {progress.cost}  {progress.text}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint")
    parser.add_argument("out", type=Path)
    parser.add_argument("--length", type=int, required=True)
    parser.add_argument("--plans", nargs="+", required=True)
    parser.add_argument("--share", type=float, default=1.0, help="of the GPU's memory")
    parser.add_argument("--least", type=float, default=LEAST)
    parser.add_argument("--only", nargs="+", metavar="TASK", help="these tasks, without screening")
    parser.add_argument("--items", type=int, help="instead of the plans' own number")
    parser.add_argument("--device", default="cuda")
    o = parser.parse_args()
    share(o.share)
    among = set(o.only) if o.only else None
    for name in [*([] if o.only else ["screen"]), *(name for name in o.plans if name != "screen")]:
        plan = planned(o, name, among)
        if plan is None:
            print(f"{name}: no task passed", flush=True)
            continue
        command = f"python -m benchmarks.reference.sweep ... --length {o.length} --plans {name}"
        run = collect(plan, o.out / name, device=o.device, command=command, progress=Reporter(name))
        if name == "screen":
            among = passed(run, o.least)


if __name__ == "__main__":
    main()
