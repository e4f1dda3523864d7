"""Streaming eviction: the first entries (sinks) and the latest stay (Xiao et al. 2023, 2309.17453)."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from tolerance.runners.sparsifiers.base import require_whole
from tolerance.runners.sparsifiers.kv.base import Eviction, Seen

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class StreamingEviction(Eviction):
    """The latest entry is kept first, then ``sinks`` first ones, then the latest; as in `streaming` for attention."""

    sinks: int = 4
    name: ClassVar[str] = "streaming-eviction"
    per_head: ClassVar[bool] = False

    def __post_init__(self) -> None:
        super().__post_init__()
        require_whole(self.name, "sinks", self.sinks, 0)

    def score(self, seen: Seen) -> "torch.Tensor":
        """See `Eviction.score`."""
        import torch

        at, end = seen.positions[None], seen.end[:, None]
        order = at.float().expand(len(end), -1)
        order = torch.where(at < self.sinks, 2.0 * at.shape[1] - at, order)
        order = torch.where(at == end - 1, 3.0 * at.shape[1], order)
        return order[:, None].expand(-1, seen.keys.shape[1], -1)

    def multiply_adds(self, n: int, *, heads: int, kv_heads: int, dim: int, value_dim: int) -> int:
        """See `Eviction.multiply_adds`; no key, value or query is looked at."""
        return 0
