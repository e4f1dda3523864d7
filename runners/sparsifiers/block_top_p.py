"""Block top-p: blocks of keys until a share of the attention that block means promise is covered, by head and by query.

The query-aware index of FlexPrefill (Lai et al. 2025, 2502.20766, section 4): scores of block means, softmax, the most
promising blocks until their mass reaches gamma. So the budget follows the text: few blocks where attention is narrow.
Here each block of queries covers the mass by itself (the paper pools the mass over all queries of a head), and no head
falls back to vertical and slash lines.

The level is the mass that may be lost, 1 - gamma, and not a share of pairs: what is realised is counted for each item,
and mostly lies elsewhere.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from tolerance.runners.sparsifiers.base import LevelOf
from tolerance.runners.sparsifiers.block_top_k import BlockTopK

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class BlockTopP(BlockTopK):
    """Mass by softmax over the products of block means that `BlockTopK` ranks by."""

    name: ClassVar[str] = "block-top-p"
    level_of: ClassVar[LevelOf] = "mass"

    def count(
        self,
        worth: "torch.Tensor",
        order: "torch.Tensor",
        before: "torch.Tensor",
        inside: "torch.Tensor",
        level: float,
        scaling: float,
    ) -> "torch.Tensor":
        """See `BlockPattern.count`."""
        seen = before.sum(-1, keepdim=True) + 1
        if level == 0:
            return seen
        mass = (worth.double() * scaling).softmax(-1).gather(-1, order)
        covered = mass.cumsum(-1) - mass
        return (covered < 1 - level).sum(-1, keepdim=True).minimum(seen)
