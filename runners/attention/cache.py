"""Caches that know the position of every entry: one filled by a dense prefill, one of what a method kept of it.

A model sees them as any transformers cache. What a query sees follows from positions alone (an entry is visible if it
is not later than the query and inside the layer's window), so entries may be missing anywhere, differ by head, and
stand in any order; rows may have any lengths. Our attention function asks the cache of the pass (`Control.cache`).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from transformers.cache_utils import Cache, DynamicCache, DynamicLayer

from tolerance.errors import RunnerError
from tolerance.runners.rope import Rotation
from tolerance.runners.sparsifiers.kv import Inside, Seen

if TYPE_CHECKING:
    from transformers import PreTrainedModel

# The position of a slot that holds nothing: later than every query.
EMPTY = torch.iinfo(torch.int32).max
# A 4-d mask passes through transformers' mask making as it is; nothing reads it.
NO_MASK = torch.ones(1, 1, 1, 1, dtype=torch.bool)


@dataclass(frozen=True)
class Softmax:
    """What a model does to scores besides scaling them."""

    scaling: float
    softcap: float | None
    s_aux: torch.Tensor | None


def windows(model: "PreTrainedModel") -> tuple[int | None, ...]:
    """Positions that each layer sees at most, the query's own included; None: all.

    Raises:
        RunnerError: a layer caches something else than keys and values, or sees in another pattern.
    """
    config = model.config.get_text_config()
    layers = DynamicCache(config=config).layers
    strange = {type(layer).__name__ for layer in layers if not isinstance(layer, DynamicLayer)}
    strange |= set(getattr(config, "layer_types", None) or ()) - {"full_attention", "sliding_attention"}
    if hasattr(config, "kv_lora_rank"):
        strange.add("latent vectors")
    if len(layers) != config.num_hidden_layers:
        strange.add(f"{len(layers)} layers for {config.num_hidden_layers}")
    if strange:
        raise RunnerError(
            f"{type(model).__name__}: its cache has {', '.join(sorted(strange))}, so entries cannot be evicted from it "
            "exactly. Methods on KV caches need layers of plain or sliding-window attention, each with its own cache."
        )
    return tuple(getattr(layer, "sliding_window", None) for layer in layers)


def visible(keys_at: torch.Tensor, queries_at: torch.Tensor, window: int | None) -> torch.Tensor:
    """Which entries each query sees ``(row, head, query, key)``; positions ``(row, head, key)``, ``(row, query)``."""
    seen = keys_at[:, :, None] <= queries_at[:, None, :, None]
    return seen if window is None else seen & (keys_at[:, :, None] > queries_at[:, None, :, None] - window)


class _Layer(DynamicLayer):  # type: ignore[misc] # transformers is not typed
    """One layer; the cache that owns it sets what it holds."""

    def get_mask_sizes(self, query_length: Any, *_: Any) -> tuple[int, int]:  # noqa: ANN401 - differs by version
        return int(query_length) if isinstance(query_length, int) else len(query_length), 0

    def get_seq_length(self, *_: Any, **__: Any) -> int:  # noqa: ANN401
        return 0


class _WholeLayer(_Layer):
    def update(self, key_states: torch.Tensor, value_states: torch.Tensor, *_: Any, **__: Any) -> Any:  # noqa: ANN401
        self.keys, self.values = key_states, value_states
        self.is_initialized = True
        return key_states, value_states


class PrefillCache(Cache):  # type: ignore[misc]
    """Filled once by a dense pass over whole prompts, padded on the right ``(row, position)``.

    Padding on the right needs no mask: nothing real comes after it. For each of ``ends``, entries at which a method's
    compression ends ``(row,)``, the last ``look_back`` queries are kept, and moments of all queries if asked.
    """

    def __init__(
        self,
        layer_windows: Sequence[int | None],
        ends: Sequence[torch.Tensor],
        *,
        look_back: int = 0,
        rotation: Rotation | None = None,
        salt: torch.Tensor | None = None,
    ) -> None:
        super().__init__(layers=[_WholeLayer() for _ in layer_windows])
        self.windows, self.ends, self.look_back, self.rotation = tuple(layer_windows), list(ends), look_back, rotation
        self.salt = salt
        self.inside: dict[int, Inside] = {}
        self._noted: dict[tuple[int, int], dict[str, Any]] = {}

    def attend(
        self, layer: int, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, how: Softmax
    ) -> torch.Tensor:
        """Causal attention within the layer's window ``(row, head, query, dim)``."""
        for number, end in enumerate(self.ends):
            self._noted[layer, number] = self._note(query, end, how)
        window, n = self.windows[layer], query.shape[2]
        if how.softcap is None and how.s_aux is None and (window is None or n <= window):
            grouped = key.shape[1] != query.shape[1]
            return F.scaled_dot_product_attention(
                query, key, value, is_causal=True, scale=how.scaling, enable_gqa=grouped
            )
        at = torch.arange(n, device=query.device)
        step = max(1, 2**26 // (query.shape[0] * query.shape[1] * n))
        parts = []
        for start in range(0, n, step):
            last = min(start + step, n)
            seen = visible(at[None, None, :last], at[None, start:last], window)
            parts.append(_attend(query[:, :, start:last], key[:, :, :last], value[:, :, :last], seen, how))
        return torch.cat(parts, 2)

    def seen(self, layer: int, number: int) -> Seen:
        """What methods whose compression ends at ``ends[number]`` may look at."""
        held, end = self.layers[layer], self.ends[number]
        keys, values = held.keys, held.values
        assert isinstance(keys, torch.Tensor)
        assert isinstance(values, torch.Tensor)
        return Seen(
            layer=layer,
            keys=keys,
            values=values,
            real=self.held(layer, number)[:, None],
            end=end,
            salt=torch.zeros_like(end) if self.salt is None else self.salt,
            rotation=self.rotation,
            inside=self.inside.get(layer),
            **self._noted[layer, number],
        )

    def held(self, layer: int, number: int) -> torch.Tensor:
        """Entries that the layer holds once the first token after the end is to come ``(row, position)``."""
        keys, end, window = self.layers[layer].keys, self.ends[number][:, None], self.windows[layer]
        assert isinstance(keys, torch.Tensor)
        at = torch.arange(keys.shape[2], device=keys.device)
        return (at < end) & (True if window is None else at > end - window)

    def _note(self, query: torch.Tensor, end: torch.Tensor, how: Softmax) -> dict[str, Any]:
        at = end[:, None] - self.look_back + torch.arange(self.look_back, device=end.device)
        index = at.clamp(min=0)[:, None, :, None].expand(-1, query.shape[1], -1, query.shape[-1])
        note = {
            "queries": query.gather(2, index),
            "query_positions": at,
            "scaling": how.scaling,
            "softcap": how.softcap,
            "s_aux": how.s_aux,
        }
        if self.rotation is not None:
            note["mean"], note["covariance"] = _moments(query, end, self.rotation)
        return note


def _moments(query: torch.Tensor, end: torch.Tensor, rotation: Rotation) -> tuple[torch.Tensor, torch.Tensor]:
    """Mean ``(row, head, dim)`` and covariance ``(row, head, dim, dim)`` of the queries before ``end``, not rotated."""
    at = torch.arange(query.shape[2], device=query.device)
    real = (at < end[:, None])[:, None, :, None]
    plain = torch.where(real, rotation.turn(query, -at[None]), 0.0)
    n = end[:, None, None].float()
    mean = plain.sum(2) / n
    centred = torch.where(real, plain - mean[:, :, None], 0.0)
    return mean, centred.mT @ centred / n[..., None]


class _KeptLayer(_Layer):
    def __init__(self, like: PrefillCache, layer: int, rows: int, for_kept: int, for_new: int) -> None:
        super().__init__()
        keys, values = like.layers[layer].keys, like.layers[layer].values
        assert isinstance(keys, torch.Tensor)
        assert isinstance(values, torch.Tensor)
        heads, slots = keys.shape[1], for_kept + for_new
        # Zeros: what was never written must not be NaN, since a weight of zero times NaN is NaN.
        self.keys = keys.new_zeros(rows, heads, slots, keys.shape[3])
        self.values = values.new_zeros(rows, heads, slots, values.shape[3])
        self.at = torch.full((rows, heads, slots), EMPTY, dtype=torch.int32, device=keys.device)
        self.dtype, self.device, self.for_kept, self.is_initialized = keys.dtype, keys.device, for_kept, True


class KeptCache(Cache):  # type: ignore[misc]
    """Slots for what was kept and for what is yet to come, at positions ``(row, kv head, slot)``.

    Its tensors keep their place in memory while it is decoded with, so a decoding step can be captured once and
    replayed. Before a pass, `expect` says where its tokens stand; they go into the next slots of every row.
    ``for_kept`` slots of each layer and ``for_new`` of all.
    """

    def __init__(self, like: PrefillCache, rows: int, for_kept: Sequence[int], for_new: int) -> None:
        super().__init__(layers=[_KeptLayer(like, i, rows, n, for_new) for i, n in enumerate(for_kept)])
        self.windows, self.rows, self.for_new = like.windows, rows, for_new
        device = self._layer(0).at.device
        self.next_slot = torch.zeros(1, dtype=torch.long, device=device)
        self.incoming = torch.zeros((rows, 1), dtype=torch.int32, device=device)

    @property
    def for_kept(self) -> tuple[int, ...]:
        """Slots of each layer for what was kept."""
        return tuple(self._layer(i).for_kept for i in range(len(self.layers)))

    def clear(self) -> None:
        """Hold nothing, in the same memory."""
        self.next_slot.zero_()
        for i in range(len(self.layers)):
            self._layer(i).at.fill_(EMPTY)

    def keep(
        self,
        layer: int,
        first_row: int,
        of: PrefillCache,
        rows: torch.Tensor,
        order: torch.Tensor,
        counts: torch.Tensor,
    ) -> None:
        """Copy what some rows of a prefill keep into the rows from ``first_row`` on.

        These are the first ``counts`` ``(row, kv head)`` entries of ``order`` ``(row, kv head, n)``.
        """
        held, source = self._layer(layer), of.layers[layer]
        into, n, heads = slice(first_row, first_row + len(rows)), order.shape[2], order.shape[1]
        where = (rows[:, None, None], torch.arange(heads, device=rows.device)[:, None], order)
        held.keys[into, :, :n] = source.keys[where]
        held.values[into, :, :n] = source.values[where]
        real = torch.arange(n, device=rows.device) < counts[:, :, None]
        held.at[into, :, :n] = torch.where(real, order, EMPTY).to(torch.int32)

    def kept_after(self, layer: int, earliest: torch.Tensor) -> torch.Tensor:
        """Kept entries at positions from ``earliest`` ``(row, query)`` on, over all kv heads ``(row, query)``."""
        held = self._layer(layer)
        at = held.at[:, :, : held.for_kept]
        return torch.stack([((at >= e[:, None, None]) & (at < EMPTY)).sum((1, 2)) for e in earliest.unbind(1)], 1)

    def _layer(self, layer: int) -> _KeptLayer:
        held = self.layers[layer]
        assert isinstance(held, _KeptLayer)
        return held

    def expect(self, positions: torch.Tensor) -> None:
        """The positions ``(row, query)`` of the tokens of the next pass; `EMPTY` for padding."""
        self.incoming = positions.to(torch.int32)

    def advance(self) -> None:
        """After a pass."""
        self.next_slot += self.incoming.shape[1]

    def update(self, key_states: torch.Tensor, value_states: torch.Tensor, layer_idx: int, *_: Any, **__: Any) -> Any:  # noqa: ANN401
        """Write into the next slots; everything that the layer holds, slots that hold nothing included."""
        layer = self._layer(layer_idx)
        slots = layer.for_kept + self.next_slot + torch.arange(key_states.shape[2], device=key_states.device)
        layer.keys.index_copy_(2, slots, key_states)
        layer.values.index_copy_(2, slots, value_states)
        layer.at.index_copy_(2, slots, self.incoming[:, None].expand(-1, layer.at.shape[1], -1))
        return layer.keys, layer.values

    def attend(
        self, layer: int, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, how: Softmax
    ) -> torch.Tensor:
        """Attention over what is held ``(row, head, query, dim)``."""
        seen = visible(self._layer(layer).at, self.incoming, self.windows[layer])
        return _attend(query, key, value, seen, how)


def _attend(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, seen: torch.Tensor, how: Softmax
) -> torch.Tensor:
    """Attention of query heads over the entries that their key-value head sees ``(row, kv head or 1, query, key)``.

    The heads of a group are laid out as further queries, so that nothing is repeated in memory.
    """
    rows, heads, n, dim = query.shape
    kv_heads = key.shape[1]
    group = heads // kv_heads
    query = query.reshape(rows, kv_heads, group * n, dim)
    if group > 1:
        # A step's one query leaves the mask alone: the kernel reads it once for all heads of the group.
        seen = seen.expand(-1, -1, group, -1) if n == 1 else seen.repeat(1, 1, group, 1)
    if how.softcap is None and how.s_aux is None:
        out = F.scaled_dot_product_attention(query, key, value, attn_mask=seen, scale=how.scaling)
        return out.reshape(rows, heads, n, -1)
    precision = torch.promote_types(query.dtype, torch.float32)
    scores = query.to(precision) * how.scaling @ key.to(precision).mT
    if how.softcap is not None:
        scores = how.softcap * torch.tanh(scores / how.softcap)
    scores = scores.masked_fill(~seen, float("-inf"))
    if how.s_aux is not None:
        sink = how.s_aux.reshape(1, kv_heads, group, 1).to(precision).repeat_interleave(n, 2)
        scores = torch.cat([scores, sink.expand(rows, -1, -1, 1)], -1)
    weights = scores.softmax(-1)[..., : key.shape[2]]
    return (weights.to(value.dtype) @ value).reshape(rows, heads, n, -1)
