"""What the page says of the fit itself."""

import re
from typing import get_args

import pytest

from tests.report_example import failed, families, left_out, normal, shape
from tolerance.findings import Leaning, ShapeKind
from tolerance.reports import page
from tolerance.reports.sections import diagnostics
from tolerance.reports.words import thresholds


def text(report):
    """The page without its block of data."""
    return re.sub(r'<script type="application/json".*?</script>', "", page.render(report), flags=re.S)


def test_every_attempt_is_said_with_what_failed():
    assert diagnostics.attempts(normal()) == [
        "As asked: failed R-hat, largest.",
        "2 times as long: passed every check.",
    ]


def test_tasks_that_defeat_the_family_are_named():
    assert diagnostics.predictions(normal()) == (
        "1 of 12 cells (task, method and level) are unlike what the fitted curves predict for new answers: those of "
        "kv-lookup."
    )
    first = diagnostics.predicted(normal())[0]
    assert (first.task, first.level, first.observed, first.interval) == ("kv-lookup", "50%", "0.31", "0.66 to 0.78")
    assert first.state.word == "unlike"


def test_predictions_that_are_no_posterior_are_withheld():
    report = normal()
    bare = [one.model_copy(update={"lower": None, "upper": None}) for one in report.predicted]
    assert diagnostics.predicted(report.model_copy(update={"predicted": bare}))[0].interval == "withheld"


def test_a_prior_that_is_felt_is_a_warning_at_its_threshold():
    report = normal()
    warned = [t.model_copy(update={"leaning": "strong prior"}) for t in report.thresholds]
    said = "the prior leads, for the answers say little"
    assert said not in text(report)
    assert text(report.model_copy(update={"thresholds": warned})).count(said) == len(warned)


def test_numbers_of_a_failed_fit_are_withheld_in_all_that_it_says_of_itself():
    said = text(failed())
    for number in ("0.073", "-102.9"):
        assert number in text(normal())
    assert "0.073" not in said
    assert "Curves of an unusual shape" not in said
    assert all(row.state.word == "withheld" and row.quantities == [] for row in diagnostics.sensitivities(failed()))
    assert diagnostics.left_out(failed().left_out[0]).endswith("withheld (the fit failed its checks).")


def test_a_sum_of_left_out_answers_is_withheld_where_k_is_high():
    cell, block = (diagnostics.left_out(one) for one in left_out(fit_passed=True))
    assert cell.endswith("-102.9 (standard error 7.5); Pareto k above 0.69 for 0 of 33.")
    assert block.endswith("withheld (Pareto k above 0.69 for 3 of 3).")


def test_families_are_compared_with_their_standard_error_or_withheld():
    rows = diagnostics.families(normal().model_copy(update={"families": families()}))
    assert [row.difference for row in rows] == ["0.0 ± 0.0", "-4.4 ± 1.9", ""]
    assert rows[-1].reason == "Pareto k too high for 7 of 33 left-out cells"


@pytest.mark.parametrize("kind", get_args(ShapeKind))
def test_every_shape_has_its_sentence(kind):
    said = diagnostics.shape(shape(normal().thresholds[0], kind, 0.5, 0.9))
    assert said.startswith("Retrieval under top-k ")
    assert "posterior probability 0.97" in said


def test_every_leaning_has_its_words():
    assert set(thresholds.LEANINGS) == set(get_args(Leaning))
