"""TEAL: inputs of linear layers that are small in magnitude become zero (Liu et al. 2024, 2408.14690).

Each linear layer has a threshold, the quantile of the magnitudes of its inputs over calibration prompts; the same level
for all layers (the paper's "uniform"; its block-wise greedy levels are not searched for here). This is sparsity that we
impose. What a model's states are by themselves, emergent sparsity, is another quantity and never stands in these rows.

A plan's ``phase`` says when: ``decode`` leaves the prompt dense, as the paper's kernels do; ``prefill`` and ``both``
threshold every token of the prompt. The paper's accuracy figures are of a third kind: the last half of each sequence.
"""

from dataclasses import dataclass
from typing import ClassVar

from tolerance.runners.sparsifiers.base import Sparsifier
from tolerance.runners.sparsifiers.prompts import Calibrated


@dataclass(frozen=True)
class Teal(Calibrated, Sparsifier):
    """Realised sparsity is counted: each input weighs as much as the weights that it would be multiplied with."""

    name: ClassVar[str] = "teal"
    kind: ClassVar[str] = "activation"
    unit: ClassVar[str] = "activations"
