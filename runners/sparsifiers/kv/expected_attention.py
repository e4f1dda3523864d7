"""Expected attention: what queries yet to come would attend to on average (Devoto et al. 2025, 2510.00636).

Queries q are taken for Gaussian with the mean and covariance that the prompt shows, before rotation. A future query is
rotated by its position; R is the average rotation of the next ``ahead`` positions. Then, for a key k of width d,
log E exp(k.q / sqrt d) = k.R mean / sqrt d + k.R covariance R'.k / (2 d), and an entry is worth its share of that,
times the norm of its value. Without covariance the last term is left out (label ``expected-attention-mean``).
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from tolerance.errors import SchemaError
from tolerance.runners.sparsifiers.base import require_whole
from tolerance.runners.sparsifiers.kv.base import Eviction, Seen

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class ExpectedAttention(Eviction):
    """``ahead`` positions to come are averaged; ``sinks`` first entries always stay."""

    ahead: int = 512
    sinks: int = 4
    covariance: bool = True
    name: ClassVar[str] = "expected-attention"
    reads_moments: ClassVar[bool] = True

    def __post_init__(self) -> None:
        super().__post_init__()
        require_whole(self.name, "ahead", self.ahead, 1)
        require_whole(self.name, "sinks", self.sinks, 0)
        if not isinstance(self.covariance, bool):
            raise SchemaError(f"sparsifier {self.name!r}: covariance: {self.covariance!r}, expected true or false.")

    @property
    def label(self) -> str:
        """See `Eviction.label`."""
        return super().label if self.covariance else super().label.replace(self.name, f"{self.name}-mean")

    def score(self, seen: Seen) -> "torch.Tensor":
        """See `Eviction.score`."""
        import torch

        assert seen.mean is not None
        assert seen.covariance is not None
        assert seen.rotation is not None
        turn = seen.rotation.average(seen.end, self.ahead, seen.keys.shape[-1])[:, None]
        mean = (turn @ seen.mean[..., None])[..., 0]
        covariance = turn @ seen.covariance @ turn.mT
        keys, kv_heads = seen.keys.float(), seen.keys.shape[1]
        mean, covariance = (t.reshape(len(t), kv_heads, -1, *t.shape[2:]) for t in (mean, covariance))
        logits = torch.einsum("bhnd,bhgd->bhgn", keys, mean) * seen.scaling
        if self.covariance:
            spread = torch.stack([((keys @ c) * keys).sum(-1) for c in covariance.unbind(2)], 2)
            logits = logits + spread * (seen.scaling**2 / 2)
        weights = logits.masked_fill(~seen.real[:, :, None], float("-inf")).softmax(-1).mean(2)
        worth = weights * torch.linalg.vector_norm(seen.values.float(), dim=-1)
        # among sinks the first is worth most
        first = worth.amax(-1, keepdim=True) + self.sinks - seen.positions
        return torch.where(seen.positions < self.sinks, first, worth)

    def multiply_adds(self, n: int, *, heads: int, kv_heads: int, dim: int, value_dim: int) -> int:
        """Covariance of the queries, its rotation, keys times mean and covariance, norms of the values."""
        moments = heads * n * dim * dim + 2 * heads * dim**3 + heads * dim**2
        read = dim + 2 if self.covariance else 2
        return moments + heads * n * dim * read + kv_heads * n * value_dim
