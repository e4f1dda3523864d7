"""SnapKV: entries that the last queries of the prompt attend to, with their neighbours (Li et al. 2024, 2404.14469)."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from tolerance.errors import SchemaError
from tolerance.runners.sparsifiers.base import require_whole
from tolerance.runners.sparsifiers.kv.base import Eviction, Seen

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class SnapKV(Eviction):
    """Mean attention of the last ``window`` queries, averaged over ``kernel`` neighbours; the window itself stays."""

    window: int = 32
    kernel: int = 5
    name: ClassVar[str] = "snapkv"

    def __post_init__(self) -> None:
        super().__post_init__()
        require_whole(self.name, "window", self.window, 1)
        require_whole(self.name, "kernel", self.kernel, 1)
        if self.kernel % 2 == 0:
            raise SchemaError(f"sparsifier {self.name!r}: kernel: {self.kernel}, expected an odd number.")

    @property
    def looks_back(self) -> int:
        """See `Eviction.looks_back`."""
        return self.window

    def score(self, seen: Seen) -> "torch.Tensor":
        """See `Eviction.score`. Within the window the latest are worth most."""
        import torch
        import torch.nn.functional as F

        latest = seen.positions >= (seen.end[:, None] - self.window)
        mass = seen.of_kv_heads(seen.weights(self.window).sum(2)) / self.window
        pooled = F.avg_pool1d(mass.masked_fill(latest[:, None], 0.0), self.kernel, stride=1, padding=self.kernel // 2)
        return torch.where(latest[:, None], 1.0 + seen.positions, pooled)

    def multiply_adds(self, n: int, *, heads: int, kv_heads: int, dim: int, value_dim: int) -> int:
        """The window's queries times all keys."""
        return heads * self.window * n * dim
