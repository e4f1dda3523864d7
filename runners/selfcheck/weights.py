"""Are pruned weights what is said, and are the model's own restored bit for bit? Part of the self-check."""

from collections.abc import Callable, Sequence

import torch

from tolerance.errors import RunnerError
from tolerance.runners.models.linear import matrix, plain_linears
from tolerance.runners.models.load import LoadedModel
from tolerance.runners.pruning.calibration import Calibrations
from tolerance.runners.pruning.weights import Weights
from tolerance.runners.sparsifiers.prompts import Calibrated
from tolerance.runners.sparsifiers.weights import Checkpoint, WeightMethod, WeightPruning

Compare = Callable[[str, torch.Tensor, torch.Tensor, str], None]
Logits = Callable[[], torch.Tensor]


def check(
    loaded: LoadedModel,
    logits: Logits,
    dense: torch.Tensor,
    methods: Sequence[WeightMethod],
    weights: Weights,
    compare: Compare,
) -> dict[str, float]:
    """Realised sparsity by method, of a checkpoint and at level 0.5 of the others; ``dense`` are the logits before.

    Raises:
        RunnerError: naming what differs, or the method that this model does not allow.
    """
    realised: dict[str, float] = {}
    for method in methods:
        made = weights.impose(method, 0.5)
        assert made is not None
        sparse = logits()
        if isinstance(method, WeightPruning):
            _check_half(loaded, method, made.sparsity, weights.calibrations)
        if not bool(torch.isfinite(sparse).all()):
            raise RunnerError(f"self-check of {loaded.name} failed: {method.label} makes logits that are not finite.")
        # checkpoints of one method have a sparsity each
        of = f"{method.label} ({method.folder})" if isinstance(method, Checkpoint) else method.label
        realised[of] = made.sparsity
        weights.restore()
        if not weights.intact():
            raise RunnerError(f"self-check of {loaded.name} failed: {method.label} left changed weights behind.")
        compare(f"dense after {method.label}", logits(), dense, "Something besides weights was changed.")
    return realised


def _check_half(loaded: LoadedModel, method: WeightPruning, realised: float, calibrations: Calibrations) -> None:
    # counts round by group; a group is an output, a matrix or four
    if not 0.4 <= realised <= 0.6:
        raise RunnerError(
            f"self-check of {loaded.name} failed: {method.label} at level 0.5 left {realised:.3f} of the weights zero. "
            "It is not doing what it says."
        )
    name, layer = next(iter(plain_linears(loaded, method.label).items()))
    norms = calibrations.of(method.prompts).inputs[name].norms if isinstance(method, Calibrated) else None
    if not bool(method.keep(matrix(layer), norms, 0.0).all()):
        raise RunnerError(f"self-check of {loaded.name} failed: {method.label} at level 0 is not dense.")
