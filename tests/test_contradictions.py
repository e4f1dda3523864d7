"""A table that contradicts itself is refused with row, value and mend; what is odd but may be meant is said."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.simulated import outcomes
from tolerance import SchemaError, validate
from tolerance.data.contradictions import folded, is_average
from tolerance.data.outcomes import COLUMNS
from tolerance.data.published import validate_aggregates
from tolerance.data.remarks import remarks


@pytest.fixture
def frame():
    return outcomes(n_items=4, levels=(0.5, 0.9), sparsifiers=("top-k",), tasks={"a": "single-qa", "b": "multi-hop"})


@pytest.fixture
def means(frame):
    by = ["task", "task_type", "model", "params", "sparsifier", "sparsity_requested", "chance"]
    return frame.assign(score=0.5).groupby(by, as_index=False).agg(score=("score", "mean"), n_items=("score", "size"))


def refused(table, check=validate):
    with pytest.raises(SchemaError) as error:
        check(table, source="answers.csv")
    return str(error.value)


@given(st.sampled_from([*map(chr, range(32)), *map(chr, range(127, 160)), *"\u202e\u2066\u200b\ufeff\u2028\xad"]))
@settings(deadline=None)
def test_no_name_holds_a_character_that_nobody_sees(unseen):
    table = outcomes(n_items=2, levels=(0.5,), sparsifiers=("top-k",), tasks={"a": "single-qa"})
    said = refused(table.assign(model=f"my{unseen}model"))
    assert "row 0, column model: " in said
    assert "Remove it" in said
    assert unseen not in said or unseen == "\n"


def test_an_answer_holds_what_the_model_said(frame):
    assert len(validate(frame.assign(answer="two\nlines \x1b[0m"))) == len(frame)


def test_names_of_blanks_are_refused(frame):
    assert "row 0, column model: '  ' is blank. Give a name." in refused(frame.assign(model="  "))


@pytest.mark.parametrize("other", ["Top-K", "top-k ", " top-k", "\uff54op-k", "TOP-K"])
def test_methods_that_look_alike_are_not_two(frame, other):
    frame.loc[frame["sparsity_requested"] == 0.9, "sparsifier"] = other
    assert f"column sparsifier: {other!r} beside 'top-k', which differs by case, spaces or Unicode form" in refused(
        frame
    )


@given(st.text(min_size=1))
def test_folding_a_name_twice_changes_nothing_and_neither_do_spaces(name):
    assert folded(f" {folded(name)} ") == folded(name)


def test_items_differ_by_more_than_spaces(frame):
    frame.loc[5, "item_id"] += " "
    assert "column item_id: 'a-1 ' beside 'a-1' in task 'a'" in refused(frame)
    cased = frame.replace({"item_id": {"a-1 ": "a-1", "a-2": "A-1"}})
    assert len(validate(cased)) == len(frame)


@pytest.mark.parametrize("column", [c.name for c in COLUMNS if c.kind == "real"])
def test_no_real_is_infinite(frame, column):
    frame[column] = frame.get(column, pd.Series(0.5, index=frame.index))
    frame.loc[3, column] = np.inf
    assert f"row 3, column {column}: inf, expected" in refused(frame)


@pytest.mark.parametrize("value", [np.inf, 1e19, 10**30, 2**64 - 1, 0.5, "many"])
@pytest.mark.parametrize("column", ["context_length", "seed"])
def test_what_is_no_whole_number_is_named(frame, column, value):
    frame[column] = pd.Series([1] * (len(frame) - 1) + [value], dtype=object)
    said = refused(frame)
    assert f"row {len(frame) - 1}, column {column}: " in said
    assert "number" in said


@pytest.mark.parametrize("value", [2, 0.5, np.inf, "maybe"])
def test_a_flag_is_one_or_the_other(frame, value):
    frame["truncated"] = pd.Series([True] * (len(frame) - 1) + [value], dtype=object)
    assert f"row {len(frame) - 1}, column truncated: " in refused(frame)


def test_numbers_beyond_anything_measured_are_named(frame):
    frame["context_length"] = 10**12
    assert "row 0, column context_length: 1000000000000, expected at least 0 and at most 1e+10" in refused(frame)


@pytest.mark.parametrize(("correct", "score"), [(True, 0.0), (False, 1.0)])
def test_correct_agrees_with_score(frame, correct, score):
    frame["correct"] = pd.Series(pd.NA, index=frame.index, dtype="boolean")
    frame.loc[2, ["correct", "score"]] = [correct, score]
    assert f"row 2: correct is {correct} but score is {score:g}. Correct one of them" in refused(frame)
    assert len(validate(frame.assign(score=0.4))) == len(frame)


def test_an_item_has_one_guessing_floor(frame):
    frame.loc[frame["sparsity_requested"] == 0.9, "chance"] = 0.25
    assert "column chance: 0.25 for 'a-0' of 'a', 0 in row 0. It has one guessing floor" in refused(frame)


def test_a_task_of_published_means_has_one_guessing_floor(means):
    means.loc[2, "chance"] = 0.25
    assert "row 2, column chance: 0.25 for 'a', 0 in row 0." in refused(means, validate_aggregates)


def test_a_model_has_one_size_and_a_revision_its_own(frame):
    frame.loc[frame["sparsity_requested"] == 0.9, "params"] = 900
    assert "column params: 900 for 'simulated', 1000 in row 0. A model has one size" in refused(frame)
    frame["revision"] = frame["params"].map({1000: "dense", 900: "pruned"})
    assert len(validate(frame)) == len(frame)


def test_pruning_leaves_fewer_active_parameters_and_dense_answers_have_one_number_of_them(frame):
    frame["params_active"] = (1000 * (1 - frame["sparsity_requested"])).astype(int)
    assert len(validate(frame)) == len(frame)
    frame.loc[frame.index[frame["sparsifier"] == "dense"][-1], "params_active"] = 999
    assert "column params_active: 999 for 'simulated', 1000 in row" in refused(frame)


@pytest.mark.parametrize(
    ("se", "said"),
    [
        (0.0, "row 1, column se: 0 beside a mean of 0.5, which no set of answers has"),
        (0.51, "row 1, column se: 0.51, expected at least 0 and at most 0.5"),
        (np.inf, "row 1, column se: inf, expected"),
    ],
)
def test_an_impossible_standard_error_is_named(means, se, said):
    means["se"] = 0.1
    means.loc[1, "se"] = se
    assert said in refused(means, validate_aggregates)


def test_a_mean_of_one_may_have_no_error(means):
    assert len(validate_aggregates(means.assign(score=1.0, se=0.0))) == len(means)


@pytest.mark.parametrize("name", ["average", "Avg.", "avg", " Overall", "mean", "macro-average", "Overall accuracy"])
def test_a_mean_over_tasks_is_no_task(means, name):
    assert is_average(name)
    both = pd.concat([means, means[means["task"] == "a"].assign(task=name)])
    assert f"column task: {name!r} is named like a mean over the other tasks" in refused(both, validate_aggregates)
    assert len(validate_aggregates(both[both["task"] == name])) == 3


@pytest.mark.parametrize("name", ["average-price", "meaning", "mean of numbers", "overall-plan"])
def test_other_names_are_tasks(name):
    assert not is_average(name)


def by_item(n_items=20):
    """Levels computed item by item, as kept over visible."""
    table = outcomes(n_items=n_items, levels=(0.5,), sparsifiers=("top-k",), tasks={"a": "single-qa"})
    sparse = table["sparsifier"] != "dense"
    table.loc[sparse, "sparsity_requested"] = 0.5 + np.arange(n_items) / 1000
    return table


def test_a_level_that_differs_per_item_was_not_requested():
    assert "row 20: 'top-k' has 20 requested levels in task 'a', most of them with one item." in refused(by_item())


def test_a_budget_in_tokens_asks_for_another_share_of_each_item():
    assert len(validate(by_item().assign(kv_budget_tokens=128))) == 40


def test_one_item_at_many_levels_is_no_level_per_item():
    table = outcomes(n_items=1, levels=tuple(np.arange(1, 30) / 31), tasks={"a": "single-qa"})
    assert len(validate(table)) == 59


def test_realised_levels_rise_with_requested_ones(frame):
    frame["sparsity_realised"] = (1 - frame["sparsity_requested"]).where(frame["sparsifier"] != "dense", 0.0)
    said = refused(frame)
    assert (
        "'top-k' realises 0.5 where 0.5 was requested and 0.1 where 0.9 was. One of them looks like the share kept"
        in said
    )
    assert "complement: [sparsity_realised]" in said


def said_of(frame, **changes):
    return "\n".join(remarks(validate(frame.assign(**changes))))


def test_nothing_is_said_of_an_ordinary_table(frame):
    assert said_of(frame) == ""


def test_a_method_at_sparsity_0_is_named_with_both_scores(frame):
    zero = frame[frame["sparsifier"] == "dense"].assign(sparsifier="top-k", score=0.5)
    said = said_of(pd.concat([frame.assign(score=1.0), zero]))
    assert "'top-k' at sparsity 0 counts as dense (8 rows, mean score 0.5; dense has 1 there)" in said


def test_a_level_realised_far_from_the_requested_is_named(frame):
    frame["sparsity_realised"] = frame["sparsity_requested"] / 2
    assert "row 4: 'top-k' asked for 0.5 realised 0.25 on average" in said_of(frame)


def test_floors_that_are_unknown_uneven_or_high_are_named(frame):
    of_a = frame["task"] == "a"
    assert "guessing floor unknown: b." in said_of(frame, chance=frame["chance"].where(of_a))
    assert "guessing floor known for some rows alone: a, b." in said_of(
        frame, chance=frame["chance"].where(frame.index > 0).where(frame.index != 13)
    )
    items = frame["item_id"].map(lambda name: 0.25 if name.endswith("0") else 0.5)
    assert "guessing floors of 'a' run from 0.25 to 0.5 by item" in said_of(frame, chance=items)
    assert "guessing floor 0.99 of 'a' is more than guessing between two" in said_of(frame, chance=0.99)


def test_billions_of_parameters_are_named(frame):
    assert "column params: 'simulated' has 7 parameters. If they are billions" in said_of(frame, params=7)


def test_replicates_that_are_copies_are_named(frame):
    assert "replicate 1 repeats another in all of its 24 answers" in said_of(
        pd.concat([frame, frame.assign(replicate=1)])
    )
    other = frame.assign(replicate=1, score=1 - frame["score"])
    assert said_of(pd.concat([frame, other])) == ""


def test_a_task_of_answers_named_like_a_mean_is_named(frame):
    assert "task 'overall' is named like a mean" in said_of(frame.replace({"task": {"b": "overall"}}))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({}, "under dense 0, the same as row 0. Drop it."),
        ({"unit": "heads"}, "under dense 0, the same as row 0. Drop it."),
        ({"score": 0.3}, "where row 0 has 1. If one answer was graded twice, keep one grading;"),
        ({"score": 0.3, "seed": 2}, "after row 0. Drop it, or number the repeats in column replicate."),
    ],
)
def test_a_second_answer_is_told_what_to_do_by_what_differs(frame, changes, said):
    frame = frame.assign(score=1.0, seed=1)
    assert said in refused(pd.concat([frame, frame.iloc[:1].assign(**changes)]))
