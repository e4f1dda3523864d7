"""A checkpoint that somebody pruned elsewhere (SparseGPT by llm-compressor, say), used as it is."""

from dataclasses import dataclass
from typing import ClassVar

from tolerance.runners.sparsifiers.weights.base import WeightMethod


@dataclass(frozen=True)
class Checkpoint(WeightMethod):
    """The weights in ``folder``, pruned by ``method``: what rows call it. Its zeros are counted, not believed."""

    method: str
    folder: str
    name: ClassVar[str] = "checkpoint"

    @property
    def label(self) -> str:
        """The method that pruned it."""
        return self.method
