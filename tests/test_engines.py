"""Grids at scale: a lost worker, a full disk or a second run cost the batch in flight, and the rows are the same."""

import errno
import json
import os
import signal
import subprocess
import sys
import threading
from collections import deque
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pandas as pd
import pytest
import torch

from tests.tiny_models import save_llama
from tolerance import RunnerError, StoreError, read_run
from tolerance.runners.collect import engines
from tolerance.runners.collect.blocks import blocks
from tolerance.runners.collect.collect import collect
from tolerance.runners.collect.engines import RayCore, Waiting
from tolerance.runners.collect.estimate import estimate
from tolerance.runners.collect.plan import Plan
from tolerance.runners.collect.worker import Worker

FIELDS = {
    "tasks": ["kv-lookup"],
    "sparsifiers": ["streaming"],
    "levels": [0, 0.5],
    "context_lengths": [32],
    "items": 6,
    "batch_size": 2,
}


@pytest.fixture(scope="module")
def plan(tmp_path_factory):
    models = [save_llama(tmp_path_factory.mktemp(name) / name, num_hidden_layers=1) for name in ("one", "two")]
    return Plan.make(models=[str(model) for model in models], **FIELDS)


@pytest.fixture(scope="module")
def undisturbed(plan, tmp_path_factory):
    return collect(plan, tmp_path_factory.mktemp("runs") / "run", device="cpu")


def same(one: pd.DataFrame, other: pd.DataFrame) -> None:
    key = ["model", "task", "sparsifier", "sparsity_requested", "item_id"]
    # plans of one and of two models are two runs
    tidy = [t.drop(columns=["seconds", "run_id"]).sort_values(key, ignore_index=True) for t in (one, other)]
    pd.testing.assert_frame_equal(*tidy)


# a shard is flushed, then its folder: the disk is full for one or for the other
@pytest.mark.parametrize("full_after", [12, 13])
def test_a_full_disk_keeps_what_was_finished_and_the_run_goes_on_from_there(
    plan, undisturbed, tmp_path, monkeypatch, full_after
):
    real, synced = os.fsync, []

    def full(descriptor):
        synced.append(descriptor)
        # by now the manifest and a few shards stand
        if len(synced) > full_after:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        real(descriptor)

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StoreError, match=r"No space left on device\)\. What was finished before is safe"):
        collect(plan, tmp_path / "run", device="cpu")
    monkeypatch.undo()
    kept = {shard.name: shard.stat().st_mtime_ns for shard in (tmp_path / "run" / "outcomes").glob("*.parquet")}
    assert 0 < len(kept) < len(blocks(plan))
    folder = collect(plan, tmp_path / "run", device="cpu")
    assert folder.damaged() == []
    assert {s.name: s.stat().st_mtime_ns for s in folder.shards() if s.name in kept} == kept
    same(folder.read(), undisturbed.read())


def test_of_two_runs_at_once_one_is_refused_and_its_repeat_finds_all_done(plan, undisturbed, tmp_path, monkeypatch):
    begun, go_on, refused = threading.Event(), threading.Event(), []

    def hold(progress):
        begun.set()
        assert go_on.wait(60)

    first = threading.Thread(target=collect, args=(plan, tmp_path / "run"), kwargs={"device": "cpu", "progress": hold})
    first.start()
    assert begun.wait(60)
    # told before anything is loaded, or a cluster's GPUs are waited for
    monkeypatch.setattr("tolerance.runners.collect.collect.make_engine", None)
    for other in (plan, replace(plan, items=4)):
        with pytest.raises(StoreError) as error:
            collect(other, tmp_path / "run", device="cpu")
        refused.append(str(error.value))
    monkeypatch.undo()
    go_on.set()
    first.join()
    assert "another process is writing here" in refused[0]
    assert "items: 6 there, 4 now" in refused[1]
    before = [shard.stat().st_mtime_ns for shard in collect(plan, tmp_path / "run", device="cpu").shards()]
    assert before == [shard.stat().st_mtime_ns for shard in collect(plan, tmp_path / "run", device="cpu").shards()]
    same(read_run(tmp_path / "run"), undisturbed.read())


def test_two_runs_that_start_at_once_in_an_empty_folder_cannot_mix(plan, tmp_path):
    from tolerance.data.manifest import Manifest
    from tolerance.data.run_folder import RunFolder, locked

    out = tmp_path / "run"
    out.mkdir()
    mine = Manifest("collected", plan.to_dict(), created="now")
    with locked(out), pytest.raises(StoreError, match="another process is writing"):
        RunFolder.create(out, mine)
    assert [p.name for p in out.iterdir()] == [".lock"]
    assert RunFolder.create(out, mine).manifest == mine


def test_progress_tells_rate_and_cost_so_far(plan, tmp_path):
    seen = []
    collect(plan, tmp_path / "run", device="cpu", progress=seen.append)
    table = read_run(tmp_path / "run")
    flops = table[["flops_linear", "flops_attention", "flops_selection"]].sum().sum()
    assert seen[-1].flops == pytest.approx(flops)
    assert seen[-1].worker_seconds == pytest.approx(table["seconds"].sum())
    assert seen[0].flops == 0
    assert seen[-1].items_per_second > 0
    assert "FLOP" in seen[-1].cost


def test_a_dry_run_counts_what_is_left_and_bounds_what_it_costs(plan, undisturbed, tmp_path):
    before = estimate(plan, tmp_path / "nothing", device="cpu")
    assert not (tmp_path / "nothing").exists()
    assert [(line.cells, line.items, line.items_left) for line in before.lines] == [(2, 12, 12)] * 2
    table = undisturbed.read()
    truly = table[["flops_linear", "flops_attention"]].sum().sum()
    # all answers are one token here; budgets are rounded up to whole keys
    assert before.flops_left == pytest.approx(truly, rel=0.02)
    assert before.seconds > 0
    assert before.basis.startswith("at least")
    after = estimate(plan, undisturbed.path, device="cpu")
    assert (after.flops_left, after.seconds) == (0, 0)


def test_a_dry_run_is_a_command_that_loads_nothing(plan, tmp_path):
    (tmp_path / "plan.yaml").write_text(json.dumps({"models": list(plan.models), **FIELDS}))
    command = [sys.executable, "-m", "tolerance", "collect", "plan.yaml", "--dry-run", "--device", "cpu"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "4 cells, 24 answers left" in done.stdout
    assert [p.name for p in tmp_path.iterdir()] == ["plan.yaml"]


def test_engines_are_named_and_ray_is_asked_for_by_its_extra(plan, tmp_path, monkeypatch):
    with pytest.raises(RunnerError, match=r"engine 'slurm' unknown\. Known: local, ray"):
        collect(plan, tmp_path / "run", device="cpu", engine="slurm")
    with pytest.raises(RunnerError, match="--engine local has one"):
        collect(plan, tmp_path / "run", device="cpu", workers=2)
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(RunnerError, match=r"Ray is not installed.*sparsity-tolerance\[ray\]"):
        collect(plan, tmp_path / "run", device="cpu", engine="ray")
    assert not (tmp_path / "run").exists()


@pytest.fixture
def ray(request):
    """Ray on two CPUs, and on GPUs in name alone where a test asks for them; its own warnings are not ours."""
    module = pytest.importorskip("ray", reason="the extra 'ray' is not installed")
    os.environ["RAY_ENABLE_UV_RUN_RUNTIME_ENV"] = "0"
    gpus = getattr(request, "param", 0)
    module.init(num_cpus=2, num_gpus=gpus, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    yield module
    module.shutdown()


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("workers", [1, 2])
def test_ray_gives_the_rows_of_one_process(ray, plan, undisturbed, tmp_path, workers):
    folder = collect(plan, tmp_path / "run", device="cpu", engine="ray", workers=workers)
    same(folder.read(), undisturbed.read())
    assert set(folder.manifest.notes["models"]) == set(plan.models)


def dealt(counts: dict[str, int], workers: int) -> list[tuple[int, str]]:
    """Who takes which model's groups, one after another, where all groups take as long."""
    waiting = Waiting([])
    waiting.groups = {model: deque([[model]] * n) for model, n in counts.items()}
    rounds = [[(worker, waiting.take(worker)) for worker in range(workers)] for _ in range(1 + sum(counts.values()))]
    return [(worker, *group) for one in rounds for worker, group in one if group]


def test_each_model_is_loaded_by_as_few_workers_as_keep_all_busy():
    assert dealt({"a": 3, "b": 3}, 2) == [(0, "a"), (1, "b")] * 3
    assert dealt({"a": 2, "b": 1}, 1) == [(0, "a"), (0, "a"), (0, "b")]
    # who is done helps where more than one group waits for each
    long = dealt({"a": 1, "b": 6}, 2)
    assert [model for worker, model in long if worker == 1] == ["b", "b", "b"]
    assert sorted(model for _, model in long) == ["a", "b", "b", "b", "b", "b", "b"]
    assert dealt({"a": 1}, 2) == [(0, "a")]
    assert dealt({"a": 4}, 2) == [(0, "a"), (1, "a")] * 2


def test_a_worker_that_lost_its_place_in_a_model_finds_another():
    waiting = Waiting([], {0: "gone", 1: "b"})
    waiting.groups = {"b": deque([["b"], ["b"]])}
    assert waiting.take(0) == ["b"]
    assert waiting.take(1) == ["b"]
    assert waiting.take(0) == waiting.take(1) == []
    assert waiting.holds == {}


@pytest.mark.parametrize(
    ("gpus", "workers", "share"), [(2, 2, 1), (8, 2, 1), (2, 3, 0.5), (2, 4, 0.5), (1, 3, 1 / 3), (0, 2, 0)]
)
def test_more_workers_than_gpus_share_them_evenly(gpus, workers, share):
    assert engines.gpu_share(gpus, workers) == pytest.approx(share)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("ray", [1], indirect=True)
def test_two_workers_on_one_gpu_are_both_there(ray, plan, undisturbed, tmp_path, monkeypatch):
    both = []
    go = RayCore._let_go

    def seen(self, worker):
        if not both:
            both.extend(ray.get([actor.process.remote() for actor in self.actors.values()], timeout=60))
        go(self, worker)

    monkeypatch.setattr(RayCore, "_let_go", seen)
    few = replace(plan, models=plan.models[:1])
    folder = collect(few, tmp_path / "run", device="auto", engine="ray", workers=2)
    assert len(set(both)) == 2
    table = undisturbed.read()
    same(folder.read(), table[table["model"] == "one"])


def test_a_process_with_a_share_of_a_gpu_plans_within_it(monkeypatch):
    from tolerance.runners.decoding.batching import Sizes

    gib = 2**30
    cuda = {"mem_get_info": (60 * gib, 80 * gib), "memory_reserved": 15 * gib, "memory_allocated": 5 * gib}
    for name, value in cuda.items():
        monkeypatch.setattr(torch.cuda, name, lambda device, value=value: value)
    loaded = SimpleNamespace(device=torch.device("cuda"), params_active=1)
    for share, free in ((1.0, 70), (0.5, 35)):
        monkeypatch.setattr(torch.cuda, "get_per_process_memory_fraction", lambda device, share=share: share)
        assert Sizes.of(loaded).kept_bytes == free * gib // 4


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_a_worker_that_is_killed_comes_back_and_nothing_is_lost_or_doubled(
    ray, plan, undisturbed, tmp_path, monkeypatch
):
    killed, held = [], []
    made = RayCore.__init__

    def remember(self, *args, **others):
        made(self, *args, **others)
        held.append(self)

    def kill(progress):
        if progress.items_done == 0:
            (actor,) = held[0].actors.values()
            held.append(ray.get(actor.process.remote()))
        # the next block is in flight when the rows of one are written
        elif progress.items_done == 4:
            os.kill(held[1], signal.SIGKILL)
            killed.append(held[1])

    monkeypatch.setattr(RayCore, "__init__", remember)
    one_at_a_time = replace(plan, models=plan.models[:1])
    folder = collect(one_at_a_time, tmp_path / "run", device="cpu", engine="ray", progress=kill)
    table = undisturbed.read()
    assert len(killed) == 1
    same(folder.read(), table[table["model"] == "one"])


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_what_a_worker_refuses_is_said_as_if_it_were_here(ray, plan, tmp_path):
    with pytest.raises(RunnerError, match=r"model \./nowhere: no such folder"):
        collect(replace(plan, models=("./nowhere",)), tmp_path / "run", device="cpu", engine="ray")
    assert not (tmp_path / "run").exists()


def test_a_holder_loads_once_and_says_what_the_worker_says(plan, monkeypatch):
    loads = []
    made = Worker.__init__

    def counted(self, *given):
        loads.append(given[1])
        made(self, *given)

    monkeypatch.setattr(Worker, "__init__", counted)
    holder = engines.Holder(plan, "cpu")
    one, two = ([block for block in blocks(plan) if block.model == model] for model in plan.models)
    holder.load(one[:1])
    (answered,) = holder.answer(one[:1])
    holder.answer(one[1:2])
    assert loads == [plan.models[0]]
    assert {row["revision"] for row in answered.rows} == {answered.about["revision"]}
    assert Path(plan.models[0]).name == answered.rows[0]["model"]
    (other,) = holder.answer(two[:1])
    assert loads == list(plan.models)
    assert Path(plan.models[1]).name == other.rows[0]["model"]
    assert holder.process() == os.getpid()
