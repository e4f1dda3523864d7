"""The linear layers of a model's blocks: what methods on weights and on activations act on.

Embeddings, output head, norms and biases are left alone, as in the papers on pruning.
"""

import re

import torch
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D

from tolerance.errors import RunnerError
from tolerance.runners.models.load import LoadedModel


def linears(model: PreTrainedModel) -> dict[str, torch.nn.Module]:
    """Linear layers by name, but the output head; a weight that two of them share once."""
    output = model.get_output_embeddings()
    seen = set() if output is None else {id(output.weight)}
    found = {}
    for name, module in model.named_modules():
        # GPT-2's linear layers are transformers' own class
        if isinstance(module, torch.nn.Linear | Conv1D) and id(module.weight) not in seen:
            seen.add(id(module.weight))
            found[name] = module
    return found


def plain_linears(loaded: LoadedModel, method: str) -> dict[str, torch.nn.Module]:
    """`linears` of a model in which they are all there is.

    Raises:
        RunnerError: weights of experts stand in one stacked tensor; what is beside them is not the whole.
    """
    for name, module in loaded.model.named_modules():
        for part, parameter in module.named_parameters(recurse=False):
            if parameter.dim() > 2 and not isinstance(module, torch.nn.Conv1d | torch.nn.Conv2d):
                raise RunnerError(
                    f"sparsifier {method}: {loaded.architecture} holds the weights of its experts stacked "
                    f"({name}.{part}), which is not supported. Use a model without experts, or a method on attention."
                )
    return linears(loaded.model)


def matrix(layer: torch.nn.Module) -> torch.Tensor:
    """A layer's weight ``(output, input)``; changes to it change the layer."""
    weight = layer.weight
    assert isinstance(weight, torch.Tensor)
    return weight.data.T if isinstance(layer, Conv1D) else weight.data


def covered(loaded: LoadedModel, names: list[str]) -> float:
    """The share of a model's layers that hold some of these linear layers."""
    numbered = {found[1] for name in names if (found := re.search(r"\.(\d+)\.", name))}
    return len(numbered) / loaded.n_layers
