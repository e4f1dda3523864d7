"""Wanda: weights by their size times the norm of their input, within each output (Sun et al. 2023, 2306.11695, eq. 1).

The paper prunes layer after layer and looks at each one's inputs behind the layers pruned before. Here all inputs are
those of the dense model, seen once for every level; a higher level then keeps a part of what a lower one keeps.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from tolerance.runners.sparsifiers.prompts import Calibrated
from tolerance.runners.sparsifiers.weights.base import WeightPruning

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class Wanda(Calibrated, WeightPruning):
    """Weights of one output compete, each worth |weight| x norm of its input over the calibration prompts."""

    name: ClassVar[str] = "wanda"

    def worth(self, weight: "torch.Tensor", norms: "torch.Tensor | None") -> "torch.Tensor":
        """See `WeightPruning.worth`."""
        assert norms is not None
        return weight.float().abs() * norms

    def competing(self, worth: "torch.Tensor") -> "torch.Tensor":
        """See `WeightPruning.competing`."""
        return worth
