"""Faults put in on purpose: nothing is lost but the batch in flight, nothing is doubled, the rows are the same.

Beside the kills at random moments and the single faults of test_runner_collect.py and test_engines.py: kills at every
kind of moment of writing, bits flipped anywhere, memory that runs out now and then, a disk that really is full.
"""

import json
import multiprocessing
import os
import random
import signal
import subprocess
import sys
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pandas as pd
import pytest
import torch

from tests.tiny_models import save_llama
from tolerance import RunnerError, StoreError, read_run
from tolerance.data.run_folder import ARROW_SCHEMA
from tolerance.data.sealed_parquet import read_sealed
from tolerance.runners.collect import worker
from tolerance.runners.collect.blocks import blocks
from tolerance.runners.collect.collect import collect
from tolerance.runners.collect.plan import Plan
from tolerance.runners.decoding import shared_prefill

# An attention pattern answers one block at a time, an eviction method all levels of some items together.
FIELDS = {
    "tasks": ["kv-lookup"],
    "sparsifiers": ["streaming", "snapkv"],
    "levels": [0, 0.5, 0.9],
    "context_lengths": [32],
    "items": 6,
    "batch_size": 3,
}
N_ROWS, BATCH = 6 * 5, 3


@pytest.fixture(scope="module")
def plan(tmp_path_factory):
    model = save_llama(tmp_path_factory.mktemp("model"), num_hidden_layers=1)
    return Plan.make(models=[str(model)], **FIELDS)


@pytest.fixture(scope="module")
def undisturbed(plan, tmp_path_factory):
    return collect(plan, tmp_path_factory.mktemp("runs") / "run", device="cpu")


def same(one: pd.DataFrame, other: pd.DataFrame) -> None:
    """Equal rows, each once; what a batch was and took may differ."""
    key = ["task", "sparsifier", "sparsity_requested", "item_id"]
    tidy = [t.drop(columns=["seconds", "batch_shape"]).sort_values(key, ignore_index=True) for t in (one, other)]
    assert not tidy[0].duplicated(key).any()
    pd.testing.assert_frame_equal(*tidy)


def on_disk(out: Path) -> dict[str, bytes]:
    return {shard.name: shard.read_bytes() for shard in (out / "outcomes").glob("*.parquet")}


def _collect_until(plan: Plan, out: Path, told: Path, last: int) -> None:
    """Killed just before it opens or renames something in the run folder for the ``last``-th time."""
    torch.set_num_threads(1)
    touched = count(1)

    def watch(event: str, arguments: tuple[object, ...]) -> None:
        if event not in ("open", "os.rename") or not str(arguments[0]).startswith(f"{out}/"):
            return
        if next(touched) == last:
            if event == "os.rename":
                # as if the write had come half as far
                os.truncate(str(arguments[0]), os.path.getsize(str(arguments[0])) // 2)
            os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(watch)
    collect(plan, out, device="cpu", progress=lambda progress: told.write_text(str(progress.items_done)))


def test_killed_before_any_kind_of_write_what_was_told_is_there_and_stays(plan, undisturbed, tmp_path):
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tolerance.runners.collect.worker", "transformers.models.llama.modeling_llama"])
    out, told, rng, there, ends = tmp_path / "run", tmp_path / "told", random.Random(11), {}, []
    # before the manifest stands, then up to four shards later each
    for last in (rng.randint(1, 4), *(rng.randint(5, 19) for _ in range(2)), sys.maxsize):
        told.write_text(str(BATCH * len(there)))
        child = context.Process(target=_collect_until, args=(plan, out, told, last))
        child.start()
        child.join()
        ends.append(child.exitcode)
        now = on_disk(out)
        assert there.items() <= now.items()
        # a block may be on disk and not told of yet
        assert BATCH * len(now) - int(told.read_text()) in (0, BATCH)
        there = now
    assert ends == [*[-signal.SIGKILL] * 3, 0]
    same(read_run(out), undisturbed.read())


def _flip(content: bytes, rng: random.Random) -> bytes:
    changed = bytearray(content)
    changed[rng.randrange(len(changed))] ^= 1 << rng.randrange(8)
    return bytes(changed)


def _cut(content: bytes, rng: random.Random) -> bytes:
    return content[: rng.randrange(len(content))]


def _blank(content: bytes, rng: random.Random) -> bytes:
    """A sector of zeros where something was."""
    at = rng.randrange(max(len(content) - 512, 1))
    return content[:at] + bytes(min(512, len(content) - at)) + content[at + 512 :]


def _footer(content: bytes, rng: random.Random) -> bytes:
    """A bit flipped, or zeros from somewhere on, in the footer, which no page's checksum covers."""
    foot = len(content) - 8 - int.from_bytes(content[-8:-4], "little")
    return content[:foot] + rng.choice([_flip, _blank])(content[foot:-8], rng) + content[-8:]


@pytest.mark.parametrize("damage", [_flip, _cut, _blank, _footer])
def test_no_damage_to_a_shard_is_read_as_other_answers(undisturbed, tmp_path, damage):
    (original, *_), shard, rng, found = undisturbed.shards(), tmp_path / "shard.parquet", random.Random(7), 0
    content, whole = original.read_bytes(), read_sealed(original, ARROW_SCHEMA)
    for _ in range(200):
        shard.write_bytes(damage(content, rng))
        table = read_sealed(shard, ARROW_SCHEMA)
        found += table is None
        assert table is None or table.equals(whole)
    assert found > 100


def test_shards_damaged_in_many_ways_are_set_aside_and_answered_anew(plan, undisturbed, tmp_path):
    out, rng = tmp_path / "run", random.Random(3)
    folder = collect(plan, out, device="cpu")
    shards = folder.shards()
    hurt = dict(zip(rng.sample(shards, 4), (_cut, _blank, lambda *_: b"", lambda *_: b"answers"), strict=True))
    for shard, damage in hurt.items():
        shard.write_bytes(damage(shard.read_bytes(), rng))
    left = {name: content for name, content in on_disk(out).items() if out / "outcomes" / name not in hurt}
    with pytest.raises(StoreError, match="cannot be read"):
        folder.read()
    collect(plan, out, device="cpu")
    assert {path.name for path in (out / "quarantine").iterdir()} == {shard.name for shard in hurt}
    assert left.items() <= on_disk(out).items()
    same(folder.read(), undisturbed.read())


def test_memory_that_runs_out_now_and_then_changes_no_row(plan, undisturbed, tmp_path, monkeypatch):
    rng, refused = random.Random(5), []

    def failing(original, rows):
        def work(*args, **kwargs):
            if len(args[rows]) > 1 and rng.random() < 0.7:
                refused.append(original.__qualname__)
                raise torch.OutOfMemoryError("injected")
            return original(*args, **kwargs)

        return work

    monkeypatch.setattr(shared_prefill.Levels, "answer", failing(shared_prefill.Levels.answer, 1))
    monkeypatch.setattr(shared_prefill.Levels, "_decode", failing(shared_prefill.Levels._decode, 2))
    monkeypatch.setattr(worker, "answer", failing(worker.answer, 1))
    folder = collect(plan, tmp_path / "run", device="cpu")
    assert set(refused) == {"Levels.answer", "Levels._decode", "answer"}
    same(folder.read(), undisturbed.read())


def test_memory_that_does_not_hold_one_item_ends_the_run_and_a_later_one_goes_on(
    plan, undisturbed, tmp_path, monkeypatch
):
    original, called = worker.answer, count(1)

    def failing(*args, **kwargs):
        if next(called) > 2:
            raise torch.OutOfMemoryError("injected")
        return original(*args, **kwargs)

    monkeypatch.setattr(worker, "answer", failing)
    with pytest.raises(RunnerError, match=r"one item alone does not fit into the device's memory \(injected\)"):
        collect(plan, tmp_path / "run", device="cpu")
    monkeypatch.undo()
    there = on_disk(tmp_path / "run")
    assert 2 <= len(there) < len(blocks(plan))
    folder = collect(plan, tmp_path / "run", device="cpu")
    assert there.items() <= on_disk(tmp_path / "run").items()
    same(folder.read(), undisturbed.read())


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 64 KiB and 40 files; skipped where none can be mounted."""
    place = tmp_path / "disk"
    place.mkdir()
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64k,nr_inodes=40", "tmpfs", place],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        pytest.skip(f"no small tmpfs can be mounted here: {done.stderr.strip()}")
    yield place
    subprocess.run(["umount", place], check=True)


def _resize(place: Path, options: str) -> None:
    subprocess.run(["mount", "-o", f"remount,{options}", place], check=True)


@pytest.mark.parametrize(("full", "mended"), [("size=64k", "size=8m"), ("size=8m,nr_inodes=9", "nr_inodes=100")])
def test_a_disk_that_is_full_keeps_what_was_finished(plan, undisturbed, disk, full, mended):
    _resize(disk, full)
    for _ in range(2):
        with pytest.raises(StoreError, match=r"cannot be written \(No space left on device\)"):
            collect(plan, disk / "run", device="cpu")
    there = on_disk(disk / "run")
    assert 0 < len(there) < len(blocks(plan))
    _resize(disk, mended)
    folder = collect(plan, disk / "run", device="cpu")
    assert there.items() <= on_disk(disk / "run").items()
    assert folder.damaged() == []
    same(folder.read(), undisturbed.read())


def test_a_disk_too_full_to_set_a_shard_aside_or_to_begin_says_so(plan, undisturbed, disk):
    _resize(disk, "size=8m")
    folder = collect(plan, disk / "run", device="cpu")
    (shard, *_) = folder.shards()
    shard.write_bytes(b"")
    _resize(disk, f"nr_inodes={len(list(disk.rglob('*'))) + 1}")
    for out in (disk / "run", disk / "other"):
        with pytest.raises(StoreError, match=r"cannot be written \(No space left on device\)"):
            collect(plan, out, device="cpu")
    _resize(disk, "nr_inodes=100")
    same(collect(plan, disk / "run", device="cpu").read(), undisturbed.read())


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_ray_workers_that_are_killed_again_and_again_lose_and_double_nothing(plan, undisturbed, tmp_path, monkeypatch):
    ray = pytest.importorskip("ray", reason="the extra 'ray' is not installed")
    from tolerance.runners.collect.engines import RayCore

    monkeypatch.setenv("RAY_ENABLE_UV_RUN_RUNTIME_ENV", "0")
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    held, killed, rng, made = [], [], random.Random(2), RayCore.__init__

    def remember(self, *args, **others):
        made(self, *args, **others)
        held.append(self)

    def kill(progress):
        actors = held[0].actors.get(plan.models[0], [])
        if actors and 0 < progress.items_done < N_ROWS and rng.random() < 0.6 and len(killed) < 3:
            killed.append(ray.get(rng.choice(actors).process.remote()))
            os.kill(killed[-1], signal.SIGKILL)

    monkeypatch.setattr(RayCore, "__init__", remember)
    try:
        folder = collect(plan, tmp_path / "run", device="cpu", engine="ray", workers=2, progress=kill)
    finally:
        ray.shutdown()
    assert killed
    same(folder.read(), undisturbed.read())
    assert json.loads((folder.path / "manifest.json").read_text())["notes"]["models"]
