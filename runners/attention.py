"""Our attention function for any transformers causal LM: dense, or with pairs dropped as a sparsifier says.

Registered under one name in transformers' attention and mask registries; what to impose stands in `CONTROL`, which the
runner sets (`imposing`). The phase is set by whoever owns the loop, never guessed from shapes. Kept and visible pairs
are counted per row of the batch, so realised sparsity is a measurement of the very item.
"""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F

from tolerance.errors import RunnerError
from tolerance.runners.sparsifiers.base import Phase, Sparsifier

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


@dataclass
class Pairs:
    """(query, key) pairs summed over layers and heads, per row ``(row,)``."""

    kept: torch.Tensor
    visible: torch.Tensor


@dataclass
class Control:
    """What to impose now, and what was seen: pairs by phase, calls by layer."""

    sparsifier: Sparsifier | None = None
    level: float = 0.0
    phases: frozenset[Phase] = frozenset(("prefill", "decode"))
    phase: Phase = "prefill"
    real: torch.Tensor | None = None  # (row, query): False where a query is padding
    pairs: dict[Phase, Pairs] = field(default_factory=dict)
    calls: Counter[int] = field(default_factory=Counter)

    @property
    def active(self) -> Sparsifier | None:
        """The sparsifier that acts in this phase, if any."""
        return self.sparsifier if self.level > 0 and self.phase in self.phases else None

    def count(self, layer: int, keep: torch.Tensor, visible: torch.Tensor, heads: int) -> None:
        """Add one layer's pairs."""
        self.calls[layer] += 1
        kept, seen = (self._pairs(mask, heads) for mask in (keep, visible))
        total = self.pairs.setdefault(self.phase, Pairs(torch.zeros_like(kept), torch.zeros_like(seen)))
        total.kept += kept
        total.visible += seen

    def _pairs(self, mask: torch.Tensor, heads: int) -> torch.Tensor:
        per_query = mask.sum((1, 3)) * (heads // mask.shape[1])
        return per_query.sum(1) if self.real is None else (per_query * self.real).sum(1)


# Outside `imposing` a model answers densely and nothing is counted.
CONTROL: Control | None = None


@contextmanager
def imposing(
    sparsifier: Sparsifier | None = None,
    level: float = 0.0,
    phases: frozenset[Phase] = frozenset(("prefill", "decode")),
) -> Iterator[Control]:
    """Impose a sparsifier at a level inside the block; afterwards everything is as it was."""
    global CONTROL
    before, CONTROL = CONTROL, Control(sparsifier, level, phases)
    try:
        yield CONTROL
    finally:
        CONTROL = before


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
    control = CONTROL
    heads = query.shape[1]
    visible = _visible(attention_mask[..., : key.shape[2]], None if control is None else control.real)
    scaling = query.shape[-1] ** -0.5 if scaling is None else scaling
    chooser = None if control is None else control.active
    if control is None or chooser is None:
        keep = visible
        out = _attend(query, key, value, visible, scaling, softcap, s_aux)
    elif not chooser.needs_scores:
        keep = chooser.keep(None, visible, control.level)
        out = _attend(query, key, value, keep, scaling, softcap, s_aux)
    else:
        out, keep = _attend_choosing(query, key, value, visible, scaling, softcap, s_aux, chooser, control.level)
    if control is not None:
        control.count(int(getattr(module, "layer_idx", 0) or 0), keep, visible, heads)
    return out.transpose(1, 2).contiguous(), None


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
    scaling: float,
    softcap: float | None,
    s_aux: torch.Tensor | None,
) -> torch.Tensor:
    """Attention over kept pairs ``(row, head, query, dim)``."""
    if softcap is None and s_aux is None:
        grouped = key.shape[1] != query.shape[1]
        return F.scaled_dot_product_attention(query, key, value, attn_mask=keep, scale=scaling, enable_gqa=grouped)
    return _weigh(_scores(query, key, scaling, softcap), keep, value, s_aux)


def _attend_choosing(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    visible: torch.Tensor,
    scaling: float,
    softcap: float | None,
    s_aux: torch.Tensor | None,
    chooser: Sparsifier,
    level: float,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Attention with pairs chosen by score, in chunks of queries so that memory stays bounded."""
    rows, heads, queries, _ = query.shape
    keys = key.shape[2]
    step = max(1, CHUNK_BYTES.get(query.device.type, CHUNK_BYTES["cuda"]) // (4 * rows * heads * keys))
    outs = []
    keeps = visible.new_zeros(rows, heads, queries, keys)
    for start in range(0, queries, step):
        part = slice(start, start + step)
        # Queries are the last of the keys, so no query of this chunk sees past here.
        seen_keys = slice(0, keys - queries + min(start + step, queries))
        scores = _scores(query[:, :, part], key[:, :, seen_keys], scaling, softcap)
        seen = visible[:, :, part, seen_keys]
        keep = chooser.keep(scores.masked_fill(~seen, float("-inf")), seen, level)
        outs.append(_weigh(scores, keep, value[:, :, seen_keys], s_aux))
        keeps[:, :, part, seen_keys] = keep
    return torch.cat(outs, 2), keeps


def _scores(query: torch.Tensor, key: torch.Tensor, scaling: float, softcap: float | None) -> torch.Tensor:
    """Scaled scores in float32 ``(row, head, query, key)``."""
    scores = (query @ _spread(key, query.shape[1]).transpose(2, 3)).float() * scaling
    return scores if softcap is None else softcap * torch.tanh(scores / softcap)


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
