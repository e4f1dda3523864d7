"""Draws of tolerated levels and retention in the tree: those of the curves, with names that ArviZ reads."""

import arviz
import numpy as np
import pytest

from tests.fake_fit import fake_fit
from tests.simulated import outcomes
from tolerance.data.cells import sparsity
from tolerance.data.outcomes import validate
from tolerance.estimands.curves import type_curves
from tolerance.estimands.draws import with_thresholds
from tolerance.question import Question


def table(**kwargs):
    return validate(outcomes(n_items=20, levels=(0.5, 0.8, 0.9), sparsifiers=("a", "b"), **kwargs))


@pytest.fixture(scope="module")
def fit():
    return fake_fit(table(), loc=1.5, spread=0.8)


@pytest.fixture(scope="module")
def tree(fit):
    return with_thresholds(fit, Question(retention=0.9))


def test_levels_are_those_of_the_curves_chain_by_chain(fit, tree):
    level = tree["thresholds"]["level"]
    assert level.dims == ("chain", "draw", "task_type", "sparsifier")
    curves = type_curves(fit)
    assert np.isposinf(level).any()
    assert np.isfinite(level).any()
    assert len(curves) == level.sizes["task_type"] * level.sizes["sparsifier"]
    for curve in curves:
        mine = level.sel(task_type=curve.task_type, sparsifier=curve.sparsifier).to_numpy()
        halvings = curve.tolerated(0.9).reshape(mine.shape)
        beyond = np.isinf(halvings)
        assert np.isposinf(mine[beyond]).all()
        np.testing.assert_allclose(mine[~beyond], sparsity(halvings[~beyond]))
        assert (mine[~beyond] <= float(tree["thresholds"]["last"].sel(task_type=curve.task_type)[0])).all()


def test_a_margin_asks_the_other_rule(fit):
    asked = with_thresholds(fit, Question(margin=0.05))["thresholds"]
    assert asked.attrs["margin"] == 0.05
    curve = type_curves(fit)[0]
    mine = asked["level"].sel(task_type=curve.task_type, sparsifier=curve.sparsifier).to_numpy().ravel()
    assert np.array_equal(np.isinf(mine), np.isinf(curve.tolerated(0.95, margin=0.05)))


def test_retention_is_that_of_the_curves_at_measured_levels(fit, tree):
    kept = tree["retention"]["retention"]
    for curve in type_curves(fit):
        mine = kept.sel(task_type=curve.task_type, sparsifier=curve.sparsifier)
        for at in curve.distinct:
            found = mine.sel(sparsity=at, method="nearest", tolerance=1e-9).to_numpy()
            np.testing.assert_allclose(found.ravel(), curve.retained_at(at), rtol=1e-5)
        assert 0 not in mine["sparsity"]


def test_what_was_not_measured_or_has_no_dense_answers_is_nan():
    frame = table()
    few = frame[~((frame["sparsifier"] == "b") & (frame["task_type"] == "multi-hop"))]
    tree = with_thresholds(fake_fit(few))
    place = {"task_type": "multi-hop", "sparsifier": "b"}
    assert np.isnan(tree["thresholds"]["level"].sel(place)).all()
    assert np.isnan(tree["retention"]["retention"].sel(place)).all()
    assert not np.isnan(tree["thresholds"]["level"].sel(place | {"sparsifier": "a"})).any()
    assert np.isnan(with_thresholds(fake_fit(table(with_dense=False)))["thresholds"]["level"]).all()


def test_thinned_draws_keep_their_numbers(fit, monkeypatch):
    monkeypatch.setattr("tolerance.estimands.source.LEAST_DRAWS", 100)
    monkeypatch.setattr("tolerance.estimands.source.MOST_DRAWS", 100)
    tree = with_thresholds(fit)
    assert tree["thresholds"]["draw"].to_numpy().tolist() == list(range(0, 100, 4))
    assert tree["thresholds"].sizes["chain"] == 4


def test_the_fit_keeps_its_own_tree_and_arviz_reads_the_new_one(fit, tree):
    assert "thresholds" not in fit.draws.children
    assert set(tree.children) == {*fit.draws.children, "thresholds", "retention"}
    summary = arviz.summary(tree, group="retention", var_names=["retention"])
    assert len(summary) == tree["retention"]["retention"][0, 0].size
    assert arviz.extract(tree, group="thresholds", var_names="level").sizes["sample"] == 400
