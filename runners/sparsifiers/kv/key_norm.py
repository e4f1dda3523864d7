"""Key norm: entries with small keys stay, since they draw most attention (Devoto et al. 2024, 2406.11430)."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from tolerance.runners.sparsifiers.kv.base import Eviction, Seen

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class KeyNorm(Eviction):
    """The L2 norm of the key, smallest first."""

    name: ClassVar[str] = "key-norm"

    def score(self, seen: Seen) -> "torch.Tensor":
        """See `Eviction.score`."""
        import torch

        norm: torch.Tensor = torch.linalg.vector_norm(seen.keys.float(), dim=-1)
        return -norm

    def multiply_adds(self, n: int, *, heads: int, kv_heads: int, dim: int, value_dim: int) -> int:
        """A square of each key."""
        return kv_heads * n * dim
