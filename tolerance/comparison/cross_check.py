"""The same contrast by estimating equations, where both arms were measured at equal values of the axis."""

from itertools import product
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri

from tolerance import findings
from tolerance.axes.table import SAME
from tolerance.comparison.both_arms import BothArms
from tolerance.comparison.posterior import Floats
from tolerance.comparison.strata import Group, Strata
from tolerance.comparison.verdicts import Held
from tolerance.data.published import is_aggregate
from tolerance.data.weights import is_collapsed
from tolerance.question import Question
from tolerance.stats import gee
from tolerance.stats.intervals import Interval


def cross_check(
    arms: BothArms, built: Strata, groups: list[Group], held: Held, question: Question
) -> findings.CrossCheck:
    """GEE on the answers of conditions that lie at one value of the axis."""
    if held.interpolated:
        return _no_check("the arms were not measured at equal values of this axis")
    if is_aggregate(arms.both):
        return _no_check("published means have no items")
    if is_collapsed(arms.both):
        return _no_check("of so large a run no single answers are kept")
    answers = arms.answers
    found_rows: list[NDArray[np.int64]] = []
    arm: list[Floats] = []
    block: list[NDArray[np.int64]] = []
    for group in groups:
        for a, b in product(group.treatment, group.reference):
            if abs(built.at(a, group.tasks) - built.at(b, group.tasks)) > SAME:
                continue
            for task in group.tasks:
                for condition, covariate in ((a, 1.0), (b, 0.0)):
                    mine = answers.places[
                        condition.model, condition.context, condition.sparsifier, condition.requested, task
                    ]
                    found_rows.append(mine)
                    arm.append(np.full(len(mine), covariate))
                    block.append(np.full(len(mine), len(block) // 2))
    chosen = np.concatenate(found_rows)
    found = gee.slope(answers.score[chosen], np.concatenate(arm), np.concatenate(block), answers.item[chosen])
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
