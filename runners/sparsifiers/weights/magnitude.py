"""Magnitude pruning: the smallest weights go (Han et al. 2015, 1506.02626), in one shot and without training."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from tolerance.errors import SchemaError
from tolerance.runners.sparsifiers.weights.base import WeightPruning

if TYPE_CHECKING:
    import torch

COMPARED = ("matrix", "row")


@dataclass(frozen=True)
class Magnitude(WeightPruning):
    """Absolute values; ``compare`` all of a matrix, as the Wanda paper's baseline does, or the row of an output."""

    compare: str = "matrix"
    name: ClassVar[str] = "magnitude"

    def __post_init__(self) -> None:
        if self.compare not in COMPARED:
            raise SchemaError(
                f"sparsifier 'magnitude': compare: {self.compare!r}, expected one of {', '.join(COMPARED)}."
            )

    @property
    def label(self) -> str:
        """Comparing within outputs makes another method."""
        return self.name if self.compare == "matrix" else f"{self.name}-{self.compare}"

    def worth(self, weight: "torch.Tensor", norms: "torch.Tensor | None") -> "torch.Tensor":
        """See `WeightPruning.worth`."""
        return weight.float().abs()

    def competing(self, worth: "torch.Tensor") -> "torch.Tensor":
        """See `WeightPruning.competing`."""
        return worth.reshape(1, -1) if self.compare == "matrix" else worth
