"""What is imposed is exactly what is said: on several architectures, for every sparsifier."""

import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import (
    BloomConfig,
    FalconConfig,
    Gemma2Config,
    Gemma3TextConfig,
    GPTNeoXConfig,
    GptOssConfig,
    LlamaConfig,
    MistralConfig,
    PhiConfig,
    Qwen3Config,
)

from tests.tiny_models import COMMON, load_random, save, save_llama
from tolerance import RunnerError
from tolerance.runners.attention.attention import attention
from tolerance.runners.attention.control import imposing
from tolerance.runners.models.load import load
from tolerance.runners.selfcheck import selfcheck
from tolerance.runners.sparsifiers import PATTERNS, budget, get

GROUPED = {**COMMON, "num_key_value_heads": 2, "head_dim": 8}
ARCHITECTURES = {
    "llama": LlamaConfig(**GROUPED),
    "qwen3": Qwen3Config(**GROUPED),
    "mistral-window": MistralConfig(**GROUPED, sliding_window=16),
    "gemma2-softcap": Gemma2Config(**GROUPED, sliding_window=16, query_pre_attn_scalar=8),
    "gemma3": Gemma3TextConfig(**GROUPED, sliding_window=16),
    "gpt-neox": GPTNeoXConfig(**COMMON),
    "phi": PhiConfig(**COMMON),
    "gpt-oss-sinks": GptOssConfig(**GROUPED, num_local_experts=2, num_experts_per_tok=1, sliding_window=16),
}
METHODS = [cls() for cls in PATTERNS]
# those that keep exactly a budget of keys for each query
EXACT = [method for method in METHODS if method.grain == 1 and method.level_of == "query"]
LEVELS = (0.3, 0.5, 0.67, 0.8, 0.9, 0.95)


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_every_architecture_passes_the_self_check(name, tmp_path):
    loaded = load_random(ARCHITECTURES[name], tmp_path)
    checked = selfcheck.check(loaded, METHODS)
    assert checked.covered_layers == 1
    assert {"dense against eager", "padded batch", "causality", "decoding with a cache"} <= set(checked.differences)
    assert max(checked.differences.values()) < 1e-4


@pytest.mark.parametrize("config", [BloomConfig, FalconConfig])
def test_architectures_outside_the_registry_are_refused_by_name(config, tmp_path):
    made = config(vocab_size=1024, hidden_size=32, num_hidden_layers=2, num_attention_heads=4, n_layer=2, n_head=4)
    with pytest.raises(RunnerError, match=f"{config.__name__.replace('Config', '')}ForCausalLM does not use"):
        load(str(save(made, tmp_path)), device="cpu")


def test_an_argument_that_is_not_understood_is_refused(llama):
    loaded = load(str(llama), device="cpu")
    ids = torch.ones(1, 4, dtype=torch.long)
    with pytest.raises(RunnerError, match="passes indices to attention"):
        loaded.model(input_ids=ids, indices=torch.zeros(1))


def test_a_self_check_finds_a_method_that_does_not_do_what_it_says(llama):
    class Idle(type(METHODS[0])):
        name = "idle"

        def keep(self, scores, visible, level):
            return visible

    with pytest.raises(RunnerError, match=r"idle at level 0\.5 realised 0\.000"):
        selfcheck.check(load(str(llama), device="cpu"), [Idle()])


def test_a_self_check_finds_a_mask_that_forgets_padding(llama, monkeypatch):
    loaded = load(str(llama), device="cpu")
    original = torch.ones_like
    monkeypatch.setattr("tolerance.runners.attention.attention._visible", lambda mask, real: _causal(mask))
    with pytest.raises(RunnerError, match="padded batch is off by"):
        selfcheck.check(loaded, [])
    assert torch.ones_like is original


def _causal(mask):
    queries, keys = mask.shape[-2:]
    return torch.ones(queries, keys, dtype=torch.bool).tril(keys - queries)[None, None].expand(len(mask), 1, -1, -1)


def scores_and_mask(seed, rows=2, heads=3, n=24):
    generator = torch.Generator().manual_seed(seed)
    visible = torch.ones(n, n, dtype=torch.bool).tril()[None, None].expand(rows, 1, n, n)
    # few distinct values, so that ties happen
    scores = torch.randint(0, 6, (rows, heads, n, n), generator=generator).float()
    return scores.masked_fill(~visible, float("-inf")), visible


def test_top_k_keeps_the_highest_scores():
    scores, visible = scores_and_mask(3)
    keep = get("top-k").keep(scores, visible, 0.6)
    lowest_kept = scores.masked_fill(~keep, float("inf")).amin(-1)
    highest_dropped = scores.masked_fill(keep | ~visible, float("-inf")).amax(-1)
    assert (lowest_kept >= highest_dropped).all()


def test_streaming_keeps_sinks_and_the_latest():
    visible = torch.ones(1, 1, 1, 40, dtype=torch.bool)
    keep = get("streaming", sinks=4).keep(None, visible, 0.75)[0, 0, 0]
    assert keep.nonzero().flatten().tolist() == [0, 1, 2, 3, 34, 35, 36, 37, 38, 39]


@pytest.mark.parametrize(
    ("n", "level", "kept"), [(10, 0.9, 1), (100, 0.95, 5), (3, 0.99, 1), (7, 0.0, 7), (10, 0.67, 4)]
)
def test_budgets_round_up_and_are_not_fooled_by_floats(n, level, kept):
    assert budget(torch.ones(1, 1, 1, n, dtype=torch.bool), level).item() == kept


@pytest.mark.parametrize("method", EXACT, ids=lambda m: m.name)
def test_realised_sparsity_is_counted_for_each_row_without_padding(method, llama):
    loaded = load(str(llama), device="cpu")
    ids = torch.randint(16, 1000, (2, 40), generator=torch.Generator().manual_seed(1))
    mask = torch.ones_like(ids)
    mask[1, :15] = 0
    with imposing(method, 0.8) as control, torch.inference_mode():
        control.real = mask.bool()
        positions = (mask.cumsum(1) - 1).clamp(min=0)
        loaded.model(input_ids=ids, attention_mask=mask, position_ids=positions)
    pairs = control.pairs["prefill"]
    for row, n in ((0, 40), (1, 25)):
        assert pairs.visible[row] == 2 * 4 * n * (n + 1) // 2
        expected = sum(int(np.ceil(round(i * 0.2, 9))) for i in range(1, n + 1))
        assert pairs.kept[row] == 2 * 4 * expected


def test_chunks_of_queries_do_not_change_the_answer(llama, monkeypatch):
    loaded = load(str(llama), device="cpu")
    ids = torch.randint(16, 1000, (2, 40), generator=torch.Generator().manual_seed(2))

    def run():
        with imposing(get("top-k"), 0.7) as control, torch.inference_mode():
            return loaded.model(input_ids=ids).logits, control.pairs["prefill"].kept

    whole, kept = run()
    monkeypatch.setattr("tolerance.runners.attention.attention.CHUNK_BYTES", {"cpu": 4 * 2 * 4 * 40 * 7, "cuda": 1})
    chunked, kept_too = run()
    torch.testing.assert_close(chunked, whole)
    assert torch.equal(kept, kept_too)


def test_after_imposing_everything_is_as_it_was(llama):
    loaded = load(str(llama), device="cpu")
    ids = torch.randint(16, 1000, (1, 30), generator=torch.Generator().manual_seed(3))
    with torch.inference_mode():
        before = loaded.model(input_ids=ids).logits
        with imposing(get("top-k"), 0.9):
            sparse = loaded.model(input_ids=ids).logits
        with pytest.raises(RunnerError), imposing(get("top-k"), 0.9):
            loaded.model(input_ids=ids, indices=torch.zeros(1))
        after = loaded.model(input_ids=ids).logits
    assert torch.equal(before, after)
    assert not torch.allclose(before, sparse)


def test_threads_impose_what_they_were_told_each(llama):
    loaded = load(str(llama), device="cpu")
    ids = torch.randint(16, 1000, (1, 30), generator=torch.Generator().manual_seed(3))
    both = threading.Barrier(2, timeout=60)

    def run(level):
        with imposing(get("top-k"), level) as control, torch.inference_mode():
            both.wait()
            logits = loaded.model(input_ids=ids).logits
            both.wait()
        return logits, control.pairs["prefill"].kept.item(), sum(control.calls.values())

    alone = []
    for level in (0.5, 0.9):
        with imposing(get("top-k"), level) as control, torch.inference_mode():
            alone.append((loaded.model(input_ids=ids).logits, control.pairs["prefill"].kept.item(), 2))
    with ThreadPoolExecutor(2) as pool:
        at_once = list(pool.map(run, (0.5, 0.9)))
    for mine, wanted in zip(at_once, alone, strict=True):
        torch.testing.assert_close(mine[0], wanted[0])
        assert mine[1:] == wanted[1:]


@pytest.mark.parametrize(
    ("break_it", "said"),
    [
        (lambda folder: (folder / "config.json").unlink(), "has no config.json"),
        (lambda folder: (folder / "model.safetensors").unlink(), "has no .safetensors weights"),
        (lambda folder: (folder / "model.safetensors").write_bytes(b"nothing"), "cannot be loaded"),
        (lambda folder: (folder / "tokenizer.json").write_text("{"), "cannot be loaded"),
        (lambda folder: (folder / "tolerance.json").write_text("{}"), "must be JSON with a dialect"),
    ],
)
def test_a_broken_model_folder_is_one_clear_line(tmp_path, break_it, said):
    folder = save_llama(tmp_path)
    break_it(folder)
    with pytest.raises(RunnerError, match=said) as error:
        load(str(folder), device="cpu")
    assert "\n" not in str(error.value)


def test_weights_that_are_missing_are_not_made_up(tmp_path):
    folder = save_llama(tmp_path)
    whole = load_file(folder / "model.safetensors")
    save_file(
        {k: v for k, v in whole.items() if "layers.1.mlp" not in k}, folder / "model.safetensors", {"format": "pt"}
    )
    with pytest.raises(RunnerError, match=r"weights missing for model\.layers\.1\.mlp"):
        load(str(folder), device="cpu")


def test_a_folder_that_is_not_there_and_a_device_that_is_not_there(llama):
    with pytest.raises(RunnerError, match="no such folder"):
        load("./nowhere")
    if not torch.cuda.is_available():
        with pytest.raises(RunnerError, match="no usable CUDA device"):
            load(str(llama), device="cuda")


@pytest.mark.parametrize("method", EXACT, ids=lambda m: m.name)
def test_no_mask_of_every_head_over_all_pairs_is_ever_held(method, monkeypatch):
    asked = []

    class Watched(type(method)):
        def keep(self, scores, visible, level):
            asked.append(max(visible.numel(), 0 if scores is None else scores.numel()))
            return super().keep(scores, visible, level)

    monkeypatch.setattr("tolerance.runners.attention.attention.CHUNK_BYTES", {"cpu": 4 * 4 * 64 * 8, "cuda": 1})
    query, key, value = torch.randn(3, 1, 4, 64, 8)
    mask = torch.ones(64, 64, dtype=torch.bool).tril()[None, None]
    with imposing(Watched(), 0.5) as control:
        attention(torch.nn.Module(), query, key, value, mask)
    assert max(asked) <= 4 * 64 * 8
    assert control.pairs["prefill"].kept.tolist() == [4 * sum(-(-n // 2) for n in range(1, 65))]


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_chooses_by_scores_of_full_precision(dtype):
    # Products of 90,000 overflow float16, and 90,000 and 90,301 are one number in bfloat16.
    key = torch.tensor([300.0, 301.0, 302.0, 299.0], dtype=dtype).reshape(1, 1, 4, 1)
    value = torch.eye(4, dtype=dtype)[None, None]
    with imposing(get("top-k"), 0.75):
        out, _ = attention(
            torch.nn.Module(), key[:, :, :1], key, value, torch.ones(1, 1, 1, 4, dtype=torch.bool), scaling=1e-3
        )
    best = int(key.float().argmax())
    assert out[0, 0, 0].argmax() == best
    assert torch.isfinite(out).all()


def test_float64_is_a_precision_that_can_be_asked_for(tmp_path):
    loaded = load(str(save(ARCHITECTURES["gemma2-softcap"], tmp_path)), dtype="float64", device="cpu")
    differences = dict(selfcheck.check(loaded, METHODS).differences)
    assert differences.pop("dense against eager") < 1e-6
    # Among our own paths nothing is rounded to float32, softcapped scores included.
    assert max(differences.values()) < 1e-9
