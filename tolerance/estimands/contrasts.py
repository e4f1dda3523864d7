"""Which is better, by how much: two curves over the same tasks and configurations, compared draw by draw.

Methods on one task type, task types under one method, models under one method at equal context lengths. A contrast
never reaches beyond what either side measured.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import combinations
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from tolerance import findings
from tolerance.data.cells import SAME_LEVEL, sparsity
from tolerance.data.manifest import digest
from tolerance.estimands.curve_state import CurveState
from tolerance.estimands.curves import averaged
from tolerance.estimands.source import Source
from tolerance.estimands.type_curve import Place, TypeCurve
from tolerance.question import Question
from tolerance.stats.decide import decide_each
from tolerance.stats.intervals import summarise_each

Floats = NDArray[np.float64]
# Up to so many are compared each with each; of more, every one with that of the largest area under its curve.
ALL_PAIRS = 12
Of = Literal["methods", "task types", "models"]


@dataclass(frozen=True)
class CurvePair:
    """Two curves that answer one question, and what both share."""

    of: Of
    within: str
    first: str
    second: str
    curves: tuple[TypeCurve, TypeCurve] | None
    states: tuple[CurveState, CurveState]

    @property
    def state(self) -> tuple[findings.Status, findings.Reason | None]:
        """Whether both can be answered, and over something in common."""
        if not findings.comparable(*(one.unit for one in self.states)):
            return "unanswerable", "levels of different units"
        worse = next((one for one in self.states if not one.ok), self.states[0])
        if worse.ok and self.curves is None:
            return "unanswerable", "no task and configuration in common"
        return worse.status, worse.reason


@dataclass(frozen=True)
class Contrasted:
    """Contrasts of a fit: curves by task type and method with their states, and the source of further averages.

    ``part`` names the model or context length that all curves are of, where they do not average over all.
    """

    source: Source
    states: Sequence[CurveState]
    question: Question
    part: str = ""
    _made: dict[tuple[str, tuple[Place, ...]], TypeCurve] = field(default_factory=dict)
    _areas: dict[tuple[int, float], Floats] = field(default_factory=dict)
    _levels_of: dict[tuple[str, tuple[Place, ...]], Floats] = field(default_factory=dict)

    @property
    def of_part(self) -> list[str]:
        """The model or context length that all curves are of, if it is one of several."""
        return [self.part] if self.part else []

    def pairs(self) -> Iterator[tuple[int, int, findings.Compared]]:
        """Which curves are compared: task types under one method, then methods on one task type, by index."""
        for _, mine in self._groups("sparsifier"):
            yield from ((a, b, "task types") for a, b in self.chosen(mine))
        for _, mine in self._groups("task_type"):
            yield from ((a, b, "methods") for a, b in self.chosen(mine))

    def chosen(self, members: Sequence[int]) -> Iterator[tuple[int, int]]:
        """Each two of a group; in a large group, each with the one of the largest area."""
        if len(members) <= ALL_PAIRS:
            yield from combinations(members, 2)
            return
        best = max(members, key=lambda i: self.areas[i])
        yield from ((min(i, best), max(i, best)) for i in members if i != best)

    @cached_property
    def areas(self) -> Floats:
        """Posterior mean of each curve's mean retention, up to its own last level; -1 where there is none."""
        curves = [one.curve if one.ok else None for one in self.states]
        return np.array([-1.0 if curve is None else float(curve.area(curve.last).mean()) for curve in curves])

    def matched(self, a: TypeCurve, b: TypeCurve, of: Of) -> tuple[TypeCurve, TypeCurve] | None:
        """Both curves over what they have in common: tasks and configurations, or configurations alone."""

        def common(place: Place) -> object:
            return place[1] if of == "task types" else place

        both = {common(place) for place in a.places} & {common(place) for place in b.places}
        if not both:
            return None
        first, second = (self._over(c, [place for place in c.places if common(place) in both]) for c in (a, b))
        return first, second

    def _over(self, curve: TypeCurve, places: Sequence[Place]) -> TypeCurve:
        if len(places) == len(curve.places):
            return curve
        key = curve.sparsifier, tuple(places)
        if key not in self._made:
            method = self.source.fit.cells.sparsifiers.index(curve.sparsifier)
            self._made[key] = averaged(self.source, method, places)
        return self._made[key]

    def _groups(self, by: str) -> Iterator[tuple[str, list[int]]]:
        groups: dict[str, list[int]] = {}
        for i, one in enumerate(self.states):
            groups.setdefault(getattr(one.curve, by), []).append(i)
        yield from groups.items()

    def compared(self) -> Iterator[CurvePair]:
        """Task types under one method, then methods on one task type, over what both have in common."""
        for a, b, of in self.pairs():
            sides = self.states[a], self.states[b]
            first, second = (side.curve for side in sides)
            within, names = (
                (first.sparsifier, (first.task_type, second.task_type))
                if of == "task types"
                else (first.task_type, (first.sparsifier, second.sparsifier))
            )
            one_axis = findings.comparable(*(side.unit for side in sides))
            curves = self.matched(first, second, of) if one_axis and all(side.ok for side in sides) else None
            yield CurvePair(of, within, *names, curves, sides)

    def contrasts(self) -> Iterator[findings.Contrast]:
        """Every contrast: task types, methods, models."""
        yield from (self._finding(pair) for pair in self.compared())
        for one in self.states:
            yield from (self._finding(pair) for pair in self._models(one))

    def _models(self, state: CurveState) -> Iterator[CurvePair]:
        """Models under one method on one task type, over the tasks and context lengths that both have."""
        curve = state.curve
        configs = self.source.fit.cells.configs
        models = sorted({configs[config][0] for _, config in curve.places})
        pairs = combinations(models, 2) if len(models) <= ALL_PAIRS else ((models[0], model) for model in models[1:])
        for first, second in pairs:
            sides = [
                {(t, configs[c][1]): (t, c) for t, c in curve.places if configs[c][0] == m} for m in (first, second)
            ]
            # models that answered different items of a task are not compared on it
            unlike, tasks = self.source.fit.cells.unlike, self.source.fit.cells.tasks
            both = [key for key in sides[0] if key in sides[1] and (tasks[key[0]], key[1]) not in unlike]
            curves = None
            if state.ok and both:
                one, other = (self._over(curve, [side[key] for key in both]) for side in sides)
                curves = one, other
            within = f"{curve.task_type} under {curve.sparsifier}"
            yield CurvePair("models", within, first, second, curves, (state, state))

    def _finding(self, pair: CurvePair) -> findings.Contrast:
        status, reason = pair.state
        whole, levels, upto, n_tasks = None, [], None, 0
        if status == "ok" and pair.curves is not None:
            a, b = pair.curves
            upto = min(a.last, b.last)
            at = list(self._levels(a, b))
            accuracy = [c.accuracies_at(at) for c in (a, b)]
            kept = [(p - c.floor[:, None]) / c.above[:, None] for p, c in zip(accuracy, (a, b), strict=True)]
            areas = self._area(a, upto) - self._area(b, upto)
            gaps = np.column_stack([areas, accuracy[0] - accuracy[1], kept[0] - kept[1]])
            whole, *others = differences(gaps, self.question)
            pairs = zip(at, others[: len(at)], others[len(at) :], strict=True)
            levels = [findings.LevelContrast(sparsity=s, accuracy=p, retention=r) for s, p, r in pairs]
            n_tasks = len({*a.tasks, *b.tasks})
        return findings.Contrast(
            id=f"contrast-{digest([pair.of, pair.within, pair.first, pair.second, *self.of_part])[:8]}",
            of=pair.of,
            within=pair.within,
            first=pair.first,
            second=pair.second,
            status=status,
            reason=reason,
            n_tasks=n_tasks,
            upto=upto,
            whole=whole,
            levels=levels,
        )

    def _levels(self, a: TypeCurve, b: TypeCurve) -> Iterable[float]:
        return common_levels(self._measured(a), self._measured(b), min(a.last, b.last))

    def _measured(self, curve: TypeCurve) -> Floats:
        """Halvings of each level that was asked for, as realised on average."""
        key = curve.sparsifier, curve.places
        if key not in self._levels_of:
            cells, source = self.source.fit.cells, self.source
            method = cells.sparsifiers.index(curve.sparsifier)
            mine = np.concatenate([source.measured[method, task, config] for task, config in curve.places])
            asked = source.asked[mine]
            means = [cells.halvings[mine[asked == level]].mean() for level in np.unique(asked)]
            self._levels_of[key] = np.array(means)
        return self._levels_of[key]

    def _area(self, curve: TypeCurve, upto: float) -> Floats:
        """Mean retention, made once: one curve is part of many contrasts, and lives as long as they do."""
        key = id(curve), upto
        if key not in self._areas:
            self._areas[key] = curve.area(upto)
        return self._areas[key]


def common_levels(a: Floats, b: Floats, last: float) -> list[float]:
    """Sparsities that both sides measured, up to ``last``: halvings ``(level,)`` that nearly agree, averaged."""
    found = []
    for one in a:
        nearest = float(b[np.abs(b - one).argmin()])
        if abs(nearest - one) < SAME_LEVEL and abs(a[np.abs(a - nearest).argmin()] - one) < 1e-12:
            found.append(min(float(sparsity(np.array((one + nearest) / 2))), last))
    return found


def difference(draws: Floats, question: Question) -> findings.Difference:
    """First minus second, from draws ``(draw,)``, with its verdict."""
    return differences(draws[:, None], question)[0]


def differences(draws: Floats, question: Question) -> list[findings.Difference]:
    """First minus second of several quantities, from draws ``(draw, quantity)``, each with its verdict."""
    estimates = summarise_each(draws, question.interval_prob)
    return [
        findings.Difference(
            estimate=estimate,
            prob_positive=one.prob_positive,
            prob_equivalent=one.prob_equivalent,
            verdict=one.verdict,
        )
        for estimate, one in zip(estimates, decide_each(draws, question), strict=True)
    ]
