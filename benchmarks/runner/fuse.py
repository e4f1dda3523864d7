"""Compile what a dense pass of a small model spends on moving numbers: norms and feed-forward blocks, fused in place.

A transformer of width 576 reads and writes memory most of its time in a plain PyTorch pass. Compiling its norms and
feed-forward blocks (`torch.nn.Module.compile`, which patches no class) makes one kernel of many. Worth it for long
runs alone: compiling takes seconds, and results are rounded elsewhere, so a run is fused from beginning to end or not.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from transformers import PreTrainedModel

FUSED = ("RMSNorm", "LayerNorm", "MLP")


def fuse(model: "PreTrainedModel") -> int:
    """Compile a model's norms and feed-forward blocks; how many there are."""
    import torch

    # One code for all layers; every batch shape of a run is one more variant of it.
    torch._dynamo.config.recompile_limit = max(torch._dynamo.config.recompile_limit, 64)
    found = [module for module in model.modules() if type(module).__name__.endswith(FUSED)]
    for module in found:
        module.compile(dynamic=True)
    return len(found)
