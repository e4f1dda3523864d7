"""2:4: of every four weights that follow each other in an output two go, which tensor cores can skip (2104.08378).

Its level is 0.5 and nothing else. Which two is decided by magnitude or by Wanda's worth, as in the Wanda paper
(2306.11695, section 3).
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from tolerance.errors import RunnerError
from tolerance.runners.sparsifiers.weights.base import WeightPruning
from tolerance.runners.sparsifiers.weights.wanda import Wanda

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class MagnitudeTwoFour(WeightPruning):
    """The two smaller of each four."""

    name: ClassVar[str] = "magnitude-2:4"
    kind: ClassVar[str] = "weight-2:4"
    levels: ClassVar[tuple[float, ...] | None] = (0.5,)

    def worth(self, weight: "torch.Tensor", norms: "torch.Tensor | None") -> "torch.Tensor":
        """See `WeightPruning.worth`."""
        return weight.float().abs()

    def competing(self, worth: "torch.Tensor") -> "torch.Tensor":
        """See `WeightPruning.competing`."""
        return _fours(worth, self.name)


@dataclass(frozen=True)
class WandaTwoFour(Wanda):
    """The two of each four that are worth less."""

    name: ClassVar[str] = "wanda-2:4"
    kind: ClassVar[str] = "weight-2:4"
    levels: ClassVar[tuple[float, ...] | None] = (0.5,)

    def competing(self, worth: "torch.Tensor") -> "torch.Tensor":
        """See `WeightPruning.competing`."""
        return _fours(worth, self.name)


def _fours(worth: "torch.Tensor", name: str) -> "torch.Tensor":
    if worth.shape[1] % 4:
        raise RunnerError(
            f"sparsifier {name}: a matrix has {worth.shape[1]} inputs, which is no multiple of four, so the pattern "
            "does not fit this model."
        )
    return worth.reshape(-1, 4)
