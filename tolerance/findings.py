"""Everything a report says, as typed findings. `Report` is `report.json`: the page renders it and nothing more.

A finding names its status. One whose fit failed its checks is ``withheld`` and carries no estimate, so its number
cannot appear anywhere; one that the data cannot answer is ``unanswerable`` with the reason.
"""

from typing import Literal

from pydantic import BaseModel, ConfigDict

from tolerance.intervals import Estimate, Interval, Number

Status = Literal["ok", "withheld", "unanswerable"]
Compared = Literal["task types", "methods"]
Axis = Literal[
    "sparsity fraction",
    "compute",
    "parameters",
    "active parameters",
    "context length",
    "KV memory",
    "inference budget",
]
Reason = Literal["fit failed its checks", "no dense baseline", "dense accuracy is at the guessing floor"]


class Finding(BaseModel):
    """What every finding is: immutable, nothing unnamed, with an id that stays the same between runs."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Observed(Finding):
    """One observed cell: a method at a level, averaged over the items of a task type."""

    sparsity: Number
    accuracy: Number
    interval: Interval
    n_items: int


class Band(Finding):
    """Posterior accuracy on a grid of sparsity, each list ``(grid point,)``; the bands are 50% and 90% equal-tailed."""

    sparsity: list[Number]
    median: list[Number]
    lower_50: list[Number]
    upper_50: list[Number]
    lower_90: list[Number]
    upper_90: list[Number]


class Curve(Finding):
    """Accuracy against sparsity for one task type under one method, averaged over its tasks and configurations."""

    id: str
    task_type: str
    tasks: list[str]
    sparsifier: str
    unit: str
    status: Status
    reason: Reason | None
    observed: list[Observed]
    band: Band | None


ShapeKind = Literal["plateau", "dip", "better than dense", "cliff before the first level", "flat"]


class Shape(Finding):
    """What is unusual about a curve: a kind that it has with at least the probability at which orders are decided.

    ``low`` and ``high`` are the sparsities between which it shows. `tolerance.shapes` has the rule of each kind.
    """

    id: str
    task_type: str
    sparsifier: str
    kind: ShapeKind
    probability: Number
    low: Number
    high: Number


class Level(Finding):
    """A sparsity that may lie outside the measured range: an end that does is null, and so is the median.

    ``prob_below`` and ``prob_beyond`` are the posterior probabilities that the level lies below ``first`` (the lowest
    measured sparsity above 0) and beyond ``last`` (the highest).
    """

    median: Number | None
    lower: Number | None
    upper: Number | None
    prob: float
    first: Number
    last: Number
    prob_below: Number
    prob_beyond: Number

    @property
    def censored(self) -> Literal["none", "left", "right"]:
        """Where the median lies: inside the measured range, below it, or beyond it."""
        if self.median is not None:
            return "none"
        return "left" if self.prob_below > self.prob_beyond else "right"


class Kept(Finding):
    """Probability that at least ``retention`` of dense accuracy is kept at every sparsity up to a measured one."""

    sparsity: Number
    probability: Number


Leaning = Literal["prior-data conflict", "strong prior"]


class Threshold(Finding):
    """The largest sparsity up to which at least ``retention`` of dense accuracy above the floor is kept."""

    id: str
    task_type: str
    sparsifier: str
    unit: str
    retention: float
    status: Status
    reason: Reason | None
    n_items: int
    n_levels: int
    dense: Estimate | None
    level: Level | None
    kept: list[Kept]
    leaning: Leaning | None = None


class Comparison(Finding):
    """Which of two thresholds is higher: two task types under one method, or two methods on one task type.

    ``prob_first + prob_second + prob_neither`` is 1; neither: both lie outside the measured range on the same side.
    """

    id: str
    of: Compared
    within: str
    first: str
    second: str
    status: Status
    reason: Reason | None
    prob_first: Number | None
    prob_second: Number | None
    prob_neither: Number | None
    verdict: Literal["first", "second", "undecided", "out of range"] | None


class HeldConstant(Finding):
    """One axis, and whether it was the same at every level that is compared."""

    axis: Axis
    state: Literal["held", "varies", "not recorded"]
    unit: str
    low: Number | None
    high: Number | None


class Check(Finding):
    """One check of the fit, stated either way."""

    name: str
    worst: Number
    limit: Number
    sense: Literal["at most", "at least"]
    passed: bool
    meaning: str


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
    """One curve family in a comparison by left-out cells: its difference to the best, withheld where k is high."""

    name: str
    change: str
    status: Status
    failed: list[str]
    high_k: int
    n_units: int
    elpd: Number | None
    difference: Number | None
    se: Number | None


class TaskData(Finding):
    """What a task contributed."""

    task: str
    task_type: str
    n_items: int
    n_rows: int
    chance: Number | None
    unreadable: int
    truncated: int


class CellData(Finding):
    """Answers in one cell."""

    task: str
    sparsifier: str
    sparsity: Number
    realised: Number | None
    n_items: int


class Data(Finding):
    """What the report rests on."""

    n_rows: int
    n_items: int
    n_paired: int
    models: list[str]
    params: list[int]
    sparsifiers: list[str]
    context_lengths: list[int]
    has_dense: bool
    tasks: list[TaskData]
    cells: list[CellData]


Caveat = Literal[
    "one model",
    "one context length",
    "no dense baseline",
    "requested sparsity only",
    "chance unknown",
    "items independent",
]


class Provenance(Finding):
    """How to get the same numbers again."""

    command: str
    created: str
    data_hash: str
    seed: int
    sampler: str
    draws: int
    packages: dict[str, str]
    sources: list[str]


class Report(Finding):
    """The whole of ``report.json``."""

    format: Literal["tolerance-report/1"] = "tolerance-report/1"
    id: str
    fit_passed: bool
    retention: float
    interval_prob: float
    decision_prob: float
    data: Data
    held_constant: list[HeldConstant]
    curves: list[Curve]
    thresholds: list[Threshold]
    comparisons: list[Comparison]
    checks: list[Check]
    predicted: list[Predicted] = []
    sensitivities: list[Sensitivity] = []
    shapes: list[Shape] = []
    left_out: list[LeftOut] = []
    attempts: list[Attempt] = []
    families: list[Family] = []
    caveats: list[Caveat]
    provenance: Provenance
