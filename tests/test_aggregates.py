"""Published means are fitted like answers, without pairing; what was not published is not invented."""

import numpy as np
import pandas as pd
import pytest

from tests.simulated import outcomes
from tolerance import DesignError, SchemaError, read_run, validate
from tolerance.analysis.design import caveats, data, held_constant
from tolerance.data.cells import collapse
from tolerance.data.importers import import_published
from tolerance.data.prepared import prepare
from tolerance.data.published import assume_items, validate_aggregates
from tolerance.data.summary import summarise_run

FROM_ANSWERS = ["task", "task_type", "model", "params", "context_length", "sparsifier", "unit", "sparsity_requested"]


@pytest.fixture
def answers():
    return outcomes(n_items=40, levels=(0.5, 0.9), sparsifiers=("top-k",), seed=3)


@pytest.fixture
def means(answers):
    return answers.groupby(FROM_ANSWERS, as_index=False).agg(score=("score", "mean"), n_items=("score", "size"))


def test_means_and_their_answers_are_the_same_cells_but_for_pairing(answers, means):
    ours, theirs = collapse(validate(answers)), collapse(validate_aggregates(means))
    for name in ("task", "sparsifier", "sparsity_requested", "n", "weight"):
        assert list(ours.frame[name]) == list(theirs.frame[name])
    np.testing.assert_allclose(ours.right, theirs.right)
    assert (ours.tasks, ours.task_types, ours.configs) == (theirs.tasks, theirs.task_types, theirs.configs)
    assert theirs.pairs == ()


def test_a_standard_error_says_how_many_answers_would_vary_as_much(means):
    binomial = np.sqrt(means["score"] * (1 - means["score"]) / means["n_items"])
    same = collapse(validate_aggregates(means.assign(se=binomial)))
    half = collapse(validate_aggregates(means.assign(se=binomial / 2)))
    np.testing.assert_allclose(same.weight, 40)
    np.testing.assert_allclose(half.weight, 160)


def test_percent_is_named_as_such(means):
    with pytest.raises(SchemaError, match=r"If they are percent, divide them by 100"):
        validate_aggregates(means.assign(score=100 * means["score"]))


def test_a_second_mean_of_one_condition_is_refused(means):
    with pytest.raises(SchemaError, match="a second mean of"):
        validate_aggregates(pd.concat([means, means.head(1)]))


def test_without_a_number_of_items_there_is_no_fit_unless_it_is_assumed(means):
    unknown = validate_aggregates(means.assign(n_items=means["n_items"].where(means["task"] != "count")))
    with pytest.raises(DesignError, match=r"3 of 9 published means have no number of items.*--assume-items"):
        collapse(unknown)
    filled = assume_items(unknown, 25)
    assert set(collapse(filled).n) == {25, 40}
    counted = data(prepare(filled))
    assert counted.assumed_items == 25
    assert {"published means", "items assumed"} <= set(caveats(prepare(filled), counted, None))


def test_nothing_is_assumed_where_all_is_known(answers, means):
    with pytest.raises(DesignError, match="every published mean has its number"):
        assume_items(validate_aggregates(means), 25)
    with pytest.raises(DesignError, match="these are answers"):
        assume_items(validate(answers), 25)


def test_the_data_of_means_say_that_nothing_is_paired(means):
    table = validate_aggregates(means)
    found = data(prepare(table))
    assert (found.n_means, found.n_rows, found.n_items, found.n_paired) == (9, 360, 120, 0)
    assert {task.unreadable for task in found.tasks} == {None}
    states = {held.axis: held.state for held in held_constant(table)}
    assert states["parameters"] == "held"
    assert states["compute"] == states["generated tokens"] == "not recorded"


def test_a_mapping_chooses_the_rows_to_read(means, tmp_path):
    means.assign(score=100 * means["score"], source="table 1").to_csv(tmp_path / "means.csv", index=False)
    (tmp_path / "map.yaml").write_text("where: {source: table 1, sparsity_requested: [0, 0.5]}\nscale: {score: 0.01}")
    folder, n = import_published(tmp_path / "means.csv", tmp_path / "map.yaml", tmp_path / "run")
    assert folder.manifest.origin == "published"
    assert n == 6
    assert set(read_run(tmp_path / "run")["sparsity_requested"]) == {0, 0.5}
    assert len(summarise_run(tmp_path / "run").cells) == 6
    (tmp_path / "map.yaml").write_text("where: {source: table 9}")
    with pytest.raises(SchemaError, match="no row has"):
        import_published(tmp_path / "means.csv", tmp_path / "map.yaml", tmp_path / "other")
