"""Which prompts a method is calibrated on: options that some methods share."""

from dataclasses import dataclass
from typing import ClassVar

from tolerance.runners.sparsifiers.base import require_whole


@dataclass(frozen=True)
class Prompts:
    """How many prompts, of how many tokens of context, drawn with which seed."""

    samples: int
    length: int
    seed: int


@dataclass(frozen=True)
class Calibrated:
    """Looks at ``samples`` seeded prompts of about ``length`` tokens (`tolerance.runners.pruning.calibration`)."""

    samples: int = 32
    length: int = 256
    seed: int = 0
    name: ClassVar[str]

    def __post_init__(self) -> None:
        for option, least in (("samples", 1), ("length", 32), ("seed", 0)):
            require_whole(self.name, option, getattr(self, option), least)

    @property
    def prompts(self) -> Prompts:
        """What it is calibrated on."""
        return Prompts(self.samples, self.length, self.seed)
