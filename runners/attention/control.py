"""What is imposed on a model now, and what was seen while it answered: each thread has its own.

Set by `imposing`, read by our attention function. The phase is set by whoever owns the loop, never guessed from shapes.
Kept and visible pairs are counted per row of the batch, so realised sparsity is a measurement of the very item.
"""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import torch

from tolerance.runners.sparsifiers import AttentionPattern, Phase

if TYPE_CHECKING:
    from tolerance.runners.attention.cache import KeptCache, PrefillCache


@dataclass
class PairCounts:
    """(query, key) pairs summed over layers and heads, per row ``(row,)``."""

    kept: torch.Tensor
    visible: torch.Tensor


@dataclass
class Control:
    """What to impose now, and what was seen: pairs by phase, calls by layer."""

    sparsifier: AttentionPattern | None = None
    level: float = 0.0
    phases: frozenset[Phase] = frozenset(("prefill", "decode"))
    phase: Phase = "prefill"
    real: torch.Tensor | None = None  # (row, query): False where a query is padding
    # What is visible follows from this pass's cache; pairs are not counted then, since they follow from it too.
    cache: "PrefillCache | KeptCache | None" = None
    pairs: dict[Phase, PairCounts] = field(default_factory=dict)
    # multiply-adds of linear layers, where their inputs are made sparse
    products: dict[Phase, PairCounts] = field(default_factory=dict)
    calls: Counter[int] = field(default_factory=Counter)
    # the attention module of each layer
    modules: dict[int, torch.nn.Module] = field(default_factory=dict)

    @property
    def active(self) -> AttentionPattern | None:
        """The sparsifier that acts in this phase, if any."""
        method = self.sparsifier
        acts = method is not None and self.level > 0 and self.phase in self.phases & method.acts_in
        return method if acts else None

    def count(self, layer: int, kept: torch.Tensor, visible: torch.Tensor) -> None:
        """Add one layer's pairs, given for each query ``(row, query)``."""
        self.calls[layer] += 1
        self._add(self.pairs, kept, visible)

    def multiply(self, made: torch.Tensor, all_of_them: torch.Tensor) -> None:
        """Add one linear layer's multiply-adds, given for each token ``(row, query)``."""
        self._add(self.products, made, all_of_them)

    def _add(self, totals: dict[Phase, PairCounts], kept: torch.Tensor, visible: torch.Tensor) -> None:
        kept, seen = (self._of_rows(pairs) for pairs in (kept, visible))
        total = totals.setdefault(self.phase, PairCounts(torch.zeros_like(kept), torch.zeros_like(seen)))
        total.kept += kept
        total.visible += seen

    def _of_rows(self, per_query: torch.Tensor) -> torch.Tensor:
        return per_query.sum(1) if self.real is None else (per_query * self.real).sum(1)


# Outside `imposing` a model answers densely and nothing is counted.
CONTROL: ContextVar[Control | None] = ContextVar("CONTROL", default=None)


@contextmanager
def imposing(
    sparsifier: AttentionPattern | None = None,
    level: float = 0.0,
    phases: frozenset[Phase] = frozenset(("prefill", "decode")),
) -> Iterator[Control]:
    """Impose a sparsifier at a level inside the block, in this thread; afterwards everything is as it was."""
    control = Control(sparsifier, level, phases)
    before = CONTROL.set(control)
    try:
        yield control
    finally:
        CONTROL.reset(before)
