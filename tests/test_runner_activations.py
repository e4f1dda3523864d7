"""Small inputs of linear layers become zero: by calibrated thresholds, in the phases asked for, counted as they are."""

import pytest
import torch

from tests.test_runner_weights import DENSE, FEW
from tests.tiny_models import load_random, save_llama
from tolerance import RunnerError, SchemaError
from tolerance.runners.attention.control import imposing
from tolerance.runners.collect.collect import collect
from tolerance.runners.collect.plan import Plan
from tolerance.runners.decoding.generate import answer
from tolerance.runners.models.linear import linears, matrix
from tolerance.runners.models.load import load
from tolerance.runners.pruning.activations import thresholding
from tolerance.runners.pruning.calibration import Calibrations, texts
from tolerance.runners.selfcheck import selfcheck
from tolerance.runners.sparsifiers import get
from tolerance.runners.sparsifiers.prompts import Prompts

TEAL = get("teal", **FEW)
BOTH = frozenset(("prefill", "decode"))


@pytest.fixture(scope="module")
def loaded(tmp_path_factory):
    return load(str(save_llama(tmp_path_factory.mktemp("model"))), device="cpu")


def ask(loaded, level, prompts, phases=BOTH, tokens=6):
    with imposing(None, level, phases) as control, thresholding(loaded, TEAL, level, Calibrations(loaded), control):
        return answer(loaded, prompts, control, max_new_tokens=tokens, special_tokens=True)


def dense(loaded, prompts):
    with imposing() as control:
        return answer(loaded, prompts, control, max_new_tokens=6, special_tokens=True)


@pytest.mark.parametrize("name", DENSE)
def test_every_architecture_passes_the_self_check_and_level_zero_is_dense(name, tmp_path):
    local = load_random(DENSE[name], tmp_path)
    checked = selfcheck.check(local, [TEAL])
    assert 0.4 < checked.realised["teal"] < 0.6
    assert checked.differences["dense after teal"] == 0
    prompts = texts(local, Prompts(1, 64, 5))
    at_zero, without = ask(local, 0.0, prompts)[0], dense(local, prompts)[0]
    assert (at_zero.text, at_zero.prefill, at_zero.decode) == (without.text, without.prefill, without.decode)


def test_experts_are_refused_by_name(tmp_path):
    from tests.test_runner_attention import ARCHITECTURES

    with pytest.raises(RunnerError, match="teal: GptOssForCausalLM holds the weights of its experts stacked"):
        selfcheck.check(load_random(ARCHITECTURES["gpt-oss-sinks"], tmp_path), [TEAL])


def test_what_a_layer_keeps_is_what_exceeds_its_threshold_nested_as_levels_rise(loaded):
    name, layer = next(iter(linears(loaded.model).items()))
    heard = {}
    ids = loaded.tokenizer(texts(loaded, Prompts(1, 64, 5)), return_tensors="pt")
    for level in (0.0, 0.4, 0.8):
        with imposing() as control, thresholding(loaded, TEAL, level, Calibrations(loaded), control):
            hook = layer.register_forward_pre_hook(lambda _, given, level=level: heard.__setitem__(level, given[0]))
            with torch.inference_mode():
                loaded.model(**ids)
            hook.remove()
    threshold = Calibrations(loaded).of(Prompts(3, 64, 0)).inputs[name].threshold(0.4)
    # the first layer's inputs are those of the dense model
    assert torch.equal(heard[0.4], torch.where(heard[0.0].abs() > threshold, heard[0.0], 0.0))
    assert not ((heard[0.8] != 0) & (heard[0.4] == 0)).any()


def test_only_the_asked_phase_is_sparse(loaded):
    prompts = texts(loaded, Prompts(1, 64, 5))
    all_of_them = sum(matrix(layer).numel() for layer in linears(loaded.model).values())
    for phases in (("prefill",), ("decode",), ("prefill", "decode")):
        (got,) = ask(loaded, 0.5, prompts, frozenset(phases))
        steps = got.generated_tokens - (not got.stopped)
        assert (got.products.prefill.visible, got.products.decode.visible) == (
            got.prompt_tokens * all_of_them,
            steps * all_of_them,
        )
        for phase in BOTH:
            made = getattr(got.products, phase)
            assert (made.kept == made.visible) is (phase not in phases)


def test_padding_and_rows_beside_it_are_not_counted_and_change_no_answer(loaded):
    prompts = [texts(loaded, Prompts(1, length, 5))[0] for length in (64, 40, 96)]
    together, alone = ask(loaded, 0.6, prompts), [ask(loaded, 0.6, [prompt])[0] for prompt in prompts]
    for one, other in zip(together, alone, strict=True):
        assert one.text == other.text
        assert one.products.prefill.visible == other.products.prefill.visible
        assert one.products.prefill.kept == pytest.approx(other.products.prefill.kept, rel=1e-4)


def test_after_a_failure_the_model_is_dense_again(loaded):
    prompts = texts(loaded, Prompts(1, 64, 5))
    before = dense(loaded, prompts)
    ids = torch.ones(1, 4, dtype=torch.long)
    calibrations = Calibrations(loaded)
    with (
        pytest.raises(RunnerError),
        imposing() as control,
        thresholding(loaded, TEAL, 0.9, calibrations, control),
    ):
        loaded.model(input_ids=ids, indices=torch.zeros(1))
    assert dense(loaded, prompts) == before
    assert ask(loaded, 0.9, prompts)[0].text != before[0].text


FIELDS = {
    "tasks": ["kv-lookup"],
    "sparsifiers": [{"teal": FEW}, "magnitude"],
    "levels": [0, 0.3, 0.6],
    "context_lengths": [64],
    "items": 4,
    "max_new_tokens": 4,
}


@pytest.mark.parametrize("phase", ["both", "decode"])
def test_rows_realise_about_what_was_asked_in_the_phase_and_cost_less(phase, loaded, tmp_path):
    folder = str(loaded.model.config._name_or_path)
    table = collect(Plan.make(models=[folder], phase=phase, **FIELDS), tmp_path / "run", device="cpu").read()
    teal, without = (table[table["sparsifier"] == name] for name in ("teal", "dense"))
    assert set(teal["phase"]) == {phase}
    assert set(teal["covered_layers"]) == {1.0}
    assert set(teal["sparsity_kind"]) == {"activation"}
    acted = teal[teal["generated_tokens"] > 1]
    assert (acted["sparsity_realised"] - acted["sparsity_requested"]).abs().max() < 0.12
    assert acted["sparsity_realised"].nunique() > 2
    assert (teal["params_active"] == teal["params"]).all()
    assert (acted["flops_linear"] < without["flops_linear"].max()).all()
    if phase == "both":
        tokens = acted["prompt_tokens"] + acted["generated_tokens"] - 1
        all_of_them = sum(matrix(layer).numel() for layer in linears(loaded.model).values())
        head = loaded.model.config.vocab_size * loaded.model.config.hidden_size
        wanted = 2 * tokens * all_of_them * (1 - acted["sparsity_realised"]) + 2 * head * acted["generated_tokens"]
        torch.testing.assert_close(
            torch.tensor(acted["flops_linear"].to_numpy()), torch.tensor(wanted.to_numpy(dtype=float))
        )
    assert set(table.loc[table["sparsifier"] == "magnitude", "phase"]) == {"load"}


def test_decoding_alone_is_refused_where_there_is_none(loaded, tmp_path):
    folder = str(loaded.model.config._name_or_path)
    plan = Plan.make(models=[folder], phase="decode", **{**FIELDS, "max_new_tokens": 1})
    with pytest.raises(RunnerError, match="sparsifier teal: answers to kv-lookup take one token here"):
        collect(plan, tmp_path / "run", device="cpu")


def test_bad_options_are_named():
    with pytest.raises(SchemaError, match="sparsifier 'teal': length: 8, expected a whole number, at least 32"):
        get("teal", length=8)
