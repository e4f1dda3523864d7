"""A model of 16 bits answers in float32: its weights are widened a block at a time, each only while it works.

So the reference costs the memory of the largest block in float32 and not of a second model, at any size and depth.
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch

# A copy of a tensor to compute with instead, None where it may stay.
Change = Callable[[torch.Tensor], torch.Tensor | None]


@contextmanager
def computing_with(change: Change, model: torch.nn.Module) -> Iterator[None]:
    """Inside, each of a model's tensors is swapped as ``change`` says while its block works; none is touched."""
    with ExitStack() as hooks:
        for module, owners in _blocks(model):
            swapped = _Swapped(owners, change)
            hooks.callback(swapped.back)
            for hook in (
                module.register_forward_pre_hook(lambda *_, it=swapped: it.swap(), prepend=True),
                module.register_forward_hook(lambda *_, it=swapped: it.back(), always_call=True),
            ):
                hooks.callback(hook.remove)
        yield


def widened(tensor: torch.Tensor) -> torch.Tensor | None:
    """In float32, where it is coarser."""
    return tensor.float() if tensor.is_floating_point() and tensor.itemsize < 4 else None


def jittered(seed: int) -> Change:
    """In float32, each number moved up or down by its last bit: what an answer owes to rounding shows by it."""

    def change(tensor: torch.Tensor) -> torch.Tensor | None:
        if not tensor.is_floating_point():
            return None
        draw = torch.Generator(tensor.device).manual_seed(seed)
        up = torch.rand(tensor.shape, generator=draw, device=tensor.device) < 0.5
        return tensor.float() * torch.where(up, 1 + torch.finfo(torch.float32).eps, 1 - torch.finfo(torch.float32).eps)

    return change


class _Swapped:
    """Swaps tensors of some modules for others, and back."""

    def __init__(self, owners: list[torch.nn.Module], change: Change) -> None:
        self.change = change
        self.tables: list[dict[str, Any]] = []
        for owner in owners:
            self.tables += (owner._parameters, owner._buffers)
        self._own: list[tuple[dict[str, Any], str, torch.Tensor]] = []

    def swap(self) -> None:
        """Copies stand in the tables now; nothing happens where they do already."""
        if self._own:
            return
        for table in self.tables:
            for name, tensor in table.items():
                copy = None if tensor is None else self.change(tensor.detach())
                if tensor is not None and copy is not None:
                    self._own.append((table, name, tensor))
                    is_weight = isinstance(tensor, torch.nn.Parameter)
                    table[name] = torch.nn.Parameter(copy, requires_grad=False) if is_weight else copy

    def back(self) -> None:
        """The very tensors that stood there before."""
        for table, name, tensor in self._own:
            table[name] = tensor
        self._own.clear()


def _blocks(module: torch.nn.Module) -> Iterator[tuple[torch.nn.Module, list[torch.nn.Module]]]:
    """What is widened together, and by whose call: entries of lists as a whole, elsewhere each module's own tensors."""
    yield module, [module]
    for child in module.children():
        if isinstance(child, torch.nn.ModuleList):
            yield from ((block, list(block.modules())) for block in child)
        else:
            yield from _blocks(child)
