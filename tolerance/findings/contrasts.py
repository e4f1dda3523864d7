"""What is said of two curves or of several: comparisons of thresholds, contrasts, orderings; and KV budgets."""

from collections.abc import Iterator
from typing import Literal

from tolerance.findings.base import Finding, Reason, Status
from tolerance.findings.columns import Row, estimate, fields
from tolerance.findings.curves import Assured
from tolerance.findings.levels import UNSAID, Scale, numbered
from tolerance.stats.decide import Verdict, Which
from tolerance.stats.intervals import Estimate, Number

Compared = Literal["task types", "methods"]


class Comparison(Finding):
    """Which of two thresholds is higher: two task types under one method, or two methods on one task type.

    ``prob_first + prob_second + prob_neither`` is 1; neither: both lie outside the measured range on the same side.
    First and second need `Report.direction_prob`: see `tolerance.stats.decide`.
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
    verdict: Which | None
    scale: Scale | None = UNSAID

    def rows(self) -> Iterator[Row]:
        """One row; its numbers are null unless the two could be compared."""
        numbers = ("prob_first", "prob_second", "prob_neither", "verdict")
        yield {**fields(self, but=("scale",)), **({} if self.status == "ok" else dict.fromkeys(numbers))}


class Difference(Finding):
    """First minus second of a contrast. ``better``: the first is, with `Report.direction_prob`, and not equivalent.

    ``equivalent``: within plus and minus the report's ``equivalence``, with the report's ``decision_prob``: see
    `tolerance.stats.decide`.
    """

    estimate: Estimate
    prob_positive: Number
    prob_equivalent: Number
    verdict: Verdict

    @staticmethod
    def columns(found: "Difference | None") -> Row:
        """A difference as columns, null where there is none."""
        names = ("prob_positive", "prob_equivalent", "verdict")
        rest = {name: None if found is None else getattr(found, name) for name in names}
        return {**estimate("difference", None if found is None else found.estimate), **rest}


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
    scale: Scale | None = UNSAID

    def rows(self) -> Iterator[Row]:
        """One for the mean up to ``sparsity`` (``at`` is whole), two for each level: accuracy and retention.

        A contrast that could not be made is one row without numbers.
        """
        named = {name: getattr(self, name) for name in ("id", "of", "within", "first", "second", "status", "reason")}
        ok = self.status == "ok"
        made: list[tuple[str, float | None, str, Difference | None]]
        made = [("whole", self.upto if ok else None, "retention", self.whole if ok else None)]
        for one in self.levels if ok else ():
            made += [("level", one.sparsity, name, getattr(one, name)) for name in ("accuracy", "retention")]
        for at, sparsity, quantity, found in made:
            where: Row = {"sparsity": sparsity}
            if self.scale is not None:
                where = {"sparsity": None, "level": numbered(sparsity, self.scale), "level_unit": self.scale.unit}
            counted = {"n_tasks": self.n_tasks, "at": at, **where, "quantity": quantity}
            yield {**named, **counted, **Difference.columns(found)}


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
    scale: Scale | None = UNSAID


class Budget(Finding):
    """The smallest number of KV tokens with which what must be kept is kept, at one context length.

    An end outside the budgets that were measured is null: it lies above ``most`` (posterior probability ``prob_more``)
    or below ``least`` (``prob_fewer``). ``assured`` suffices with the report's required probability. ``source`` says
    whether budgets were recorded, or computed as prompt tokens times the share of entries that is kept.
    """

    id: str
    task_type: str
    sparsifier: str
    context_length: int | None
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
