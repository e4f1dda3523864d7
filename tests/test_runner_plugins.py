"""Sparsifiers and tasks of other people: named in plans, checked as ours are, noted with their code."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from typing import ClassVar

import pytest

from tests.tiny_models import save_llama
from tolerance import RunnerError, SchemaError, StoreError, read_run
from tolerance.runners import sparsifiers, tasks
from tolerance.runners.collect.collect import collect
from tolerance.runners.collect.plan import Plan
from tolerance.runners.sparsifiers import (
    SPARSIFIERS,
    AttentionPattern,
    Eviction,
    Sparsifier,
    TopK,
    label_of,
)
from tolerance.runners.tasks import TASKS, PuzzleTask

METHODS = """
from dataclasses import dataclass
from typing import ClassVar

from tolerance.runners.sparsifiers import Eviction


@dataclass(frozen=True)
class ValueNorm(Eviction):
    name: ClassVar[str] = "value-norm"
    power: int = 1

    def score(self, seen):
        return seen.values.float().norm(dim=-1) ** self.power
"""
TASK = """
from tolerance.runners.tasks import Puzzle, PuzzleTask, entities


class Echo(PuzzleTask):
    name, task_type = "echo", "retrieval"

    def puzzle(self, dialect, context_length, rng):
        words = rng.sample(entities(), 4)
        facts = tuple(zip(words[:2], words[2:], strict=True))
        return Puzzle("lookup", facts[0][0], facts[0][1], tuple(words[2:]), facts, (0,))
"""
FIELDS = {
    "tasks": ["their_task:Echo"],
    "sparsifiers": [{"their_methods:ValueNorm": {"power": 2}}],
    "levels": [0, 0.5],
    "context_lengths": [32],
    "items": 4,
    "batch_size": 2,
}


@dataclass(frozen=True)
class Bare(Sparsifier):
    """Of no kind that the runner imposes."""

    name: ClassVar[str] = "bare"


@dataclass(frozen=True)
class Disguised(TopK):
    """Another method under a name of ours."""


@dataclass(frozen=True)
class Mislabelled(TopK):
    """Another method under what outcomes call one of ours."""

    name: ClassVar[str] = "mislabelled"

    @property
    def label(self):
        return "oracle-top-k"


@dataclass(frozen=True)
class Demanding(TopK):
    """It cannot be made without its option."""

    name: ClassVar[str] = "demanding"
    share: float

    @property
    def label(self):
        return self.name


@dataclass(frozen=True)
class Forgetful(Eviction):
    """Abstract still: it has no score."""

    name: ClassVar[str] = "forgetful"


@dataclass(frozen=True)
class Idle(AttentionPattern):
    """Keeps everything at every level."""

    name: ClassVar[str] = "idle"
    needs_scores: ClassVar[bool] = False

    def keep(self, scores, visible, level):
        return visible


class Impostor(PuzzleTask):
    """Another task under a name of ours."""

    name, task_type = "two-hop", "multi-hop"

    def puzzle(self, dialect, context_length, rng):
        raise NotImplementedError


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return str(save_llama(tmp_path_factory.mktemp("model"), num_hidden_layers=1))


@pytest.fixture
def folder(tmp_path, model, monkeypatch):
    """A plan with the modules that it names beside it; afterwards nobody remembers them."""
    (tmp_path / "their_methods.py").write_text(METHODS)
    (tmp_path / "their_task.py").write_text(TASK)
    (tmp_path / "plan.yaml").write_text(json.dumps({"models": [model], **FIELDS}))
    monkeypatch.setattr(sys, "path", [*sys.path])
    for registry in (SPARSIFIERS, TASKS):
        monkeypatch.setattr(registry, "_loaded", {})
    yield tmp_path
    for name in ("their_methods", "their_task"):
        sys.modules.pop(name, None)


def test_a_plan_names_classes_of_modules_beside_it_and_the_manifest_says_which_code_answered(folder):
    run = collect(Plan.from_yaml(folder / "plan.yaml"), folder / "run", device="cpu")
    table = run.read()
    assert set(table["sparsifier"]) == {"dense", "value-norm"}
    assert set(table["task"]) == {"echo"}
    noted = json.loads((folder / "run" / "manifest.json").read_text())
    assert set(noted["plan"]["plugins"]) == {"sparsifier their_methods:ValueNorm", "task their_task:Echo"}
    assert all("(sha256 " in source for source in noted["plan"]["plugins"].values())
    (about,) = noted["notes"]["models"].values()
    assert about["self_check"]["realised"]["value-norm"] == pytest.approx(0.5, abs=0.1)


def test_other_code_under_the_same_name_is_another_run(folder):
    plan = Plan.from_yaml(folder / "plan.yaml")
    collect(plan, folder / "run", device="cpu")
    again = {kind: [(k, n, s.replace("sha256 ", "sha256 0")) for k, n, s in plan.plugins] for kind in ("plugins",)}
    changed = Plan(**{**{f: getattr(plan, f) for f in plan.__dataclass_fields__}, "plugins": tuple(again["plugins"])})
    with pytest.raises(StoreError, match="holds a run of another plan"):
        collect(changed, folder / "run", device="cpu")
    # a worker with other code than the plan was read with, on another host, say
    with pytest.raises(SchemaError, match=r"'their_methods:ValueNorm': is .* here, and was .* Install the same"):
        collect(changed, folder / "new", device="cpu")


def test_a_plan_of_ours_alone_says_nothing_of_plug_ins_and_touches_no_path(model):
    before = list(sys.path)
    plan = Plan.make(models=[model], **{**FIELDS, "tasks": ["kv-lookup"], "sparsifiers": ["top-k"]})
    assert (plan.plugins, plan.folders, sys.path) == ((), (), before)
    assert "plugins" not in plan.to_dict()


@pytest.mark.parametrize("tool", ["tolerance", "tolerance.runners.collect"])
def test_the_command_finds_them_beside_the_plan_from_anywhere(folder, tmp_path_factory, tool):
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    verb = ["collect"] if tool == "tolerance" else []
    command = [sys.executable, "-P", "-m", tool, *verb, str(folder / "plan.yaml"), "--out", "run", "--device", "cpu"]
    done = subprocess.run(command, cwd=elsewhere, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert len(read_run(elsewhere / "run")) == 8


def test_a_module_in_the_working_directory_is_found_from_python(folder, model, monkeypatch):
    monkeypatch.chdir(folder)
    assert Plan.make(models=[model], **FIELDS).methods()[0].label == "value-norm"


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("tests.test_runner_plugins:Bare", "A sparsifier is a frozen dataclass with a name, on AttentionPattern"),
        ("tests.test_runner_plugins:Forgetful", "A sparsifier is a frozen dataclass"),
        ("tests.test_runner_plugins:Nothing", "has no Nothing"),
        ("tests.test_runner_plugins:Disguised", "calls itself 'top-k', which is ours"),
        ("tests.test_runner_plugins:Mislabelled", "calls itself 'oracle-top-k', which is ours"),
        ("tests.test_runner_plugins:Demanding", "option share missing"),
        ("nowhere_at_all:Method", "nowhere_at_all cannot be imported"),
        ("value-norm", r"unknown\. Known: top-k, .*; or module:Class of your own"),
    ],
)
def test_what_is_no_sparsifier_is_refused_when_the_plan_is_read(model, name, said):
    with pytest.raises(SchemaError, match=said):
        Plan.make(models=[model], **{**FIELDS, "tasks": ["kv-lookup"], "sparsifiers": [name]})


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("tests.test_runner_plugins:Impostor", "calls itself 'two-hop', which is ours"),
        ("tests.test_runner_plugins:Bare", "A task is a class, or an instance of one, on EnglishTask"),
        ("echo", r"unknown\. Known: kv-lookup, .* ends in \.jsonl or \.parquet, or module:Class"),
    ],
)
def test_what_is_no_task_is_refused_when_the_plan_is_read(model, name, said):
    with pytest.raises(SchemaError, match=said):
        Plan.make(models=[model], **{**FIELDS, "tasks": [name], "sparsifiers": ["top-k"]})


def test_a_sparsifier_of_somebody_s_that_does_not_do_what_it_says_is_refused_by_name(model, tmp_path):
    fields = {**FIELDS, "tasks": ["kv-lookup"], "sparsifiers": ["tests.test_runner_plugins:Idle"]}
    with pytest.raises(RunnerError, match=r"idle at level 0\.5 realised 0\.000"):
        collect(Plan.make(models=[model], **fields), tmp_path / "run", device="cpu")
    assert not (tmp_path / "run").exists()


def test_options_of_a_class_are_checked_as_ours_are(folder, model, monkeypatch):
    monkeypatch.chdir(folder)
    entry = {"their_methods:ValueNorm": {"pwr": 2}}
    with pytest.raises(SchemaError, match="option pwr unknown; it has allocation, power, question"):
        Plan.make(models=[model], **{**FIELDS, "sparsifiers": [entry]})


def test_top_k_and_what_outcomes_call_it_are_one_word(model):
    told = [Plan.make(models=[model], **{**FIELDS, "tasks": ["kv-lookup"], "sparsifiers": [word]}) for word in WORDS]
    assert told[0] == told[1]
    assert [label_of(word) for word in WORDS] == ["oracle-top-k"] * 2
    assert label_of("snapkv", question="visible") == "snapkv-aware"
    with pytest.raises(SchemaError, match="'oracle-top-k' is given twice"):
        Plan.make(models=[model], **{**FIELDS, "tasks": ["kv-lookup"], "sparsifiers": list(WORDS)})


WORDS = ("top-k", "oracle-top-k")


def test_what_a_process_registers_is_a_name_like_any_other_there(model):
    SPARSIFIERS.register("idle")(Idle)
    TASKS.register("impostor")(Impostor)
    try:
        assert sparsifiers.get("idle") == Idle()
        with pytest.raises(SchemaError, match="calls itself 'two-hop'"):
            tasks.get("impostor")
        plan = Plan.make(models=[model], **{**FIELDS, "tasks": ["kv-lookup"], "sparsifiers": ["idle"]})
        assert plan.plugins[0][:2] == ("sparsifier", "idle")
    finally:
        SPARSIFIERS.forget("idle")
        TASKS.forget("impostor")


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_ray_workers_find_them_too(folder):
    ray = pytest.importorskip("ray", reason="the extra 'ray' is not installed")
    os.environ["RAY_ENABLE_UV_RUN_RUNTIME_ENV"] = "0"
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    try:
        run = collect(Plan.from_yaml(folder / "plan.yaml"), folder / "run", device="cpu", engine="ray")
    finally:
        ray.shutdown()
    assert set(run.read()["sparsifier"]) == {"dense", "value-norm"}
