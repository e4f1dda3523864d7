"""Vertical and slash lines: found by the last queries, counted exactly, in the prefill alone."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.test_runner_blocks import causal, vectors
from tests.tiny_models import save_llama
from tolerance import RunnerError, SchemaError
from tolerance.runners.attention.attention import attention
from tolerance.runners.attention.control import imposing
from tolerance.runners.collect.collect import collect
from tolerance.runners.collect.plan import Plan
from tolerance.runners.decoding.generate import answer
from tolerance.runners.models.load import load
from tolerance.runners.sparsifiers import get
from tolerance.runners.sparsifiers.base import kept_of
from tolerance.runners.tasks import TASKS
from tolerance.runners.tasks.dialects import Words

SMALL = {"last": 8, "sinks": 2, "local": 3}
METHOD = get("vertical-slash", **SMALL)


def weights(seed=0, n=40, last=8, window=40, rows=2, heads=3):
    draw = torch.Generator().manual_seed(seed)
    seen = windowed(n, window)[:, :, n - last :]
    return (3 * torch.randn(rows, heads, last, n, generator=draw)).masked_fill(~seen, float("-inf")).softmax(-1)


def windowed(n, window):
    return causal(n) & ~torch.ones(n, n, dtype=torch.bool).tril(-window)[None, None]


@given(seed=st.integers(0, 10_000), levels=st.tuples(st.floats(0, 0.99), st.floats(0, 0.99)), window=st.integers(5, 40))
@settings(max_examples=40, deadline=None)
def test_lines_cover_their_budget_and_less_than_a_line_more_nested_as_levels_rise(seed, levels, window):
    attended, visible = weights(seed, window=window), windowed(40, window)
    few, many = (METHOD.choose(attended, window, level).mask(slice(0, 40), visible) for level in sorted(levels)[::-1])
    assert not (few & ~many).any()
    assert few.diagonal(dim1=2, dim2=3).all()
    budget = int(kept_of(visible.sum(), max(levels)))
    assert ((few.sum((2, 3)) >= budget) & (few.sum((2, 3)) < budget + 40)).all()


def test_level_zero_keeps_all_that_is_visible():
    assert torch.equal(
        METHOD.choose(weights(), 40, 0.0).mask(slice(0, 40), causal(40)), causal(40).expand(2, 3, -1, -1)
    )


def test_a_key_and_a_distance_that_the_last_queries_attend_to_become_lines():
    attended = torch.zeros(1, 2, 8, 40)
    attended[0, 0, :, 17] = 1.0
    attended[0, 1, torch.arange(8), torch.arange(32, 40) - 11] = 1.0
    lines = METHOD.choose(attended, 40, 0.65)
    assert lines.columns[0, 0].nonzero().flatten().tolist()[:3] == [0, 1, 17]
    assert lines.diagonals[0, 1].nonzero().flatten().tolist()[:4] == [0, 1, 2, 11]
    assert not lines.columns[0, 1, 17]
    assert not lines.diagonals[0, 0, 11]


def test_chunks_and_rows_beside_it_change_nothing_and_pairs_are_those_of_the_mask(monkeypatch):
    query, key, value = vectors()

    def run(rows):
        mask = causal(70).expand(len(query[rows]), -1, -1, -1)
        with imposing(METHOD, 0.6) as control:
            out, _ = attention(torch.nn.Module(), query[rows], key[rows], value[rows], mask)
        return out, control.pairs["prefill"].kept

    whole, kept = run(slice(None))
    scores = (query[:, :, -8:] @ key.repeat_interleave(2, 1).mT * 8**-0.5).masked_fill(
        ~causal(70)[:, :, -8:], float("-inf")
    )
    mask = METHOD.choose(scores.softmax(-1), 70, 0.6).mask(slice(0, 70), causal(70))
    assert torch.equal(kept, mask.sum((1, 2, 3)))
    spread = [t.repeat_interleave(2, 1) for t in (key, value)]
    masked = torch.nn.functional.scaled_dot_product_attention(query, *spread, attn_mask=mask)
    torch.testing.assert_close(whole.transpose(1, 2), masked)
    alone, kept_alone = run(slice(1, 2))
    torch.testing.assert_close(whole[1:], alone)
    assert kept[1] == kept_alone[0]
    monkeypatch.setattr("tolerance.runners.attention.attention.CHUNK_BYTES", {"cpu": 4 * 2 * 4 * 70 * 20, "cuda": 1})
    chunked, kept_chunked = run(slice(None))
    torch.testing.assert_close(whole, chunked)
    assert torch.equal(kept, kept_chunked)


def test_what_is_neither_causal_nor_a_window_is_refused():
    query, key, value = vectors()
    holes = causal(70).clone()
    holes[..., 20:, 10] = False
    with imposing(METHOD, 0.6), pytest.raises(RunnerError, match="so lines cannot be told"):
        attention(torch.nn.Module(), query, key, value, holes.expand(2, -1, -1, -1))


def test_decoding_stays_dense_and_padding_is_refused(llama):
    loaded = load(str(llama), device="cpu")
    prompts = [TASKS["kv-lookup"].item(Words(), length, 0, 0).prompt for length in (64, 32)]
    with imposing(METHOD, 0.8) as control:
        (got,) = answer(loaded, prompts[:1], control, max_new_tokens=5, special_tokens=True)
    assert got.decode.kept == got.decode.visible > 0
    assert got.prefill.kept < 0.25 * got.prefill.visible
    with imposing(METHOD, 0.8) as control, pytest.raises(RunnerError, match="must have one length"):
        answer(loaded, prompts, control, max_new_tokens=5, special_tokens=True)


def test_items_are_answered_in_the_prefill_phase_and_choosing_costs(tmp_path):
    folder = save_llama(tmp_path / "model")
    (folder / "tolerance.json").unlink()
    fields = {"tasks": ["kv-lookup"], "context_lengths": [64], "items": 4, "max_new_tokens": 3, "levels": [0, 0.5, 0.8]}
    plan = Plan.make(models=[str(folder)], sparsifiers=[{"vertical-slash": SMALL}], **fields)
    table = collect(plan, tmp_path / "run", device="cpu").read()
    sparse = table[table["sparsifier"] == "vertical-slash"]
    assert set(sparse["phase"]) == {"prefill"}
    assert set(sparse["query_position"]) == {"after"}
    below = sparse["sparsity_requested"] - sparse["sparsity_realised"]
    assert below.between(-1e-9, 2 / 64).all()
    # two layers, four heads, eight dimensions
    assert (sparse["flops_selection"] == 2 * 2 * 4 * 8 * 8 * sparse["prompt_tokens"]).all()


def test_a_plan_of_decoding_alone_and_bad_options_are_named():
    fields = {"models": ["tiny"], "tasks": ["kv-lookup"], "context_lengths": [64], "items": 4, "levels": [0, 0.5]}
    with pytest.raises(SchemaError, match="sparsifier 'vertical-slash' acts in prefill alone"):
        Plan.make(sparsifiers=["vertical-slash"], phase="decode", **fields)
    with pytest.raises(SchemaError, match="local: 0, expected a whole number, at least 1"):
        get("vertical-slash", local=0)
