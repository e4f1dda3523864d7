"""Everything a report says, as typed findings. `Report` is `report.json`: the page renders it and nothing more.

A finding names its status. One whose fit failed its checks is ``withheld`` and carries no estimate, so its number
cannot appear anywhere; one that the data cannot answer is ``unanswerable`` with the reason.
"""

from importlib import import_module
from typing import Literal

from pydantic import BaseModel, ConfigDict

from tolerance.stats.intervals import Estimate, Interval, Number

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
Reason = Literal[
    "fit failed its checks",
    "no dense baseline",
    "dense accuracy is at the guessing floor",
    "no task and configuration in common",
]


class Finding(BaseModel):
    """What every finding is: immutable, nothing unnamed, with an id that stays the same between runs."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class _Shown(Finding):
    """A finding that a notebook shows in words. The reader's side is looked up by name when it is asked, not before."""

    def _repr_html_(self) -> str:
        return str(import_module("tolerance.reports.export.notebook").html(self))


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


# Curves are drawn so many halvings beyond their last measured level.
BEYOND = 0.45


class Curve(Finding):
    """Accuracy against sparsity for one task type under one method, averaged over its tasks and configurations.

    ``band`` ends at the last measured level. ``beyond`` is what the model makes of a little more sparsity: it is drawn,
    and no other finding rests on it. ``required`` is the accuracy that has to be kept, posterior median.
    """

    id: str
    task_type: str
    tasks: list[str]
    sparsifier: str
    unit: str
    status: Status
    reason: Reason | None
    observed: list[Observed]
    band: Band | None
    beyond: Band | None = None
    required: Number | None = None


class Assured(Finding):
    """The largest level up to which enough is kept with the required probability ``prob``: a one-sided bound.

    Outside the measured range it is null, and ``censored`` says on which side.
    """

    value: Number | None
    prob: float
    censored: Literal["none", "left", "right"]


class Exceedance(Finding):
    """Posterior probability that the tolerated level lies above a sparsity, from the first to the last measured one.

    Each list ``(grid point,)``.
    """

    sparsity: list[Number]
    probability: list[Number]


class Area(Finding):
    """Area under the retention curve over its width: mean retention from sparsity 0 to ``upto``.

    All curves of one unit reach ``upto``, so that their areas can be compared.

    Over halvings of the density, and over sparsity; 1 where all is kept, above 1 where more than dense is.
    """

    upto: Number
    over_halvings: Estimate
    over_sparsity: Estimate


ShapeKind = Literal["plateau", "dip", "better than dense", "cliff before the first level", "flat"]


class Shape(Finding):
    """What is unusual about a curve: a kind that it has with at least the probability at which orders are decided.

    ``low`` and ``high`` are the sparsities between which it shows. `tolerance.estimands.curve_shapes` has the rule of
    each kind.
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
    assured: Assured | None = None

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
    """The largest sparsity up to which at least ``retention`` of dense accuracy above the floor is kept.

    With ``margin``, it is the largest up to which accuracy is at most ``margin`` below dense.
    """

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
    margin: float | None = None
    exceedance: Exceedance | None = None
    area: Area | None = None
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


class Difference(Finding):
    """First minus second of a contrast. ``better``: the first is, with the required probability, and not equivalent.

    ``equivalent``: within plus and minus the report's ``equivalence``, with the required probability.
    """

    estimate: Estimate
    prob_positive: Number
    prob_equivalent: Number
    verdict: Literal["better", "worse", "equivalent", "undecided"]


class LevelContrast(Finding):
    """A contrast at one sparsity that both sides measured."""

    sparsity: Number
    accuracy: Difference
    retention: Difference


class Contrast(Finding):
    """Two curves over the same tasks and configurations, compared within draws.

    ``within`` is what both share: the task type (``of`` methods), the method (``of`` task types), or both (``of``
    models, at equal context lengths). ``whole`` is the difference in mean retention between sparsity 0 and ``upto``,
    the last level that both measured, over halvings of the density.
    """

    id: str
    of: Literal["methods", "task types", "models"]
    within: str
    first: str
    second: str
    status: Status
    reason: Reason | None
    n_tasks: int
    upto: Number | None
    whole: Difference | None
    levels: list[LevelContrast]


class Rank(Finding):
    """Task types that share a place in an ordering: one inside the measured range, or all that lie outside on one side.

    Which of several outside tolerates more cannot be seen.
    """

    place: Literal["beyond", "inside", "below"]
    task_types: list[str]


class Order(Finding):
    """One ordering, from the most to the least tolerant, with its posterior probability."""

    ranks: list[Rank]
    probability: Number


class Extreme(Finding):
    """Posterior probabilities that a task type tolerates more, or less, than every other."""

    task_type: str
    most: Number
    least: Number


class Ordering(Finding):
    """The joint posterior of the order of task types by tolerated level under one method.

    Levels count as outside where they lie below ``first`` or beyond ``last``, which all of the task types measured.
    ``orders`` are the most probable ones; the ``n_others`` further ones have ``prob_others`` together. ``tied_most``
    and ``tied_least`` are the probabilities that several share the place, because they lie outside on the same side.
    """

    id: str
    sparsifier: str
    task_types: list[str]
    status: Status
    reason: Reason | None
    first: Number | None
    last: Number | None
    orders: list[Order]
    n_others: int
    prob_others: Number | None
    extremes: list[Extreme]
    tied_most: Number | None
    tied_least: Number | None


class Budget(Finding):
    """The smallest number of KV tokens with which what must be kept is kept, at one context length.

    An end outside the budgets that were measured is null: it lies above ``most`` (posterior probability ``prob_more``)
    or below ``least`` (``prob_fewer``). ``assured`` suffices with the report's required probability. ``source`` says
    whether budgets were recorded, or computed as prompt tokens times the share of entries that is kept.
    """

    id: str
    task_type: str
    sparsifier: str
    context_length: int
    source: Literal["recorded", "computed"]
    status: Status
    reason: Reason | None
    most: Number
    least: Number
    median: Number | None
    lower: Number | None
    upper: Number | None
    prob: float
    prob_more: Number | None
    prob_fewer: Number | None
    assured: Assured | None


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


class TaskData(Finding):
    """What a task contributed."""

    task: str
    task_type: str
    n_items: int
    n_rows: int
    chance: Number | None
    unreadable: int | None
    truncated: int | None


class CellData(Finding):
    """Answers in one cell."""

    task: str
    sparsifier: str
    sparsity: Number
    realised: Number | None
    n_items: int


class Data(Finding):
    """What the report rests on.

    ``n_means`` is the number of published means where there are no answers; ``assumed_items`` the number of items that
    was assumed for means that came without one.
    """

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
    n_means: int | None = None
    assumed_items: int | None = None


class Measured(Finding):
    """A number from the answers alone, with its confidence interval where one can be given."""

    value: Number
    interval: Interval | None


class ObservedCell(Finding):
    """Accuracy of a task type (``task`` is null) or of one task under one condition: the mean over its tasks.

    ``level`` was asked for, ``sparsity`` is its measured mean. ``wilson`` is for 0/1 answers, one an item; ``robust``
    follows from the spread between items, for any score. ``n_blocks`` counts tasks x models x contexts.
    """

    task_type: str
    task: str | None
    sparsifier: str
    level: Number
    sparsity: Number
    n_items: int
    n_answers: int
    n_blocks: int
    accuracy: Number
    wilson: Interval | None
    robust: Interval | None


class Discordance(Finding):
    """0/1 answers to the same items under two conditions: how many were right under one alone.

    ``p`` is exact, from the discordant items; ``difference`` and its paired interval are over these items pooled.
    ``repeated``: an item enters once for each of several models or contexts, which ``p`` takes for different items.
    """

    n_pairs: int
    only_first: int
    only_second: int
    p: Number
    difference: Number
    interval: Interval
    repeated: bool


class Paired(Finding):
    """Two conditions on the same items of a task type: a method and dense, or two methods asked for one level.

    Accuracies are means over tasks, each over the items that both were asked. ``retention`` is for contrasts with
    dense; where it is null, ``reason`` says why, or the contrast is one of two methods.
    """

    id: str
    task_type: str
    first: str
    second: str
    level: Number
    sparsity: Number
    n_pairs: int
    unpaired_first: int
    unpaired_second: int
    n_blocks: int
    accuracy_first: Number
    accuracy_second: Number
    difference: Measured
    retention: Measured | None
    reason: Reason | None
    mcnemar: Discordance | None


class Trend(Finding):
    """Change of the log odds of a right answer with each halving of the density, answers to one item correlated.

    ``left_out`` counts tasks (by model and context) whose answers do not vary; ``reason`` says why there is no slope.
    """

    task_type: str
    sparsifier: str
    slope: Measured | None
    p: Number | None
    correlation: Number | None
    n_items: int
    n_answers: int
    left_out: int
    reason: (
        Literal[
            "every answer is right",
            "every answer is wrong",
            "no answer changes",
            "one level",
            "one item",
            "no convergence",
        ]
        | None
    )


class ObservedLevel(Finding):
    """The tolerated level that the answers show, straight in halvings between measured levels.

    Of ``level`` the median is the observed crossing, the ends are those of a bootstrap interval, and the probabilities
    are shares of resamples. Without an interval nothing is given, and ``reason`` says why.
    """

    id: str
    task_type: str
    sparsifier: str
    reason: Reason | Literal["a task with a single item"] | None
    level: Level | None


class Instant(Finding):
    """What the answers show without a model: it takes no sampling and does not rest on the fit."""

    retention: float
    interval_prob: float
    resamples: int
    seed: int
    n_answers: int
    n_unpaired: int
    cells: list[ObservedCell]
    contrasts: list[Paired]
    trends: list[Trend]
    tolerated: list[ObservedLevel]


class Disagreement(Finding):
    """Where posterior and instant answer part materially, with the numbers of both.

    ``accuracy``: of a type at a level, the intervals lie apart. ``kept``: one says that the required share is kept up
    to a level, the other that it is not. ``order``: the two rank methods or task types in opposite ways; ``other`` is
    then the second of them, ``within`` what they were compared in, and the numbers are tolerated levels.
    """

    id: str
    about: Literal["accuracy", "kept", "order"]
    within: str
    subject: str
    other: str | None
    sparsity: Number | None
    posterior: Interval | None
    posterior_probability: Number | None
    instant: Interval
    instant_other: Interval | None


Caveat = Literal[
    "one model",
    "one context length",
    "no dense baseline",
    "requested sparsity only",
    "chance unknown",
    "published means",
    "items assumed",
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
    priors: dict[str, list[float]] = {}


class Report(_Shown):
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
    instant: Instant | None = None
    disagreements: list[Disagreement] = []
    margin: float | None = None
    equivalence: float = 0.02
    contrasts: list[Contrast] = []
    orderings: list[Ordering] = []
    budgets: list[Budget] = []
    conclusions: list["Conclusions"] = []


HeldAxis = Literal[
    "compute",
    "prefill compute",
    "decode compute",
    "parameters",
    "active parameters",
    "context length",
    "KV bytes",
    "KV tokens",
    "generated tokens",
    "sparsity fraction",
]
Accounting = Literal["measured", "estimated", "requested", "unavailable"]
AxisVerdict = Literal[
    "better", "worse", "equivalent", "undecided", "no overlap", "unavailable", "withheld", "unanswerable"
]
AxisLabel = Literal["robust", "axis-dependent", "fragile", "untestable", "withheld"]
Quantity = Literal["accuracy", "retention"]


class Along(Finding):
    """Treatment minus reference along an axis, each list ``(grid point,)``: median and ends of the interval."""

    at: list[Number]
    median: list[Number]
    lower: list[Number]
    upper: list[Number]


class Crossover(Finding):
    """Where the sign of the difference changes once along the axis, with the probability that it does so this way."""

    first_better: Literal["treatment", "reference"]
    probability: Number
    at: Estimate


class CrossCheck(Finding):
    """The same contrast by estimating equations: log odds of treatment against reference, items as clusters."""

    slope: Measured | None
    p: Number | None
    n_answers: int
    reason: str | None
    disagreement: Literal["opposite directions", "the posterior alone decides", "GEE alone decides"] | None


class AtEqual(Finding):
    """One conclusion with one axis held equal.

    ``low`` to ``high`` is the common support; ``n_strata`` the matched strata in it, ``n_outside`` those without any.
    ``interpolated`` says that one side has no measurement where the other has. ``along`` and ``crossover`` are given
    where all strata share their support; ``difference`` is the mean over it. Better and worse need half of what the
    required probability leaves: one of two wrong directions is as wrong as the other.
    """

    axis: HeldAxis
    unit: str
    accounting: Accounting
    source: str
    verdict: AxisVerdict
    reason: str | None
    low: Number | None
    high: Number | None
    n_strata: int
    n_outside: int
    interpolated: bool
    difference: Estimate | None
    prob_positive: Number | None
    prob_equivalent: Number | None
    along: Along | None
    crossover: Crossover | None
    check: CrossCheck | None


class Conclusion(Finding):
    """Treatment against reference on one task type (or the mean over all), asked once for each axis held equal.

    ``prob_flip``: the posterior probability that the verdicts that disagree are all as stated, at once. ``naive`` is
    the difference of all answers as they came, without matching or standardising anything.
    """

    id: str
    treatment: str
    reference: str
    factor: list[str]
    task_type: str
    tasks: list[str]
    quantity: Quantity
    axes: list[AtEqual]
    label: AxisLabel
    prob_flip: Number | None
    naive: Number | None


class Conclusions(_Shown):
    """All conclusions of one comparison, with the rules that were set before looking.

    ``prob_all_flips``: probability that every conclusion flagged axis-dependent is so, jointly; null without any.
    """

    format: Literal["tolerance-conclusions/1"] = "tolerance-conclusions/1"
    treatment: str
    reference: str
    equivalence: float
    decision_prob: float
    interval_prob: float
    fit_passed: bool
    conclusions: list[Conclusion]
    n_flagged: int
    prob_all_flips: Number | None
    provenance: Provenance | None = None


PartVerdict = Literal["holds", "fails", "undecided", "no item counts"]
AuditVerdict = Literal["supported", "supported only for", "contradicted", "not identifiable"]


class AuditPart(Finding):
    """A claim held against some of the evidence. ``printed``: whether the numbers as printed satisfy it.

    ``required`` is the probability that ``verdict`` needed: what the parts of one list may be wrong is shared by them.
    """

    name: str
    n_cells: int
    n_items: int | None
    value: Number
    interval: Interval | None
    prob_holds: Number | None
    required: Number
    printed: bool
    verdict: PartVerdict


class AuditAxis(Finding):
    """The same claim at other values of an axis, as far as the evidence has them."""

    axis: str
    state: Literal["same", "depends", "undecided", "one value", "not recorded"]
    parts: list[AuditPart]


class Hidden(Finding):
    """What an average hides: names with their differences to the reference, as shares of 1.

    ``probability``: that all of it is real at once; of tasks that are not as claimed, that the first one is not.
    """

    kind: Literal[
        "gains and losses cancel",
        "not as claimed, unlike the mean",
        "one task carries the mean",
        "at the ceiling",
        "at the floor",
    ]
    names: list[str]
    differences: list[Number]
    probability: Number | None


class Weakest(Finding):
    """The task type, or task, that keeps least, with the probability that it is the one."""

    of: Literal["task type", "task"]
    name: str
    value: Number
    probability: Number


class Reversal(Finding):
    """Two names in one order on one axis and in the other on another, with both values of each."""

    within: str
    first: str
    second: str
    axis: str
    other: str
    on_axis: list[Number]
    on_other: list[Number]


class AssumedItems(Finding):
    """What would follow if every cell had so many items: a sensitivity analysis, no verdict."""

    n_items: int
    prob_holds: Number
    verdict: AuditVerdict


class Audit(_Shown):
    """One claim against one body of evidence.

    ``by_setting`` is for claims of an order: one part for each method, model and level, its value the share of the
    claimed pairs that are in the claimed order; ``lowest`` counts settings by the task type that keeps least in them.
    ``against`` are the parts that fail.
    """

    format: Literal["tolerance-audit/1"] = "tolerance-audit/1"
    id: str
    statement: str
    citation: str
    second_hand: bool
    kind: Literal["retention", "difference", "threshold", "association", "order"]
    number: Number | None
    unit: str | None
    tolerance: Number
    sense: str
    order: list[str]
    held: str
    basis: Literal["answers", "published means", "published levels"]
    interval_prob: float
    decision_prob: float
    n_cells: int
    n_without_items: int
    n_second_hand: int
    overall: AuditPart
    by_task_type: list[AuditPart]
    by_task: list[AuditPart]
    by_model: list[AuditPart]
    by_cell: list[AuditPart]
    by_setting: list[AuditPart]
    lowest: dict[str, dict[str, int]]
    axes: list[AuditAxis]
    hidden: list[Hidden]
    weakest: list[Weakest]
    reversals: list[Reversal]
    assumed: list[AssumedItems]
    verdict: AuditVerdict
    only_for: list[str]
    against: list[str]
    note: str


Report.model_rebuild()
