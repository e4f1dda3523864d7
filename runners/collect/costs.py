"""What an item cost: closed forms x recorded pairs. Two FLOPs a multiply-add.

Linear: 2 x tokens x (weights of the linear layers) + 2 x width x vocabulary for each position whose logits are made.
Attention: 2 x (query-key + value) dims per kept pair. Selection by score pays the query-key half for each visible one;
a method that evicts cache entries pays for scoring each entry once. Pruned weights and zeroed inputs are not
multiplied, and what scoring weights took is no item's cost. What an item cost is what it would have cost alone: that
levels share a prefill is our thrift, not the method's.
Checked against `torch.utils.flop_counter.FlopCounterMode` in the tests; that counter itself takes a masked pair for a
kept one, so it cannot do this.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from transformers.cache_utils import DynamicCache, DynamicLayer

from tolerance.runners.decoding.generate import Answer
from tolerance.runners.models.linear import linears, matrix
from tolerance.runners.models.load import LoadedModel
from tolerance.runners.sparsifiers import AttentionPattern, BlockPattern, Eviction, Sparsifier, VerticalSlash

if TYPE_CHECKING:
    from transformers import PretrainedConfig


@dataclass(frozen=True)
class CostForm:
    """What of a model the closed forms need."""

    linear_weights: int
    output_weights: int
    heads: int
    kv_heads: int
    query_key_dim: int
    value_dim: int
    kv_bytes_per_token: int  # of one layer
    kv_windows: tuple[int | None, ...]  # tokens that each layer's cache can hold at most
    kv_bytes_per_pair: float


@dataclass(frozen=True)
class Cost:
    """Columns of the outcome table; FLOPs and bytes of one item."""

    flops_linear: float
    flops_attention: float
    flops_selection: float | None
    kv_bytes_allocated: float
    kv_bytes_read: float


def shape(loaded: LoadedModel) -> CostForm | None:
    """The shape of a model whose layers all are plain attention layers.

    None where the forms do not hold: experts, latent attention, layers that keep something else than keys and values.
    """
    config = loaded.model.config.get_text_config()
    heads = getattr(config, "num_attention_heads", None)
    windows = _windows(config)
    if loaded.params_active is None or heads is None or hasattr(config, "kv_lora_rank") or windows is None:
        return None
    kv_heads = getattr(config, "num_key_value_heads", None) or heads
    dim = getattr(config, "head_dim", None) or config.hidden_size // heads
    output = loaded.model.get_output_embeddings()
    element = next(loaded.model.parameters()).element_size()
    return CostForm(
        linear_weights=sum(matrix(layer).numel() for layer in linears(loaded.model).values()),
        output_weights=0 if output is None else output.weight.numel(),
        heads=heads,
        kv_heads=kv_heads,
        query_key_dim=dim,
        value_dim=dim,
        kv_bytes_per_token=2 * kv_heads * dim * element,
        kv_windows=windows,
        kv_bytes_per_pair=2 * dim * element * kv_heads / heads,
    )


def cost(form: CostForm, answer: Answer, sparsifier: Sparsifier | None, phases: frozenset[str]) -> Cost:
    """Cost of one answer. Decoding feeds back every generated token but the last."""
    steps = max(answer.generated_tokens - (not answer.stopped), 0)
    tokens = answer.prompt_tokens + steps
    kept = answer.prefill.kept + answer.decode.kept
    linear = tokens * form.linear_weights
    if answer.products is not None:
        linear = answer.products.prefill.kept + answer.products.decode.kept
    return Cost(
        flops_linear=2.0 * linear + 2.0 * form.output_weights * (1 + steps),
        flops_attention=2.0 * (form.query_key_dim + form.value_dim) * kept,
        flops_selection=None
        if isinstance(sparsifier, Eviction) and not sparsifier.known_cost
        else 2.0 * _selecting(form, answer, sparsifier, phases),
        kv_bytes_allocated=_allocated(form, answer, tokens),
        kv_bytes_read=form.kv_bytes_per_pair * answer.decode.kept,
    )


def _selecting(form: CostForm, answer: Answer, sparsifier: Sparsifier | None, phases: frozenset[str]) -> int:
    """Multiply-adds spent on choosing what to keep."""
    if isinstance(sparsifier, Eviction):
        assert answer.entries is not None
        held = [_at_most(answer.entries.end, most) for most in form.kv_windows]
        dims = {"dim": form.query_key_dim, "value_dim": form.value_dim}
        return sum(sparsifier.multiply_adds(n, heads=form.heads, kv_heads=form.kv_heads, **dims) for n in held)
    if isinstance(sparsifier, AttentionPattern) and sparsifier.needs_scores:
        by_phase = (("prefill", answer.prefill), ("decode", answer.decode))
        return form.query_key_dim * sum(pairs.visible for phase, pairs in by_phase if phase in phases)
    if isinstance(sparsifier, VerticalSlash) and "prefill" in phases:
        n, dim = answer.prompt_tokens, form.query_key_dim
        return len(form.kv_windows) * sparsifier.multiply_adds(n, heads=form.heads, dim=dim)
    if isinstance(sparsifier, BlockPattern):
        return _choosing_blocks(form, answer, sparsifier, phases)
    return 0


def _choosing_blocks(form: CostForm, answer: Answer, sparsifier: BlockPattern, phases: frozenset[str]) -> int:
    """Worth of blocks, in the prefill once and in every decoding step for the keys that there are."""
    n, steps = answer.prompt_tokens, max(answer.generated_tokens - (not answer.stopped), 0)
    took = [(n, n)] if "prefill" in phases else []
    took += [(1, n + step + 1) for step in range(steps)] if "decode" in phases else []
    dims = {"heads": form.heads, "kv_heads": form.kv_heads, "dim": form.query_key_dim}
    return sum(
        sparsifier.multiply_adds(queries, _at_most(keys, most), **dims)
        for queries, keys in took
        for most in form.kv_windows
    )


def _allocated(form: CostForm, answer: Answer, tokens: int) -> float:
    """Bytes of KV cache held when the answer ends."""
    if answer.entries is not None:
        return float(form.kv_bytes_per_token / form.kv_heads * answer.entries.last)
    return float(form.kv_bytes_per_token * sum(_at_most(tokens, most) for most in form.kv_windows))


def _at_most(tokens: int, most: int | None) -> int:
    return tokens if most is None else min(tokens, most)


def _windows(config: "PretrainedConfig") -> tuple[int | None, ...] | None:
    """Tokens that each layer's cache holds at most (None: all of them); None if a layer caches something else."""
    layers = DynamicCache(config=config).layers
    if not all(isinstance(layer, DynamicLayer) for layer in layers):
        return None
    # a window of w keeps w - 1 tokens: the current one makes it full
    return tuple(layer.sliding_window - 1 if hasattr(layer, "sliding_window") else None for layer in layers)
