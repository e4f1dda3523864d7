"""The loop that one would write first: for every condition, read the prompt, evict, decode with plain transformers.

Stock attention (PyTorch's SDPA as transformers calls it), stock cache layers that grow by concatenation, one condition
at a time; a batch has prompts of one length. Only what a method looks at and how it scores come from the runner. It is
the baseline of the speed table, and in the tests an implementation that shares nothing else with what it checks.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from transformers import AttentionInterface, DynamicCache
from transformers.cache_utils import DynamicLayer
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import AttentionMaskInterface, sdpa_mask

from tolerance.runners.decoding.batching import Condition, Prompt
from tolerance.runners.rope import Rotation
from tolerance.runners.sparsifiers.base import kept_of
from tolerance.runners.sparsifiers.kv import Eviction, Seen

NAME = "tolerance-naive"
_QUERIES: dict[int, tuple[torch.Tensor, float]] | None = None
_LAST: int | None = None


def _attention(module, query, key, value, attention_mask=None, scaling=None, **others):
    if _QUERIES is not None:
        noted = query if _LAST is None else query[:, :, query.shape[2] - _LAST :].clone()
        _QUERIES[module.layer_idx] = noted, query.shape[-1] ** -0.5 if scaling is None else scaling
    return sdpa_attention_forward(module, query, key, value, attention_mask, scaling=scaling, **others)


AttentionInterface.register(NAME, _attention)
AttentionMaskInterface.register(NAME, sdpa_mask)


class _EvictedLayer(DynamicLayer):
    """Holds what was kept; positions go on from the tokens read."""

    def __init__(self, keys, values, read):
        super().__init__()
        self.dtype, self.device = keys.dtype, keys.device
        self.keys, self.values, self.read, self.is_initialized = keys, values, read, True

    def update(self, key_states, value_states, *args, **kwargs):
        self.read += key_states.shape[-2]
        return super().update(key_states, value_states, *args, **kwargs)

    def get_seq_length(self, *args, **kwargs):
        return self.read

    def get_mask_sizes(self, query_length, *args, **kwargs):
        n = query_length if isinstance(query_length, int) else len(query_length)
        held = self.keys.shape[-2]
        return held + n, self.read - held


@dataclass
class Told:
    """Tokens of an answer up to the one that stops, and how far each led the second best, in logits."""

    tokens: list[int]
    leads: list[float]


@torch.inference_mode()
def answer(model, prompts: Sequence[Prompt], condition: Condition, stops: torch.Tensor, n: int) -> list[Told]:
    """Answers under one condition; all prompts have one length."""
    ids = torch.tensor([prompt.ids for prompt in prompts], device=model.device)
    method, end = condition.method, ids.shape[1]
    if method is not None and method.question == "hidden":
        (end,) = {prompt.question_at for prompt in prompts}
    cache, queries, logits = _read(model, ids[:, :end], method)
    if method is not None:
        cache = _evicted(model, cache, queries, method, condition, prompts)
    del queries
    if end < ids.shape[1]:
        logits = model(ids[:, end:], past_key_values=cache, use_cache=True).logits[:, -1]
    best = logits.topk(2, -1)
    made, values = [best.indices[:, 0]], [best.values]
    stopped = torch.isin(made[0], stops)
    while len(made) < n and not bool(stopped.all()):
        best = model(made[-1][:, None], past_key_values=cache, use_cache=True).logits[:, -1].topk(2, -1)
        made.append(best.indices[:, 0])
        values.append(best.values)
        stopped |= torch.isin(made[-1], stops)
    leads = torch.stack([v[:, 0] - v[:, 1] for v in values], 1).float().tolist()
    return [
        Told(_until(row, stops.tolist()), lead) for row, lead in zip(torch.stack(made, 1).tolist(), leads, strict=True)
    ]


def _read(model, ids, method: Eviction | None):
    global _QUERIES, _LAST
    _QUERIES, cache = {}, DynamicCache()
    _LAST = 0 if method is None else None if method.reads_moments else min(method.looks_back, ids.shape[1])
    try:
        logits = model(ids, past_key_values=cache, use_cache=True, logits_to_keep=1).logits[:, -1]
        return cache, _QUERIES, logits
    finally:
        _QUERIES = None


def _evicted(model, cache, queries, method: Eviction, condition: Condition, prompts):
    rotation = Rotation.of(model) if method.reads_moments else None
    evicted = DynamicCache()
    evicted.layers = []
    for i, layer in enumerate(cache.layers):
        rows, heads, n, _ = layer.keys.shape
        scores = method.score(_seen(i, layer, *queries[i], method, rotation, prompts))
        held = torch.tensor(n)
        kept = int(held.clamp(max=condition.tokens) if condition.tokens else kept_of(held, condition.level))
        index = scores.sort(dim=-1, descending=True, stable=True).indices[..., :kept].sort(-1).values[..., None]
        keys, values = (t.gather(2, index.expand(rows, heads, kept, t.shape[-1])) for t in (layer.keys, layer.values))
        evicted.layers.append(_EvictedLayer(keys, values, n))
    return evicted


def _seen(i, layer, query, scaling, method, rotation, prompts):
    rows, n = len(layer.keys), layer.keys.shape[2]
    device, mean, covariance = layer.keys.device, None, None
    if rotation is not None:
        plain = rotation.turn(query, -torch.arange(n, device=device)[None])
        mean = plain.mean(2)
        covariance = (plain - mean[:, :, None]).mT @ (plain - mean[:, :, None]) / n
    window = min(method.looks_back, n)
    at = torch.arange(n - window, n, device=device)
    return Seen(
        layer=i,
        keys=layer.keys,
        values=layer.values,
        real=torch.ones(rows, 1, n, dtype=torch.bool, device=device),
        end=torch.full((rows,), n, device=device),
        queries=query[:, :, query.shape[2] - window :],
        query_positions=at.expand(rows, -1),
        scaling=scaling,
        softcap=None,
        s_aux=None,
        salt=torch.tensor([prompt.salt for prompt in prompts], device=device),
        mean=mean,
        covariance=covariance,
        rotation=rotation,
    )


def _until(tokens, stops):
    kept = []
    for token in tokens:
        if token in stops:
            break
        kept.append(token)
    return kept
