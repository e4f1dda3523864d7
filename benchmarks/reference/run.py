"""The whole study on one machine: every seed is trained at all sizes at once, and swept while the next one trains.

    python -m benchmarks.reference.run WORK --model FOLDER --seeds 0 1 --training-seconds 380

A step is timed first; the number of steps is what fits the seconds asked for, on a machine that does nothing else, and
is the same for all seeds (--steps gives it instead). WORK/models are the checkpoints, WORK/runs/<checkpoint>/<length>/
the run folders, WORK/logs what was printed. The same call goes on where the last one ended. --beside says how many
sweeps run beside a training, --sweeps how many without.
"""

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

TRAIN, SWEEP = "benchmarks.reference.train", "benchmarks.reference.sweep"
LENGTHS = (512, 1024)
# Patterns on masks and pruned weights are slow: asked last, and at this length alone.
SLOW, SLOW_LENGTH = ("attention", "weights"), 512


@dataclass(frozen=True)
class Job:
    """A process with a log of its own; small ``rank`` first."""

    rank: int
    name: str
    command: tuple[str, ...]

    def start(self, logs: Path) -> subprocess.Popen[bytes]:
        """Start it."""
        with (logs / f"{self.name}.log").open("ab") as log:
            return subprocess.Popen([sys.executable, "-m", *self.command], stdout=log, stderr=subprocess.STDOUT)


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("work", type=Path)
    parser.add_argument("--model", required=True)
    parser.add_argument("--sizes", nargs="+", default=["30", "20", "10"])
    parser.add_argument("--seeds", nargs="+", default=["0", "1"])
    parser.add_argument("--style", default="steps")
    parser.add_argument("--training-seconds", type=float, default=380)
    parser.add_argument("--steps", type=int)
    parser.add_argument("--beside", type=int, default=2)
    parser.add_argument("--sweeps", type=int, default=8)
    parser.add_argument("--train-with", nargs=argparse.REMAINDER, default=[], help="further options of train.py; last")
    parser.add_argument("--try-sweeps", nargs=2, metavar=("ITEMS", "LEAST"), help="to try the way: items, least score")
    parser.add_argument("--device", default="cuda")
    return parser.parse_args()


def training(o: argparse.Namespace, out: Path, *more: str) -> tuple[str, ...]:
    common = (TRAIN, o.model, str(out), "--style", o.style, "--device", o.device, "--sizes", *o.sizes)
    return (*common, *more, *o.train_with)


def steps(o: argparse.Namespace) -> int:
    """What was asked for, or what fits."""
    if o.steps:
        return o.steps
    log = o.work / "measured" / f"training-{o.style}-seed-0.jsonl"
    if not log.is_file():
        Job(0, "measure", training(o, log.parent, "--measure")).start(o.work / "logs").wait()
    took = json.loads(log.read_text().splitlines()[-1])["seconds_per_step"]
    print(f"{took:.4f} s a step", flush=True)
    return int(o.training_seconds / took)


def sweeps(o: argparse.Namespace, seed: str) -> list[Job]:
    """Jobs of a seed's checkpoints: eviction at both lengths, then what is slow."""
    jobs = []
    for order, size in enumerate(o.sizes):
        name = f"smollm2-{size}-layers-{o.style}-seed-{seed}"
        for length in sorted(LENGTHS, reverse=True):
            jobs.append(_sweep(o, order, name, length, ("listing", "short")))
        jobs.append(_sweep(o, 10 + order, name, SLOW_LENGTH, SLOW))
    return jobs


def _sweep(o: argparse.Namespace, rank: int, name: str, length: int, plans: Sequence[str]) -> Job:
    where, out = o.work / "models" / name, o.work / "runs" / name / f"{length}-{plans[0]}"
    share = 0.95 / (o.sweeps + 1)
    tried = ("--items", o.try_sweeps[0], "--least", o.try_sweeps[1]) if o.try_sweeps else ()
    more = ("--share", f"{share:.3f}", "--device", o.device, *tried)
    command = (SWEEP, str(where), str(out), "--length", str(length), *more, "--plans", *plans)
    return Job(rank, f"{name}-{length}-{plans[0]}", command)


class Line:
    """Jobs that wait and jobs that run."""

    def __init__(self, logs: Path) -> None:
        self.logs = logs
        self.waiting: list[Job] = []
        self.running: dict[str, subprocess.Popen[bytes]] = {}

    def advance(self, most: int) -> None:
        """Note what has ended, start what may."""
        for name in [name for name, process in self.running.items() if process.poll() is not None]:
            print(f"{time.strftime('%H:%M:%S')} {name} ended with {self.running.pop(name).returncode}", flush=True)
        self.waiting.sort(key=lambda job: job.rank)
        while self.waiting and len(self.running) < most:
            job = self.waiting.pop(0)
            self.running[job.name] = job.start(self.logs)
            print(f"{time.strftime('%H:%M:%S')} {job.name} begins", flush=True)


def main() -> None:
    o = options()
    logs = o.work / "logs"
    logs.mkdir(parents=True, exist_ok=True)
    n_steps = str(steps(o))
    print(f"{n_steps} steps", flush=True)
    line = Line(logs)
    for seed in o.seeds:
        made = o.work / "models" / f"smollm2-{o.sizes[-1]}-layers-{o.style}-seed-{seed}" / "tokenizer.json"
        if not made.is_file():
            job = Job(0, f"train-{seed}", training(o, o.work / "models", "--seed", seed, "--steps", n_steps))
            process = job.start(logs)
            print(f"{time.strftime('%H:%M:%S')} {job.name} begins", flush=True)
            while process.poll() is None:
                line.advance(o.beside)
                time.sleep(0.5)
            print(f"{time.strftime('%H:%M:%S')} {job.name} ended with {process.returncode}", flush=True)
            if process.returncode:
                continue
        line.waiting += sweeps(o, seed)
    while line.waiting or line.running:
        line.advance(o.sweeps)
        time.sleep(0.5)
    print("all done", flush=True)


if __name__ == "__main__":
    main()
