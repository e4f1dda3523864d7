"""Block patterns: the right blocks, exact masks, budgets in keys, and nothing that depends on a batch or a chunk."""

import pytest
import torch

from tests.tiny_models import save_llama
from tolerance import RunnerError, SchemaError
from tolerance.runners.attention import block_sparse as flex
from tolerance.runners.attention.attention import _pairs_of_blocks, attention
from tolerance.runners.attention.cache import PrefillCache
from tolerance.runners.attention.control import imposing
from tolerance.runners.collect.collect import collect
from tolerance.runners.collect.plan import Plan
from tolerance.runners.models.load import load
from tolerance.runners.sparsifiers import PATTERNS, BlockPattern, get

PATTERNS_OF_BLOCKS = [cls(block=8) for cls in PATTERNS if issubclass(cls, BlockPattern)]
BUDGETED = [method for method in PATTERNS_OF_BLOCKS if method.level_of == "query"]
LEVELS = (0.0, 0.3, 0.5, 0.8, 0.95)


def vectors(n=70, rows=2, heads=4, kv_heads=2, dim=8, seed=0):
    draw = torch.Generator().manual_seed(seed)
    return [torch.randn(rows, h, n, dim, generator=draw) for h in (heads, kv_heads, kv_heads)]


def causal(n):
    return torch.ones(n, n, dtype=torch.bool).tril()[None, None]


def test_top_p_keeps_the_fewest_blocks_that_cover_the_mass_nested_and_causal():
    query, key, _ = vectors()
    method, before = get("block-top-p", block=8), None
    means = method.worth(query, key, 0) * 8**-0.5
    at = torch.arange(9)
    mass = means.masked_fill(at > at[:, None], float("-inf")).double().softmax(-1)
    for level in LEVELS:
        blocks = method.blocks(query, key, 0, level)
        assert not (blocks & (at > at[:, None])).any()
        assert blocks.diagonal(dim1=2, dim2=3).all()
        assert before is None or not (blocks & ~before).any()
        before = blocks
        covered = (mass * blocks).sum(-1)
        assert (covered >= 1 - level - 1e-6).all()
        # without the least of the chosen ones, but for a query's own, it would not be covered
        others = blocks & (at != at[:, None])
        least = mass.masked_fill(~others, float("inf")).amin(-1)
        assert ((covered - least < 1 - level + 1e-6) | ~others.any(-1)).all()


def test_top_p_needs_fewer_blocks_where_attention_is_narrow():
    query, key, _ = vectors()
    method = get("block-top-p", block=8)
    wide = method.blocks(query, key, 0, 0.3).sum()
    assert method.blocks(query * 20, key, 0, 0.3).sum() < 0.7 * wide
    # the model's own scaling counts
    assert method.blocks(query, key, 0, 0.3, scaling=20 * 8**-0.5).sum() < 0.7 * wide


def test_quest_bounds_hold_and_choose_the_page_that_can_score_highest():
    query, key, _ = vectors()
    method = get("quest", block=8)
    worth = method.worth(query, key, 0)
    scores = query @ key.repeat_interleave(2, 1).mT
    pages = torch.stack([part.amax(-1) for part in scores.split(8, -1)], -1)
    assert (worth >= pages - 1e-5).all()
    # a page whose one key is far along the last query is chosen by it
    key[:, :, 19] = 50 * query[:, ::2, -1]
    blocks = method.blocks(query[:, :, -1:], key, 69, 0.8)
    assert blocks[:, ::2, 0, 2].all()
    assert (blocks.sum(-1) == blocks[0, 0, 0].sum()).all()


def test_block_top_k_compares_means():
    query, key, _ = vectors(n=64, rows=1)
    method = get("block-top-k", block=8)
    means = [t.unflatten(2, (8, 8)).mean(3) for t in (query, key.repeat_interleave(2, 1))]
    torch.testing.assert_close(method.worth(query, key, 0), means[0] @ means[1].mT)


@pytest.mark.parametrize("method", PATTERNS_OF_BLOCKS, ids=lambda m: m.name)
def test_chunks_and_rows_beside_it_change_nothing(method, monkeypatch):
    query, key, value = vectors()

    def run(rows):
        with imposing(method, 0.6) as control:
            out, _ = attention(
                torch.nn.Module(), query[rows], key[rows], value[rows], causal(70).expand(len(query[rows]), -1, -1, -1)
            )
        return out, control.pairs["prefill"].kept

    whole, kept = run(slice(None))
    alone, kept_alone = run(slice(1, 2))
    torch.testing.assert_close(whole[1:], alone)
    assert kept[1] == kept_alone[0]
    monkeypatch.setattr("tolerance.runners.attention.attention.CHUNK_BYTES", {"cpu": 4 * 2 * 4 * 70 * 20, "cuda": 1})
    chunked, kept_chunked = run(slice(None))
    torch.testing.assert_close(whole, chunked)
    assert torch.equal(kept, kept_chunked)


def test_pairs_of_a_table_are_those_of_its_mask():
    query, key, _ = vectors()
    method = get("block-top-k", block=8)
    blocks = method.blocks(query, key, 0, 0.7)
    assert torch.equal(_pairs_of_blocks(blocks, 70, 8), method.mask(blocks, causal(70)).sum((1, 3)))


def test_the_table_for_the_kernel_lists_whole_blocks_and_the_diagonal_apart():
    query, key, _ = vectors(n=300)
    method = get("block-top-k", block=flex.BLOCK)
    kept = method.blocks(query, key, 0, 0.5)
    made = flex.table(kept, 300)
    assert torch.equal(made.kv_num_blocks, torch.ones(2, 4, 3, dtype=torch.int32))
    assert torch.equal(made.kv_indices[..., 0], torch.arange(3, dtype=torch.int32).expand(2, 4, 3))
    assert torch.equal(made.full_kv_num_blocks, kept.sum(-1, dtype=torch.int32) - 1)
    for row, head, block in torch.cartesian_prod(torch.arange(2), torch.arange(4), torch.arange(3)).tolist():
        listed = made.full_kv_indices[row, head, block, : made.full_kv_num_blocks[row, head, block]].tolist()
        assert sorted([*listed, block]) == kept[row, head, block].nonzero().flatten().tolist()


def test_a_prefill_without_masks_is_refused_where_no_kernel_is():
    query, key, value = vectors()
    module = torch.nn.Module()
    module.layer_idx = 0
    with imposing(get("block-top-k"), 0.5) as control:
        control.cache = PrefillCache([None], [])
        with pytest.raises(RunnerError, match="needs CUDA, blocks of 128"):
            attention(module, query, key, value, causal(70))


def test_padding_would_shift_blocks_and_is_refused(llama):
    loaded = load(str(llama), device="cpu")
    ids = torch.randint(16, 1000, (2, 40), generator=torch.Generator().manual_seed(1))
    with imposing(get("quest"), 0.5) as control:
        control.real = torch.ones_like(ids, dtype=torch.bool)
        with pytest.raises(RunnerError, match="must have one length"):
            loaded.model(input_ids=ids)


def test_items_are_answered_and_choosing_costs(tmp_path):
    folder = save_llama(tmp_path / "model")
    (folder / "tolerance.json").unlink()
    fields = {
        "tasks": ["kv-lookup"],
        "sparsifiers": [{"quest": {"block": 4}}, {"block-top-k": {"block": 16}}, {"block-top-p": {"block": 8}}],
        "levels": [0, 0.5, 0.9],
        "context_lengths": [64],
        "items": 4,
        "max_new_tokens": 3,
    }
    table = collect(Plan.make(models=[str(folder)], **fields), tmp_path / "run", device="cpu").read()
    sparse = table[table["sparsifier"] != "dense"]
    assert len(sparse) == 24
    by_pairs = sparse[sparse["sparsifier"] != "block-top-p"]
    assert (by_pairs["sparsity_realised"] <= by_pairs["sparsity_requested"] + 0.02).all()
    assert (sparse["flops_selection"] > 0).all()
    assert sparse.groupby("sparsifier")["sparsity_realised"].max().gt(0.5).all()


def test_a_block_of_no_keys_is_refused():
    with pytest.raises(SchemaError, match="block: 0, expected a whole number"):
        get("quest", block=0)


def test_a_kernel_that_cannot_be_compiled_is_an_error_and_never_the_uncompiled_function(monkeypatch):
    def unfit(query, key, value, **_):
        torch._dynamo.graph_break()
        return query

    monkeypatch.setattr(flex, "flex_attention", unfit)
    flex._compiled.cache_clear()
    query, key, value = vectors(n=128)
    try:
        with pytest.raises(RunnerError, match="cannot be compiled here"):
            flex.attend(query, key, value, torch.ones(2, 4, 1, 1, dtype=torch.bool), 1.0)
    finally:
        flex._compiled.cache_clear()


def test_too_many_shapes_are_an_error_too(monkeypatch):
    def double(query, key, value, **_):
        return query * 2

    monkeypatch.setattr(flex, "flex_attention", double)
    monkeypatch.setattr(flex, "SHAPES", 1)
    monkeypatch.setattr("torch._dynamo.config.recompile_limit", 1)
    flex._compiled.cache_clear()
    try:
        shapes = [(*vectors(n=n), torch.ones(2, 4, n // 128, n // 128, dtype=torch.bool)) for n in (128, 256)]
        flex.attend(*shapes[0], 1.0)
        with pytest.raises(RunnerError, match="cannot be compiled here"):
            flex.attend(*shapes[1], 1.0)
    finally:
        flex._compiled.cache_clear()
