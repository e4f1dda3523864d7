"""Patterns that keep whole blocks of keys for blocks of queries: what kernels can skip, and what they share.

A block of queries always keeps the block it stands in; the others compete for the rest of its budget. What is kept is
whole blocks, so realised sparsity lies below the level where few blocks are visible; it is counted, not assumed.
"""

from abc import abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from tolerance.runners.sparsifiers.base import AttentionPattern, require_whole

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class BlockPattern(AttentionPattern):
    """``block`` keys, and as many queries, are kept or dropped together. Prompts of one batch have one length."""

    block: int = 64
    needs_scores: ClassVar[bool] = False
    one_length: ClassVar[bool] = True

    def __post_init__(self) -> None:
        require_whole(self.name, "block", self.block, 1)

    @property
    def grain(self) -> int:
        """See `AttentionPattern.grain`."""
        return self.block

    @property
    def query_block(self) -> int:
        """Queries that share a choice."""
        return self.block

    @abstractmethod
    def worth(self, query: "torch.Tensor", key: "torch.Tensor", first: int) -> "torch.Tensor":
        """Worth of each block of keys to each block of queries, float32 ``(row, head, query block, key block)``.

        ``query`` ``(row, head, query, dim)`` stand at positions from ``first`` on, a multiple of `query_block` unless
        there is one; ``key`` ``(row, kv head, key, dim)`` from 0. Only blocks before a query's own are compared.
        """

    @abstractmethod
    def multiply_adds(self, queries: int, keys: int, *, heads: int, kv_heads: int, dim: int) -> int:
        """Multiply-adds that choosing takes in one layer for the last so many queries of the keys."""

    def blocks(
        self,
        query: "torch.Tensor",
        key: "torch.Tensor",
        first: int,
        level: float,
        visible: "torch.Tensor | None" = None,
        scaling: float | None = None,
    ) -> "torch.Tensor":
        """Which blocks are kept, bool ``(row, head, query block, key block)``; ``visible`` None: all causal pairs are.

        ``scaling`` of the model's scores is 1 / sqrt(dim) if not given.
        """
        import torch

        worth = self.worth(query, key, first)
        n_queries, n_keys = worth.shape[-2:]
        step = self.query_block if query.shape[2] > 1 else 1
        starts = first + torch.arange(n_queries, device=query.device) * step
        own, at = starts // self.block, torch.arange(n_keys, device=query.device)
        before = at < own[:, None] if visible is None else self._any(visible, step) & (at < own[:, None])
        its_own = at == own[:, None]
        worth = worth.masked_fill(~(before | its_own), float("-inf"))
        order = torch.sort(worth.masked_fill(its_own, float("inf")), dim=-1, descending=True, stable=True).indices
        inside = (starts % self.block)[:, None] + (step + 1) / 2
        scaling = query.shape[-1] ** -0.5 if scaling is None else scaling
        chosen = (at < self.count(worth, order, before, inside, level, scaling)).expand_as(worth)
        return torch.zeros_like(chosen).scatter(-1, order, chosen)

    def count(
        self,
        worth: "torch.Tensor",
        order: "torch.Tensor",
        before: "torch.Tensor",
        inside: "torch.Tensor",
        level: float,
        scaling: float,
    ) -> "torch.Tensor":
        """How many blocks of ``order`` are kept, a block of queries' own included, which is its first.

        A budget is in keys: the visible ones x (1 - level) of a block's mean query, of which its own block holds some
        (``inside``); the rest is rounded up to blocks. ``before`` are the visible blocks before a query's own.
        """
        import torch

        wanted = (1 - level) * (before.sum(-1, keepdim=True) * self.block + inside.double()) - inside
        return 1 + torch.ceil(torch.round(wanted / self.block, decimals=9)).clamp(min=0).long()

    def _any(self, visible: "torch.Tensor", step: int) -> "torch.Tensor":
        """Blocks of which some pair is visible ``(row, 1, query block, key block)``."""
        import torch.nn.functional as F

        queries, keys = visible.shape[-2:]
        padded = F.pad(visible, (0, -keys % self.block, 0, -queries % step))
        rows, heads, n_queries, n_keys = padded.shape
        parts = padded.reshape(rows, heads, n_queries // step, step, n_keys // self.block, self.block)
        return parts.any(-1).any(-2)

    def mask(self, kept: "torch.Tensor", visible: "torch.Tensor") -> "torch.Tensor":
        """The kept blocks, spelled out over visible pairs ``(row, head, query, key)``."""
        queries, keys = visible.shape[-2:]
        step = self.query_block if queries > 1 else 1
        wide = kept.repeat_interleave(step, 2)[:, :, :queries]
        return wide.repeat_interleave(self.block, 3)[..., :keys] & visible

    def keep(self, scores: "torch.Tensor | None", visible: "torch.Tensor", level: float) -> "torch.Tensor":
        """Not for block patterns, which look at queries and keys."""
        raise NotImplementedError(f"{self.name} chooses blocks")


def pooled(vectors: "torch.Tensor", block: int) -> "torch.Tensor":
    """Means over blocks ``(row, head, block, dim)``, float32; the last block may be shorter."""
    import torch
    import torch.nn.functional as F

    n = vectors.shape[2]
    sums = in_blocks(F.pad(vectors.float(), (0, 0, 0, -n % block)), block).sum(3)
    size = torch.full((sums.shape[2], 1), float(block), device=vectors.device)
    size[-1] = n - (len(size) - 1) * block
    return sums / size


def in_blocks(vectors: "torch.Tensor", block: int) -> "torch.Tensor":
    """Whole blocks ``(row, head, block, within, dim)`` of ``(row, head, n, dim)``."""
    rows, heads, n, dim = vectors.shape
    return vectors.reshape(rows, heads, n // block, block, dim)
