"""A curve with all that is asked of it more than once: its observed cells, its unit, and what can be said of it."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from tolerance import findings
from tolerance.data.manifest import digest
from tolerance.estimands.type_curve import TypeCurve
from tolerance.inference.saved import Fit
from tolerance.model.curve import LEAST_ABOVE_FLOOR


@dataclass(frozen=True)
class CurveState:
    """A curve, the cells it was observed in (dense ones of the same tasks included), and whether it is answerable.

    ``status`` is that of statements relative to dense accuracy; a curve whose fit failed is ``withheld`` altogether.
    """

    curve: TypeCurve
    cells: pd.DataFrame
    unit: str
    status: findings.Status
    reason: findings.Reason | None = None

    @property
    def ok(self) -> bool:
        """Whether something can be said relative to dense accuracy."""
        return self.status == "ok"

    @property
    def passed(self) -> bool:
        """Whether the fit may be believed."""
        return self.status != "withheld"


def curve_states(fit: Fit, curves: Sequence[TypeCurve], passed: bool) -> list[CurveState]:
    """Every curve of a fit with its state; ``passed``: whether the fit passed its checks."""
    return [_state(fit, curve, passed) for curve in curves]


def curve_id(kind: str, curve: TypeCurve, part: str = "") -> str:
    """The id of a finding of some kind about a curve, or about one ``part`` of what it averages; alike in every run."""
    return f"{kind}-{digest([curve.task_type, curve.sparsifier, *([part] if part else [])])[:8]}"


def _state(fit: Fit, curve: TypeCurve, passed: bool) -> CurveState:
    frame, n = fit.cells.frame, len(fit.cells.configs)
    here = np.isin(fit.cells.task * n + fit.cells.config, [task * n + config for task, config in curve.places])
    cells = frame[here & ((frame["sparsifier"] == curve.sparsifier) | (frame["sparsity"] == 0))]
    return CurveState(curve, cells, _unit(cells), *_status(curve, passed))


def _status(curve: TypeCurve, passed: bool) -> tuple[findings.Status, findings.Reason | None]:
    if not passed:
        return "withheld", "fit failed its checks"
    if not curve.has_dense:
        return "unanswerable", "no dense baseline"
    if np.mean(curve.dense - curve.floor < LEAST_ABOVE_FLOOR) > 0.05:
        return "unanswerable", "dense accuracy is at the guessing floor"
    return "ok", None


def _unit(cells: pd.DataFrame) -> str:
    units = cells.loc[cells["sparsity"] > 0, "unit"].dropna()
    return str(units.iloc[0]) if len(units) else "not stated"
