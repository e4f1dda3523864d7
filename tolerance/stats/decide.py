"""The one rule by which draws become a verdict. Whatever says better, worse, first, holds or fails asks here.

A direction can be wrong in two ways. So that a difference of nothing is called decided with at most the probability
that `Question.decision_prob` leaves, both wrong directions together, better and worse need half of what it leaves each:
0.975 where 0.95 is required. Equivalence, and a claim that names its direction, can be wrong in one way and need 0.95.
Several verdicts that are asked at once share what may be wrong (Bonferroni).
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from tolerance.question import Question
from tolerance.stats.intervals import probability_positive

Floats = NDArray[np.float64]
Verdict = Literal["better", "worse", "equivalent", "undecided"]
Which = Literal["first", "second", "out of range", "undecided"]


def required(question: Question, *, sides: Literal[1, 2] = 2, among: int = 1) -> float:
    """Posterior probability that a verdict needs which can be wrong in so many ways, one ``among`` so many."""
    return 1 - (1 - question.decision_prob) / (sides * among)


@dataclass(frozen=True)
class Decision:
    """A verdict with the probabilities that it was read from, and the one that a direction needed."""

    verdict: Verdict
    prob_positive: float
    prob_equivalent: float
    required: float


def decide(draws: Floats, question: Question) -> Decision:
    """Whether a difference is positive (better), negative (worse), equivalent to nothing, or none of these.

    draws: of the difference ``(draw,)``. Equivalent: within plus and minus `Question.equivalence`.
    """
    return decide_each(draws[:, None], question)[0]


def decide_each(draws: Floats, question: Question) -> list[Decision]:
    """`decide` for several quantities ``(draw, quantity)``, each on its own."""
    positive = probability_positive(draws).tolist()
    equivalent = np.mean(np.abs(draws) < question.equivalence, axis=0).tolist()
    return [_decision(p, e, question) for p, e in zip(positive, equivalent, strict=True)]


def _decision(positive: float, equivalent: float, question: Question) -> Decision:
    needed = required(question)
    verdict: Verdict = "undecided"
    if equivalent >= required(question, sides=1):
        verdict = "equivalent"
    elif positive >= needed:
        verdict = "better"
    elif 1 - positive >= needed:
        verdict = "worse"
    return Decision(verdict, positive, equivalent, needed)


def which(first: float, second: float, neither: float, question: Question) -> Which:
    """Which of two is higher, from the posterior probabilities that one is, the other is, or that it cannot be seen."""
    needed = required(question)
    if first >= needed:
        return "first"
    if second >= needed:
        return "second"
    return "out of range" if neither >= required(question, sides=1) else "undecided"
