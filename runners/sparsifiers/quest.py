"""Quest: pages of keys with the highest bound on any of their scores (Tang et al. 2024, 2406.10774).

A page remembers the smallest and largest value of each dimension of its keys; the sum over dimensions of the larger of
q x smallest and q x largest is at least every q.k of the page. Made for decoding; each query chooses for itself.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from tolerance.runners.sparsifiers.blocks import BlockPattern, in_blocks

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class Quest(BlockPattern):
    """Pages of ``block`` keys; the paper leaves the first two layers dense, here every layer is sparse."""

    block: int = 16
    name: ClassVar[str] = "quest"

    @property
    def query_block(self) -> int:
        """Each query chooses for itself."""
        return 1

    def worth(self, query: "torch.Tensor", key: "torch.Tensor", first: int) -> "torch.Tensor":
        """See `BlockPattern.worth`. max(q a, q b) = q+ b + q- a for a <= b, so two products give all bounds."""
        import torch.nn.functional as F

        short, groups = -key.shape[2] % self.block, query.shape[1] // key.shape[1]
        padding = (0, 0, 0, short)
        lowest = in_blocks(F.pad(key.float(), padding, value=float("inf")), self.block).amin(3)
        highest = in_blocks(F.pad(key.float(), padding, value=float("-inf")), self.block).amax(3)
        lowest, highest = (page.repeat_interleave(groups, 1) for page in (lowest, highest))
        query = query.float()
        bounds: torch.Tensor = query.clamp(min=0) @ highest.mT + query.clamp(max=0) @ lowest.mT
        return bounds

    def multiply_adds(self, queries: int, keys: int, *, heads: int, kv_heads: int, dim: int) -> int:
        """Two products with each page's bounds."""
        return 2 * heads * queries * -(-keys // self.block) * dim
