"""Greedy steps on a cache of kept entries; on CUDA a step is captured once for each shape and replayed.

A step of a small model is bound by the launches of its many small kernels, not by their work: captured, a batch pays
the launch of one graph. Caches and graphs of a shape are used again for later batches that fit into them.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from tolerance.runners.attention.cache import NO_MASK, KeptCache, PrefillCache
from tolerance.runners.attention.control import imposing
from tolerance.runners.decoding.generate import Ends
from tolerance.runners.models.load import LoadedModel

# A look at whether all rows have stopped makes the host wait, so not after every step.
LOOK_EVERY = 4
# Capturing costs about two steps.
WORTH_CAPTURING = 4
# A cache that is used again may be this much larger than what is needed.
SPARE = 1.3


@dataclass
class _Step:
    """A step's inputs and outputs, in place, and its graph once captured."""

    cache: KeptCache
    tokens: torch.Tensor  # (row, 1)
    positions: torch.Tensor  # (row, 1)
    mask: torch.Tensor
    graph: "torch.cuda.CUDAGraph | None" = None


class Steps:
    """Runs steps of one model; keeps caches and graphs within ``most_bytes`` if it captures, none otherwise."""

    def __init__(self, loaded: LoadedModel, *, capture: bool, most_bytes: int) -> None:
        self.loaded, self.capture, self.most_bytes = loaded, capture, most_bytes
        self._steps: list[_Step] = []
        self._pool = torch.cuda.graph_pool_handle() if capture else None

    def forget(self) -> None:
        """Give back all caches and graphs."""
        self._steps.clear()
        if self.capture:
            # torch refuses to capture into a pool all of whose graphs are gone
            self._pool = torch.cuda.graph_pool_handle()

    def room(self, rows: int, for_kept: Sequence[int], for_new: int) -> tuple[int, list[int], int]:
        """What `cache` allocates for so many rows, kept entries of each layer and new ones.

        Where steps are captured alike shapes become one: eight rows or a multiple of them, below that 1, 2 or 4, so
        that a row which has the device for itself does not pay for eight.
        """
        if not self.capture:
            return rows, list(for_kept), for_new
        most = _up(rows, 8) if rows > 4 else 1 << (rows - 1).bit_length()
        return most, [_up(n, 128) for n in for_kept], _up(for_new, 32)

    def bytes(self, like: PrefillCache, rows: int, for_kept: Sequence[int], for_new: int) -> float:
        """Bytes of what `cache` allocates."""
        rows, for_kept, for_new = self.room(rows, for_kept, for_new)
        return rows * (sum(for_kept) + len(for_kept) * for_new) * slot_bytes(like)

    def cache(self, like: PrefillCache, rows: int, for_kept: Sequence[int], for_new: int) -> KeptCache:
        """An empty cache with room for so many rows, kept entries of each layer and new ones."""
        if not self.capture:
            return KeptCache(like, rows, for_kept, for_new)
        rows, for_kept, for_new = self.room(rows, for_kept, for_new)
        wanted = rows * (sum(for_kept) + len(for_kept) * for_new)
        for step in self._steps:
            there = step.cache
            room = there.rows * (sum(there.for_kept) + len(there.for_kept) * there.for_new)
            fits = there.rows >= rows and there.for_new >= for_new
            if fits and room <= SPARE * wanted and all(a >= b for a, b in zip(there.for_kept, for_kept, strict=True)):
                there.clear()
                return there
        if sum(_bytes(step.cache) for step in self._steps) + wanted * slot_bytes(like) > self.most_bytes:
            self.forget()
        made = KeptCache(like, rows, for_kept, for_new)
        self._steps.append(self._step(made))
        return made

    def run(
        self,
        cache: KeptCache,
        first: torch.Tensor,
        lengths: torch.Tensor,
        stops: torch.Tensor,
        n: int,
        ends: Ends | None = None,
    ) -> torch.Tensor:
        """Up to ``n`` tokens of each row, the given ``first`` included, on the host ``(row, token)``.

        A row's tokens after one that stops, or that makes its answer whole, mean nothing.
        """
        ends = ends or Ends(self.loaded, [None] * len(first))
        step = next((step for step in self._steps if step.cache is cache), None) or self._step(cache)
        step.tokens[: len(first), 0] = first
        step.positions[: len(first), 0] = lengths.to(first.device)
        made = [first]
        stopped, marked = torch.isin(first, stops), ends.marked(first)
        whole: set[int] = set()
        while len(made) < n:
            if len(made) % LOOK_EVERY == 1 and bool((stopped | marked).all()) and _over(stopped, made, ends, whole):
                break
            self._advance(step, n - len(made))
            made.append(step.tokens[: len(first), 0].clone())
            stopped |= torch.isin(made[-1], stops)
            marked |= ends.marked(made[-1])
        return torch.stack(made, 1).cpu()

    def _advance(self, step: _Step, left: int) -> None:
        """One token more of every row."""
        if step.graph is not None:
            step.graph.replay()
            return
        if not self.capture or left < WORTH_CAPTURING:
            self._work(step)
            return
        # This step is taken, which also warms up what a graph cannot hold; the next ones are captured.
        side = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            self._work(step)
        torch.cuda.current_stream().wait_stream(side)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, pool=self._pool):
            self._work(step)
        step.graph = graph

    def _work(self, step: _Step) -> None:
        step.cache.expect(step.positions)
        with imposing() as control:
            control.phase, control.cache = "decode", step.cache
            logits = self.loaded.model(
                input_ids=step.tokens,
                attention_mask=step.mask,
                position_ids=step.positions,
                past_key_values=step.cache,
                use_cache=True,
            ).logits
        step.cache.advance()
        step.tokens.copy_(logits[:, -1].argmax(-1, keepdim=True))
        step.positions.add_(1)

    def _step(self, cache: KeptCache) -> _Step:
        device = self.loaded.device
        tokens = torch.zeros(cache.rows, 1, dtype=torch.long, device=device)
        return _Step(cache, tokens, tokens.clone(), NO_MASK.to(device))


def _over(stopped: torch.Tensor, made: Sequence[torch.Tensor], ends: Ends, whole: set[int]) -> bool:
    """Whether every row has stopped or has its answer; rows that have it are noted in ``whole``."""
    tokens = torch.stack(list(made), 1).cpu()
    for row in (~stopped).nonzero().flatten().tolist():
        if row not in whole:
            if ends.of(row, tokens[row]) is None:
                return False
            whole.add(row)
    return True


def _up(n: int, to: int) -> int:
    return -(-n // to) * to


def _bytes(cache: KeptCache) -> int:
    return sum(layer.keys.nbytes + layer.values.nbytes for layer in cache.layers)


def slot_bytes(like: PrefillCache) -> float:
    """Bytes of one slot of one row in a layer, on average over layers."""
    one = [layer.keys[0, :, 0].nbytes + layer.values[0, :, 0].nbytes for layer in like.layers]
    return float(sum(one) / len(one))
