"""Which tolerates more: of two curves at a time, and the joint order of all task types under one method."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tolerance import findings
from tolerance.data.cells import halvings
from tolerance.data.manifest import digest
from tolerance.estimands.contrasts import Contrasted
from tolerance.estimands.curve_state import CurveState
from tolerance.estimands.thresholds import order, tolerated
from tolerance.estimands.type_curve import TypeCurve
from tolerance.question import Question
from tolerance.stats.decide import which

Floats = NDArray[np.float64]
MOST_ORDERS = 5


def comparisons(contrasted: Contrasted) -> Iterator[findings.Comparison]:
    """Task types under one method, then methods on one task type."""
    for pair in contrasted.compared():
        status, reason = pair.state
        probabilities = dict.fromkeys(("prob_first", "prob_second", "prob_neither", "verdict"))
        yield findings.Comparison(
            id=f"comparison-{digest([pair.of, pair.within, pair.first, pair.second, *contrasted.of_part])[:8]}",
            of=pair.of,
            within=pair.within,
            first=pair.first,
            second=pair.second,
            status=status,
            reason=reason,
            **(probabilities if pair.curves is None else _decided(pair.curves, contrasted.question)),
        )


def _decided(curves: tuple[TypeCurve, TypeCurve], question: Question) -> dict[str, Any]:
    found = order(*curves, question.retention, margin=question.margin)
    return {
        "prob_first": found.first,
        "prob_second": found.second,
        "prob_neither": found.neither,
        "verdict": which(found.first, found.second, found.neither, question),
    }


def orderings(states: Sequence[CurveState], question: Question) -> Iterator[findings.Ordering]:
    """One for each method under which several task types can be answered; withheld where none can."""
    for method in dict.fromkeys(one.curve.sparsifier for one in states):
        mine = [one for one in states if one.curve.sparsifier == method]
        answered = [one for one in mine if one.ok] or mine
        if len(answered) > 1:
            yield ordering(answered, question)


def ordering(states: Sequence[CurveState], question: Question) -> findings.Ordering:
    """The orders of task types under one method; levels outside the range that all measured are tied."""
    curves, status, reason = [one.curve for one in states], states[0].status, states[0].reason
    names = [curve.task_type for curve in curves]
    common = {
        "id": f"ordering-{digest([curves[0].sparsifier, names])[:8]}",
        "sparsifier": curves[0].sparsifier,
        "task_types": names,
        "status": status,
        "reason": reason,
    }
    if status != "ok":
        nothing = dict.fromkeys(("first", "last", "prob_others", "tied_most", "tied_least"))
        return findings.Ordering(**common, **nothing, orders=[], n_others=0, extremes=[])
    first, last = max(curve.first for curve in curves), min(curve.last for curve in curves)
    places = censored(np.stack([tolerated(curve, question) for curve in curves], axis=1), first, last)
    orders, n_others, prob_others = _orders(places, names)
    most, least = places == places.max(1, keepdims=True), places == places.min(1, keepdims=True)
    alone_most, alone_least = most.sum(1) == 1, least.sum(1) == 1
    return findings.Ordering(
        **common,
        first=first,
        last=last,
        orders=orders,
        n_others=n_others,
        prob_others=prob_others,
        extremes=[
            findings.Extreme(
                task_type=curve.task_type,
                most=float(np.mean(most[:, i] & alone_most)),
                least=float(np.mean(least[:, i] & alone_least)),
            )
            for i, curve in enumerate(curves)
        ],
        tied_most=float(np.mean(~alone_most)),
        tied_least=float(np.mean(~alone_least)),
    )


def censored(draws: Floats, first: float, last: float) -> Floats:
    """Tolerated halvings ``(draw, curve)`` with all below the sparsity ``first`` -inf and all beyond ``last`` inf."""
    low, high = float(halvings(np.array(first))), float(halvings(np.array(last)))
    inside = np.where(draws > high, np.inf, draws)
    return np.where(inside < low, -np.inf, inside)


def _orders(places: Floats, names: Sequence[str]) -> tuple[list[findings.Order], int, float]:
    """The most probable orders, how many others there are, and their probability."""
    ranks = np.argsort(-places, axis=1, kind="stable")
    sides = np.where(np.isposinf(places), 1, np.where(np.isneginf(places), -1, 0))
    # two of one side have no order among themselves: they stand by name, whatever their order of columns
    keys = np.concatenate([ranks, np.take_along_axis(sides, ranks, axis=1)], axis=1)
    found, counts = np.unique(keys, axis=0, return_counts=True)
    by_count = np.argsort(-counts, kind="stable")
    shown, others = by_count[:MOST_ORDERS], by_count[MOST_ORDERS:]
    n = len(names)
    orders = [
        findings.Order(ranks=_ranks(found[i, :n], found[i, n:], names), probability=float(counts[i] / len(places)))
        for i in shown
    ]
    return orders, len(others), float(counts[others].sum() / len(places))


def _ranks(order: NDArray[np.int64], sides: NDArray[np.int64], names: Sequence[str]) -> list[findings.Rank]:
    beyond, below = ([names[i] for i in order[sides == side]] for side in (1, -1))
    return [
        *([findings.Rank(place="beyond", task_types=beyond)] if beyond else []),
        *(findings.Rank(place="inside", task_types=[names[i]]) for i in order[sides == 0]),
        *([findings.Rank(place="below", task_types=below)] if below else []),
    ]
