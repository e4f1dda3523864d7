"""Plan -> run folder: every block answered once, written whole, skipped when it is there.

    python -m tolerance.runners.collect PLAN.yaml --out RUN [--device cuda]

is the same as ``tolerance collect``, for machines that have torch and transformers and little else.
"""

import argparse
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from tolerance.errors import StoreError, ToleranceError
from tolerance.manifest import Manifest
from tolerance.runners.plan import Block, Plan, blocks, together
from tolerance.store import RunFolder

if TYPE_CHECKING:
    from tolerance.runners.worker import Worker


@dataclass(frozen=True)
class Progress:
    """How far a collection is, in items."""

    items_done: int
    items_total: int
    items_per_second: float
    text: str

    @property
    def seconds_left(self) -> float | None:
        """At the rate so far; None before the first block."""
        return (self.items_total - self.items_done) / self.items_per_second if self.items_per_second else None


Report = Callable[[Progress], None]


def collect(
    plan: Plan, out: Path, *, device: str = "auto", command: str = "", progress: Report | None = None
) -> RunFolder:
    """Answer what is missing of a plan. Blocks that are on disk stay; damaged ones are set aside and answered anew.

    Raises:
        RunnerError: a model cannot be loaded or fails its self-check; nothing is written then.
        StoreError: the folder holds something else, another process writes there, or a model's weights are not those
            that answered before.
    """
    from tolerance.runners.worker import Worker

    manifest = Manifest(
        "collected", plan.to_dict(), created=datetime.now(UTC).isoformat(timespec="seconds"), command=command
    )
    wanted = blocks(plan)
    there = RunFolder.find(out, manifest)
    done = set() if there is None else there.blocks() - {shard.stem for shard in there.damaged()}
    todo = [block for block in wanted if block.name not in done]
    worker: Worker | None = None
    if todo:
        # The first model is loaded and checked before anything is written.
        worker = Worker(plan, todo[0].model, device)
    folder = RunFolder.create(out, manifest)
    with folder.writing():
        for shard in folder.damaged():
            folder.quarantine(shard)
        todo = [block for block in wanted if block.name not in folder.blocks()]
        meter = _Meter(sum(b.n for b in wanted), sum(b.n for b in wanted) - sum(b.n for b in todo), progress)
        for group in together(todo):
            if worker is None or worker.model != group[0].model:
                worker = Worker(plan, group[0].model, device)
            folder = _note(folder, worker)
            for block, rows in worker.answer_together(group):
                folder.write(block.name, [{**row, "run_id": manifest.run_id} for row in rows])
                meter.add(block)
    return folder


def _note(folder: RunFolder, worker: "Worker") -> RunFolder:
    """A model's revision and self-check stand in the manifest; a second revision in one run is refused."""
    loaded, models = worker.loaded, folder.manifest.notes.get("models", {})
    there = models.get(worker.model)
    if there is None:
        entry = {
            "revision": loaded.revision,
            "device": loaded.device_name,
            "self_check": worker.checked.to_dict(),
        }
        return folder.noted({"models": {**models, worker.model: entry}})
    if there["revision"] != loaded.revision:
        raise StoreError(
            f"{folder.path}: model {worker.model} has other weights now ({loaded.revision}) than those that answered "
            f"before ({there['revision']}). Restore them, or collect into a new folder; nothing was written."
        )
    return folder


class _Meter:
    """Counts items and tells the reporter."""

    def __init__(self, total: int, done: int, report: Report | None) -> None:
        self.total, self.done, self.report = total, done, report
        self.before, self.started = done, time.monotonic()
        self._tell("")

    def add(self, block: Block) -> None:
        self.done += block.n
        self._tell(f"{block.task}, {block.condition}")

    def _tell(self, text: str) -> None:
        if self.report is not None:
            rate = (self.done - self.before) / max(time.monotonic() - self.started, 1e-9)
            self.report(Progress(self.done, self.total, rate, text))


def main() -> None:
    """Collect from a plan file, with plain text progress."""
    parser = argparse.ArgumentParser(prog="python -m tolerance.runners.collect", description=__doc__)
    parser.add_argument("plan", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--device", default="auto")
    options = parser.parse_args()
    try:
        folder = collect(
            Plan.from_yaml(options.plan),
            options.out,
            device=options.device,
            command=" ".join(["python -m tolerance.runners.collect", *sys.argv[1:]]),
            progress=_print,
        )
    except ToleranceError as error:
        sys.exit(f"error: {error}")
    print(f"answers -> {folder.path}")


def _print(progress: Progress) -> None:
    left = "" if progress.seconds_left is None else f", {progress.seconds_left:.0f} s left"
    print(
        f"{progress.items_done}/{progress.items_total} items, {progress.items_per_second:.1f}/s{left}  {progress.text}"
    )


if __name__ == "__main__":
    main()
