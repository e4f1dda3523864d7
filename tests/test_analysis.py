"""From outcomes to findings: known truths are found, what cannot be said is not said, and failed fits say nothing."""

import shutil

import numpy as np
import pytest

from tests.simulated import outcomes, threshold
from tolerance import DesignError, Settings, StoreError, analyse, read_report, validate
from tolerance.data import prepared
from tolerance.data.cells import collapse
from tolerance.estimands.curves import type_curves
from tolerance.estimands.thresholds import order
from tolerance.inference.fit import fit
from tolerance.question import Question

SCALES = {
    ("look-up", "top-k"): 30.0,
    ("chain", "top-k"): 6.0,
    ("count", "top-k"): 13.0,
    ("look-up", "streaming"): 1.2,
    ("chain", "streaming"): 1.2,
    ("count", "streaming"): 9.0,
}
SHORT = Settings(chains=2, tune=500, draws=500)


@pytest.fixture(scope="module")
def table():
    return validate(outcomes(n_items=300, scales=SCALES, seed=1))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("analysis")


@pytest.fixture(scope="module")
def report(table, folder):
    return analyse(table, folder=folder)


@pytest.fixture(scope="module")
def fit_folder(tmp_path_factory):
    return tmp_path_factory.mktemp("fit")


@pytest.fixture(scope="module")
def fitted(table, fit_folder):
    return fit(table, folder=fit_folder)


def found(report, task_type, sparsifier):
    return next(t for t in report.thresholds if (t.task_type, t.sparsifier) == (task_type, sparsifier))


def test_the_fit_passes_its_own_checks(report):
    assert report.fit_passed, [check for check in report.checks if not check.passed]


def test_a_known_threshold_lies_inside_its_interval(report):
    level = found(report, "multi-hop", "top-k").level
    assert level.lower <= threshold(6.0) <= level.upper
    assert level.upper - level.lower < 0.3


def test_a_threshold_beyond_the_last_level_has_no_upper_end(report):
    level = found(report, "single-qa", "top-k").level
    assert level.upper is None
    assert level.censored == "right"
    assert level.prob_beyond > 0.5


def test_a_threshold_below_the_first_level_has_no_lower_end(report):
    level = found(report, "single-qa", "streaming").level
    assert level.lower is None
    assert level.censored == "left"
    assert level.prob_below > 0.9


def test_orderings_of_task_types_follow_the_truth(report):
    by_pair = {(c.within, c.first, c.second): c for c in report.comparisons if c.of == "task types"}
    assert by_pair["top-k", "aggregation", "multi-hop"].verdict == "first"
    assert by_pair["streaming", "multi-hop", "single-qa"].verdict == "out of range"
    assert by_pair["streaming", "aggregation", "multi-hop"].prob_first > 0.95


def test_probabilities_of_a_comparison_add_up(report):
    for c in report.comparisons:
        assert c.prob_first + c.prob_second + c.prob_neither == pytest.approx(1, abs=1e-5)


def test_keeping_gets_less_probable_as_levels_rise(report):
    for t in report.thresholds:
        assert np.all(np.diff([kept.probability for kept in t.kept]) <= 1e-9)


def test_swapping_the_sides_swaps_the_probabilities(fitted):
    a, b = type_curves(fitted)[:2]
    one, other = order(a, b, 0.95), order(b, a, 0.95)
    assert (one.first, one.second, one.neither) == (other.second, other.first, other.neither)


def test_asking_for_less_retention_never_lowers_the_tolerated_level(fitted):
    for curve in type_curves(fitted):
        assert np.all(curve.tolerated(0.9) >= curve.tolerated(0.95))


def test_an_unchanged_fit_is_read_and_not_repeated(table, fit_folder, fitted):
    stages = []
    again = fit(table, folder=fit_folder, stage=stages.append)
    assert stages == []
    np.testing.assert_array_equal(again.variable("loc"), fitted.variable("loc"))


def test_draws_have_named_coordinates_that_arviz_reads(fitted):
    import arviz as az

    posterior = fitted.draws["posterior"]
    assert set(posterior["loc"].dims) == {"chain", "draw", "sparsifier", "task", "config"}
    assert "method" not in posterior.dims
    assert float(az.rhat(posterior.to_dataset()[["loc"]])["loc"].max()) < 1.02


def test_the_report_on_disk_is_the_report(report, folder):
    assert read_report(folder).model_dump() == report.model_validate_json(report.model_dump_json()).model_dump()


def test_what_was_held_constant_is_said(report):
    states = {held.axis: held.state for held in report.held_constant}
    assert states["parameters"] == states["context length"] == "held"
    assert states["sparsity fraction"] == "varies"
    assert states["compute"] == states["KV bytes"] == "not recorded"


def test_the_data_are_counted(report):
    assert report.data.n_rows == 3 * 300 * 11
    assert report.data.n_items == report.data.n_paired == 900


def test_without_a_dense_baseline_it_takes_a_word(table):
    sparse = table[table["sparsifier"] != "dense"]
    with pytest.raises(DesignError, match=r"no dense baseline: the lowest level is 0\.5.*--without-dense"):
        analyse(sparse)


def test_without_a_dense_baseline_accuracy_is_said_and_retention_is_not(table):
    report = analyse(table[table["sparsifier"] != "dense"], without_dense=True, settings=SHORT)
    assert "no dense baseline" in report.caveats
    assert not report.data.has_dense
    assert {t.status for t in report.thresholds} <= {"unanswerable", "withheld"}
    assert all(t.level is None and t.dense is None and t.kept == [] for t in report.thresholds)
    assert all(c.verdict is None for c in report.comparisons)
    for curve in report.curves:
        assert curve.band is None or min(curve.band.sparsity) >= 0.5


def test_a_fit_that_fails_is_withheld_everywhere(table):
    # Ten warm-up steps cannot converge, nor can the longer run that follows.
    report = analyse(table, settings=Settings(chains=2, tune=10, draws=20, pilot_tune=10, pilot_draws=10))
    assert not report.fit_passed
    assert all(c.band is None and c.status == "withheld" for c in report.curves)
    assert all(t.level is None and t.dense is None and t.kept == [] for t in report.thresholds)
    assert all(c.prob_first is None and c.verdict is None for c in report.comparisons)


def test_a_fit_that_had_to_be_repeated_is_not_repeated_again(table, tmp_path):
    hasty = Settings(chains=2, tune=300, draws=100, pilot_tune=100, pilot_draws=100)
    stages = []
    first = analyse(table, settings=hasty, folder=tmp_path, stage=stages.append)
    assert stages.count("sampling") > 1
    stages.clear()
    again = analyse(table, settings=hasty, folder=tmp_path, stage=stages.append)
    assert "sampling" not in stages
    assert [c.worst for c in again.checks] == [c.worst for c in first.checks]


def test_draws_that_were_damaged_are_named(table, fit_folder, fitted, tmp_path):
    shutil.copytree(fit_folder, tmp_path / "copy")
    shutil.rmtree(tmp_path / "copy" / "draws.zarr")
    with pytest.raises(StoreError, match="saved draws cannot be read"):
        fit(table, folder=tmp_path / "copy")


def test_only_dense_answers_are_nothing_to_fit(table):
    with pytest.raises(DesignError, match="every answer is dense"):
        analyse(table[table["sparsifier"] == "dense"])


def test_a_task_of_two_types_is_refused(table):
    table = table.copy()
    table.loc[0, "task_type"] = "knowledge"
    with pytest.raises(DesignError, match="task 'look-up' appears under several task types"):
        collapse(table)


def test_a_method_that_mixes_units_is_refused(table):
    table = table.copy()
    table.loc[table.index[-1], "unit"] = "kv-entries"
    with pytest.raises(DesignError, match="mixes units"):
        collapse(table)


def test_cells_count_answers_and_keep_dense_first(table):
    cells = collapse(table)
    assert cells.n.sum() == len(table)
    assert cells.right.sum() == table["score"].sum()
    assert cells.n_dense == 3
    assert np.all(cells.halvings[: cells.n_dense] == 0)
    assert np.all(cells.halvings[cells.n_dense :] > 0)


def test_a_question_can_be_changed_without_sampling_again(table, folder):
    stages = []
    report = analyse(table, folder=folder, question=Question(retention=0.8), stage=stages.append)
    assert "sampling" not in stages
    assert found(report, "multi-hop", "top-k").level.median > threshold(6.0)


def test_what_everything_asks_of_the_outcomes_is_made_once(monkeypatch):
    counts = dict.fromkeys(("of_items", "by_item", "content_hash"), 0)

    def counted(name, made):
        def count(*args, **more):
            counts[name] += 1
            return made(*args, **more)

        return count

    for name in counts:
        monkeypatch.setattr(prepared, name, counted(name, getattr(prepared, name)))
    analyse(validate(outcomes(n_items=30)), settings=Settings(chains=2, tune=60, draws=60), seed=1)
    assert counts == dict.fromkeys(counts, 1)
