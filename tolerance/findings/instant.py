"""The answer without a model."""

import operator
from collections.abc import Iterator
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from tolerance.errors import DesignError
from tolerance.findings.base import Finding, Reason, Told
from tolerance.findings.columns import ACCURACY, LEVEL, SHARE, SPARSITY, Row, fields, frame, interval
from tolerance.findings.curves import Level
from tolerance.findings.data import Unshared
from tolerance.findings.levels import UNSAID, Scale, numbered
from tolerance.stats.intervals import Interval, Number

if TYPE_CHECKING:
    import pandas as pd


InstantTable = Literal["tolerated", "contrasts", "cells", "trends"]
INSTANT_UNITS: dict[InstantTable, dict[str, str]] = {
    "tolerated": dict.fromkeys(("level", "first", "last"), LEVEL),
    "contrasts": {
        "level": LEVEL,
        "sparsity": SPARSITY,
        **dict.fromkeys(("accuracy_first", "accuracy_second", "difference"), ACCURACY),
        "retention": SHARE,
    },
    "cells": {"level": LEVEL, "sparsity": SPARSITY, "accuracy": ACCURACY, "wilson": ACCURACY},
    "trends": {"slope": "log odds of a right answer per halving of the density"},
}


class Measured(Finding):
    """A number from the answers alone, with its confidence interval where one can be given."""

    value: Number
    interval: Interval | None

    @staticmethod
    def columns(name: str, found: "Measured | None") -> Row:
        """The number and its interval as columns, null where there is none."""
        if found is None:
            return {name: None, **interval(name, None)}
        return {name: found.value, **interval(name, found.interval)}


class ObservedCell(Finding):
    """Accuracy of a task type (``task`` is null) or of one task under one condition: the mean over its tasks.

    ``level`` was asked for, ``sparsity`` is its measured mean. ``wilson`` is for 0/1 answers, one an item; ``robust``
    follows from the spread between items, for any score. ``n_blocks`` counts tasks x models x contexts. Published means
    may not say how many items they have.
    """

    task_type: str
    task: str | None
    sparsifier: str
    level: Number
    sparsity: Number
    n_items: int | None
    n_answers: int | None
    n_blocks: int
    accuracy: Number
    wilson: Interval | None
    robust: Interval | None
    scale: Scale | None = UNSAID

    def rows(self) -> Iterator[Row]:
        """One row, with both intervals."""
        ends = {**interval("accuracy", self.robust), **interval("wilson", self.wilson)}
        yield {**_levels(self, "wilson", "robust"), **ends}


def _levels(found: "ObservedCell | Paired", *but: str) -> Row:
    """Fields with levels as they were set; ``level_unit`` where they are no fractions."""
    scale = found.scale
    said = fields(found, but=("scale", *but))
    if scale is None:
        return said
    return {**said, "level": numbered(found.level, scale), "sparsity": None, "level_unit": scale.unit}


class Discordance(Finding):
    """0/1 answers to the same items under two conditions: how many were right under one alone.

    ``p`` is exact, from the discordant items; ``difference`` and its paired interval are over these items pooled.
    ``repeated``: an item enters once for each of several models or contexts. ``by_cluster``: all counts are of items
    then, each once, or of clusters of items that depend on each other, and ``p`` and the interval are by these.
    """

    n_pairs: int
    only_first: int
    only_second: int
    p: Number
    difference: Number
    interval: Interval
    repeated: bool
    by_cluster: bool = Field(default=False, exclude_if=operator.not_)


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
    unpaired_first: int | None
    unpaired_second: int | None
    n_blocks: int
    accuracy_first: Number
    accuracy_second: Number
    difference: Measured
    retention: Measured | None
    reason: Reason | None
    mcnemar: Discordance | None
    scale: Scale | None = UNSAID

    def rows(self) -> Iterator[Row]:
        """One row; ``p`` is McNemar's, of the items that changed."""
        found, test = ("difference", "retention", "mcnemar"), self.mcnemar
        counted = {name: None if test is None else getattr(test, name) for name in ("only_first", "only_second", "p")}
        measured = {**Measured.columns("difference", self.difference), **Measured.columns("retention", self.retention)}
        yield {**_levels(self, *found), **measured, **counted}


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
    scale: Scale | None = UNSAID

    def rows(self) -> Iterator[Row]:
        """One row."""
        slope = self.slope if self.scale is None or self.scale.bounded else None
        yield {**fields(self, but=("slope", "scale")), **Measured.columns("slope", slope)}


class ObservedLevel(Finding):
    """The tolerated level that the answers show, straight in halvings between measured levels.

    Of ``level`` the median is the observed crossing, the ends are those of a bootstrap interval, and the probabilities
    are shares of resamples. Without an interval nothing is given, and ``reason`` says why.
    """

    id: str
    task_type: str
    sparsifier: str
    reason: Reason | Literal["a task with a single item", "no number of items was published"] | None
    level: Level | None

    def rows(self) -> Iterator[Row]:
        """One row."""
        yield {**fields(self, but=("level",)), **Level.columns("level", self.level)}


class Ungraded(Finding):
    """Answers of one condition of a task type that were not graded, and its accuracy with and without them.

    ``accuracy_graded`` leaves them out, ``accuracy_all`` counts them as wrong; both are means over tasks, on the items
    that each leaves. ``reasons`` counts why.
    """

    task_type: str
    sparsifier: str
    level: Number
    n_answers: int
    n_ungraded: int
    reasons: dict[str, int]
    accuracy_graded: Number | None
    accuracy_all: Number | None
    scale: Scale | None = UNSAID


class DenominatorMatters(Finding):
    """A contrast with dense that says one thing over graded answers and another with the ungraded ones as wrong."""

    task_type: str
    sparsifier: str
    level: Number
    about: Literal["difference", "retention"]
    graded: Measured
    all: Measured
    scale: Scale | None = UNSAID


class Composition(Finding):
    """A task type's mean under a method that is not over all of its tasks, or not at all levels.

    ``tasks`` are those it is over; ``lacking`` are tasks of the type that this method did not answer at all its levels;
    ``dropped`` are levels at which tasks are missing; ``mixed``: tasks differ from level to level, and all stay.
    """

    task_type: str
    sparsifier: str
    tasks: list[str]
    lacking: list[str]
    dropped: list[Number]
    mixed: bool
    scale: Scale | None = UNSAID


class Instant(Told):
    """What the answers show without a model: it takes no sampling and does not rest on the fit.

    Numbers are over graded answers to the items that all conditions of a task share; ``n_unpaired`` counts answers left
    out for that, ``unshared`` says which. ``n_means``: how many published means there are, where there are no answers.
    Nothing is paired then, contrasts have no pairs, and their intervals are credible ones.
    """

    retention: float
    interval_prob: float
    resamples: int
    seed: int
    n_answers: int
    n_unpaired: int
    n_means: int | None = Field(default=None, exclude_if=lambda means: means is None)
    cells: list[ObservedCell]
    contrasts: list[Paired]
    trends: list[Trend]
    tolerated: list[ObservedLevel]
    unshared: list[Unshared] = Field(default=[], exclude_if=operator.not_)
    compositions: list[Composition] = Field(default=[], exclude_if=operator.not_)
    ungraded: list[Ungraded] = Field(default=[], exclude_if=operator.not_)
    denominator_matters: list[DenominatorMatters] = Field(default=[], exclude_if=operator.not_)

    def to_frame(self, table: InstantTable = "tolerated") -> "pd.DataFrame":
        """A table of the instant answer.

        ``tolerated``: the level that the answers show, one row a task type and method. ``contrasts``: two conditions on
        the same items. ``cells``: accuracy by condition, the interval cluster-robust. ``trends``: change of the log
        odds of a right answer with each halving of the density.
        """
        if table not in INSTANT_UNITS:
            raise DesignError(f"{table!r} is no table of the instant answer. There is: {', '.join(INSTANT_UNITS)}.")
        rows = (row for one in getattr(self, table) for row in one.rows())
        return frame(rows, INSTANT_UNITS[table])


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
    scale: Scale | None = UNSAID
