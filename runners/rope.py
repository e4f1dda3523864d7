"""How a model turns queries and keys by position (RoPE), so that a turn can be undone or averaged.

Read off the model and not trusted: `selfcheck` compares it with what the model itself does to shifted positions.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from transformers import PreTrainedModel


@dataclass(frozen=True)
class Rotation:
    """Angles per position of the pairs (i, i + width) of the first 2 x width dimensions; the others stay."""

    frequencies: torch.Tensor

    @classmethod
    def of(cls, model: "PreTrainedModel") -> "Rotation | None":
        """The one rotation of a model; None where there is none, or several."""
        found = [
            module.inv_freq for module in model.modules() if isinstance(getattr(module, "inv_freq", None), torch.Tensor)
        ]
        if not found or any(other.shape != found[0].shape or bool((other != found[0]).any()) for other in found[1:]):
            return None
        return cls(found[0].float())

    def turn(self, vectors: torch.Tensor, by: torch.Tensor) -> torch.Tensor:
        """Vectors ``(row, head, n, dim)`` turned by ``by`` positions ``(row or 1, n)``, float32."""
        width = len(self.frequencies)
        angles = (by.double()[:, None, :, None] * self.frequencies.double()).float()
        cos, sin = angles.cos(), angles.sin()
        first, second, rest = torch.split(vectors.float(), [width, width, vectors.shape[-1] - 2 * width], -1)
        return torch.cat([first * cos - second * sin, second * cos + first * sin, rest], -1)

    def average(self, start: torch.Tensor, ahead: int, dim: int) -> torch.Tensor:
        """The mean of the turns by ``start`` .. ``start + ahead - 1`` positions, as matrices ``(row, dim, dim)``."""
        steps = start[:, None].double() + torch.arange(ahead, device=start.device)
        unit = torch.eye(dim, device=start.device).expand(len(start), 1, dim, dim)
        width = len(self.frequencies)
        angles = steps[..., None] * self.frequencies.double()
        cos, sin = angles.cos().mean(1).float(), angles.sin().mean(1).float()
        made = torch.zeros_like(unit[:, 0])
        i = torch.arange(width, device=start.device)
        made[:, i, i], made[:, i + width, i + width] = cos, cos
        made[:, i, i + width], made[:, i + width, i] = -sin, sin
        rest = torch.arange(2 * width, dim, device=start.device)
        made[:, rest, rest] = 1.0
        return made
