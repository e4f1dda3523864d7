"""How far two answers may lie apart: what float32 rounds, or a small multiple of what transformers rounds in 16 bits.

Exactness is judged in float32 (float64 where a model is held in it), where rounding explains next to nothing. In 16
bits rounding can be large in a healthy model - keys with a large bias, outlier channels - and is measured: how far
transformers' own attention in that precision lies off float32 is the unit.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

import torch

from tolerance.errors import RunnerError
from tolerance.runners.models.load import LoadedModel

# Largest difference of logits, relative to their largest size, that rounding explains. For float64 that is the
# rounding of the reference: eager attention takes its softmax in float32.
EXACT = {torch.float64: 1e-6, torch.float32: 1e-4}
# Where the last bit of the weights moves an answer by more than that, so many times this move, and never over the most:
# however badly a model is conditioned, this far off in float32 is another answer.
MOVES, MOST = 4.0, 1e-2
# Units that our dense answer may lie off float32 (random models: up to 1.25), and that two of our answers in 16 bits
# may lie apart (up to 3.7, since some are compared at two positions alone, each off by about one in its own way).
OFF, APART = 2.0, 8.0


@dataclass(frozen=True)
class Unit:
    """The rounding of transformers' own attention, ``of`` that implementation, in a model's own precision."""

    dtype: str
    of: str
    size: float


@dataclass
class Judge:
    """Compares, notes every difference by name, and refuses what the precision does not explain.

    ``unit`` is None where answers must be exact. ``rounded`` is asked once then, if an answer lies over the limit: how
    far rounding alone moves the model's dense answer, which may be more where it amplifies the last bit.
    """

    loaded: LoadedModel
    limit: float
    rounded: Callable[[], float] | None = None
    unit: Unit | None = None
    differences: dict[str, float] = field(default_factory=dict)

    def compare(self, name: str, got: torch.Tensor, wanted: torch.Tensor, means: str) -> None:
        """Are they one answer?

        Raises:
            RunnerError: they are not; ``means`` says what that means where rounding cannot be the reason.
        """
        if self.unit is None:
            self._exactly(name, got, wanted, means)
        else:
            self.within(name, got, wanted, APART)

    def _exactly(self, name: str, got: torch.Tensor, wanted: torch.Tensor, means: str) -> None:
        self.differences[name] = off = largest(got, wanted)
        if not off <= self.limit and self.rounded is not None:
            self.limit = min(MOST, max(self.limit, MOVES * self.rounded()))
            self.rounded = None
        if not off <= self.limit:
            raise RunnerError(
                f"self-check of {self.loaded.name} ({self.loaded.architecture}) failed: {name} is off by {off:.2g} of "
                f"the logits' size in {named(wanted.dtype)} (limit {self.limit:.2g}), which rounding does not explain. "
                f"{means}"
            )

    def within(self, name: str, got: torch.Tensor, wanted: torch.Tensor, times: float) -> None:
        """Does rounding as in transformers' own attention explain the difference?"""
        unit = self.unit
        assert unit is not None
        self.differences[name] = off = typical(got, wanted)
        if not off <= times * unit.size:
            raise RunnerError(
                f"self-check of {self.loaded.name} ({self.loaded.architecture}) failed: {name} is off by {off:.2g} of "
                f"the logits' size in {unit.dtype}, where transformers' own {unit.of} attention is off by "
                f"{unit.size:.2g} (limit {times:g} times that). In float32 it is exact, so nothing is misunderstood: "
                f"this is rounding of {unit.dtype}; use dtype: float32 to be exact."
            )


def largest(got: torch.Tensor, wanted: torch.Tensor) -> float:
    """The largest difference over the largest size of what is wanted."""
    return float((got - wanted).abs().max() / wanted.abs().max().clamp(min=1e-9))


def typical(got: torch.Tensor, wanted: torch.Tensor) -> float:
    """The largest difference at a position, its median over positions, over the largest size of what is wanted.

    The median, since one token that rounding sends to another expert is no fault of the attention.
    """
    got, wanted = got.float(), wanted.float()
    by_position = (got - wanted).abs().amax(-1).flatten()
    return float(by_position.median() / wanted.abs().max().clamp(min=1e-9))


def named(dtype: torch.dtype) -> str:
    """A precision as plans say it."""
    return str(dtype).removeprefix("torch.")
