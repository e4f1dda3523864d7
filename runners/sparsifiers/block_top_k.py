"""Block top-k: blocks of keys whose mean key is closest to the mean query of a block (as in MInference, 2407.02490)."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from tolerance.runners.sparsifiers.blocks import BlockPattern, pooled

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class BlockTopK(BlockPattern):
    """Products of block means, per query head."""

    name: ClassVar[str] = "block-top-k"

    def worth(self, query: "torch.Tensor", key: "torch.Tensor", first: int) -> "torch.Tensor":
        """See `BlockPattern.worth`."""
        keys = pooled(key, self.block).repeat_interleave(query.shape[1] // key.shape[1], 1)
        return pooled(query, self.query_block) @ keys.mT

    def multiply_adds(self, queries: int, keys: int, *, heads: int, kv_heads: int, dim: int) -> int:
        """Means of keys and queries, products of means."""
        n_queries, n_keys = -(-queries // self.query_block), -(-keys // self.block)
        # while decoding, the means of earlier blocks are there: one key more is added
        means = heads * queries + kv_heads * keys if queries > 1 else kv_heads
        return dim * (means + heads * n_queries * n_keys)
