"""Expected attention: what queries yet to come would attend to on average (Devoto et al. 2025, 2510.00636).

Queries q are taken for Gaussian with the mean and covariance that the prompt shows, before rotation. A future query is
rotated by its position; R is the average rotation of the next ``ahead`` positions. Then, for a key k of width d,
log E exp(k.q / sqrt d) = k.R mean / sqrt d + k.R covariance R'.k / (2 d), and an entry is worth its share of that,
times the norm of its value.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from tolerance.runners.sparsifiers.kv.base import Eviction, Seen

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class ExpectedAttention(Eviction):
    """``ahead`` positions to come are averaged; ``sinks`` first entries always stay."""

    ahead: int = 512
    sinks: int = 4
    name: ClassVar[str] = "expected-attention"
    reads_moments: ClassVar[bool] = True

    def __post_init__(self) -> None:
        super().__post_init__()
        self._whole("ahead", self.ahead, 1)
        self._whole("sinks", self.sinks, 0)

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
        linear = torch.einsum("bhnd,bhgd->bhgn", keys, mean) * seen.scaling
        spread = torch.stack([((keys @ c) * keys).sum(-1) for c in covariance.unbind(2)], 2)
        logits = linear + spread * (seen.scaling**2 / 2)
        weights = logits.masked_fill(~seen.real[:, :, None], float("-inf")).softmax(-1).mean(2)
        worth = weights * torch.linalg.vector_norm(seen.values.float(), dim=-1)
        # among sinks the first is worth most
        first = worth.amax(-1, keepdim=True) + self.sinks - seen.positions
        return torch.where(seen.positions < self.sinks, first, worth)

    def multiply_adds(self, n: int, *, heads: int, kv_heads: int, dim: int, value_dim: int) -> int:
        """Covariance of the queries, its rotation, keys times mean and covariance, norms of the values."""
        moments = heads * n * dim * dim + 2 * heads * dim**3 + heads * dim**2
        return moments + heads * n * dim * (dim + 2) + kv_heads * n * value_dim
