"""Oracle top-k: each query and head keeps the keys with its highest scores. An upper bound: it saves no computation."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from tolerance.runners.sparsifiers.base import AttentionPattern, budget

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class TopK(AttentionPattern):
    """Keep the highest scores; among equal scores the earlier key."""

    name: ClassVar[str] = "top-k"
    needs_scores: ClassVar[bool] = True

    @property
    def label(self) -> str:
        """Rows and reports say what it is: an oracle."""
        return f"oracle-{self.name}"

    def keep(self, scores: "torch.Tensor | None", visible: "torch.Tensor", level: float) -> "torch.Tensor":
        """See `AttentionPattern.keep`."""
        assert scores is not None
        count = budget(visible, level)
        most = min(int(count.max()), scores.shape[-1])
        highest = scores.topk(most, dim=-1).values
        last = highest.gather(-1, (count - 1).clamp(max=most - 1).expand(*scores.shape[:-1], 1))
        above, level_with = scores > last, (scores == last) & visible
        room = count - above.sum(-1, keepdim=True)
        if bool((level_with.sum(-1, keepdim=True) > room).any()):
            level_with &= level_with.cumsum(-1) <= room
        return above | level_with
