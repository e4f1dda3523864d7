"""Methods on weights, one file each."""

from tolerance.runners.sparsifiers.weights.base import WeightMethod, WeightPruning
from tolerance.runners.sparsifiers.weights.checkpoint import Checkpoint
from tolerance.runners.sparsifiers.weights.magnitude import Magnitude
from tolerance.runners.sparsifiers.weights.two_four import MagnitudeTwoFour, WandaTwoFour
from tolerance.runners.sparsifiers.weights.wanda import Wanda

PRUNINGS: tuple[type[WeightPruning], ...] = (Magnitude, Wanda, MagnitudeTwoFour, WandaTwoFour)

__all__ = ["PRUNINGS", "Checkpoint", "WeightMethod", "WeightPruning"]
