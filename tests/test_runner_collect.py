"""Collecting: complete rows, true costs, and the same rows however often it is interrupted."""

import json
import multiprocessing
import os
import random
import signal
import time
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode
from transformers import Gemma3TextConfig, GPT2Config, LlamaConfig, MistralConfig

from tests.tiny_models import COMMON, load_random, save_llama
from tolerance import RunnerError, SchemaError, StoreError, read_run
from tolerance.runners.attention.control import imposing
from tolerance.runners.collect import costs
from tolerance.runners.collect.blocks import blocks
from tolerance.runners.collect.collect import collect
from tolerance.runners.collect.plan import Plan, demo_plan
from tolerance.runners.decoding.generate import answer
from tolerance.runners.models.load import load
from tolerance.runners.sparsifiers import get
from tolerance.runners.tasks import TASKS
from tolerance.runners.tasks.dialects import Words, dialect

FIELDS = {
    "tasks": ["kv-lookup", "common-word"],
    "sparsifiers": ["top-k", {"streaming": {"sinks": 2}}],
    "levels": [0, 0.5, 0.9],
    "context_lengths": [32],
    "items": 10,
    "batch_size": 4,
}
UNTIMED = ["seconds"]


@pytest.fixture(scope="module")
def plan(tmp_path_factory):
    folder = save_llama(tmp_path_factory.mktemp("model"))
    return Plan.make(models=[str(folder)], **FIELDS)


@pytest.fixture(scope="module")
def undisturbed(plan, tmp_path_factory):
    return collect(plan, tmp_path_factory.mktemp("runs") / "run", device="cpu")


def same(one: pd.DataFrame, other: pd.DataFrame) -> None:
    key = ["task", "sparsifier", "sparsity_requested", "item_id"]
    tidy = [t.drop(columns=UNTIMED).sort_values(key, ignore_index=True) for t in (one, other)]
    pd.testing.assert_frame_equal(*tidy)


def test_every_item_is_answered_once_under_every_condition(undisturbed):
    table = undisturbed.read()
    counts = table.groupby(["task", "sparsifier", "sparsity_requested"]).size()
    assert len(table) == 2 * 5 * 10
    assert (counts == 10).all()
    assert table.groupby("item_id").size().eq(5).all()


def test_rows_say_what_was_run_and_what_it_cost(undisturbed):
    table = undisturbed.read()
    known = ["revision", "params", "unit", "phase", "sparsity_realised", "prompt_tokens", "flops_linear", "chance"]
    known += ["flops_attention", "flops_selection", "kv_bytes_allocated", "seconds", "parse_ok", "batch_shape", "scope"]
    assert not table[known].isna().any().any()
    dense = table[table["sparsifier"] == "dense"]
    assert (dense["sparsity_realised"] == 0).all()
    assert (dense["flops_selection"] == 0).all()
    sparse = table[table["sparsifier"] != "dense"]
    below = sparse["sparsity_requested"] - sparse["sparsity_realised"]
    # budgets round up: on 36 tokens a little less is dropped than asked, never more
    assert below.between(0, 0.06).all()
    assert (sparse["flops_attention"] < dense["flops_attention"].min()).all()


def test_top_k_pays_for_looking_and_streaming_does_not(undisturbed):
    table = undisturbed.read().set_index("sparsifier")
    assert (table.loc["oracle-top-k", "flops_selection"] > 0).all()
    assert (table.loc["streaming", "flops_selection"] == 0).all()


def test_the_manifest_names_plan_and_versions(undisturbed):
    manifest = json.loads((undisturbed.path / "manifest.json").read_text())
    assert manifest["plan"]["sparsifiers"] == [{"top-k": {}}, {"streaming": {"sinks": 2}}]
    assert {"torch", "transformers", "python"} <= set(manifest["packages"])


def test_a_run_with_missing_shards_is_completed_to_the_same_rows(plan, undisturbed, tmp_path):
    folder = collect(plan, tmp_path / "run", device="cpu")
    shards = folder.shards()
    for shard in shards[::2]:
        shard.unlink()
    kept = {shard: shard.stat().st_mtime_ns for shard in shards[1::2]}
    seen = []
    collect(plan, tmp_path / "run", device="cpu", progress=seen.append)
    assert {shard: shard.stat().st_mtime_ns for shard in kept} == kept
    assert (seen[-1].items_done, seen[-1].items_total) == (100, 100)
    assert seen[0].items_done > 0
    same(folder.read(), undisturbed.read())


def test_a_damaged_shard_is_set_aside_and_answered_anew(plan, undisturbed, tmp_path):
    folder = collect(plan, tmp_path / "run", device="cpu")
    shard = folder.shards()[3]
    shard.write_bytes(shard.read_bytes()[: shard.stat().st_size // 2])
    collect(plan, tmp_path / "run", device="cpu")
    assert [p.name for p in (tmp_path / "run" / "quarantine").iterdir()] == [shard.name]
    same(folder.read(), undisturbed.read())


def test_a_finished_run_loads_no_model(plan, undisturbed, monkeypatch):
    monkeypatch.setattr("tolerance.runners.collect.worker.load", lambda *a, **k: pytest.fail("loaded"))
    collect(plan, undisturbed.path, device="cpu")


def test_another_plan_into_the_same_folder_is_refused(plan, undisturbed):
    before = undisturbed.read()
    with pytest.raises(StoreError, match="items: 10 there, 12 now"):
        collect(replace(plan, items=12), undisturbed.path, device="cpu")
    same(undisturbed.read(), before)


def test_a_model_that_cannot_be_loaded_leaves_nothing_behind(plan, tmp_path):
    with pytest.raises(RunnerError, match="no such folder"):
        collect(replace(plan, models=("./nowhere",)), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def _collect_in_child(plan: Plan, out: Path) -> None:
    torch.set_num_threads(1)
    collect(plan, out, device="cpu")


def test_killed_at_random_moments_it_ends_with_the_same_rows(plan, undisturbed, tmp_path):
    # A child starts with torch imported, so that the kills fall into answering and writing, not into importing.
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tolerance.runners.collect.worker", "transformers.models.llama.modeling_llama"])
    out, rng, kills = tmp_path / "run", random.Random(4), 0
    shards = out / "outcomes"
    while True:
        n_before = len(list(shards.glob("*.parquet")))
        child = context.Process(target=_collect_in_child, args=(plan, out))
        child.start()
        # Some die before anything is written, most between or inside the writing of blocks.
        wanted = n_before + (0 if kills == 0 else 1)
        while child.is_alive() and kills < 10 and len(list(shards.glob("*.parquet"))) < wanted:
            time.sleep(0.0005)
        if kills < 10:
            time.sleep(rng.uniform(0, 0.01))
            if child.is_alive():
                os.kill(child.pid, signal.SIGKILL)
                kills += 1
        child.join()
        if child.exitcode == 0:
            break
        assert child.exitcode == -signal.SIGKILL
    assert kills == 10
    same(read_run(out), undisturbed.read())


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (
            {"levels": [0, 1.4]},
            "levels: 1.4 is outside [0, 1). A level is the fraction removed; was 1.4 given in percent",
        ),
        ({"levels": [0, 50]}, "was 50 given in percent"),
        ({"levels": [0.5, 0.9]}, "levels: no dense baseline in [0.5, 0.9]. Add level 0"),
        ({"levels": [0]}, "has no sparse level"),
        ({"levels": []}, "levels: [], expected a list"),
        ({"levels": [0, 0.5, 0.5]}, "0.5 is given twice"),
        ({"sparsifiers": ["topk"]}, "sparsifiers: sparsifier 'topk' unknown. Known: top-k, streaming"),
        ({"sparsifiers": [{"streaming": {"sink": 4}}]}, "option sink unknown; it has sinks"),
        ({"sparsifiers": [{"streaming": {"sinks": -1}}]}, "sinks: -1, expected a whole number, at least 0"),
        ({"sparsifiers": [{"top-k": 4}]}, "expected a name or {name: {option: value}}"),
        ({"tasks": ["squad"]}, "tasks: task 'squad' unknown. Known: kv-lookup, two-hop, common-word"),
        ({"items": 0}, "items: 0, expected a whole number, at least 1"),
        ({"context_lengths": ["256"]}, "context_lengths: '256', expected tokens"),
        ({"tasks": [{"two-hop": {"length": [64]}}]}, "tasks: {'two-hop': {'length': [64]}}, expected a name or {name:"),
        ({"tasks": [{"two-hop": {"context_lengths": [8]}}]}, "tasks: two-hop: context_lengths: 8, expected tokens"),
        ({"tasks": [{"two-hop": {"context_lengths": [64]}}, "two-hop"]}, "tasks: 'two-hop' is given twice"),
        ({"context_lengths": None}, "context_lengths: None, expected a list"),
        ({"own_lengths": [1]}, "field own_lengths unknown"),
        ({"dtype": "int8"}, "dtype: 'int8', expected one of float32"),
        ({"phase": "all"}, "phase: 'all', expected one of prefill, decode, both"),
        ({"models": "tiny"}, "models: 'tiny', expected a list"),
        ({"sparsity": [0]}, "field sparsity unknown. Known: models, tasks"),
    ],
)
def test_a_bad_plan_is_named_before_anything_is_loaded(tmp_path, changes, said):
    path = tmp_path / "plan.yaml"
    path.write_text(json.dumps({"models": ["tiny"], **FIELDS, **changes}))
    with pytest.raises(SchemaError) as error:
        Plan.from_yaml(path)
    assert str(error.value).startswith(f"{path}: ")
    assert said in str(error.value)


def test_a_plan_file_that_is_no_plan_is_named(tmp_path):
    (tmp_path / "list.yaml").write_text("- 1")
    (tmp_path / "broken.yaml").write_text("models: [")
    with pytest.raises(SchemaError, match="a plan is a mapping"):
        Plan.from_yaml(tmp_path / "list.yaml")
    with pytest.raises(SchemaError, match="not YAML"):
        Plan.from_yaml(tmp_path / "broken.yaml")
    with pytest.raises(SchemaError, match="no such plan file"):
        Plan.from_yaml(tmp_path / "nothing.yaml")


def test_a_task_can_have_context_lengths_of_its_own(plan):
    own = {"common-word": {"context_lengths": [32, 64]}}
    mixed = Plan.make(models=["tiny"], **{**FIELDS, "tasks": ["kv-lookup", own]})
    assert list(mixed.series()) == [("kv-lookup", 32, 10), ("common-word", 32, 10), ("common-word", 64, 10)]
    assert mixed.to_dict()["own_lengths"] == {"common-word": [32, 64]}
    alone = Plan.make(models=["tiny"], **{**FIELDS, "tasks": [own], "context_lengths": None})
    assert list(alone.series()) == [("common-word", 32, 10), ("common-word", 64, 10)]
    # an older plan's manifest stays what it was
    assert "own_lengths" not in plan.to_dict()


def test_block_names_differ_and_dense_is_run_once():
    made = blocks(demo_plan(items=40, seed=0))
    assert len({block.name for block in made}) == len(made) == 3 * 11 * 2
    assert sum(block.sparsifier is None for block in made) == 3 * 2


def test_answers_do_not_depend_on_the_batch(llama):
    loaded, spoken = load(str(llama), device="cpu"), Words()
    prompts = [TASKS["kv-lookup"].item(spoken, length, 0, 0).prompt for length in (32, 64, 48)]

    def ask(some):
        with imposing(get("top-k"), 0.6) as control:
            return answer(loaded, some, control, max_new_tokens=5, special_tokens=True)

    together = ask(prompts)
    alone = [ask([prompt])[0] for prompt in prompts]
    assert together == alone


def test_phases_are_told_apart_and_only_the_asked_one_is_sparse(llama):
    loaded = load(str(llama), device="cpu")
    prompt = TASKS["kv-lookup"].item(Words(), 64, 0, 0).prompt
    for phases, prefill_dense, decode_dense in ((("decode",), True, False), (("prefill",), False, True)):
        with imposing(get("streaming"), 0.8, frozenset(phases)) as control:
            (got,) = answer(loaded, [prompt], control, max_new_tokens=6, special_tokens=True)
        assert (got.prefill.kept == got.prefill.visible) is prefill_dense
        assert (got.decode.kept == got.decode.visible) is decode_dense
        assert got.decode.visible > 0


def test_english_prompts_run_on_a_model_without_a_dialect(tmp_path):
    folder = save_llama(tmp_path / "model")
    (folder / "tolerance.json").unlink()
    plan = Plan.make(models=[str(folder)], **{**FIELDS, "context_lengths": [64], "items": 2})
    table = collect(plan, tmp_path / "run", device="cpu").read()
    assert table["item_id"].str.contains("/english-").all()
    assert table["generated_tokens"].max() <= dialect("english", load(str(folder)).tokenizer).max_new_tokens


def test_the_manifest_holds_the_self_check_and_other_weights_are_refused(plan, tmp_path):
    model = save_llama(tmp_path / "model")
    mine = replace(plan, models=(str(model),))
    folder = collect(mine, tmp_path / "run", device="cpu")
    note = json.loads((folder.path / "manifest.json").read_text())["notes"]["models"][str(model)]
    assert note["self_check"]["covered_layers"] == 1
    assert note["device"] == "cpu"
    folder.shards()[0].unlink()
    before = len(folder.shards())
    save_llama(model, rms_norm_eps=1e-6, initializer_range=0.05)
    with pytest.raises(StoreError, match="has other weights now"):
        collect(mine, folder.path, device="cpu")
    assert len(folder.shards()) == before


def test_half_a_manifest_of_a_killed_run_is_no_obstacle(plan, undisturbed, tmp_path):
    out = tmp_path / "run"
    out.mkdir()
    (out / ".manifest.json.tmp").write_text('{"plan": ')
    same(collect(plan, out, device="cpu").read(), undisturbed.read())


def test_a_context_beyond_the_models_positions_is_refused(plan, tmp_path):
    with pytest.raises(RunnerError, match="more than the model's 512 positions"):
        collect(replace(plan, context_lengths=(512,)), tmp_path / "run", device="cpu")
    assert not (tmp_path / "run").exists()


def test_a_window_bounds_what_a_layer_caches(tmp_path):
    windowed = load_random(MistralConfig(**COMMON, num_key_value_heads=4, sliding_window=16), tmp_path)
    prompt = TASKS["kv-lookup"].item(Words(), 64, 0, 0).prompt
    with imposing() as control:
        (got,) = answer(windowed, [prompt], control, max_new_tokens=1, special_tokens=True)
    cost = costs.cost(costs.shape(windowed), got, None, frozenset())
    assert cost.kv_bytes_allocated == 2 * (2 * 32 * 4) * 15


def test_the_manifest_holds_revision_and_self_check_of_every_model(plan, undisturbed, tmp_path):
    second = save_llama(tmp_path / "second", num_hidden_layers=1)
    folder = collect(replace(plan, models=(*plan.models, str(second))), tmp_path / "run", device="cpu")
    noted = json.loads((folder.path / "manifest.json").read_text())["notes"]["models"]
    assert set(noted) == {*plan.models, str(second)}
    assert noted[str(second)]["revision"] in set(folder.read()["revision"])
    assert noted[str(second)]["self_check"]["differences"]["dense against eager"] < 1e-4


@pytest.mark.parametrize("name", ["llama", "gpt2", "gemma3"])
def test_closed_forms_equal_what_torch_counts_and_what_the_cache_holds(name, tmp_path):
    config = {
        "llama": LlamaConfig(**COMMON, num_key_value_heads=2),
        "gpt2": GPT2Config(vocab_size=1024, n_embd=32, n_layer=2, n_head=4, n_positions=512, eos_token_id=2),
        "gemma3": Gemma3TextConfig(**COMMON, num_key_value_heads=2, head_dim=8, sliding_window=16),
    }[name]
    loaded = load_random(config, tmp_path)
    prompt = TASKS["kv-lookup"].item(Words(), 64, 0, 0).prompt
    with imposing() as control:
        (got,) = answer(loaded, [prompt], control, max_new_tokens=1, special_tokens=True)
    cost = costs.cost(costs.shape(loaded), got, None, frozenset())
    ids = loaded.tokenizer(prompt, return_tensors="pt")
    loaded.model.set_attn_implementation("eager")
    with FlopCounterMode(display=False) as counter, torch.inference_mode():
        out = loaded.model(**ids, logits_to_keep=1, use_cache=True)
    n, held = ids["input_ids"].shape[1], out.past_key_values.layers
    # eager attention multiplies the whole square of pairs: 2 layers x 4 heads x 8 dims, twice
    square = 2 * 2 * 8 * 4 * 2 * n * n
    assert cost.flops_attention <= square * (n + 1) / (2 * n)
    assert counter.get_total_flops() == cost.flops_linear + square
    assert cost.kv_bytes_allocated == sum(
        t.numel() * t.element_size() for layer in held for t in (layer.keys, layer.values)
    )
