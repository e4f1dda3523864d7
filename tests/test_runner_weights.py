"""Pruned weights: what is zero is what was said, levels are nested, and the model's own come back bit for bit."""

import json
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import GPT2Config, MixtralConfig

from tests.test_runner_attention import ARCHITECTURES, GROUPED
from tests.tiny_models import load_random, save_llama
from tolerance import RunnerError, SchemaError, StoreError
from tolerance.runners.collect.blocks import blocks
from tolerance.runners.collect.collect import collect
from tolerance.runners.collect.plan import Plan
from tolerance.runners.models.linear import linears, matrix
from tolerance.runners.models.load import load
from tolerance.runners.pruning import calibration
from tolerance.runners.pruning.calibration import Calibrations
from tolerance.runners.pruning.weights import Weights
from tolerance.runners.selfcheck import selfcheck
from tolerance.runners.sparsifiers import PRUNINGS, Checkpoint, get
from tolerance.runners.sparsifiers.prompts import Calibrated, Prompts
from tolerance.runners.tasks import PUZZLES
from tolerance.runners.tasks.dialects import dialect

FEW = {"samples": 3, "length": 64}
METHODS = [cls(**(FEW if issubclass(cls, Calibrated) else {})) for cls in PRUNINGS]
METHODS.append(get("magnitude", compare="row"))
FREE = [method for method in METHODS if method.levels is None]
# models of experts are refused
DENSE = {name: config for name, config in ARCHITECTURES.items() if "oss" not in name}
DENSE["gpt2"] = GPT2Config(vocab_size=1024, n_embd=32, n_layer=2, n_head=4, n_positions=512, eos_token_id=2)


def ids(seed=0, n=40):
    return torch.randint(16, 1000, (2, n), generator=torch.Generator().manual_seed(seed))


def logits(loaded):
    with torch.inference_mode():
        return loaded.model(input_ids=ids()).logits


@pytest.mark.parametrize("name", DENSE)
def test_every_architecture_is_pruned_as_said_and_restored_bit_for_bit(name, tmp_path):
    loaded = load_random(DENSE[name], tmp_path)
    before, dense = {k: v.clone() for k, v in loaded.model.state_dict().items()}, logits(loaded)
    checked = selfcheck.check(loaded, METHODS)
    assert {checked.realised[m.label] for m in METHODS} == {0.5}
    weights = Weights(loaded, Calibrations(loaded))
    zeros, others = None, {k for k in before if k.removesuffix(".weight") not in linears(loaded.model)}
    assert any("embed" in k or "wte" in k for k in others)
    for level in (0.3, 0.7):
        made = weights.impose(get("wanda", **FEW), level)
        assert made.covered_layers == 1
        assert made.sparsity == pytest.approx(level, abs=1 / 32)
        # embeddings, norms, biases and the head stay
        assert all(torch.equal(loaded.model.state_dict()[k], before[k]) for k in others)
        now = {k: matrix(layer) == 0 for k, layer in linears(loaded.model).items()}
        assert zeros is None or all(bool((now[k] | ~zeros[k]).all()) for k in now)
        zeros = now
    assert not torch.equal(logits(loaded), dense)
    weights.restore()
    assert all(torch.equal(loaded.model.state_dict()[k], v) for k, v in before.items())
    assert torch.equal(logits(loaded), dense)


@pytest.mark.parametrize("config", ["gpt-oss-sinks", "mixtral"])
@pytest.mark.parametrize("method", ["magnitude", "wanda"])
def test_experts_are_refused_by_name(config, method, tmp_path):
    made = ARCHITECTURES.get(config) or MixtralConfig(**GROUPED, num_local_experts=2, num_experts_per_tok=1)
    with pytest.raises(RunnerError, match=f"{method}: .*ForCausalLM holds the weights of its experts stacked"):
        selfcheck.check(load_random(made, tmp_path), [get(method)])


def test_level_zero_keeps_all_and_two_four_has_no_other_level_than_half():
    weight = torch.randn(4, 8)
    assert all(method.keep(weight, torch.ones(8), 0.0).all() for method in METHODS)
    for method in METHODS:
        if method.levels:
            with pytest.raises(SchemaError, match=r"level 0\.7, but its pattern allows 0\.5 alone"):
                method.keep(weight, torch.ones(8), 0.7)
            assert (method.keep(weight, torch.ones(8), 0.5).reshape(-1, 4).sum(1) == 2).all()


def test_a_matrix_that_does_not_fit_fours_is_refused():
    with pytest.raises(RunnerError, match="has 6 inputs, which is no multiple of four"):
        get("magnitude-2:4").keep(torch.randn(2, 6), None, 0.5)


def test_wanda_weighs_weights_by_the_norm_of_what_they_are_multiplied_with(llama):
    loaded = load(str(llama), device="cpu")
    prompts = Prompts(3, 64, 0)
    found = calibration.calibrate(loaded, prompts)
    name, layer = list(linears(loaded.model).items())[3]
    heard = []
    hook = layer.register_forward_pre_hook(lambda _, given: heard.append(given[0][0]))
    for text in calibration.texts(loaded, prompts):
        with torch.inference_mode():
            loaded.model(**loaded.tokenizer(text, return_tensors="pt"))
    hook.remove()
    everything = torch.cat(heard)
    assert found.tokens == len(everything)
    torch.testing.assert_close(found.inputs[name].norms, everything.norm(dim=0))
    worth = get("wanda", **FEW).worth(matrix(layer), found.inputs[name].norms)
    torch.testing.assert_close(worth, matrix(layer).abs() * everything.norm(dim=0))
    for level in (0.1, 0.5, 0.9):
        below = (everything.abs() < found.inputs[name].threshold(level)).float().mean()
        assert float(below) == pytest.approx(level, abs=0.02)


def test_calibration_depends_on_its_seed_and_reads_no_item_of_any_plan(llama):
    loaded = load(str(llama), device="cpu")
    one, same, other = (calibration.calibrate(loaded, Prompts(3, 64, seed)) for seed in (0, 0, 1))
    assert one.sha256 == same.sha256 != other.sha256
    assert all(torch.equal(one.inputs[k].norms, same.inputs[k].norms) for k in one.inputs)
    spoken = dialect(loaded.dialect, loaded.tokenizer)
    items = {task.item(spoken, 64, 0, index).prompt for task in PUZZLES.values() for index in range(20)}
    assert not items & set(calibration.texts(loaded, Prompts(20, 64, 0)))
    with pytest.raises(RunnerError, match="more than its 512 positions"):
        calibration.calibrate(loaded, Prompts(1, 600, 0))


FIELDS = {
    "tasks": ["kv-lookup"],
    "sparsifiers": ["magnitude", {"wanda": FEW}, "magnitude-2:4", "top-k", "key-norm"],
    "levels": [0, 0.5, 0.8],
    "context_lengths": [32],
    "items": 6,
    "batch_size": 4,
}


def pruned_copy(model, folder, share=0.5):
    """What another tool would leave: zeros in some matrices, other values changed."""
    save_llama(folder)
    whole = load_file(model / "model.safetensors")
    for name, tensor in whole.items():
        if "mlp" in name and "weight" in name:
            cut = tensor.abs().flatten().kthvalue(int(share * tensor.numel())).values
            whole[name] = torch.where(tensor.abs() <= cut, 0.0, tensor * 1.01)
    save_file(whole, folder / "model.safetensors", {"format": "pt"})
    return folder


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    model = save_llama(tmp_path_factory.mktemp("model"))
    return model, pruned_copy(model, tmp_path_factory.mktemp("pruned"))


def entry(model, folder, **changes):
    return {"model": str(model), "folder": str(folder), "method": "sparsegpt", "level": 0.5, **changes}


@pytest.fixture(scope="module")
def plan(folders):
    model, pruned = folders
    return Plan.make(models=[str(model)], pruned=[entry(model, pruned)], **FIELDS)


@pytest.fixture(scope="module")
def run(plan, tmp_path_factory):
    return collect(plan, tmp_path_factory.mktemp("runs") / "run", device="cpu")


def test_rows_say_what_was_pruned_and_what_is_left(run, folders):
    table = run.read()
    pruned = table[table["phase"] == "load"]
    assert set(pruned["unit"]) == {"target-weights"}
    counts = pruned.groupby(["sparsifier", "sparsity_requested"]).size()
    assert counts.to_dict() == {
        **dict.fromkeys([("magnitude", 0.5), ("magnitude", 0.8), ("wanda", 0.5), ("wanda", 0.8)], 6),
        **dict.fromkeys([("magnitude-2:4", 0.5), ("sparsegpt", 0.5)], 6),
    }
    assert set(pruned.loc[pruned["sparsifier"] == "magnitude-2:4", "sparsity_kind"]) == {"weight-2:4"}
    ours = pruned[pruned["sparsifier"] != "sparsegpt"]
    assert (ours["sparsity_realised"] - ours["sparsity_requested"]).abs().max() < 1 / 32
    loaded = load(str(folders[0]), device="cpu")
    covered = sum(matrix(layer).numel() for layer in linears(loaded.model).values())
    zeros = pruned["sparsity_realised"] * covered
    torch.testing.assert_close(
        torch.tensor((pruned["params"] - zeros).to_numpy(dtype=float)),
        torch.tensor(pruned["params_active"].to_numpy(dtype=float)),
    )
    dense = table[table["sparsifier"] == "dense"]
    assert (dense["params_active"] == dense["params"]).all()
    # what is saved is two FLOPs a zero and token
    tokens = pruned["prompt_tokens"] + (pruned["generated_tokens"] - 1).clip(lower=0)
    saved = dense["flops_linear"].max() - pruned["flops_linear"]
    assert (saved == 2 * zeros.round() * tokens).all()
    assert (pruned["flops_selection"] == 0).all()


def test_a_checkpoint_pruned_elsewhere_is_used_as_it_is_and_its_zeros_are_counted(run, folders):
    folder = folders[1]
    rows = run.read().query("sparsifier == 'sparsegpt'")
    other = load(str(folder), device="cpu")
    layers = linears(other.model).values()
    zeros = 1 - sum(int(matrix(m).count_nonzero()) for m in layers) / sum(matrix(m).numel() for m in layers)
    assert set(rows["sparsity_realised"]) == {zeros}
    assert 0.1 < zeros < 0.5
    assert set(rows["revision"]) == {other.revision}
    alone = collect(Plan.make(models=[str(folder)], **FIELDS), folder.parent / "alone", device="cpu").read()
    theirs = alone[alone["sparsifier"] == "dense"].set_index("item_id")["answer"]
    assert rows["answer"].tolist() == theirs.loc[rows["item_id"]].tolist()


def test_weights_do_not_reach_the_other_methods(run, plan, folders, tmp_path):
    without = {**FIELDS, "sparsifiers": ["top-k", "key-norm"]}
    alone = collect(Plan.make(models=[str(folders[0])], **without), tmp_path / "run", device="cpu").read()
    key = ["sparsifier", "sparsity_requested", "item_id"]
    both = run.read().merge(alone, on=key, suffixes=("", "_alone"))
    assert len(both) == 5 * 6
    assert (both["answer"] == both["answer_alone"]).all()
    assert (both["sparsity_realised"] == both["sparsity_realised_alone"]).all()


def test_the_manifest_says_what_was_calibrated_on(run, folders):
    (note,) = json.loads((run.path / "manifest.json").read_text())["notes"]["models"].values()
    (read,) = note["calibration"]
    assert read | {"tokens": 0, "sha256": ""} == {**FEW, "seed": 0, "tasks": list(PUZZLES), "tokens": 0, "sha256": ""}
    assert note["self_check"]["realised"]["wanda"] == 0.5
    loaded = load(str(folders[0]), device="cpu")
    covered = sum(matrix(layer).numel() for layer in linears(loaded.model).values())
    assert note["target_weights_share"] == covered / loaded.params < 1
    assert list(note["checkpoints"]) == [str(folders[1])]


def test_another_checkpoint_in_the_same_folder_is_refused(plan, folders, tmp_path):
    model, _ = folders
    folder = pruned_copy(model, tmp_path / "pruned")
    mine = replace(plan, pruned=(replace(plan.pruned[0], folder=str(folder)),))
    done = collect(mine, tmp_path / "run", device="cpu")
    done.shards()[0].unlink()
    pruned_copy(model, folder, share=0.6)
    with pytest.raises(StoreError, match="has other weights now"):
        collect(mine, tmp_path / "run", device="cpu")


@pytest.mark.parametrize(
    ("changes", "said"),
    [({"num_hidden_layers": 1}, r"differs from .* in model\.layers\.1"), ({"rms_norm_eps": 1e-3}, "in rms_norm_eps")],
)
def test_a_checkpoint_of_another_model_is_refused(llama, tmp_path, changes, said):
    weights = Weights(loaded := load(str(llama), device="cpu"), Calibrations(load(str(llama), device="cpu")))
    before = logits(loaded)
    with pytest.raises(RunnerError, match=said):
        weights.impose(Checkpoint("sparsegpt", str(save_llama(tmp_path, **changes))), 0.5)
    assert torch.equal(logits(loaded), before)


def test_a_checkpoint_without_zeros_is_not_pruned(llama):
    loaded = load(str(llama), device="cpu")
    with pytest.raises(RunnerError, match="It is not pruned"):
        Weights(loaded, Calibrations(loaded)).impose(Checkpoint("sparsegpt", str(llama)), 0.5)


def test_items_answered_alone_and_together_are_answered_alike(run, plan, tmp_path):
    alone = collect(replace(plan, batch_size=1), tmp_path / "run", device="cpu").read()
    key = ["sparsifier", "sparsity_requested", "item_id"]
    one, other = (t.sort_values(key, ignore_index=True)[[*key, "answer"]] for t in (run.read(), alone))
    assert one.equals(other)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"levels": [0, 0.7]}, "sparsifier 'magnitude-2:4' has 0.5 alone, which is not in [0, 0.7]"),
        ({"sparsifiers": [{"magnitude": {"compare": "column"}}]}, "compare: 'column', expected one of matrix, row"),
        ({"sparsifiers": [{"wanda": {"samples": 0}}]}, "sparsifier 'wanda': samples: 0, expected a whole number"),
        ({"sparsifiers": ["2:4"]}, "sparsifier '2:4' unknown"),
        ({"pruned": [{"folder": "x"}]}, "expected model, folder, method, level of each checkpoint"),
        ({"pruned": [entry("tiny", "x", level=50)]}, "level: 50, expected a fraction"),
        ({"pruned": [entry("other", "x")]}, "'other' is none of the plan's models"),
        ({"pruned": [entry("tiny", "x", method="wanda")]}, "'wanda' is what another sparsifier is called"),
        ({"pruned": [entry("tiny", "x"), entry("tiny", "y")]}, "'sparsegpt 0.5 of tiny' is given twice"),
    ],
)
def test_a_bad_plan_of_weights_is_named(changes, said):
    with pytest.raises(SchemaError) as error:
        Plan.make(models=["tiny"], **{**FIELDS, **changes})
    assert said in str(error.value)


def test_checkpoints_alone_are_a_plan_and_every_block_has_a_name_of_its_own():
    given = {**FIELDS, "sparsifiers": None, "levels": [0]}
    made = Plan.make(models=["tiny"], pruned=[entry("tiny", "x"), entry("tiny", "y", level=0.7)], **given)
    assert [(b.condition, b.level) for b in blocks(made) if b.first == 0] == [
        ("dense", 0.0),
        ("sparsegpt 0.5", 0.5),
        ("sparsegpt 0.7", 0.7),
    ]
    names = [b.name for b in blocks(Plan.make(models=["tiny"], **FIELDS))]
    assert len(set(names)) == len(names)
    assert not any(":" in name for name in names)
