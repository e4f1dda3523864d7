"""Ask several checkpoints at one context length in one plan, by Ray, on as many GPUs as there are.

    python -m benchmarks.reference.together WORK --seeds 3 4 --plan short --length 512 --workers 6

WORK/models are the checkpoints that `train.py` made; WORK/runs/together/<length>/<plan> is the run folder. All tasks of
the plan are asked: `--plan screen` says which of them a checkpoint can do. Several such calls may share the GPUs.
"""

import argparse
from pathlib import Path

import yaml

from benchmarks.reference.sweep import PLANS, Reporter
from tolerance.runners.collect.collect import collect
from tolerance.runners.collect.plan import Plan


def planned(o: argparse.Namespace) -> Plan:
    """A plan of `plans/` for all checkpoints, the largest of each seed first."""
    models = [o.work / "models" / f"smollm2-{size}-layers-{o.style}-seed-{s}" for s in o.seeds for size in o.sizes]
    given = yaml.safe_load((PLANS / f"{o.plan}.yaml").read_text())
    return Plan.make(o.plan, **{**given, "models": [str(m) for m in models], "context_lengths": [o.length]})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("work", type=Path)
    parser.add_argument("--seeds", nargs="+", required=True)
    parser.add_argument("--sizes", nargs="+", default=["30", "20"])
    parser.add_argument("--style", default="steps")
    parser.add_argument("--plan", required=True)
    parser.add_argument("--length", type=int, required=True)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--device", default="cuda")
    o = parser.parse_args()
    out = o.work / "runs" / "together" / str(o.length) / o.plan
    out.parent.mkdir(parents=True, exist_ok=True)
    command = f"python -m benchmarks.reference.together ... --length {o.length} --plan {o.plan}"
    more = {"engine": "ray", "workers": o.workers}
    collect(planned(o), out, device=o.device, command=command, progress=Reporter(o.plan), **more)


if __name__ == "__main__":
    main()
