"""KeyDiff: entries whose keys differ most from the others stay (Park et al. 2025, 2504.15364)."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from tolerance.runners.sparsifiers.kv.base import Eviction, Seen

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class KeyDiff(Eviction):
    """Cosine similarity to the mean of the normalised keys, lowest first."""

    name: ClassVar[str] = "keydiff"

    def score(self, seen: Seen) -> "torch.Tensor":
        """See `Eviction.score`."""
        import torch.nn.functional as F

        unit = F.normalize(seen.keys.float(), dim=-1)
        real = seen.real[..., None]
        anchor = (unit * real).sum(2, keepdim=True) / real.sum(2, keepdim=True)
        return -(unit * F.normalize(anchor, dim=-1)).sum(-1)

    def multiply_adds(self, n: int, *, heads: int, kv_heads: int, dim: int, value_dim: int) -> int:
        """Norms, and products with the anchor."""
        return 2 * kv_heads * n * dim
