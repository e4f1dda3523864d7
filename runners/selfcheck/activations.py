"""Do linear layers receive what the counts say, and the dense inputs again afterwards? Part of the self-check."""

from collections.abc import Callable, Sequence

import torch

from tolerance.errors import RunnerError
from tolerance.runners.attention.control import imposing
from tolerance.runners.models.linear import matrix, plain_linears
from tolerance.runners.models.load import LoadedModel
from tolerance.runners.pruning.activations import thresholding
from tolerance.runners.pruning.calibration import Calibrations, encoded, texts
from tolerance.runners.sparsifiers.teal import Teal

Compare = Callable[[str, torch.Tensor, torch.Tensor, str], None]
Logits = Callable[[torch.Tensor], torch.Tensor]


def check(
    loaded: LoadedModel,
    ids: torch.Tensor,
    logits: Logits,
    dense: torch.Tensor,
    methods: Sequence[Teal],
    calibrations: Calibrations,
    compare: Compare,
) -> dict[str, float]:
    """Realised sparsity at level 0.5 on a calibration prompt by method; ``dense`` are the logits of ``ids`` before.

    Raises:
        RunnerError: naming what differs, or the method that this model does not allow.
    """
    realised = {}
    for method in methods:
        (prompt,) = encoded(loaded, texts(loaded, method.prompts)[:1])
        counted, received = _at_half(loaded, prompt, logits, method, calibrations)
        if abs(counted - received) > 1e-9:
            raise RunnerError(
                f"self-check of {loaded.name} failed: {method.label} counted {counted:.4f} of the inputs as zero, and "
                f"linear layers received {received:.4f}."
            )
        # behind sparse layers inputs are no longer those that were calibrated on
        if not 0.3 <= counted <= 0.7:
            raise RunnerError(
                f"self-check of {loaded.name} failed: {method.label} at level 0.5 realised {counted:.3f} on a "
                "prompt that it was calibrated on. It is not doing what it says."
            )
        realised[method.label] = counted
        compare(f"dense after {method.label}", logits(ids), dense, "Something was left behind.")
    return realised


def _at_half(
    loaded: LoadedModel, ids: torch.Tensor, logits: Logits, method: Teal, calibrations: Calibrations
) -> tuple[float, float]:
    """Sparsity as counted, and as hooks behind ours see it."""
    seen = {"zero": 0, "all": 0}

    def look(layer: torch.nn.Module, given: tuple[torch.Tensor]) -> None:
        seen["zero"] += int((given[0] == 0).sum()) * matrix(layer).shape[0]
        seen["all"] += given[0].numel() * matrix(layer).shape[0]

    with imposing() as control, thresholding(loaded, method, 0.5, calibrations, control):
        hooks = [m.register_forward_pre_hook(look) for m in plain_linears(loaded, method.label).values()]
        try:
            logits(ids)
        finally:
            for hook in hooks:
                hook.remove()
    made = control.products["prefill"]
    return 1 - float(made.kept.sum()) / float(made.visible.sum()), seen["zero"] / seen["all"]
