"""Sets small inputs of linear layers to zero, and counts for each row of the batch what is left to multiply."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch

from tolerance.errors import RunnerError
from tolerance.runners.attention.control import Control
from tolerance.runners.models.linear import matrix, plain_linears
from tolerance.runners.models.load import LoadedModel
from tolerance.runners.pruning.calibration import Calibrations
from tolerance.runners.sparsifiers.teal import Teal


@contextmanager
def thresholding(
    loaded: LoadedModel, method: Teal, level: float, calibrations: Calibrations, control: Control
) -> Iterator[None]:
    """Impose a method at a level inside the block, in the phases of ``control``, where its counts go too.

    Raises:
        RunnerError: the model has linear layers that cannot be reached.
    """
    layers = plain_linears(loaded, method.label)
    inputs = calibrations.of(method.prompts).inputs
    with ExitStack() as hooks:
        for name, layer in layers.items():
            hook = _hook(name, inputs[name].threshold(level), matrix(layer).shape[0], control)
            hooks.callback(layer.register_forward_pre_hook(hook).remove)
        yield


def _hook(name: str, threshold: float, outputs: int, control: Control) -> Any:  # noqa: ANN401 - torch's hook
    def hook(_: torch.nn.Module, given: tuple[torch.Tensor]) -> tuple[torch.Tensor] | None:
        (x,) = given
        if x.dim() != 3:
            raise RunnerError(f"linear layer {name} is given {x.dim()} dimensions, so its tokens cannot be told apart.")
        entries = torch.full(x.shape[:2], x.shape[2], device=x.device)
        if control.phase not in control.phases:
            control.multiply(outputs * entries, outputs * entries)
            return None
        keep = x.float().abs() > threshold
        control.multiply(outputs * keep.sum(-1), outputs * entries)
        return (x * keep,)

    return hook
