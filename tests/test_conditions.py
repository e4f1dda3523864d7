"""One key for a condition: what differs is told apart, what is one level is one, whatever the command."""

import numpy as np
import pandas as pd
import pytest

from tolerance.data.cells import collapse
from tolerance.data.outcomes import validate
from tolerance.data.published import validate_aggregates
from tolerance.data.remarks import remarks
from tolerance.errors import SchemaError
from tolerance.instant.answer import instant_answer


def rows(right, level, n=100, **fields):
    """``right`` of ``n`` items right, the same ones always."""
    method = "dense" if level == 0 else "snapkv"
    return pd.DataFrame(
        {
            "item_id": [f"i{i}" for i in range(n)],
            "task": "needle",
            "task_type": "retrieval",
            "model": "m",
            "sparsifier": method,
            "sparsity_requested": level,
            "score": [float(i < right) for i in range(n)],
            "chance": 0.0,
            **fields,
        }
    )


def two(column, one, other, levels=(0.5, 0.9), **of_dense):
    """A method that keeps 90 of 100 under one value of a column and 20 under the other."""
    parts = [rows(100, 0, **of_dense)]
    parts += [rows(90, at, **{column: one}) for at in levels] + [rows(20, at, **{column: other}) for at in levels]
    return pd.concat(parts, ignore_index=True)


@pytest.mark.parametrize(
    ("column", "one", "other"),
    [
        ("query_position", "before", "after"),
        ("phase", "prefill", "decode"),
        ("sparsity_kind", "weight", "weight-2:4"),
        ("unit", "kv-entries", "tokens"),
        ("revision", "pruned", "healed"),
        ("training_protocol", "none", "distilled"),
        ("trained_sparse", True, False),
        ("options", "window 8", "window 64"),
    ],
)
def test_what_tells_methods_apart_gives_two_curves_that_are_not_averaged(column, one, other):
    table = validate(two(column, one, other))
    kept = {(c.first, c.level): c.retention.value for c in instant_answer(table).contrasts if c.second == "dense"}
    assert sorted(kept.values()) == [0.2, 0.2, 0.9, 0.9]
    assert len({name for name, _ in kept}) == 2
    cells = collapse(table)
    assert len(cells.sparsifiers) == 2
    assert cells.weight.max() <= 100  # no cell weighs more than its answers
    assert any("are told apart" in remark and column in remark for remark in remarks(table))


def test_a_value_that_was_not_recorded_is_a_value_of_its_own():
    table = validate(two("query_position", "before", None))
    assert set(table["sparsifier"]) == {
        "dense",
        "snapkv (question before)",
        "snapkv (query position not recorded)",
    }


def test_a_budget_beside_a_share_is_another_condition_where_one_item_was_asked_both():
    table = validate(two("kv_budget_tokens", 64, 128))
    assert len(set(table["sparsifier"])) == 3
    # a budget that only follows from each prompt's length is none
    by_item = rows(90, 0.5).assign(kv_budget_tokens=np.arange(100) + 50)
    assert set(validate(pd.concat([rows(100, 0), by_item]))["sparsifier"]) == {"dense", "snapkv"}


def test_a_revision_for_each_level_is_one_method():
    parts = [rows(100, 0, revision="r0"), rows(90, 0.5, revision="r5"), rows(50, 0.9, revision="r9")]
    assert set(validate(pd.concat(parts))["sparsifier"]) == {"dense", "snapkv"}


def test_dense_answers_of_two_revisions_are_two_models():
    parts = [rows(100, 0, revision="a"), rows(60, 0, revision="b")]
    parts += [rows(90, 0.5, revision="a"), rows(30, 0.5, revision="b")]
    table = validate(pd.concat(parts))
    assert set(table["model"]) == {"m (revision a)", "m (revision b)"}
    assert set(table["sparsifier"]) == {"dense", "snapkv"}
    (found,) = [c for c in instant_answer(table).contrasts if c.second == "dense"]
    assert found.retention.value == pytest.approx((0.9 + 0.3) / (1.0 + 0.6))


def test_each_place_of_the_question_has_its_own_dense_baseline():
    parts = [rows(100, 0, query_position="no"), rows(60, 0, query_position="both")]
    parts += [rows(50, 0.5, query_position="no"), rows(54, 0.5, query_position="both")]
    table = validate(pd.concat(parts))
    assert set(table["sparsifier"]) == {"dense", "snapkv"}
    cells = collapse(table).frame.set_index(["model", "sparsifier"])
    assert cells.loc[("m (question both)", "snapkv"), "right"] == 54


def test_telling_apart_twice_changes_nothing():
    once = validate(two("phase", "prefill", "decode"))
    pd.testing.assert_frame_equal(validate(once), once)


@pytest.mark.parametrize("other", [1 - 0.7, 0.3003, 0.29995])
def test_levels_that_are_one_level_are_one(other):
    parts = [rows(85, 0), rows(83, 0.3), rows(84, 0, task="b"), rows(50, other, task="b")]
    found = instant_answer(validate(pd.concat(parts)))
    (one,) = [c for c in found.contrasts if c.second == "dense"]
    assert one.level == 0.3
    assert one.retention.value == pytest.approx((83 + 50) / (85 + 84))


def test_levels_that_keep_different_shares_stay_two():
    table = validate(pd.concat([rows(100, 0), rows(90, 0.99), rows(80, 0.9905)]))
    assert set(table["sparsity_requested"]) == {0, 0.99, 0.9905}


def test_one_level_written_twice_is_a_second_answer():
    with pytest.raises(SchemaError, match="a second answer of item 'i0'"):
        validate(pd.concat([rows(100, 0), rows(90, 0.3), rows(80, 1 - 0.7)]))


def test_published_means_have_the_same_key():
    mean = {"task": "needle", "task_type": "retrieval", "model": "m", "n_items": 100, "chance": 0.0}
    means = pd.DataFrame(
        [
            {**mean, "sparsifier": "dense", "sparsity_requested": 0.0, "score": 1.0},
            {**mean, "sparsifier": "snapkv", "sparsity_requested": 0.5, "score": 0.9, "query_position": "both"},
            {**mean, "sparsifier": "snapkv", "sparsity_requested": 0.5, "score": 0.2, "query_position": "no"},
        ]
    )
    table = validate_aggregates(means)
    assert set(table["sparsifier"]) == {"dense", "snapkv (question both)", "snapkv (question no)"}
    kept = [c.retention.value for c in instant_answer(table).contrasts if c.second == "dense"]
    assert sorted(round(value, 1) for value in kept) == [0.2, 0.9]


def test_a_context_that_nobody_recorded_is_no_context_of_zero():
    table = validate(pd.concat([rows(100, 0), rows(90, 0.5)]))
    assert collapse(table).configs == (("m", None),)
    mixed = pd.concat([rows(100, 0), rows(90, 0.5), rows(80, 0, context_length=0), rows(20, 0.5, context_length=0)])
    assert collapse(validate(mixed)).configs == (("m", None), ("m", 0))
