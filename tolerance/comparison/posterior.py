"""What a comparison asks of a fit: draws of accuracy of one condition on one task."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from tolerance.comparison.conditions import Condition
from tolerance.data.outcomes import DENSE
from tolerance.estimands.accuracy import dense_accuracy
from tolerance.estimands.curves import averaged
from tolerance.estimands.source import Source
from tolerance.estimands.type_curve import TypeCurve
from tolerance.inference.saved import Fit

Floats = NDArray[np.float64]


class Posterior(Protocol):
    """Draws of accuracy that belong together: row by row one state of the world."""

    def accuracy(self, condition: Condition, task: str, sparsities: Sequence[float]) -> Floats:
        """Accuracy on a task under a condition's method at some sparsities ``(draw, sparsity)``."""
        ...

    def dense(self, condition: Condition, task: str) -> Floats | None:
        """Dense accuracy of a condition's model at its context ``(draw,)``; None where it was not measured."""
        ...

    def floor(self, task: str) -> Floats:
        """Guessing floor of a task ``(draw,)``."""
        ...


@dataclass(frozen=True)
class Fitted:
    """The posterior of a hierarchical fit."""

    fit: Fit
    _curves: dict[tuple[str, str, int | None, str], TypeCurve] = field(default_factory=dict)

    @cached_property
    def source(self) -> Source:
        """Thinned draws, looked up once."""
        return Source(self.fit)

    def accuracy(self, condition: Condition, task: str, sparsities: Sequence[float]) -> Floats:
        """See `Posterior`."""
        cells, (of_task, config) = self.fit.cells, self._place(condition, task)
        if condition.sparsifier == DENSE:
            return np.repeat(dense_accuracy(self.source, of_task, config)[:, None], len(sparsities), axis=1)
        key = condition.sparsifier, condition.model, condition.context, task
        if key not in self._curves:
            self._curves[key] = averaged(
                self.source, cells.sparsifiers.index(condition.sparsifier), [(of_task, config)]
            )
        return self._curves[key].accuracies_at(sparsities)

    def dense(self, condition: Condition, task: str) -> Floats | None:
        """See `Posterior`."""
        place = self._place(condition, task)
        return dense_accuracy(self.source, *place) if place in self.source.with_dense else None

    def floor(self, task: str) -> Floats:
        """See `Posterior`."""
        return np.asarray(self.source.draws.floor[:, self.fit.cells.tasks.index(task)])

    def _place(self, condition: Condition, task: str) -> tuple[int, int]:
        cells = self.fit.cells
        return cells.tasks.index(task), cells.configs.index((condition.model, condition.context))
