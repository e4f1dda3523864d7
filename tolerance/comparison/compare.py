"""Two sides compared at equal everything: strata that share what can be shared, one axis after the other.

What moves along an axis depends on the sides. Where both leave the level open, levels do (a method against another at
equal KV memory); where levels are fixed, model sizes do (a sparse large model against a dense small one at equal
compute); along the context length, contexts do. All else that both sides have is matched, and each stratum has one mix
of tasks, the same on both sides and everywhere on the axis, so that no regression has to tell size from compute.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import product
from pathlib import Path as File
from typing import Literal, NamedTuple, Protocol

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri

from tolerance import findings
from tolerance.analysis.saved import read_report
from tolerance.axes.model_shape import Shapes
from tolerance.axes.table import AXES, SAME, Accounted, Axis, Mover
from tolerance.comparison.arms import ARM, Arm, Side, arms, factor, keyed, rows
from tolerance.comparison.verdicts import Held, Path, Stratum, at_equal, joint, label
from tolerance.data.cells import SAME_LEVEL
from tolerance.data.manifest import digest
from tolerance.data.outcomes import DENSE
from tolerance.data.published import assume_items, is_aggregate
from tolerance.errors import DesignError
from tolerance.estimands.accuracy import dense_accuracy
from tolerance.estimands.curves import averaged
from tolerance.estimands.source import Source
from tolerance.estimands.type_curve import TypeCurve
from tolerance.inference.saved import Fit, read_fit
from tolerance.model.curve import LEAST_ABOVE_FLOOR
from tolerance.question import Question
from tolerance.stats import gee
from tolerance.stats.decide import required
from tolerance.stats.intervals import Interval, summarise

Floats = NDArray[np.float64]
ALL_TYPES = "all task types"
# Points of a path over levels, between the lowest and the highest that was measured.
FINE = 33
# Beyond so many strata of unlike models nobody could say what was matched.
MOST_STRATA = 200


class Posterior(Protocol):
    """Draws of accuracy that belong together: row by row one state of the world."""

    def accuracy(self, arm: Arm, task: str, sparsities: Sequence[float]) -> Floats:
        """Accuracy on a task under an arm's method at some sparsities ``(draw, sparsity)``."""
        ...

    def dense(self, arm: Arm, task: str) -> Floats | None:
        """Dense accuracy of an arm's model at its context ``(draw,)``; None where it was not measured."""
        ...

    def floor(self, task: str) -> Floats:
        """Guessing floor of a task ``(draw,)``."""
        ...


@dataclass(frozen=True)
class Fitted:
    """The posterior of a hierarchical fit."""

    fit: Fit
    _curves: dict[tuple[str, str, int, str], TypeCurve] = field(default_factory=dict)

    @cached_property
    def source(self) -> Source:
        """Thinned draws, looked up once."""
        return Source(self.fit)

    def accuracy(self, arm: Arm, task: str, sparsities: Sequence[float]) -> Floats:
        """See `Posterior`."""
        cells, (of_task, config) = self.fit.cells, self._place(arm, task)
        if arm.sparsifier == DENSE:
            return np.repeat(dense_accuracy(self.source, of_task, config)[:, None], len(sparsities), axis=1)
        key = arm.sparsifier, arm.model, arm.context, task
        if key not in self._curves:
            self._curves[key] = averaged(self.source, cells.sparsifiers.index(arm.sparsifier), [(of_task, config)])
        return self._curves[key].accuracies_at(sparsities)

    def dense(self, arm: Arm, task: str) -> Floats | None:
        """See `Posterior`."""
        place = self._place(arm, task)
        return dense_accuracy(self.source, *place) if place in self.source.with_dense else None

    def floor(self, task: str) -> Floats:
        """See `Posterior`."""
        return np.asarray(self.source.draws.floor[:, self.fit.cells.tasks.index(task)])

    def _place(self, arm: Arm, task: str) -> tuple[int, int]:
        cells = self.fit.cells
        return cells.tasks.index(task), cells.configs.index((arm.model, arm.context))


@dataclass(frozen=True)
class Rules:
    """What is asked, set before looking: margins, quantity, axes, and what estimates of cost may use."""

    question: Question = field(default_factory=Question)
    quantity: findings.Quantity = "accuracy"
    axes: tuple[Axis, ...] = field(default_factory=lambda: tuple(AXES.values()))
    shapes: Shapes = field(default_factory=dict)
    seed: int = 0


def compare(
    outcomes: pd.DataFrame,
    posterior: Posterior | None,
    treatment: Side,
    reference: Side,
    rules: Rules | None = None,
) -> findings.Conclusions:
    """Every conclusion about two sides, by task type and over all of them; without a posterior all are withheld.

    Where one side leaves its level open and the other does not, each level of the open one is a treatment of its own.

    Raises:
        DesignError: a side has no answers, both share answers, or they have no task in common.
    """
    rules = rules or Rules()
    made = []
    for one, other in _expanded(outcomes, treatment, reference):
        sides = _Sides.of(outcomes, one, other)
        made += [_concluded(sides, kind, posterior, rules) for kind in sides.kinds]
    flips = [flip for _, flip in made if flip is not None]
    return findings.Conclusions(
        treatment=treatment.name,
        reference=reference.name,
        equivalence=rules.question.equivalence,
        decision_prob=rules.question.decision_prob,
        direction_prob=required(rules.question),
        interval_prob=rules.question.interval_prob,
        fit_passed=posterior is not None,
        conclusions=[conclusion for conclusion, _ in made],
        n_flagged=len(flips),
        prob_all_flips=joint(flips),
    )


def compare_saved(
    outcomes: pd.DataFrame, folder: File, pairs: Sequence[tuple[Side, Side]], rules: Rules | None = None
) -> list[findings.Conclusions]:
    """`compare` each two sides from the analysis that `analysis.analyse` left in a folder, under its question.

    Raises:
        StoreError: no analysis there, or one of other outcomes.
        DesignError: see `compare`.
    """
    report = read_report(folder)
    question = Question(
        retention=report.retention,
        interval_prob=report.interval_prob,
        decision_prob=report.decision_prob,
        margin=report.margin,
        equivalence=(rules or Rules()).question.equivalence,
    )
    if report.data.assumed_items is not None:
        outcomes = assume_items(outcomes, report.data.assumed_items)
    fitted = Fitted(read_fit(outcomes, folder)) if report.fit_passed else None
    rules = replace(rules or Rules(), question=question)
    found = [compare(outcomes, fitted, treatment, reference, rules) for treatment, reference in pairs]
    return [one.model_copy(update={"provenance": report.provenance}) for one in found]


def _expanded(outcomes: pd.DataFrame, a: Side, b: Side) -> Iterator[tuple[Side, Side]]:
    """One side of open level against one of fixed level (dense is) becomes a comparison for each level."""
    open_a, open_b = _is_open(a), _is_open(b)
    if open_a == open_b:
        yield a, b
        return
    side = a if open_a else b
    for at in sorted({arm.requested for arm in arms(rows(outcomes, side))}):
        fixed = replace(side, level=at)
        yield (fixed, b) if open_a else (a, fixed)


def _is_open(side: Side) -> bool:
    return side.sparsifier != DENSE and side.level is None


_Place = tuple[str, int, str, float, str]


def _place(model: object, context: object, sparsifier: object, requested: object, task: object) -> _Place:
    """Model, context, method, level and task as they are written everywhere."""
    return str(model), int(str(context)), str(sparsifier), float(str(requested)), str(task)


class _Answers(NamedTuple):
    """Scores and codes of items ``(answer,)``, and positions by arm and task."""

    score: Floats
    item: NDArray[np.int64]
    places: dict[_Place, NDArray[np.int64]]


@dataclass(frozen=True)
class _Sides:
    """Rows and arms of both sides."""

    sides: tuple[Side, Side]
    rows: tuple[pd.DataFrame, pd.DataFrame]
    arms: tuple[list[Arm], list[Arm]]
    factor: list[str]

    @classmethod
    def of(cls, outcomes: pd.DataFrame, a: Side, b: Side) -> "_Sides":
        mine, theirs = rows(outcomes, a), rows(outcomes, b)
        of_a, of_b = arms(mine), arms(theirs)
        found = cls((a, b), (mine, theirs), (of_a, of_b), factor(a, b, of_a, of_b))
        if not found.types:
            raise DesignError(f"{a.name} and {b.name} answered no task in common, so nothing can be matched.")
        return found

    @cached_property
    def both(self) -> pd.DataFrame:
        """Rows of both sides, with the columns of an arm."""
        return keyed(pd.concat(self.rows))

    @cached_property
    def answers(self) -> "_Answers":
        """Scores and items, and where the answers of each arm to each task are."""
        found = self.both.groupby([*ARM, "task"]).indices
        places = {_place(*key): np.asarray(at) for key, at in found.items()}  # type: ignore[misc]
        item = pd.factorize(self.both["task"].astype(str) + "\0" + self.both["item_id"].astype(str))[0]
        return _Answers(self.both["score"].to_numpy(dtype=np.float64), item.astype(np.int64), places)

    @cached_property
    def types(self) -> dict[str, str]:
        """Task type of each task that both sides answered."""
        common = set(self.rows[0]["task"]) & set(self.rows[1]["task"])
        kinds = self.both.groupby("task")["task_type"].first()
        return {str(task): str(kinds[task]) for task in sorted(common)}

    @property
    def kinds(self) -> list[str]:
        """Task types, and all of them where there are several."""
        kinds = sorted(set(self.types.values()))
        return [*kinds, ALL_TYPES] if len(kinds) > 1 else kinds

    def tasks(self, kind: str) -> list[str]:
        """Tasks of a type, or of all."""
        return [task for task, its in self.types.items() if kind in (its, ALL_TYPES)]

    @property
    def open(self) -> bool:
        """Whether levels may move."""
        return all(_is_open(side) for side in self.sides)

    @cached_property
    def one_unit(self) -> bool:
        """Whether the fractions of both sides are fractions of the same."""
        units = [set(part.loc[part["sparsifier"] != DENSE, "unit"].fillna("not stated")) for part in self.rows]
        return not units[0] or not units[1] or units[0] == units[1]

    def naive(self, kind: str) -> float:
        """Mean of all answers of one side less that of the other, as they came."""
        tasks = self.tasks(kind)
        means = [_mean_score(part[part["task"].isin(tasks)]) for part in self.rows]
        return means[0] - means[1]


def _mean_score(part: pd.DataFrame) -> float:
    weights = part["n_items"].astype("float64") if is_aggregate(part) else None
    return float(np.average(part["score"], weights=weights))


# Model, context and level of a stratum; what moves is None.
_Key = tuple[str | None, int | None, float | None]


class _Group(NamedTuple):
    """Arms of both sides that make up a stratum, and the tasks that all of them answered."""

    treatment: list[Arm]
    reference: list[Arm]
    tasks: list[str]


class _UnanswerableError(Exception):
    """Why no number can be given."""


def _concluded(
    sides: _Sides, kind: str, posterior: Posterior | None, rules: Rules
) -> tuple[findings.Conclusion, NDArray[np.bool_] | None]:
    found = [_one_axis(sides, kind, axis, posterior, rules) for axis in rules.axes]
    said, flip = label([held for held, _ in found], rules.question)
    said = "withheld" if posterior is None else said
    a, b = sides.sides
    conclusion = findings.Conclusion(
        id=f"conclusion-{digest([a.name, b.name, kind, rules.quantity])[:8]}",
        treatment=a.name,
        reference=b.name,
        factor=sides.factor,
        task_type=kind,
        tasks=sides.tasks(kind),
        quantity=rules.quantity,
        axes=[finding for _, finding in found],
        label=said,
        prob_flip=None if flip is None else float(np.mean(flip)),
        naive=sides.naive(kind) if posterior is not None else None,
    )
    return conclusion, flip if said == "axis-dependent" else None


def _one_axis(
    sides: _Sides, kind: str, axis: Axis, posterior: Posterior | None, rules: Rules
) -> tuple[Held, findings.AtEqual]:
    accounted = axis.account(sides.both, rules.shapes)
    check = None
    if posterior is None:
        held = Held("withheld", "fit failed its checks")
    elif accounted.values is None:
        held = Held("unavailable", accounted.reason)
    else:
        built = _Built(sides, kind, axis, accounted, posterior, rules.quantity)
        seed = int(digest([rules.seed, kind, *(side.name for side in sides.sides)])[:8], 16)
        try:
            groups, strata = built.strata()
            held = at_equal(axis, strata, rules.question, seed=seed)
            if held.draws is not None and rules.quantity == "accuracy":
                check = _check(sides, built, groups, held, rules.question)
        except _UnanswerableError as reason:
            held = Held("unanswerable", str(reason))
    return held, _finding(axis, accounted, held, check, rules.question)


@dataclass(frozen=True)
class _Built:
    """Strata of one axis and task type."""

    sides: _Sides
    kind: str
    axis: Axis
    accounted: Accounted
    posterior: Posterior
    quantity: findings.Quantity

    def strata(self) -> tuple[list[_Group], list[Stratum]]:
        """Along what moves first of all that may; what does not move along an axis makes place for the next."""
        movers: list[Mover | None] = [one for one in self.axis.moved_by if one != "level" or self.sides.open]
        for mover in [*movers, None]:
            groups = self._groups(mover)
            strata = [self._stratum(group, mover) for group in groups]
            if mover != "level" or None not in strata:
                return groups, [stratum for stratum in strata if stratum is not None]
        raise AssertionError

    def _groups(self, mover: Mover | None) -> list[_Group]:
        """Arms grouped by all that does not move; what both sides have is matched, the rest is crossed."""
        if self.sides.open and mover != "level" and not self.sides.one_unit:
            raise _UnanswerableError("levels are fractions of different things: name one level for each side")
        a: dict[_Key, list[Arm]] = {}
        b: dict[_Key, list[Arm]] = {}
        for found, mine in zip((a, b), self.sides.arms, strict=True):
            for arm in mine:
                found.setdefault(self._key(arm, mover), []).append(arm)
        pairs = [(one, other) for one, other in product(a, b) if self._alike(one, other)]
        wanted = self.sides.tasks(self.kind)
        groups = []
        for one, other in pairs:
            common = frozenset.intersection(*(arm.tasks for arm in (*a[one], *b[other])))
            if tasks := [task for task in wanted if task in common]:
                groups.append(_Group(a[one], b[other], tasks))
        if not groups:
            raise _UnanswerableError("no task, context and model or level in common")
        if len(groups) > MOST_STRATA:
            raise _UnanswerableError(f"{len(groups)} strata of unlike models: name fewer on each side")
        return groups

    def _key(self, arm: Arm, mover: Mover | None) -> _Key:
        return (
            None if mover == "model" else arm.model,
            None if mover == "context" else arm.context,
            arm.requested if self.sides.open and mover != "level" else None,
        )

    def _alike(self, a: _Key, b: _Key) -> bool:
        models, contexts = self._shared
        if a[0] is not None and models and a[0] != b[0]:
            return False
        if a[1] is not None and contexts and a[1] != b[1]:
            return False
        if a[2] is None or b[2] is None:
            return True
        return abs(float(np.log2((1 - a[2]) / (1 - b[2])))) < SAME_LEVEL

    @cached_property
    def _shared(self) -> tuple[bool, bool]:
        """Whether the sides have models, and contexts, in common."""
        a, b = self.sides.arms
        return (
            bool({arm.model for arm in a} & {arm.model for arm in b}),
            bool({arm.context for arm in a} & {arm.context for arm in b}),
        )

    def _stratum(self, group: _Group, mover: Mover | None) -> Stratum | None:
        a, b = (self._path(mine, group.tasks, mover) for mine in (group.treatment, group.reference))
        return None if a is None or b is None else Stratum(a, b)

    def _path(self, mine: list[Arm], tasks: list[str], mover: Mover | None) -> Path | None:
        if mover == "level":
            return self._over_levels(mine, tasks)
        x = np.array([self.at(arm, tasks) for arm in mine])
        draws = np.column_stack([self._quantity(arm, tasks, [arm.level])[:, 0] for arm in mine])
        return _merged(x, draws)

    def _over_levels(self, mine: list[Arm], tasks: list[str]) -> Path | None:
        """Along the fitted curve; none where levels do not move along this axis, or not one way."""
        mine = sorted(mine, key=lambda arm: arm.level)
        x = np.array([self.at(arm, tasks) for arm in mine])
        halved = np.array([arm.halvings for arm in mine])
        steps = np.diff(x)
        if len(mine) > 1 and not (np.all(steps > SAME) or np.all(steps < -SAME)):
            return None
        fine = np.union1d(np.linspace(halved[0], halved[-1], FINE), halved)
        along = np.interp(fine, halved, x)
        order = np.argsort(along, kind="stable")
        draws = self._quantity(mine[0], tasks, (1 - 2.0 ** -fine[order]).tolist())
        return Path(along[order], draws, "curve", np.flatnonzero(np.isin(fine[order], halved)))

    def at(self, arm: Arm, tasks: list[str]) -> float:
        """Where an arm lies on the axis: the mean over its task mix, on the scale of the axis."""
        values = [self._means[arm.model, arm.context, arm.sparsifier, arm.requested, task] for task in tasks]
        return float(self.axis.forward(np.array(np.average(values, weights=self.weights(tasks)))))

    @cached_property
    def _means(self) -> dict[_Place, float]:
        assert self.accounted.values is not None
        names = [*ARM, "task"]
        table = self.sides.both[names].assign(value=self.accounted.values.to_numpy())
        means = table.groupby(names, as_index=False)["value"].mean()
        return {_place(*key): float(value) for *key, value in means.itertuples(index=False)}

    def weights(self, tasks: list[str]) -> Floats:
        """Of tasks: each type counts alike, and each task in it ``(task,)``."""
        kinds = [self.sides.types[task] for task in tasks]
        each = np.array([1 / kinds.count(kind) for kind in kinds])
        return np.asarray(each / each.sum())

    def _quantity(self, arm: Arm, tasks: list[str], sparsities: Sequence[float]) -> Floats:
        """Accuracy, or the share of dense accuracy above the floor, over the task mix ``(draw, sparsity)``."""
        weights = self.weights(tasks)
        parts = zip(tasks, weights, strict=True)
        accuracy = np.sum([w * self.posterior.accuracy(arm, task, sparsities) for task, w in parts], axis=0)
        if self.quantity == "accuracy":
            return np.asarray(accuracy)
        dense = [self.posterior.dense(arm, task) for task in tasks]
        if any(one is None for one in dense):
            raise _UnanswerableError("no dense baseline")
        floor = np.sum([w * self.posterior.floor(task) for task, w in zip(tasks, weights, strict=True)], axis=0)
        whole = np.sum([w * one for one, w in zip(dense, weights, strict=True) if one is not None], axis=0)
        if np.mean(whole - floor < LEAST_ABOVE_FLOOR) > 0.05:
            raise _UnanswerableError("dense accuracy is at the guessing floor")
        return np.asarray((accuracy - floor[:, None]) / np.maximum(whole - floor, 1e-9)[:, None])


def _merged(x: Floats, draws: Floats) -> Path:
    """Points in ascending order; those at one value of the axis become their mean."""
    order = np.argsort(x, kind="stable")
    x, draws = x[order], draws[:, order]
    group = np.r_[0, np.cumsum(np.diff(x) > SAME)]
    return Path(
        np.array([x[group == g].mean() for g in np.unique(group)]),
        np.column_stack([draws[:, group == g].mean(axis=1) for g in np.unique(group)]),
    )


def _check(sides: _Sides, built: _Built, groups: list[_Group], held: Held, question: Question) -> findings.CrossCheck:
    """GEE on the answers of arms that lie at one value of the axis."""
    if held.interpolated:
        return _no_check("the sides were not measured at equal values of this axis")
    if is_aggregate(sides.both):
        return _no_check("published means have no items")
    answers = sides.answers
    found_rows: list[NDArray[np.int64]] = []
    side: list[Floats] = []
    block: list[NDArray[np.int64]] = []
    for group in groups:
        for a, b in product(group.treatment, group.reference):
            if abs(built.at(a, group.tasks) - built.at(b, group.tasks)) > SAME:
                continue
            for task in group.tasks:
                for arm, covariate in ((a, 1.0), (b, 0.0)):
                    mine = answers.places[arm.model, arm.context, arm.sparsifier, arm.requested, task]
                    found_rows.append(mine)
                    side.append(np.full(len(mine), covariate))
                    block.append(np.full(len(mine), len(block) // 2))
    chosen = np.concatenate(found_rows)
    found = gee.slope(answers.score[chosen], np.concatenate(side), np.concatenate(block), answers.item[chosen])
    if not isinstance(found, gee.Slope):
        return _no_check(found, len(chosen))
    half = float(ndtri((1 + question.interval_prob) / 2)) * found.se
    interval = Interval(kind="robust", prob=question.interval_prob, lower=found.slope - half, upper=found.slope + half)
    p = float(2 * ndtr(-abs(found.slope) / found.se))
    return findings.CrossCheck(
        slope=findings.Measured(value=found.slope, interval=interval),
        p=p,
        n_answers=len(chosen),
        reason=None,
        disagreement=_disagreement(held.verdict, found.slope, p, question),
    )


def _no_check(reason: str, n: int = 0) -> findings.CrossCheck:
    return findings.CrossCheck(slope=None, p=None, n_answers=n, reason=reason, disagreement=None)


_Disagreement = Literal["opposite directions", "the posterior alone decides", "GEE alone decides"]


def _disagreement(verdict: str, slope: float, p: float, question: Question) -> _Disagreement | None:
    """Directions that are opposite, or one that only one of the two sees; the test is two-sided at the same level."""
    sure = p <= 1 - question.decision_prob
    if verdict in ("better", "worse"):
        right = (slope > 0) == (verdict == "better")
        if sure:
            return None if right else "opposite directions"
        return "the posterior alone decides"
    return "GEE alone decides" if sure and verdict == "undecided" else None


def _finding(
    axis: Axis, accounted: Accounted, held: Held, check: findings.CrossCheck | None, question: Question
) -> findings.AtEqual:
    draws = held.draws
    return findings.AtEqual(
        axis=axis.name,
        unit=axis.unit,
        accounting=accounted.accounting,
        source=accounted.source,
        verdict=held.verdict,
        reason=held.reason,
        low=held.low,
        high=held.high,
        n_strata=held.n_strata,
        n_outside=held.n_outside,
        interpolated=held.interpolated,
        difference=None if draws is None else summarise(draws, question.interval_prob),
        prob_positive=None if held.decision is None else held.decision.prob_positive,
        prob_equivalent=None if held.decision is None else held.decision.prob_equivalent,
        along=held.along,
        crossover=held.crossover,
        check=check,
    )
