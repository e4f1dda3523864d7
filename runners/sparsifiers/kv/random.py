"""Random eviction: the control. What a method keeps by looking must beat what chance keeps."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from tolerance.runners.sparsifiers.base import require_whole
from tolerance.runners.sparsifiers.kv.base import Eviction, Seen

if TYPE_CHECKING:
    import torch

# splitmix64 (Steele, Lea & Flood 2014), in the wrapping arithmetic of int64
_STEP, _MIX = -7046029254386353131, (-4658895280553007687, -7723592293110705685)


@dataclass(frozen=True)
class RandomEviction(Eviction):
    """Drawn from (seed, prompt, layer, head, position) alone: the same on every device and in every batch."""

    seed: int = 0
    name: ClassVar[str] = "random-eviction"

    def __post_init__(self) -> None:
        super().__post_init__()
        require_whole(self.name, "seed", self.seed, 0)

    def score(self, seen: Seen) -> "torch.Tensor":
        """See `Eviction.score`."""
        import torch

        heads = torch.arange(seen.keys.shape[1], device=seen.keys.device)
        drawn = _mixed(seen.salt + 65537 * self.seed)[:, None, None]
        drawn = _mixed(drawn + 4099 * seen.layer + heads[:, None])
        drawn = _mixed(drawn + seen.positions)
        # 24 bits are exact in float32
        return (drawn >> 40 & 0xFFFFFF).float()

    def multiply_adds(self, n: int, *, heads: int, kv_heads: int, dim: int, value_dim: int) -> int:
        """See `Eviction.multiply_adds`; no key, value or query is looked at."""
        return 0


def _mixed(state: "torch.Tensor") -> "torch.Tensor":
    state = state + _STEP
    for shift, factor in zip((30, 27), _MIX, strict=True):
        state = (state ^ _shifted(state, shift)) * factor
    return state ^ _shifted(state, 31)


def _shifted(state: "torch.Tensor", by: int) -> "torch.Tensor":
    """Right shift without the sign."""
    return state >> by & ((1 << (64 - by)) - 1)
