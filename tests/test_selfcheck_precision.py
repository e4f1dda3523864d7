"""The self-check tells rounding from misunderstanding: large key biases and outlier channels, and what is broken."""

import pytest
import torch
from transformers import (
    AutoModelForCausalLM,
    Gemma2Config,
    Gemma3TextConfig,
    GptOssConfig,
    LlamaConfig,
    MistralConfig,
    Phi3Config,
    PhiConfig,
    Qwen2Config,
)

from tests.tiny_models import COMMON, save
from tolerance import RunnerError
from tolerance.runners.attention import attention as module_of_ours
from tolerance.runners.attention.attention import NAME
from tolerance.runners.models.load import load
from tolerance.runners.rope import Rotation
from tolerance.runners.selfcheck import selfcheck
from tolerance.runners.selfcheck.judge import typical
from tolerance.runners.selfcheck.upcast import computing_with, widened
from tolerance.runners.sparsifiers import EVICTIONS, PATTERNS, PRUNINGS, get
from tolerance.runners.sparsifiers.prompts import Calibrated

GROUPED = {**COMMON, "num_key_value_heads": 2, "head_dim": 8}
EXPERTS = {"num_local_experts": 2, "num_experts_per_tok": 1}
MODELS = {
    "qwen2": Qwen2Config(**{**COMMON, "num_key_value_heads": 2}),
    "llama": LlamaConfig(**GROUPED, attention_bias=True),
    "gemma2": Gemma2Config(**GROUPED, sliding_window=16, query_pre_attn_scalar=8, attn_logit_softcapping=5.0),
    "gemma3": Gemma3TextConfig(**GROUPED, sliding_window=16),
    "mistral": MistralConfig(**GROUPED, sliding_window=16),
    "phi": PhiConfig(**COMMON),
    "phi3": Phi3Config(**COMMON, num_key_value_heads=2),
    "gpt-oss": GptOssConfig(**GROUPED, **EXPERTS, sliding_window=16),
}
SIXTEEN = ("bfloat16", "float16")
FEW = {"samples": 2, "length": 48}


def saved(name, folder, *, key=100.0, channel=30.0):
    """A random model with an outlier channel of hidden states and, where it has biases, a large one of its keys.

    As in Qwen2.5 it lies where positions hardly turn, so that it makes every score large and moves few apart.
    """
    save(MODELS[name], folder)
    model, draw = AutoModelForCausalLM.from_pretrained(folder), torch.Generator().manual_seed(1)
    with torch.no_grad():
        for part, weight in model.named_parameters():
            if part.endswith(("q_proj.bias", "k_proj.bias", "v_proj.bias")):
                weight.copy_(torch.randn(weight.shape, generator=draw))
            if part.endswith("k_proj.bias"):
                weight[3::4] += key
            if part.endswith("q_proj.bias"):
                weight[3::4] += key / 5
            if part.endswith(("o_proj.weight", "down_proj.weight", "dense.weight")):
                weight[3] *= channel
    model.save_pretrained(folder)
    return str(folder)


def methods(name):
    """One of every kind and option that the architecture allows."""
    kept = [method for method in (cls() for cls in EVICTIONS) if method.name != "kvpress"]
    on_weights = [cls(**(FEW if issubclass(cls, Calibrated) else {})) for cls in PRUNINGS] + [get("teal", **FEW)]
    return [
        *(cls() for cls in PATTERNS),
        # two rotations in one model
        *(method for method in kept if name != "gemma3" or not method.reads_moments),
        *(on_weights if name != "gpt-oss" else []),
    ]


@pytest.mark.parametrize("dtype", SIXTEEN)
@pytest.mark.parametrize("name", MODELS)
def test_healthy_models_with_large_biases_and_outliers_pass_in_16_bits(name, dtype, tmp_path):
    checked = selfcheck.check(load(saved(name, tmp_path), dtype=dtype, device="cpu"), methods(name))
    assert set(checked.realised) == {method.label for method in methods(name)}
    noted = checked.to_dict()
    assert (noted["dtype"], noted["reference"]["dtype"], noted["reference"]["attention"]) == (dtype, "float32", "eager")
    assert max(noted["differences"].values()) <= noted["reference"]["limit"] <= 1e-2
    own = "eager" if name in ("gemma2", "gpt-oss") else "sdpa"  # SDPA leaves caps out, and has no sinks
    assert noted["rounding"]["unit_of"] == f"transformers' {own} attention in {dtype} against float32"
    assert noted["rounding"]["differences"]["dense against float32"] <= noted["rounding"]["limit_dense"]


def test_eager_attention_in_16_bits_is_no_reference_for_a_large_key_bias(tmp_path):
    loaded = load(saved("qwen2", tmp_path), dtype="bfloat16", device="cpu")
    ids = torch.randint(16, 1000, (2, 48), generator=torch.Generator().manual_seed(0))

    @torch.inference_mode()
    def off(implementation):
        loaded.model.set_attn_implementation(implementation)
        here = loaded.model(input_ids=ids).logits
        with computing_with(widened, loaded.model):
            return typical(here, loaded.model(input_ids=ids).logits)

    eager, sdpa, ours = (off(name) for name in ("eager", "sdpa", NAME))
    assert eager > 0.06
    assert eager > 2 * sdpa
    assert ours == pytest.approx(sdpa, rel=0.2)


def broken(monkeypatch, change):
    """Our attention function with ``change`` made to what it is given."""
    ours = module_of_ours.attention

    def attention(module, query, key, value, attention_mask, **given):
        query, key, value, attention_mask, given = change(module, query, key, value, attention_mask, given)
        return ours(module, query, key, value, attention_mask, **given)

    monkeypatch.setattr(module_of_ours, "attention", attention)


def wrong_scale(module, query, key, value, mask, given):
    return query, key, value, mask, {**given, "scaling": given["scaling"] * 1.1}


def no_cap(module, query, key, value, mask, given):
    return query, key, value, mask, {**given, "softcap": None}


def no_sinks(module, query, key, value, mask, given):
    return query, key, value, mask, {**given, "s_aux": None}


def no_value_bias(module, query, key, value, mask, given):
    bias = module.v_proj.bias.reshape(1, value.shape[1], 1, -1)
    return query, key, value - bias, mask, given


def no_window(module, query, key, value, mask, given):
    n = torch.arange(key.shape[2])
    return query, key, value, mask | (n <= n[-query.shape[2] :, None]), given


def wrong_rope(module, query, key, value, mask, given):
    inv = 1.0 / 10000 ** (torch.arange(0, key.shape[3], 2).float() / key.shape[3])
    return query, Rotation(inv).turn(key, torch.ones(1, 1)).to(key.dtype), value, mask, given


@pytest.mark.parametrize("dtype", ["float32", *SIXTEEN])
@pytest.mark.parametrize(
    ("name", "change"),
    [
        *(("qwen2", change) for change in (wrong_scale, no_value_bias, wrong_rope)),
        *(("llama", change) for change in (wrong_scale, no_value_bias, wrong_rope)),
        *(("gemma2", change) for change in (wrong_scale, no_cap)),
        *(("gpt-oss", change) for change in (wrong_scale, no_sinks)),
        *(("mistral", change) for change in (wrong_scale, no_window)),
        ("gemma3", wrong_scale),
        ("phi", wrong_scale),
        ("phi3", wrong_scale),
    ],
)
def test_what_is_misunderstood_is_refused_in_every_precision(name, change, dtype, tmp_path, monkeypatch):
    broken(monkeypatch, change)
    # beside scores of thousands a sink is nothing
    folder = saved(name, tmp_path, key=0.0 if change is no_sinks else 100.0)
    loaded = load(folder, dtype=dtype, device="cpu")
    with pytest.raises(RunnerError, match=r"in float32 .*, which rounding does not explain\. .* not understood"):
        selfcheck.check(loaded, [])


@pytest.mark.parametrize("dtype", SIXTEEN)
def test_what_goes_wrong_in_16_bits_alone_is_said_to_be_rounding(dtype, tmp_path, monkeypatch):
    def change(module, query, key, value, mask, given):
        return query, key, value * (3.0 if value.dtype != torch.float32 else 1.0), mask, given

    broken(monkeypatch, change)
    loaded = load(saved("llama", tmp_path), dtype=dtype, device="cpu")
    with pytest.raises(RunnerError, match=f"off by .* in {dtype}, where .* sdpa .* use dtype: float32 to be exact"):
        selfcheck.check(loaded, [])


@pytest.mark.parametrize(("channel", "where"), [(1e5, "sdpa"), (1e8, "eager")])
def test_numbers_that_do_not_fit_into_float16_are_said_so(channel, where, tmp_path):
    # activations alone, or weights already
    loaded = load(saved("llama", tmp_path, channel=channel), dtype="float16", device="cpu")
    with pytest.raises(RunnerError, match=f"not finite with transformers' own {where} attention either.*float16"):
        selfcheck.check(loaded, [])


@pytest.mark.parametrize("name", MODELS)
def test_a_model_in_16_bits_answers_as_its_float32_copy_does(name, tmp_path):
    folder = saved(name, tmp_path)
    half, whole = (load(folder, dtype="bfloat16", device="cpu") for _ in range(2))
    whole.model.float()
    ids = torch.randint(16, 1000, (2, 40), generator=torch.Generator().manual_seed(4))
    before = {key: id(tensor) for key, tensor in half.model.named_parameters()}
    with torch.inference_mode(), computing_with(widened, half.model):
        got = half.model(input_ids=ids, use_cache=False).logits
    assert torch.equal(got, whole.model(input_ids=ids, use_cache=False).logits)
    assert {key: id(tensor) for key, tensor in half.model.named_parameters()} == before


def test_no_more_than_a_block_is_held_in_float32_at_once(tmp_path):
    model = load(saved("llama", tmp_path), dtype="bfloat16", device="cpu").model
    held = []

    def look(*_):
        held.append(sum(p.numel() for p in model.parameters() if p.dtype == torch.float32))

    hooks = [module.register_forward_hook(look) for module in model.modules()]
    with torch.inference_mode(), computing_with(widened, model):
        model(input_ids=torch.ones(1, 8, dtype=torch.long))
    for hook in hooks:
        hook.remove()
    layer = sum(p.numel() for p in model.model.layers[0].parameters())
    assert 0 < max(held) <= max(layer, model.lm_head.weight.numel())


def test_a_pass_that_fails_leaves_the_models_own_tensors(tmp_path):
    model = load(saved("llama", tmp_path), dtype="bfloat16", device="cpu").model
    with pytest.raises(IndexError), computing_with(widened, model):
        model(input_ids=torch.full((1, 8), 10**6))
    assert {p.dtype for p in model.parameters()} == {torch.bfloat16}
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())
