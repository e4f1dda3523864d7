"""The outcome table: what passes, and what is said of what does not."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.simulated import outcomes
from tolerance import SchemaError, validate
from tolerance.data.outcomes import COLUMNS, NAMES, level


def test_a_valid_table_gets_every_column_in_order(table):
    assert tuple(table.columns) == NAMES
    assert (table["replicate"] == 0).all()


def test_k_and_n_follow_from_a_binary_score(table):
    assert (table["n"] == 1).all()
    assert (table["k"] == table["score"]).all()


def test_validating_twice_changes_nothing(table):
    pd.testing.assert_frame_equal(validate(table), table)


@given(st.randoms(use_true_random=False))
@settings(deadline=None)
def test_the_order_of_rows_does_not_matter(random):
    frame = outcomes(n_items=2, levels=(0.5,), sparsifiers=("top-k",), tasks={"a": "single-qa"})
    order = list(range(len(frame)))
    random.shuffle(order)
    shuffled = validate(frame.iloc[order])
    assert sorted(shuffled["item_id"]) == sorted(validate(frame)["item_id"])


def test_graded_scores_stay_graded(frame):
    frame["score"] = 0.25
    table = validate(frame)
    assert (table["score"] == 0.25).all()
    assert table["k"].isna().all()


def test_realised_sparsity_is_preferred_where_it_was_measured(frame):
    frame.loc[frame["sparsity_requested"] == 0.9, "sparsity_realised"] = 0.85
    frame.loc[frame["sparsity_requested"] == 0.5, "sparsity_realised"] = np.nan
    assert set(level(validate(frame))) == {0.0, 0.5, 0.85}


@pytest.mark.parametrize(
    ("column", "value", "said"),
    [
        ("sparsity_requested", 1.4, "row 3, column sparsity_requested: 1.4, expected at least 0 and below 1"),
        ("sparsity_requested", -0.1, "column sparsity_requested: -0.1"),
        ("task_type", "retreival", "column task_type: 'retreival': did you mean retrieval"),
        ("score", 88.0, "column score: 88.0, expected at least 0 and at most 1. Scale scores to 0..1"),
        ("model", None, "row 3, column model: empty"),
        ("item_id", "", "row 3, column item_id: empty"),
        ("params", "many", "column params: 'many' is not a number"),
        ("replicate", 0.5, "column replicate: 0.5 is not a whole number"),
    ],
)
def test_a_bad_value_is_named_with_row_column_and_mend(frame, column, value, said):
    frame[column] = frame[column].astype(object) if column in frame else None
    frame.loc[3, column] = value
    with pytest.raises(SchemaError) as error:
        validate(frame, source="answers.csv")
    assert str(error.value).startswith("answers.csv: ")
    assert said in str(error.value)


def test_a_missing_column_is_named(frame):
    with pytest.raises(SchemaError, match="column task_type missing"):
        validate(frame.drop(columns="task_type"))


def test_an_unknown_column_is_named(frame):
    with pytest.raises(SchemaError, match="column accuracy unknown"):
        validate(frame.assign(accuracy=1))


def test_no_rows_is_an_error(frame):
    with pytest.raises(SchemaError, match="no rows"):
        validate(frame.iloc[:0])


def test_a_second_answer_of_the_same_item_is_a_duplicate(frame):
    with pytest.raises(SchemaError, match="a second answer of item 'a-0'"):
        validate(pd.concat([frame, frame.iloc[:1]]))


def test_repeats_are_told_apart_by_replicate(frame):
    assert len(validate(pd.concat([frame, frame.assign(replicate=1)]))) == 2 * len(frame)


def test_dense_with_sparsity_is_refused(frame):
    frame.loc[0, ["sparsity_requested", "sparsity_realised"]] = 0.5
    with pytest.raises(SchemaError, match=r"sparsifier is 'dense' but sparsity is 0\.5"):
        validate(frame)


def test_k_above_n_and_a_score_that_is_not_their_ratio_are_refused(frame):
    with pytest.raises(SchemaError, match="k = 3 is more than n = 2"):
        validate(frame.assign(k=3, n=2))
    with pytest.raises(SchemaError, match="is not k / n = 1 / 4"):
        validate(frame.assign(k=1, n=4))


def test_many_faults_are_counted_and_the_first_shown(frame):
    with pytest.raises(SchemaError, match=f"{len(frame)} faults") as error:
        validate(frame.assign(score=2.0))
    assert f"and {len(frame) - 5} more" in str(error.value)


def test_every_column_says_what_it_means():
    assert all(column.meaning for column in COLUMNS)
    assert len(set(NAMES)) == len(NAMES)
