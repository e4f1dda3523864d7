"""What a method on weights is: it acts when a model is loaded, before any item is read, and costs nothing while it is.

Pruned weights are zeros in place: what is measured is the accuracy of the pruned model, not a speed. The FLOPs and
active parameters of an item count the weights that are left, whether or not a device could skip the others.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from tolerance.errors import SchemaError
from tolerance.runners.sparsifiers.base import Sparsifier, kept_of

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class WeightMethod(Sparsifier):
    """A method that replaces the weights of linear layers."""

    kind: ClassVar[str] = "weight"
    unit: ClassVar[str] = "target-weights"


@dataclass(frozen=True)
class WeightPruning(WeightMethod, ABC):
    """A method that sets weights to zero: of those that compete with each other the worth most stay.

    The worth knows no level, so what a higher level keeps a lower level keeps too.
    """

    @abstractmethod
    def worth(self, weight: "torch.Tensor", norms: "torch.Tensor | None") -> "torch.Tensor":
        """Worth of each weight, float32 ``(output, input)``; ``norms`` ``(input,)`` are those of the layer's inputs."""

    @abstractmethod
    def competing(self, worth: "torch.Tensor") -> "torch.Tensor":
        """The same numbers, those that compete in one row ``(group, n)``."""

    def keep(self, weight: "torch.Tensor", norms: "torch.Tensor | None", level: float) -> "torch.Tensor":
        """Which weights stay, bool ``(output, input)``; among equals the earlier.

        Of n that compete, n x (1 - level), rounded up.

        Raises:
            SchemaError: a level that the method does not have.
        """
        import torch

        self.require_level(level)
        worth = self.worth(weight, norms)
        groups = self.competing(worth)
        count = int(kept_of(torch.tensor(groups.shape[1]), level))
        order = groups.sort(dim=1, descending=True, stable=True).indices[:, :count]
        return torch.zeros_like(groups, dtype=torch.bool).scatter_(1, order, value=True).reshape(worth.shape)

    def require_level(self, level: float) -> None:
        """Refuse a level that the method does not have.

        Raises:
            SchemaError: naming those it has.
        """
        if self.levels is not None and level not in (0, *self.levels):
            raise SchemaError(
                f"sparsifier {self.label!r}: level {level:g}, but its pattern allows "
                f"{', '.join(f'{one:g}' for one in self.levels)} alone."
            )
