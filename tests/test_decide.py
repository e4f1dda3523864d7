"""One rule makes every verdict."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tolerance.axes.table import AXES
from tolerance.comparison.verdicts import AxisPath, Stratum, at_equal
from tolerance.estimands.contrasts import difference
from tolerance.question import Question
from tolerance.stats.decide import decide, decide_each, required, which

ASK = Question()


def draws(positive: float, n: int = 20_000) -> np.ndarray:
    """Draws of which a share is well above nothing and the rest well below."""
    return np.where(np.arange(n) < positive * n, 0.1, -0.1)


@pytest.mark.parametrize(
    ("positive", "verdict"), [(0.962, "undecided"), (0.976, "better"), (0.024, "worse"), (0.038, "undecided")]
)
def test_contrasts_and_conclusions_decide_alike(positive, verdict):
    found = draws(positive)
    sides = Stratum(AxisPath(np.zeros(1), found[:, None]), AxisPath(np.zeros(1), np.zeros((len(found), 1))))
    assert difference(found, ASK).verdict == verdict
    assert at_equal(AXES["compute"], [sides], ASK).verdict == verdict
    assert which(positive, 1 - positive, 0.0, ASK) == {"better": "first", "worse": "second"}.get(verdict, verdict)


def test_a_difference_of_nothing_is_decided_with_at_most_what_the_required_probability_leaves():
    """Posterior probabilities of a well-calibrated posterior are uniform where there is no difference."""
    rng = np.random.default_rng(0)
    narrow = Question(equivalence=1e-6)
    verdicts = [one.verdict for one in decide_each(rng.normal(rng.normal(size=4000), 1.0, (800, 4000)), narrow)]
    wrong = np.mean([verdict in ("better", "worse") for verdict in verdicts])
    assert wrong == pytest.approx(1 - ASK.decision_prob, abs=0.015)


@given(st.lists(st.floats(-0.2, 0.2), min_size=1, max_size=80).map(np.array))
def test_turning_a_difference_round_turns_its_verdict_round(found):
    turned = {"better": "worse", "worse": "better"}
    here, there = decide(found, ASK), decide(-found, ASK)
    assert there.verdict == turned.get(here.verdict, here.verdict)
    assert here.required == there.required == required(ASK)


def test_verdicts_that_are_asked_together_share_what_may_be_wrong():
    assert required(ASK, sides=1) == ASK.decision_prob
    assert required(ASK, sides=1, among=10) == pytest.approx(0.995)
    assert required(ASK) == pytest.approx(0.975)


def test_levels_that_cannot_be_told_apart_are_out_of_range():
    assert which(0.02, 0.02, 0.96, ASK) == "out of range"
    assert which(0.3, 0.3, 0.4, ASK) == "undecided"
