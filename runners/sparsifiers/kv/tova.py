"""TOVA: entries that the last query attends to, over all heads together (Oren et al. 2024, 2401.06104)."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from tolerance.runners.sparsifiers.kv.base import Eviction, Seen

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class TOVA(Eviction):
    """Imposed once, after the prefill; the paper also evicts while it decodes. All heads of a layer keep the same."""

    name: ClassVar[str] = "tova"
    per_head: ClassVar[bool] = False

    @property
    def looks_back(self) -> int:
        """See `Eviction.looks_back`."""
        return 1

    def score(self, seen: Seen) -> "torch.Tensor":
        """See `Eviction.score`."""
        return seen.weights(1)[:, :, 0].mean(1, keepdim=True).expand(-1, seen.keys.shape[1], -1)

    def multiply_adds(self, n: int, *, heads: int, kv_heads: int, dim: int, value_dim: int) -> int:
        """One query times all keys."""
        return heads * n * dim
