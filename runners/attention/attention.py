"""Our attention function for any transformers causal LM: dense, or with pairs dropped as a sparsifier says.

Registered under one name in transformers' attention and mask registries; what to impose stands in `control.CONTROL`,
which the runner sets (`imposing`).
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F

from tolerance.errors import RunnerError
from tolerance.runners.attention import block_sparse
from tolerance.runners.attention.cache import Softmax
from tolerance.runners.attention.control import CONTROL, Control
from tolerance.runners.sparsifiers import AttentionPattern, BlockPattern, VerticalSlash

if TYPE_CHECKING:
    from transformers import PreTrainedModel

NAME = "tolerance"
# What models pass that changes nothing here: windows are in the mask, positions are in the rotated queries and keys.
HARMLESS = {
    *("sliding_window", "position_ids", "cache_position", "use_cache", "is_causal", "dropout"),
    *("output_attentions", "output_hidden_states", "output_router_logits", "return_dict"),
}
# float32 scores of one chunk of queries: what a CPU's cache holds, what keeps a GPU busy
CHUNK_BYTES = {"cpu": 4 * 2**20, "cuda": 256 * 2**20}


def attach(model: "PreTrainedModel") -> None:
    """Make a model use our attention function.

    Raises:
        RunnerError: the architecture does not use transformers' attention registry; it would silently stay as it is.
    """
    from transformers import AttentionInterface
    from transformers.masking_utils import AttentionMaskInterface

    AttentionInterface.register(NAME, attention)
    AttentionMaskInterface.register(NAME, mask)
    refused = None
    try:
        model.set_attn_implementation(NAME)
    except (ValueError, AttributeError) as error:
        refused = str(error).splitlines()[0]
    if refused or model.config._attn_implementation != NAME:
        raise RunnerError(
            f"architecture {type(model).__name__} does not use transformers' attention registry"
            f"{f' ({refused})' if refused else ''}, so no sparsity can be imposed on it. Use a model that does "
            "(Llama, Qwen, Gemma, Mistral, Phi, GPT-NeoX ...)."
        )


def mask(*args: Any, **kwargs: Any) -> torch.Tensor | None:  # noqa: ANN401 - transformers' signature
    """The boolean mask of transformers' SDPA path, always made: no 'None means causal' to be guessed later."""
    from transformers.masking_utils import sdpa_mask

    kwargs["allow_is_causal_skip"] = False
    kwargs["allow_is_bidirectional_skip"] = False
    made: torch.Tensor | None = sdpa_mask(*args, **kwargs)
    return made


def attention(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    scaling: float | None = None,
    softcap: float | None = None,
    s_aux: torch.Tensor | None = None,
    **others: Any,  # noqa: ANN401 - transformers' contract
) -> tuple[torch.Tensor, None]:
    """Transformers' attention contract, after rotation and cache update: query ``(row, head, query, dim)``.

    Raises:
        RunnerError: an argument that would change the result and is not understood, or no mask.
    """
    strange = sorted(name for name, given in others.items() if given is not None and name not in HARMLESS)
    if strange:
        raise RunnerError(f"{type(module).__name__} passes {', '.join(strange)} to attention, which is not supported.")
    if attention_mask is None:
        raise RunnerError(f"{type(module).__name__} built no attention mask, so what is visible is unknown.")
    control = CONTROL.get()
    heads = query.shape[1]
    how = Softmax(query.shape[-1] ** -0.5 if scaling is None else scaling, softcap, s_aux)
    if control is not None and control.cache is not None:
        layer, window = int(module.layer_idx), others.get("sliding_window")  # type: ignore[arg-type]
        _same_window(module, window, control.cache.windows[layer])
        control.modules[layer] = module
        if isinstance(control.active, BlockPattern):
            out = _attend_table(query, key, value, how, control, control.active, layer)
        else:
            control.calls[layer] += 1
            out = control.cache.attend(layer, query, key, value, how)
        return out.transpose(1, 2).contiguous(), None
    visible = _visible(attention_mask[..., : key.shape[2]], None if control is None else control.real)
    if control is None:
        return _attend(query, key, value, visible, how).transpose(1, 2).contiguous(), None
    chooser = control.active
    seen = kept = _pairs(visible, heads)
    if chooser is None:
        out = _attend(query, key, value, visible, how)
    elif chooser.one_length and control.phase == "prefill" and control.real is not None:
        raise RunnerError(f"sparsifier {chooser.label}: prompts of one batch must have one length.")
    elif isinstance(chooser, VerticalSlash):
        out, kept = _attend_lines(query, key, value, visible, how, chooser, control.level)
    elif isinstance(chooser, BlockPattern):
        out, kept = _attend_blocks(query, key, value, visible, how, chooser, control.level)
    elif not chooser.needs_scores:
        keep = torch.cat([chooser.keep(None, part, control.level) for part in _parts(visible)], 2)
        out, kept = _attend(query, key, value, keep, how), _pairs(keep, heads)
    else:
        out, kept = _attend_choosing(query, key, value, visible, how, chooser, control.level)
    control.count(int(getattr(module, "layer_idx", 0) or 0), kept, seen)
    return out.transpose(1, 2).contiguous(), None


def _same_window(module: torch.nn.Module, told: int | None, known: int | None) -> None:
    if told is not None and told != known:
        raise RunnerError(
            f"{type(module).__name__} sees a window of {told} tokens where its configuration says {known or 'all'}, so "
            "what its cache holds is unknown. Methods on KV caches cannot be imposed on it."
        )


def _visible(attention_mask: torch.Tensor, real: torch.Tensor | None) -> torch.Tensor:
    """Boolean visibility; a padded query sees itself, so that its row of the softmax exists (and is never used)."""
    seen = (
        attention_mask
        if attention_mask.dtype == torch.bool
        else attention_mask > torch.finfo(attention_mask.dtype).min / 2
    )
    if real is None:
        return seen
    queries, keys = seen.shape[-2:]
    itself = torch.eye(keys, dtype=torch.bool, device=seen.device)[keys - queries :]
    return seen | (~real[:, None, :, None] & itself)


def _attend(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    keep: torch.Tensor,
    how: Softmax,
) -> torch.Tensor:
    """Attention over kept pairs ``(row, head, query, dim)``."""
    if how.softcap is None and how.s_aux is None:
        grouped = key.shape[1] != query.shape[1]
        return F.scaled_dot_product_attention(query, key, value, attn_mask=keep, scale=how.scaling, enable_gqa=grouped)
    return _weigh(_scores(query, key, how), keep, value, how.s_aux)


def _attend_choosing(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    visible: torch.Tensor,
    how: Softmax,
    chooser: AttentionPattern,
    level: float,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Attention with pairs chosen by score, and how many each query kept ``(row, query)``.

    In chunks of queries: no mask of every head over all pairs is ever held.
    """
    heads, queries = query.shape[1:3]
    keys = key.shape[2]
    step = _chunk(visible, heads)
    outs, kept = [], []
    for start in range(0, queries, step):
        part = slice(start, start + step)
        # Queries are the last of the keys, so no query of this chunk sees past here.
        seen_keys = slice(0, keys - queries + min(start + step, queries))
        scores = _scores(query[:, :, part], key[:, :, seen_keys], how)
        seen = visible[:, :, part, seen_keys]
        keep = chooser.keep(scores.masked_fill(~seen, float("-inf")), seen, level)
        outs.append(_weigh(scores, keep, value[:, :, seen_keys], how.s_aux))
        kept.append(_pairs(keep, heads))
    return torch.cat(outs, 2), torch.cat(kept, 1)


def _attend_blocks(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    visible: torch.Tensor,
    how: Softmax,
    chooser: BlockPattern,
    level: float,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Attention over blocks of keys, and how many pairs each query kept ``(row, query)``.

    On CUDA a kernel skips what is dropped, where blocks have its size and nothing but causality hides pairs.
    """
    heads, queries, keys = query.shape[1], query.shape[2], key.shape[2]
    first, plain = keys - queries, how.softcap is None and how.s_aux is None
    whole = query.is_cuda and plain and first == 0 and chooser.query_block == chooser.block == block_sparse.BLOCK
    if whole and queries > 1 and _is_causal(visible):
        blocks = chooser.blocks(query, key, 0, level, scaling=how.scaling)
        return block_sparse.attend(query, key, value, blocks, how.scaling), _pairs_of_blocks(
            blocks, queries, chooser.block
        )
    step = max(1, _chunk(visible, heads) // chooser.query_block) * chooser.query_block
    outs, kept = [], []
    for start in range(0, queries, step):
        part = slice(start, start + step)
        seen_keys = slice(0, first + min(start + step, queries))
        seen = visible[:, :, part, seen_keys]
        blocks = chooser.blocks(query[:, :, part], key[:, :, seen_keys], first + start, level, seen, how.scaling)
        keep = chooser.mask(blocks, seen)
        outs.append(_attend(query[:, :, part], key[:, :, seen_keys], value[:, :, seen_keys], keep, how))
        kept.append(_pairs(keep, heads))
    return torch.cat(outs, 2), torch.cat(kept, 1)


def _attend_lines(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    visible: torch.Tensor,
    how: Softmax,
    chooser: VerticalSlash,
    level: float,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Attention over columns and diagonals of a whole prompt, and how many pairs each query kept ``(row, query)``."""
    heads, n = query.shape[1:3]
    seen = _pairs(visible, heads) // heads
    window = int(seen.max())
    if key.shape[2] != n or bool((seen != torch.arange(1, n + 1, device=seen.device).clamp(max=window)).any()):
        raise RunnerError(
            f"sparsifier {chooser.label}: queries see something else than all keys up to themselves or a window of "
            "them, so lines cannot be told. Use it on whole prompts of a model with causal attention."
        )
    last = slice(max(0, n - chooser.last), n)
    scores = _scores(query[:, :, last], key, how).masked_fill(~visible[:, :, last], float("-inf"))
    lines = chooser.choose(scores.softmax(-1), window, level)
    step = _chunk(visible, heads)
    outs, kept = [], []
    for start in range(0, n, step):
        part, seen_keys = slice(start, start + step), slice(0, min(start + step, n))
        keep = lines.mask(part, visible[:, :, part, seen_keys])
        outs.append(_attend(query[:, :, part], key[:, :, seen_keys], value[:, :, seen_keys], keep, how))
        kept.append(_pairs(keep, heads))
    return torch.cat(outs, 2), torch.cat(kept, 1)


def _attend_table(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    how: Softmax,
    control: Control,
    chooser: BlockPattern,
    layer: int,
) -> torch.Tensor:
    """Blocks of a prefill that builds no mask at all; on CUDA alone, where blocks have the kernel's size."""
    n, plain = query.shape[2], how.softcap is None and how.s_aux is None
    fits = query.is_cuda and chooser.query_block == chooser.block == block_sparse.BLOCK and key.shape[2] == n
    if not fits or not plain or control.cache is None or control.cache.windows[layer] is not None:
        raise RunnerError(
            f"sparsifier {chooser.label}: a prefill without masks needs CUDA, blocks of {block_sparse.BLOCK} and plain "
            "causal attention. Leave the cache out, so that masks are made."
        )
    blocks = chooser.blocks(query, key, 0, control.level, scaling=how.scaling)
    seen = query.shape[1] * torch.arange(1, n + 1, device=query.device).expand(len(query), -1)
    control.count(layer, _pairs_of_blocks(blocks, n, chooser.block), seen)
    return block_sparse.attend(query, key, value, blocks, how.scaling)


def _is_causal(visible: torch.Tensor) -> bool:
    """Whether nothing but causality hides pairs: every query sees as many keys as there are up to it."""
    expected = torch.arange(1, visible.shape[2] + 1, device=visible.device)
    return bool((_pairs(visible, visible.shape[1]) == expected * visible.shape[1]).all())


def _pairs_of_blocks(blocks: torch.Tensor, n: int, block: int) -> torch.Tensor:
    """Pairs of each query over heads ``(row, query)``: whole blocks before its own, and its own up to itself."""
    before = (blocks.sum((1, 3)) - blocks.shape[1]) * block
    inside = torch.arange(n, device=blocks.device) % block + 1
    return before.repeat_interleave(block, 1)[:, :n] + blocks.shape[1] * inside


def _chunk(visible: torch.Tensor, heads: int) -> int:
    """Queries whose float32 scores of all heads fill one chunk."""
    rows, _, _, keys = visible.shape
    return max(1, CHUNK_BYTES.get(visible.device.type, CHUNK_BYTES["cuda"]) // (4 * rows * heads * keys))


def _pairs(mask: torch.Tensor, heads: int) -> torch.Tensor:
    """Pairs of a mask that one or all heads share, for each query ``(row, query)``."""
    # torch sums booleans on a CPU through a copy of eight bytes each, so in chunks
    return torch.cat([part.sum((1, 3)) for part in _parts(mask)], 1) * (heads // mask.shape[1])


def _parts(mask: torch.Tensor) -> Iterator[torch.Tensor]:
    """A mask in chunks of queries."""
    step = _chunk(mask, mask.shape[1])
    return (mask[:, :, start : start + step] for start in range(0, mask.shape[2], step))


def _scores(query: torch.Tensor, key: torch.Tensor, how: Softmax) -> torch.Tensor:
    """Scaled scores, float32 or finer ``(row, head, query, key)``.

    Multiplied in that precision: bfloat16 products would tie by the dozen, unscaled float16 ones can overflow.
    """
    precision = torch.promote_types(query.dtype, torch.float32)
    scores = query.to(precision) * how.scaling @ _spread(key, query.shape[1]).to(precision).transpose(2, 3)
    return scores if how.softcap is None else how.softcap * torch.tanh(scores / how.softcap)


def _weigh(scores: torch.Tensor, keep: torch.Tensor, value: torch.Tensor, s_aux: torch.Tensor | None) -> torch.Tensor:
    """Softmax over kept pairs (with a learned sink where a model has one), then the weighted values."""
    scores = scores.masked_fill(~keep, float("-inf"))
    if s_aux is None:
        weights = scores.softmax(-1)
    else:
        sink = s_aux.reshape(1, -1, 1, 1).expand(*scores.shape[:3], 1).float()
        weights = torch.cat([scores, sink], -1).softmax(-1)[..., :-1]
    return weights.to(value.dtype) @ _spread(value, scores.shape[1])


def _spread(grouped: torch.Tensor, heads: int) -> torch.Tensor:
    """Key or value heads repeated for grouped-query attention; the group size follows from the shapes."""
    times = heads // grouped.shape[1]
    return grouped if times == 1 else grouped.repeat_interleave(times, 1)
