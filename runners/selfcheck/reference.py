"""Our dense answers against transformers' own: exactly those of eager, and in 16 bits rounded no worse than theirs."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch

from tolerance.errors import RunnerError
from tolerance.runners.attention.attention import NAME
from tolerance.runners.models.load import LoadedModel
from tolerance.runners.selfcheck.judge import APART, EXACT, OFF, Judge, Unit, largest, named, typical
from tolerance.runners.selfcheck.upcast import computing_with, jittered, widened

Logits = Callable[[LoadedModel, torch.Tensor], torch.Tensor]


def exactly(loaded: LoadedModel, ids: torch.Tensor, dense: torch.Tensor, logits: Logits, judge: Judge) -> None:
    """Our dense answer must be that of eager attention, in the precision that the model computes in now."""
    with _attending(loaded, "eager"):
        wanted = logits(loaded, ids)
    _require_finite(loaded, wanted, "eager")
    judge.compare(
        "dense against eager", dense, wanted, "The architecture's attention has a feature that is not understood."
    )


def rounded(loaded: LoadedModel, ids: torch.Tensor, logits: Logits) -> float:
    """How far our dense answer in float32 moves with the last bits of the weights, at most of two draws."""
    here, moved = logits(loaded, ids), []
    for seed in (0, 1):
        with computing_with(jittered(seed), loaded.model):
            moved.append(largest(logits(loaded, ids), here))
    return max(moved)


def rounding(loaded: LoadedModel, ids: torch.Tensor, dense: torch.Tensor, truth: torch.Tensor, logits: Logits) -> Judge:
    """A judge of answers in 16 bits; ``dense`` is ours, ``truth`` the same in float32.

    Raises:
        RunnerError: ours rounds worse than transformers' own, or the precision does not hold the model's numbers.
    """
    of = _own(loaded, ids, truth, logits)
    with _attending(loaded, of):
        theirs = logits(loaded, ids)
    dtype = named(loaded.model.dtype)
    _require_finite(loaded, theirs, of)
    # a single number is rounded by as much
    size = max(typical(theirs, truth), torch.finfo(loaded.model.dtype).eps / 2)
    judge = Judge(loaded, APART * size, unit=Unit(dtype, of, size))
    judge.within("dense against float32", dense, truth, OFF)
    return judge


def said(judge: Judge, dtype: torch.dtype) -> dict[str, Any]:
    """For the manifest: what exactness was held against."""
    return {"attention": "eager", "dtype": named(dtype), "limit": judge.limit}


def said_of_rounding(judge: Judge, unit: Unit) -> dict[str, Any]:
    """For the manifest: what the differences in 16 bits were held against."""
    return {
        "unit": unit.size,
        "unit_of": f"transformers' {unit.of} attention in {unit.dtype} against float32",
        "limit_dense": OFF * unit.size,
        "limit": judge.limit,
        "differences": judge.differences,
    }


def _own(loaded: LoadedModel, ids: torch.Tensor, truth: torch.Tensor, logits: Logits) -> str:
    """Which of transformers' implementations is the model's own and rounds least.

    SDPA, which leaves out caps of scores and sinks without a word; so eager attention where it is something else.
    """
    try:
        with _attending(loaded, "sdpa"), computing_with(widened, loaded.model):
            there = logits(loaded, ids)
    except ValueError:  # the architecture has none
        return "eager"
    return "sdpa" if largest(there, truth) <= EXACT[torch.float32] else "eager"


def _require_finite(loaded: LoadedModel, theirs: torch.Tensor, of: str) -> None:
    if not bool(torch.isfinite(theirs).all()):
        dtype = named(loaded.model.dtype)
        raise RunnerError(
            f"self-check of {loaded.name} ({loaded.architecture}) failed: its logits are not finite with transformers' "
            f"own {of} attention either. Its weights or activations do not fit into {dtype}, or the checkpoint is "
            f"broken. {'Give another checkpoint.' if dtype == 'float32' else 'Use dtype: float32.'}"
        )


@contextmanager
def _attending(loaded: LoadedModel, implementation: str) -> Iterator[None]:
    """The model attends by transformers' own implementation inside the block."""
    try:
        loaded.model.set_attn_implementation(implementation)
        yield
    finally:
        loaded.model.set_attn_implementation(NAME)
