"""Streaming attention: each query keeps the first keys (sinks) and the latest (Xiao et al. 2023, 2309.17453)."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from tolerance.runners.sparsifiers.base import AttentionPattern, budget, require_whole

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class Streaming(AttentionPattern):
    """Keep ``sinks`` first keys, fill the budget with the latest; a budget below ``sinks`` + 1 gives up sinks first."""

    sinks: int = 4
    name: ClassVar[str] = "streaming"
    needs_scores: ClassVar[bool] = False

    def __post_init__(self) -> None:
        require_whole(self.name, "sinks", self.sinks, 0)

    def keep(self, scores: "torch.Tensor | None", visible: "torch.Tensor", level: float) -> "torch.Tensor":
        """See `AttentionPattern.keep`. The current token is always kept."""
        count = budget(visible, level)
        order = visible.cumsum(-1)  # 1 for the first visible key
        last = order[..., -1:]
        n_sinks = (count - 1).clamp(max=self.sinks)
        return visible & ((order <= n_sinks) | (order > last - (count - n_sinks)))
