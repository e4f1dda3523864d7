"""Vertical-slash: whole columns and diagonals of the attention map, found by the last queries (MInference, 2407.02490).

What the last queries attend to on average, key by key (vertical) and distance by distance (slash), stands for all. The
first keys and the nearest distances stay first, as in the authors' code. The paper fixes for each head how many lines
of either kind it gets, by a search on one long text; here all lines compete by their mass, and a head keeps the best
until they cover its budget of pairs. That needs no search, and what a higher level keeps a lower level keeps too.

It acts in the prefill and leaves decoding dense. Earlier queries keep what the last ones chose, question included: what
is predicted in the middle of a prompt depends on its end. Choosing looks at scores of some queries and is counted.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from tolerance.runners.sparsifiers.base import AttentionPattern, LevelOf, Phase, kept_of, require_whole

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class Lines:
    """Chosen keys and distances, bool ``(row, head, n)``."""

    columns: "torch.Tensor"
    diagonals: "torch.Tensor"

    def mask(self, queries: slice, visible: "torch.Tensor") -> "torch.Tensor":
        """The pairs that lie on them ``(row, head, query, key)``; ``visible`` are those of some queries and keys."""
        import torch

        at = torch.arange(queries.start, queries.start + visible.shape[2], device=visible.device)
        keys = torch.arange(visible.shape[3], device=visible.device)
        away = (at[:, None] - keys).clamp(min=0)
        return (self.columns[:, :, None, : len(keys)] | self.diagonals[:, :, away]) & visible


@dataclass(frozen=True)
class VerticalSlash(AttentionPattern):
    """Looks at the ``last`` queries; ``sinks`` first keys and ``local`` nearest distances stay first.

    Prompts of one batch have one length.
    """

    last: int = 64
    sinks: int = 30
    local: int = 100
    name: ClassVar[str] = "vertical-slash"
    needs_scores: ClassVar[bool] = False
    level_of: ClassVar[LevelOf] = "head"
    one_length: ClassVar[bool] = True
    acts_in: ClassVar[frozenset[Phase]] = frozenset(("prefill",))

    def __post_init__(self) -> None:
        for option, least in (("last", 1), ("sinks", 0), ("local", 1)):
            require_whole(self.name, option, getattr(self, option), least)

    @property
    def query_position(self) -> str:
        """A question at the end of the prompt is among the last queries."""
        return "after"

    def choose(self, weights: "torch.Tensor", window: int, level: float) -> Lines:
        """The lines of each head that cover its budget of pairs.

        ``weights`` ``(row, head, last, n)`` are the attention of the last of ``n`` queries; each sees ``window`` keys
        at most. The pairs on the lines are those visible x (1 - level), rounded up, and less than a line more.
        """
        import torch

        n, device = weights.shape[-1], weights.device
        order = self._worth(weights).sort(dim=-1, descending=True, stable=True).indices
        ranks = torch.empty_like(order).scatter_(-1, order, torch.arange(2 * n, device=device).expand_as(order))
        reach = torch.arange(n, 0, -1, device=device).clamp(max=window)  # queries that see each key
        wanted = kept_of(reach.sum(), level)
        # the smallest number of lines that covers it, by halving
        low, high = (torch.full_like(order[..., :1], edge) for edge in (1, 2 * n))
        while bool((low < high).any()):
            half = (low + high) // 2
            enough = _covered(ranks < half, reach, window) >= wanted
            low, high = torch.where(enough, low, half + 1), torch.where(enough, half, high)
        chosen = ranks < low
        return Lines(chosen[..., :n], chosen[..., n:])

    def _worth(self, weights: "torch.Tensor") -> "torch.Tensor":
        """Mean mass of each key, then of each distance ``(row, head, 2 n)``; nearest and first ones lead."""
        import torch

        last, n = weights.shape[-2:]
        at = torch.arange(n, device=weights.device)
        keys = torch.arange(n - last, n, device=weights.device)[:, None] - at
        slash = weights.gather(-1, keys.clamp(min=0).expand_as(weights)).masked_fill(keys < 0, 0.0).mean(-2)
        vertical = weights.mean(-2)
        # in turns: the query's own key, the first key, the one before it, the second ...
        vertical = torch.where(at < self.sinks, 1.5 + n - at, vertical)
        slash = torch.where(at < self.local, 2.0 + n - at, slash)
        return torch.cat([vertical, slash], -1)

    def keep(self, scores: "torch.Tensor | None", visible: "torch.Tensor", level: float) -> "torch.Tensor":
        """Not for lines, which all queries of a head share."""
        raise NotImplementedError(f"{self.name} chooses lines")

    def multiply_adds(self, n: int, *, heads: int, dim: int) -> int:
        """The last queries times all keys of one layer."""
        return heads * min(self.last, n) * n * dim


def _covered(chosen: "torch.Tensor", reach: "torch.Tensor", window: int) -> "torch.Tensor":
    """Pairs on chosen lines, those where two cross once ``(row, head, 1)``."""
    import torch

    n = len(reach)
    at = torch.arange(n, device=reach.device)
    columns, diagonals = chosen[..., :n], chosen[..., n:] & (at < window)
    crossed = diagonals.cumsum(-1).flip(-1)  # diagonals that cross each column
    pairs = columns * (reach - crossed) + diagonals * (n - at)
    return pairs.sum(-1, keepdim=True)
