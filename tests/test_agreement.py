"""Where posterior and instant answer part: what is material, and what is not."""

import pytest

from tests.report_example import LEVELS, failed, level, normal, paired, threshold
from tolerance import findings
from tolerance.instant.agreement import MARGIN, disagreements
from tolerance.reports.sections import instant as instantly
from tolerance.stats.intervals import Interval

TYPE, METHOD = "retrieval", "top-k"


def band_at(report, sparsity):
    band = next(c for c in report.curves if (c.task_type, c.sparsifier) == (TYPE, METHOD)).band
    at = min(range(len(band.sparsity)), key=lambda i: abs(band.sparsity[i] - sparsity))
    return band.sparsity[at], band.lower_90[at], band.upper_90[at]


def cell(at, lower, upper, n_blocks=1):
    return findings.ObservedCell(
        task_type=TYPE,
        task=None,
        sparsifier=METHOD,
        level=at,
        sparsity=at,
        n_items=100,
        n_answers=100,
        n_blocks=n_blocks,
        accuracy=(lower + upper) / 2,
        wilson=None,
        robust=Interval(kind="robust", prob=0.9, lower=lower, upper=upper),
    )


def instant(report, **parts):
    empty = {"cells": [], "contrasts": [], "trends": [], "tolerated": []}
    return report.instant.model_copy(update=empty | parts)


@pytest.mark.parametrize(("gap", "told"), [(-0.001, False), (MARGIN - 0.001, False), (MARGIN + 0.001, True)])
def test_accuracies_disagree_where_their_intervals_lie_apart_by_more_than_the_margin(gap, told):
    report = normal()
    at, lower, _ = band_at(report, 0.8)
    found = disagreements(report, instant(report, cells=[cell(at, lower - gap - 0.05, lower - gap)]))
    assert [d.about for d in found] == ["accuracy"] * told
    if told:
        assert found[0].posterior.lower == pytest.approx(lower)
        assert found[0].instant.upper == pytest.approx(lower - gap)


def test_a_level_at_which_tasks_are_missing_is_not_compared():
    report = normal()
    at, lower, _ = band_at(report, 0.8)
    cells = [cell(at, lower - 0.3, lower - 0.2), cell(0.0, 0.9, 0.95, n_blocks=2)]
    assert disagreements(report, instant(report, cells=cells)) == []


def test_a_share_that_one_says_is_kept_and_the_other_lost_is_told_with_both_numbers():
    kept = threshold(TYPE, METHOD, level(0.912, 0.901, 0.923))
    report = normal().model_copy(update={"thresholds": [kept]})
    lost = paired(TYPE, METHOD, "dense", LEVELS[2], -0.2)
    found = disagreements(report, instant(report, contrasts=[lost]))
    assert [(d.about, d.sparsity) for d in found] == [("kept", 0.67), ("kept", 0.8), ("kept", 0.9)]
    assert found[0].posterior_probability == 1.0
    assert found[0].instant == lost.retention.interval
    agreed = paired(TYPE, METHOD, "dense", LEVELS[2], -0.02)
    assert disagreements(report, instant(report, contrasts=[agreed])) == []


def test_answers_at_a_lower_level_do_not_say_that_all_is_kept_at_a_fitted_one_beyond():
    """Realised levels differ between prompts: the mean that was observed may lie just beyond a fitted level."""
    lost = threshold(TYPE, METHOD, level(0.52, 0.51, 0.53))
    report = normal().model_copy(update={"thresholds": [lost]})
    beyond = LEVELS[2] + 0.001
    low, gone, there = (
        paired(TYPE, METHOD, "dense", at, gain) for at, gain in ((LEVELS[1], 0.03), (beyond, -0.2), (beyond, 0.03))
    )
    assert disagreements(report, instant(report, contrasts=[low, gone])) == []
    found = disagreements(report, instant(report, contrasts=[low, there]))
    assert [(d.about, d.sparsity) for d in found] == [("kept", LEVELS[2])]


def test_an_order_that_is_decided_one_way_and_observed_the_other_is_told():
    report = normal()
    observed = [
        findings.ObservedLevel(id=f"o-{t}", task_type=t, sparsifier=METHOD, reason=None, level=at)
        for t, at in (("retrieval", level(0.55, 0.52, 0.58)), ("multi-hop", level(0.9, 0.88, 0.92)))
    ]
    (found,) = disagreements(report, instant(report, tolerated=observed))
    assert (found.about, found.within, found.subject, found.other) == ("order", METHOD, "retrieval", "multi-hop")
    said = instantly.disagreement(found, report)
    assert "retrieval tolerates more than multi-hop by the posterior (posterior probability > 0.99)" in said
    assert "52% to 58% and 88% to 92%" in said


def test_a_withheld_fit_has_nothing_to_disagree_with():
    report = failed()
    assert disagreements(report, instant(report, cells=[cell(0.8, 0.01, 0.02)])) == []
