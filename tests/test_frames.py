"""Findings as data frames and on one screen: the same numbers, and none that is withheld."""

import math
import re

import pandas as pd
import pytest

from tests import report_example
from tests.simulated import outcomes
from tolerance.data.outcomes import validate
from tolerance.errors import DesignError
from tolerance.instant.answer import instant_answer

TABLES = ("thresholds", "curves", "observed", "contrasts", "comparisons", "conclusions")
SCREENS = {
    name: getattr(report_example, name)
    for name in ("normal", "censored", "failed", "without_dense", "at_floor", "many_methods", "by_axis", "conclusions")
} | {f"audit {i}": lambda i=i: report_example.audits()[i] for i in range(len(report_example.audits()))}


@pytest.fixture(scope="module")
def instant():
    return instant_answer(validate(outcomes(n_items=12, levels=(0.5, 0.9))))


def test_thresholds_are_a_row_each_with_the_numbers_of_the_findings():
    report = report_example.normal()
    frame = report.to_frame("thresholds")
    assert list(frame["id"]) == [one.id for one in report.thresholds]
    for row, one in zip(frame.itertuples(), report.thresholds, strict=True):
        assert (row.level, row.level_prob) == (one.level.median, one.level.prob)
        assert (row.dense, row.dense_lower) == (one.dense.value, one.dense.interval.lower)
        assert row.level_lower == one.level.lower or (math.isnan(row.level_lower) and one.level.lower is None)
    assert frame.attrs["units"]["level_upper"] == "fraction removed, of `unit`; in `level_unit` where there is one"


def test_an_end_outside_the_measured_range_is_null_and_says_on_which_side():
    frame = report_example.censored().to_frame()
    for row, one in zip(frame.itertuples(), report_example.censored().thresholds, strict=True):
        assert row.censored == one.level.censored
        assert (one.level.median is None) == pd.isna(row.level)


def test_curves_are_a_row_each_point_of_their_bands():
    report = report_example.normal()
    frame = report.to_frame("curves")
    one = report.curves[0]
    mine = frame[(frame["id"] == one.id) & (frame["part"] == "measured")]
    assert list(mine["sparsity"]) == one.band.sparsity
    assert list(mine["accuracy"]) == one.band.median
    assert list(mine["accuracy_upper_90"]) == one.band.upper_90
    assert len(frame) == sum(len(b.sparsity) for c in report.curves for b in (c.band, c.beyond) if b is not None)


def test_contrasts_have_their_mean_and_two_rows_a_level():
    report = report_example.normal()
    frame = report.to_frame("contrasts")
    one = report.contrasts[0]
    mine = frame[frame["id"] == one.id]
    assert list(mine["at"]) == ["whole", *["level"] * (2 * len(one.levels))]
    whole = mine.iloc[0]
    assert (whole["difference"], whole["verdict"]) == (one.whole.estimate.value, one.whole.verdict)
    at = mine[(mine["at"] == "level") & (mine["quantity"] == "accuracy")]
    assert list(at["difference_upper"]) == [each.accuracy.estimate.interval.upper for each in one.levels]


def test_conclusions_are_a_row_each_axis():
    found = report_example.conclusions()
    frame = found.to_frame()
    each = [(one, at) for one in found.conclusions for at in one.axes]
    assert list(zip(frame["task_type"], frame["axis"], frame["verdict"], strict=True)) == [
        (one.task_type, at.axis, at.verdict) for one, at in each
    ]
    values = [None if at.difference is None else at.difference.value for _, at in each]
    assert [None if pd.isna(one) else one for one in frame["difference"]] == values
    pd.testing.assert_frame_equal(report_example.by_axis().to_frame("conclusions").head(len(frame)), frame)


@pytest.mark.parametrize("table", ["tolerated", "contrasts", "cells", "trends"])
def test_every_part_of_the_instant_answer_is_a_row_each(table, instant):
    frame = instant.to_frame(table)
    assert len(frame) == len(getattr(instant, table)) > 0
    assert set(frame["task_type"]) == {one.task_type for one in instant.cells}
    assert not frame.map(lambda value: isinstance(value, (dict, list))).to_numpy().any()


def test_the_instant_answer_is_asked_for_its_levels_first(instant):
    for row, one in zip(instant.to_frame().itertuples(), instant.tolerated, strict=True):
        assert row.level == one.level.median or (pd.isna(row.level) and one.level.median is None)


@pytest.mark.parametrize("made", [report_example.failed, report_example.by_axis_failed])
@pytest.mark.parametrize("table", [table for table in TABLES if table != "observed"])
def test_a_failed_fit_leaves_no_number_of_its_own_in_a_table(made, table):
    frame = made().to_frame(table)
    for name in frame.columns:
        if re.match(r"level|dense|area_|difference|prob_|accuracy|assured", name):
            assert frame[name].isna().all(), name


def test_a_number_that_a_withheld_finding_carries_by_mistake_is_left_out():
    report = report_example.normal()
    slipped = report.thresholds[0].model_copy(update={"status": "withheld", "reason": "fit failed its checks"})
    assert slipped.level.median is not None
    frame = report.model_copy(update={"thresholds": [slipped]}).to_frame()
    assert frame.loc[0, ["level", "level_lower", "dense", "area_over_halvings"]].isna().all()


def test_a_table_that_is_none_is_refused_with_those_there_are(instant):
    with pytest.raises(DesignError, match=r"'levels' is no table of a report\. There is: thresholds, curves"):
        report_example.normal().to_frame("levels")
    with pytest.raises(DesignError, match="'levels' is no table of the instant answer"):
        instant.to_frame("levels")


@pytest.mark.parametrize("made", [*SCREENS.values()], ids=[*SCREENS])
def test_a_finding_is_printed_on_one_screen(made):
    found = made()
    lines = str(found).splitlines()
    assert repr(found) == str(found)
    assert len(lines) <= 25
    assert max(map(len, lines)) <= 80


def test_the_instant_answer_is_printed_on_one_screen(instant):
    lines = str(instant).splitlines()
    assert lines[0].startswith(f"Instant answer of {instant.n_answers} answers: at least 95% of dense")
    assert len(lines) <= 25
    assert max(map(len, lines)) <= 80


def test_a_report_prints_its_question_and_headlines_and_a_failed_one_what_failed():
    assert "How much sparsity does tiny-model tolerate" in str(report_example.normal())
    assert "retrieval tolerates the most sparsity" in str(report_example.normal()).replace("\n  ", " ")
    failed = str(report_example.failed())
    assert "Conclusions are withheld" in failed
    assert "credible" not in failed
