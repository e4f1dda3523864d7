"""Plan -> run folder: every block answered once, written whole, skipped when it is there.

    python -m tolerance.runners.collect PLAN.yaml --out RUN [--device cuda]

is the same as ``tolerance collect``, for machines that have torch and transformers and little else.
"""

import argparse
import os
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tolerance.data.manifest import Manifest
from tolerance.data.planned import PLANNED
from tolerance.data.run_folder import RunFolder
from tolerance.errors import StoreError, ToleranceError
from tolerance.runners.collect.blocks import blocks, planned
from tolerance.runners.collect.engines import ENGINES, Answered, Engine
from tolerance.runners.collect.engines import engine as make_engine
from tolerance.runners.collect.plan import Plan

FLOPS = ("flops_linear", "flops_attention", "flops_selection")


@dataclass(frozen=True)
class Progress:
    """How far a collection is, in items, and what it took until now: seconds of the workers, FLOPs where known."""

    items_done: int
    items_total: int
    items_per_second: float
    text: str
    worker_seconds: float = 0.0
    flops: float = 0.0

    @property
    def seconds_left(self) -> float | None:
        """At the rate so far; None before the first block."""
        return (self.items_total - self.items_done) / self.items_per_second if self.items_per_second else None

    @property
    def cost(self) -> str:
        """What was spent in this session, in words."""
        flops = f", {self.flops:.2g} FLOP" if self.flops else ""
        return f"{self.worker_seconds:.0f} s of workers{flops}"


Report = Callable[[Progress], None]


def collect(
    plan: Plan,
    out: str | os.PathLike[str],
    *,
    device: str = "auto",
    command: str = "",
    progress: Report | None = None,
    engine: str = "local",
    workers: int = 1,
) -> RunFolder:
    """Answer what is missing of a plan. Blocks that are on disk stay; damaged ones are set aside and answered anew.

    Raises:
        RunnerError: a model cannot be loaded or fails its self-check (nothing is written then), or its worker was lost
            again and again.
        StoreError: the folder holds something else, another process writes there, the disk is full, or a model's
            weights are not those that answered before.
    """
    out = Path(out)
    wanted = blocks(plan)
    told = {PLANNED: planned(wanted)}
    now = datetime.now(UTC).isoformat(timespec="seconds")
    manifest = Manifest("collected", plan.to_dict(), created=now, command=command, notes=told)
    there = RunFolder.find(out, manifest)
    done = set() if there is None else there.blocks() - {shard.stem for shard in there.damaged()}
    todo = [block for block in wanted if block.name not in done]
    held: Engine | None = None
    with ExitStack() as writing:
        if there is not None:
            # whoever comes second is told so before a model is loaded, or GPUs of a cluster are waited for
            writing.enter_context(there.writing())
        try:
            if todo:
                # The first model is loaded and checked before anything is written.
                held = make_engine(engine, plan, device=device, workers=workers)
                held.start(todo)
            folder = there or RunFolder.create(out, manifest)
            if there is None:
                writing.enter_context(folder.writing())
            if folder.manifest.planned != told[PLANNED]:
                folder = folder.noted(told)
            for shard in folder.damaged():
                folder.quarantine(shard)
            done = folder.blocks()
            todo = [block for block in wanted if block.name not in done]
            meter = _Meter(sum(b.n for b in wanted), sum(b.n for b in wanted) - sum(b.n for b in todo), progress)
            if held is None and todo:
                held = make_engine(engine, plan, device=device, workers=workers)
            for answered in held.answer(todo) if held is not None else ():
                folder = _note(folder, answered.block.model, answered.about)
                folder.write(answered.block.name, [{**row, "run_id": manifest.run_id} for row in answered.rows])
                meter.add(answered)
        finally:
            if held is not None:
                held.close()
    return folder


def _note(folder: RunFolder, model: str, about: Mapping[str, Any]) -> RunFolder:
    """A model's revision and self-check stand in the manifest; a second revision in one run is refused."""
    models = folder.manifest.notes.get("models", {})
    there = models.get(model)
    if there is None:
        return folder.noted({"models": {**models, model: dict(about)}})
    before, now = ({"": a["revision"], **a.get("checkpoints", {})} for a in (there, about))
    changed = [name for name in before if before[name] != now.get(name)]
    if changed:
        raise StoreError(
            f"{folder.path}: {changed[0] or f'model {model}'} has other weights now ({now.get(changed[0])}) than those "
            f"that answered before ({before[changed[0]]}). Restore them, or collect into a new folder; nothing was "
            "written."
        )
    return folder


class _Meter:
    """Counts items and what they took, and tells the reporter."""

    def __init__(self, total: int, done: int, report: Report | None) -> None:
        self.total, self.done, self.report = total, done, report
        self.before, self.started = done, time.monotonic()
        self.seconds = self.flops = 0.0
        self._tell("")

    def add(self, answered: Answered) -> None:
        block = answered.block
        self.done += block.n
        for row in answered.rows:
            self.seconds += row.get("seconds") or 0.0
            self.flops += sum(row.get(column) or 0.0 for column in FLOPS)
        self._tell(f"{block.task}, {block.condition}")

    def _tell(self, text: str) -> None:
        if self.report is not None:
            rate = (self.done - self.before) / max(time.monotonic() - self.started, 1e-9)
            self.report(Progress(self.done, self.total, rate, text, self.seconds, self.flops))


def main() -> None:
    """Collect from a plan file, with plain text progress."""
    parser = argparse.ArgumentParser(prog="python -m tolerance.runners.collect", description=__doc__)
    parser.add_argument("plan", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--engine", choices=ENGINES, default="local")
    parser.add_argument("--workers", type=int, default=1)
    options = parser.parse_args()
    try:
        folder = collect(
            Plan.from_yaml(options.plan),
            options.out,
            device=options.device,
            command=" ".join(["python -m tolerance.runners.collect", *sys.argv[1:]]),
            progress=_print,
            engine=options.engine,
            workers=options.workers,
        )
    except ToleranceError as error:
        sys.exit(f"error: {error}")
    print(f"answers -> {folder.path}")


def _print(progress: Progress) -> None:
    left = "" if progress.seconds_left is None else f", {progress.seconds_left:.0f} s left"
    print(
        f"{progress.items_done}/{progress.items_total} items, {progress.items_per_second:.1f}/s{left}, "
        f"{progress.cost}  {progress.text}"
    )
