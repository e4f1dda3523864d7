"""Is an evicted cache exactly the cache without the evicted entries? Part of the self-check, for methods that evict.

The last tokens of a random prompt are read twice on what a method kept: gathered into our own cache, and with
transformers' own cache and masks, all entries still there and the evicted ones hidden. Both must give one answer.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import ClassVar

import torch
from transformers.cache_utils import DynamicCache

from tolerance.errors import RunnerError
from tolerance.runners.attention.cache import NO_MASK, KeptCache, PrefillCache, windows
from tolerance.runners.attention.control import imposing
from tolerance.runners.decoding.batching import Condition, Job, Prompt, Sizes
from tolerance.runners.decoding.shared_prefill import Levels, Prefill
from tolerance.runners.models.load import LoadedModel
from tolerance.runners.rope import Rotation
from tolerance.runners.sparsifiers.base import AttentionPattern
from tolerance.runners.sparsifiers.kv import Eviction

Compare = Callable[[str, torch.Tensor, torch.Tensor, str], None]
ASKED, SHIFT = 4, 7


@dataclass(frozen=True)
class _Hiding(AttentionPattern):
    """Hides chosen entries, layer after layer; ``allowed`` are ``(row, head, position)``."""

    allowed: Sequence[torch.Tensor]
    layers: list[int] = field(default_factory=list)
    name: ClassVar[str] = "hiding"
    needs_scores: ClassVar[bool] = False

    def keep(self, scores: torch.Tensor | None, visible: torch.Tensor, level: float) -> torch.Tensor:
        """See `AttentionPattern.keep`; called once for each layer."""
        allowed = self.allowed[len(self.layers)]
        self.layers.append(len(self.layers))
        # a layer with a window shows the last of its entries
        return visible & allowed[:, :, None, allowed.shape[-1] - visible.shape[-1] :]


@torch.inference_mode()
def check(
    loaded: LoadedModel,
    ids: torch.Tensor,
    dense: torch.Tensor,
    methods: Sequence[Eviction],
    compare: Compare,
    *,
    exact: bool = True,
) -> dict[str, float]:
    """Realised sparsity at level 0.5 by method; ``dense`` are the logits of ``ids`` ``(row, position)``.

    Where rounding may choose another entry among nearly equal ones (not ``exact``), batches are not held against rows
    alone, and rotations are not looked at.

    Raises:
        RunnerError: naming what differs, or the method that this model does not allow.
    """
    if exact:
        _check_rotation(loaded, ids, methods, compare)
    end = ids.shape[1] - ASKED
    prompts = [Prompt(tuple(row), end) for row in ids.tolist()]
    short = Prompt(prompts[0].ids[-2 * end // 3 :], 2 * end // 3 - ASKED)
    hidden = [type(m)(**{**vars(m), "question": "hidden"}) for m in methods]
    conditions = [Condition(hidden[0], 0.0), *(Condition(m, 0.5) for m in hidden)]
    run = Levels(loaded, conditions, ASKED, Sizes.of(loaded))
    prefill = run.prefill([*prompts, short])
    counts = [run.counts(prefill, condition) for condition in conditions]
    rows = range(len(prompts))
    together = _asked(run, prefill, [Job.of(0, row, counts) for row in rows], counts)
    compare("cache with nothing evicted", together, dense[:, -1], "Entries or positions of our cache are wrong.")
    realised = {}
    for number, method in enumerate(methods, start=1):
        got = _asked(run, prefill, [Job.of(number, row, counts) for row in rows], counts)
        wanted = _masked(run, prefill, ids, number, counts[number])
        compare(f"{method.label} against hiding what it evicts", got, wanted, "What is evicted is not what is said.")
        if exact:
            alone = _asked(run, run.prefill(prompts[:1]), [Job.of(number, 0, counts)], counts)
            compare(f"{method.label} in a batch", got[:1], alone, "Other rows reach the answer.")
        held = sum(int(prefill.cache.held(i, 1)[:-1].sum()) for i in range(len(run.windows))) * counts[0].shape[2]
        realised[method.label] = 1 - float(counts[number][:, :-1].sum()) / held
        if not 0.4 <= realised[method.label] <= 0.5:
            raise RunnerError(
                f"self-check of {loaded.name} failed: {method.label} at level 0.5 evicted "
                f"{realised[method.label]:.3f} of the entries. It is not doing what it says."
            )
    return realised


def _asked(run: Levels, prefill: Prefill, jobs: list[Job], counts: list[torch.Tensor]) -> torch.Tensor:
    """Logits that follow the last tokens, read on what was kept."""
    slots = [max(job.slots[layer] for job in jobs) for layer in range(len(run.windows))]
    cache = KeptCache(prefill.cache, len(jobs), slots, ASKED)
    run.fill(cache, prefill, jobs, counts)
    lengths = torch.tensor([len(prefill.prompts[job.row].ids) for job in jobs])
    return run.ask(cache, prefill, jobs, lengths - ASKED, lengths)


def _masked(run: Levels, prefill: Prefill, ids: torch.Tensor, number: int, counts: torch.Tensor) -> torch.Tensor:
    """The same by transformers' cache with the evicted entries hidden."""
    method, rows, end = run.conditions[number].method, len(ids), ids.shape[1] - ASKED
    assert method is not None
    heads = run.loaded.model.config.get_text_config().num_attention_heads
    allowed = []
    for layer in range(len(run.windows)):
        order = prefill.ranking(method, layer)[1][:rows]
        chosen = torch.arange(order.shape[-1], device=order.device) < counts[layer, :rows, :, None].to(order.device)
        kept = torch.zeros_like(chosen).scatter(2, order, chosen)
        kept[:, :, end:] = True
        allowed.append(kept.repeat_interleave(heads // kept.shape[1], 1))
    cache = DynamicCache(config=run.loaded.model.config.get_text_config())
    mask = torch.ones_like(ids)
    run.loaded.model(input_ids=ids[:, :end], attention_mask=mask[:, :end], past_key_values=cache, use_cache=True)
    with imposing(_Hiding(allowed), 0.5):
        logits = run.loaded.model(
            input_ids=ids[:, end:], attention_mask=mask, past_key_values=cache, use_cache=True
        ).logits
    return torch.as_tensor(logits[:, -1])


def _check_rotation(loaded: LoadedModel, ids: torch.Tensor, methods: Sequence[Eviction], compare: Compare) -> None:
    """Our rotation by some positions against keys of a prompt that begins as much later."""
    if not any(method.reads_moments for method in methods):
        return
    rotation = Rotation.of(loaded.model)
    if rotation is None:
        return  # refused by name where it is needed
    layers = windows(loaded.model)
    keys = []
    for shift in (0, SHIFT):
        cache = PrefillCache(layers, [])
        with imposing() as control:
            control.cache = cache
            at = torch.arange(shift, shift + ids.shape[1], device=ids.device).expand_as(ids)
            loaded.model(
                input_ids=ids,
                attention_mask=NO_MASK.to(ids.device),
                position_ids=at,
                past_key_values=cache,
                use_cache=True,
            )
        keys.append(torch.stack([layer.keys for layer in cache.layers]))
    turned = torch.stack([rotation.turn(k, torch.full((1, 1), SHIFT, device=ids.device)) for k in keys[0]])
    compare(
        "rotation by position",
        turned.to(keys[1].dtype),
        keys[1],
        "Positions turn keys in a way that is not understood.",
    )
