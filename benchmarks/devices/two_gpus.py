"""One plan on two GPUs by Ray and on one GPU alone: are the answers the same, what is gained, what breaks what?

    python -m benchmarks.devices.two_gpus run WORK --model FOLDER
    python -m benchmarks.devices.two_gpus pack WORK benchmarks/devices
    python -m benchmarks.devices.two_gpus tables docs/grids.md

FOLDER holds a Llama (`tolerance models fetch smollm2`); the second model is it with every third layer left out. The
first line collects two-gpus.yaml again and again, each time into WORK/<stage>:

two     two workers by Ray, a GPU each
one     one process, the first GPU; beside it `null`, the same on the second GPU in batches of half the size
faults  as `two`, but a worker is killed in mid-block, a second driver is started into the folder, then the driver is
        killed and started again
four    four workers by Ray, two on each GPU

`pack` compares the answers and writes two-gpus.json and two-gpus.parquet; `tables` writes the document's tables from
the former; `check RUN` compares a run that was collected elsewhere with the latter. `drive` is one such collection in
a process of its own, which notes when what happened.
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

HERE = Path(__file__).parent
LAYERS = 20
STAGES = ("two", "one", "faults", "four")
WORKERS = {"two": 2, "faults": 2, "four": 4}
# How much of the faults' run is done when the worker, and when the driver is killed.
WORKER_DIES, DRIVER_DIES = 0.2, 0.6
# Until the workers of a killed driver must be gone; agents of Ray's, which hold no GPU, stay longer.
MOST_SECONDS = 20


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    run = commands.add_parser("run")
    run.add_argument("work", type=Path)
    run.add_argument("--model", type=Path, required=True)
    run.add_argument("--stages", nargs="+", choices=STAGES, default=STAGES)
    run.add_argument("--plan", type=Path, default=HERE / "two-gpus.yaml", help="another one, to try the way")
    run.add_argument("--layers", type=int, default=LAYERS, help="of the second model")
    run.add_argument("--device", default="cuda")
    drive = commands.add_parser("drive")
    drive.add_argument("plan", type=Path)
    drive.add_argument("out", type=Path)
    drive.add_argument("times", type=Path)
    drive.add_argument("--workers", type=int, default=0, help="by Ray; 0: in this process")
    drive.add_argument("--device", default="cuda")
    for name in ("pack", "check", "tables"):
        commands.add_parser(name).add_argument("paths", nargs="*", type=Path)
    return parser.parse_args()


# --- one collection -------------------------------------------------------------------------------------------------


class Times:
    """What a driver did when, in seconds since its process was started, as lines of JSON."""

    def __init__(self, path: Path) -> None:
        self.path, self.started = path, float(os.environ.get("DRIVER_STARTED", time.time()))
        self.tell("imported")

    def tell(self, event: str, **what: object) -> None:
        """A line."""
        with self.path.open("a") as file:
            print(json.dumps({"at": round(time.time() - self.started, 3), "event": event, **what}), file=file)

    def around(self, owner: type, method: str, event: str, about: Callable[..., dict[str, object]]) -> None:
        """Note how long each call of a method takes; a generator's time is that of its caller waiting for it."""
        real = getattr(owner, method)

        def timed(*given: Any, **named: Any) -> Any:
            begun = time.monotonic()
            try:
                return real(*given, **named)
            finally:
                self.tell(event, seconds=round(time.monotonic() - begun, 4), **about(*given))

        setattr(owner, method, timed)


def drive(o: argparse.Namespace) -> None:
    """Collect a plan and note the times; those of the worker too where it is in this process."""
    times = Times(o.times)
    from tolerance.data.run_folder import RunFolder
    from tolerance.runners.collect.collect import collect
    from tolerance.runners.collect.plan import Plan

    times.around(RunFolder, "write", "written", lambda *_: {})
    if not o.workers:
        from tolerance.runners.collect.worker import Worker

        times.around(Worker, "__init__", "loaded", lambda worker, plan, model, device: {"model": model})
        times.around(Worker, "_items", "items made", lambda worker, block: {"model": block.model})
    engine = ("ray", o.workers) if o.workers else ("local", 1)
    plan = Plan.from_yaml(o.plan)
    collect(
        plan,
        o.out,
        device=o.device,
        engine=engine[0],
        workers=engine[1],
        progress=lambda p: times.tell("progress", done=p.items_done, total=p.items_total, text=p.text),
    )
    times.tell("end")


def start(
    plan: Path, out: Path, *, workers: int = 0, device: str, gpu: int | None = None, name: str = ""
) -> subprocess.Popen[bytes]:
    """A driver as a process, on all GPUs or on one; ``name`` is that of its files of times and messages."""
    more = {} if gpu is None else {"CUDA_VISIBLE_DEVICES": str(gpu)}
    # the memory that a machine shows may grow as it is used, so that what is free now says nothing
    quiet = {"RAY_memory_monitor_refresh_ms": "0", "DRIVER_STARTED": str(time.time())}
    own = out.parent / (name or out.name)
    command = [sys.executable, "-m", "benchmarks.devices.two_gpus", "drive", str(plan), str(out), f"{own}.jsonl"]
    with Path(f"{own}.log").open("ab") as log:
        return subprocess.Popen(
            [*command, "--workers", str(workers), "--device", device],
            stdout=log,
            stderr=subprocess.STDOUT,
            env={**os.environ, **quiet, **more},
        )


# --- stages ---------------------------------------------------------------------------------------------------------


def run(o: argparse.Namespace) -> None:
    """The stages, one after another; a line of WORK/stages.jsonl each."""
    o.work.mkdir(parents=True, exist_ok=True)
    plan = prepared(o, "plan", {})
    with sampled(o.work / "gpus.csv"):
        for stage in o.stages:
            told: dict[str, Any] = {"stage": stage, "begun": time.time()}
            if stage == "one":
                half = prepared(o, "null", {"batch_size": yaml.safe_load(plan.read_text())["batch_size"] // 2})
                both = (
                    start(plan, o.work / "one", device=o.device, gpu=0),
                    start(half, o.work / "null", device=o.device, gpu=1),
                )
                told["ended_with"] = [driver.wait() for driver in both]
            elif stage == "faults":
                told |= faults(o, plan)
            else:
                told["ended_with"] = start(plan, o.work / stage, workers=WORKERS[stage], device=o.device).wait()
            told["ended"] = time.time()
            with (o.work / "stages.jsonl").open("a") as file:
                print(json.dumps(told), file=file)
            print(json.dumps(told), flush=True)


def prepared(o: argparse.Namespace, name: str, more: dict[str, object]) -> Path:
    """The plan with its two models, as a file."""
    small = o.work / f"{o.model.name.partition('-Instruct')[0]}-{o.layers}-layers"
    if not (small / "tokenizer.json").is_file():
        from transformers import AutoModelForCausalLM, AutoTokenizer

        from benchmarks.reference.llama import shrink

        shrink(AutoModelForCausalLM.from_pretrained(o.model), o.layers).save_pretrained(small)
        AutoTokenizer.from_pretrained(o.model).save_pretrained(small)
    given = yaml.safe_load(o.plan.read_text())
    path: Path = o.work / f"{name}.yaml"
    path.write_text(yaml.safe_dump({**given, **more, "models": [str(o.model.resolve()), str(small.resolve())]}))
    return path


def shards(out: Path) -> dict[str, int]:
    """Finished blocks, and when each was written."""
    return {shard.name: shard.stat().st_mtime_ns for shard in (out / "outcomes").glob("*.parquet")}


def faults(o: argparse.Namespace, plan: Path) -> dict[str, Any]:
    """A worker, then the driver are killed; a second driver comes in between."""
    from tolerance.runners.collect.blocks import blocks
    from tolerance.runners.collect.plan import Plan

    out, total, told = o.work / "faults", len(blocks(Plan.from_yaml(plan))), {}
    driver = start(plan, out, workers=WORKERS["faults"], device=o.device)
    until(driver, lambda: len(shards(out)) >= WORKER_DIES * total)
    victim, *_ = [pid for pid, args in below(driver.pid) if args.startswith("ray::Holder.answer")]
    os.kill(victim, signal.SIGKILL)
    told["blocks_when_worker_died"] = len(shards(out))
    begun = time.time()
    second = start(plan, out, workers=WORKERS["faults"], device=o.device, name="faults-second")
    told["second_driver"] = {"ended_with": second.wait(), "seconds": round(time.time() - begun, 2)}
    told["second_driver"]["said"] = (o.work / "faults-second.log").read_text().strip().splitlines()[-1]
    until(driver, lambda: len(shards(out)) >= DRIVER_DIES * total)
    family = [pid for pid, args in below(driver.pid) if "Holder" in args]
    driver.kill()
    driver.wait()
    before, begun = shards(out), time.time()
    told |= {"blocks_when_driver_died": len(before), "workers": len(family)}
    while any(map(alive, family)) and time.time() - begun < MOST_SECONDS:
        time.sleep(0.1)
    told["seconds_until_workers_were_gone"] = round(time.time() - begun, 1)
    told["ended_with"] = start(plan, out, workers=WORKERS["faults"], device=o.device, name="faults-third").wait()
    after = shards(out)
    told |= {"blocks": len(after), "blocks_in_all": total}
    told["written_again"] = sum(after[name] != at for name, at in before.items())
    return told


def until(driver: subprocess.Popen[bytes], done: Callable[[], bool]) -> None:
    """Wait for something, while the driver lives."""
    while not done():
        if driver.poll() is not None:
            raise RuntimeError(f"the driver ended with {driver.returncode} too soon")
        time.sleep(0.05)


def alive(pid: int) -> bool:
    """Whether a process is there and more than an entry that nobody has asked about yet."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def below(pid: int) -> list[tuple[int, str]]:
    """Processes that a process started, and what these started: id and command."""
    listed = subprocess.run(["ps", "-eo", "pid,ppid,args"], capture_output=True, text=True, check=True).stdout
    rows = [line.split(maxsplit=2) for line in listed.splitlines()[1:]]
    found: list[tuple[int, str]] = []
    above = {pid}
    while above:
        more = [(int(row[0]), row[2]) for row in rows if int(row[1]) in above and int(row[0]) not in above]
        found += more
        above = {child for child, _ in more}
    return found


@contextmanager
def sampled(path: Path) -> Iterator[None]:
    """Use and memory of every GPU, twice a second, where there are GPUs."""
    asked = "--query-gpu=timestamp,index,utilization.gpu,memory.used"
    try:
        with path.open("ab") as file:
            command = ["nvidia-smi", asked, "--format=csv,noheader,nounits", "-lms", "500"]
            sampler = subprocess.Popen(command, stdout=file)
    except FileNotFoundError:
        yield
        return
    try:
        yield
    finally:
        sampler.terminate()


if __name__ == "__main__":
    o = options()
    if o.command in ("run", "drive"):
        {"run": run, "drive": drive}[o.command](o)
    else:
        from benchmarks.devices import two_gpus_tables

        commands = {"pack": two_gpus_tables.pack, "check": two_gpus_tables.check, "tables": two_gpus_tables.tables}
        commands[o.command](*o.paths)
