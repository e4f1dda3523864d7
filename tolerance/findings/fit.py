"""Whether the fit may be believed, and what would move it."""

from typing import Literal

from tolerance.findings.base import Finding, Status
from tolerance.findings.curves import Leaning
from tolerance.findings.levels import UNSAID, Scale
from tolerance.stats.intervals import Number


class Check(Finding):
    """One check of the fit, stated either way."""

    name: str
    worst: Number
    limit: Number
    sense: Literal["at most", "at least"]
    passed: bool
    meaning: str


class Plot(Finding):
    """A picture of draws for a page's appendix: a PNG in base64, and what it shows in words."""

    name: str
    about: str
    png: str


class Predicted(Finding):
    """Observed accuracy of one task under one method at a level, and what the fitted curves predict for new answers.

    ``p`` is the posterior predictive p; ``unlike`` says that it is too small for the number of cells. The interval is
    null where the draws are not one posterior.
    """

    task: str
    sparsifier: str
    sparsity: Number
    n_items: int
    observed: Number
    lower: Number | None
    upper: Number | None
    prob: float
    p: Number
    unlike: bool
    scale: Scale | None = UNSAID


class Sensitivity(Finding):
    """How far a curve's quantities move when prior and likelihood are power-scaled.

    ``prior`` and ``likelihood`` are the sensitivities of each quantity (Kallioinen et al. 2024); null where it is the
    same in every draw. ``leaning`` is the diagnosis of the tolerated level, or without a dense baseline of the accuracy
    at the level whose prior sensitivity is largest.
    """

    id: str
    task_type: str
    sparsifier: str
    status: Status
    leaning: Leaning | None
    quantities: list["Scaled"]
    scale: Scale | None = UNSAID


class Scaled(Finding):
    """Sensitivities of one quantity: of the tolerated level, or at one sparsity."""

    quantity: Literal["tolerated level", "retention", "accuracy"]
    sparsity: Number | None
    prior: Number | None
    likelihood: Number | None


class LeftOut(Finding):
    """Expected log density of left-out cells or blocks (PSIS-LOO), withheld where its Pareto k says it may be wrong."""

    unit: Literal["cell", "block"]
    status: Status
    n_units: int
    high_k: int
    limit_k: Number
    elpd: Number | None
    se: Number | None


class Attempt(Finding):
    """One fit that was tried: what was changed from the first, and which checks failed."""

    change: str
    failed: list[str]


class Family(Finding):
    """One curve family in a comparison by left-out cells: its difference to the best, withheld where k is high.

    ``refitted`` cells were left out by fits of their own, for their k was high.
    """

    name: str
    change: str
    status: Status
    failed: list[str]
    high_k: int
    n_units: int
    elpd: Number | None
    difference: Number | None
    se: Number | None
    refitted: int = 0
