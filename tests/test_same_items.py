"""Neither side is judged by items that the other was never asked, and a type's mean is over the same tasks."""

import numpy as np
import pandas as pd
import pytest

from tests.report_example import normal
from tests.test_conditions import rows
from tolerance.analysis.design import caveats, data
from tolerance.comparison.arms import parse
from tolerance.comparison.both_arms import BothArms
from tolerance.data.cells import collapse
from tolerance.data.outcomes import validate
from tolerance.data.prepared import prepare
from tolerance.data.same_items import same_items
from tolerance.instant.answer import instant_answer
from tolerance.reports.words.chips import warnings


def limited(n_dense=1000, n_sparse=100):
    """Dense on all items, of which the first are easy; sparse on the first alone."""
    easy = rows(90, 0, n=n_dense).assign(score=lambda t: [float(i < 90 or (i >= 100 and i % 2)) for i in t.index])
    return [easy, rows(70, 0.5, n=n_sparse), rows(60, 0.9, n=n_sparse)]


def test_a_smoke_limit_leaves_the_shared_items_alone():
    table = validate(pd.concat(limited(), ignore_index=True))
    found = instant_answer(table)
    kept = {c.level: c.retention.value for c in found.contrasts}
    assert kept == pytest.approx({0.5: 70 / 90, 0.9: 60 / 90})
    (trend,) = found.trends
    assert trend.slope.interval.upper < 0
    dense = collapse(table).frame.iloc[0]
    assert (dense["right"], dense["items"]) == (90, 100)
    (left,) = prepare(table).same.left_out
    assert (left.sparsifier, left.n_items, left.n_kept) == ("dense", 900, 100)
    assert left.selection == pytest.approx(0.9 - 0.5, abs=0.01)
    assert found.n_unpaired == 900


def test_what_was_left_out_is_a_caveat_and_a_count_of_the_report():
    prepared = prepare(validate(pd.concat(limited(), ignore_index=True)), in_order=True)
    said = data(prepared)
    assert [(one.sparsifier, one.n_items) for one in said.unshared] == [("dense", 900)]
    assert {"items left out", "items left out are a selection"} <= set(caveats(prepared, said, None))
    assert (said.n_items, said.n_paired) == (1000, 100)


def test_items_that_are_missing_by_chance_are_no_selection():
    parts = [rows(80, 0), rows(70, 0.5).sample(frac=0.9, random_state=1), rows(60, 0.9)]
    prepared = prepare(validate(pd.concat(parts, ignore_index=True)))
    assert {one.n_items for one in prepared.same.left_out} == {10}
    assert [one.selection for one in prepared.same.left_out] == [None, None]


def test_hard_items_that_ran_out_of_memory_are_named_as_a_selection():
    hard = rows(60, 0)
    parts = [hard, rows(55, 0.5).iloc[:70], rows(50, 0.9).iloc[:70]]
    (left,) = prepare(validate(pd.concat(parts, ignore_index=True))).same.left_out
    assert left.selection > 0.5


def test_a_condition_of_next_to_no_items_does_not_take_those_of_others():
    parts = [rows(80, 0), *(rows(70, at) for at in (0.3, 0.5, 0.7)), rows(3, 0.9, n=5)]
    same = prepare(validate(pd.concat(parts, ignore_index=True))).same
    assert [(one.level, one.n_items, one.whole) for one in same.left_out] == [(0.9, 5, True)]
    assert len(same.table.tasks[0].item) == 100


def test_levels_with_items_of_their_own_are_named_and_not_paired():
    parts = [rows(80, 0), rows(70, 0.5).assign(item_id=lambda t: "b" + t["item_id"])]
    parts.append(rows(60, 0.9).assign(item_id=lambda t: "c" + t["item_id"]))
    prepared = prepare(validate(pd.concat(parts, ignore_index=True)))
    assert [task for task, _ in prepared.same.different] == ["needle"]
    assert not [c for c in instant_answer(prepared).contrasts if c.n_pairs]
    said = data(prepared)
    assert "items differ between levels" in set(caveats(prepared, said, None))


def test_models_that_share_next_to_all_items_are_held_to_those():
    one = [rows(80, at) for at in (0, 0.5)]
    other = [rows(70, at, model="n").iloc[2:] for at in (0, 0.5)]
    same = prepare(validate(pd.concat([*one, *other], ignore_index=True))).same
    assert {(left.model, left.n_items) for left in same.left_out} == {("m", 2)}
    other = [rows(70, at, model="n").iloc[60:] for at in (0, 0.5)]
    same = prepare(validate(pd.concat([*one, *other], ignore_index=True))).same
    assert same.unlike == (("needle", None),)
    assert not same.left_out


def test_shared_rows_are_the_rows_of_the_shared_items():
    prepared = prepare(validate(pd.concat(limited(), ignore_index=True)))
    assert prepared.shared.groupby("sparsifier").size().to_dict() == {"dense": 100, "snapkv": 200}
    arms = BothArms.of(prepared.shared, parse("snapkv@0.5"), parse("dense"))
    assert arms.naive("retrieval") == pytest.approx(0.7 - 0.9)


def test_order_of_rows_changes_nothing_but_their_order():
    table = validate(pd.concat(limited(), ignore_index=True))
    shuffled = validate(table.sample(frac=1, random_state=0).reset_index(drop=True))
    assert instant_answer(table).model_dump_json() == instant_answer(shuffled).model_dump_json()
    assert prepare(table, in_order=True).content == prepare(shuffled, in_order=True).content


# The same tasks


def easy_and_hard(missing):
    """Two tasks of one type, one of which keeps all and the other nothing at .9; ``missing`` are left out."""
    parts = {}
    for task, at_high in (("easy", 98), ("hard", 5)):
        parts |= {(task, 0): rows(100, 0, task=task), (task, 0.5): rows(90, 0.5, task=task)}
        parts[task, 0.9] = rows(at_high, 0.9, task=task)
    return validate(pd.concat([part for key, part in parts.items() if key not in missing], ignore_index=True))


def test_a_level_that_lacks_a_task_is_no_level_of_the_type():
    found = instant_answer(easy_and_hard({("hard", 0.9)}))
    levels = {c.level for c in found.contrasts if c.second == "dense"}
    (composition,) = found.compositions
    # two tasks at one level, or one task at two: as many cells, and the task stays that has every level
    assert (composition.tasks, composition.lacking) == (["easy"], ["hard"])
    assert levels == {0.5, 0.9}


def test_a_type_without_one_of_its_tasks_says_so():
    table = easy_and_hard({("hard", 0.5), ("hard", 0.9)})
    found = instant_answer(table)
    (composition,) = found.compositions
    assert (composition.sparsifier, composition.tasks, composition.lacking) == ("snapkv", ["easy"], ["hard"])
    prepared = prepare(table)
    assert "tasks differ" in set(caveats(prepared, data(prepared), found))


def test_methods_that_share_no_task_are_not_compared():
    table = easy_and_hard({("hard", 0.5), ("hard", 0.9)})
    other = easy_and_hard({("easy", 0.5), ("easy", 0.9)})
    other = other[other["sparsifier"] != "dense"].assign(sparsifier="tova")
    found = instant_answer(validate(pd.concat([table, other], ignore_index=True)))
    assert {c.second for c in found.contrasts} == {"dense"}
    assert {tuple(one.tasks) for one in found.compositions} == {("easy",), ("hard",)}


def test_everything_shared_is_left_as_it_is():
    table = validate(pd.concat([rows(80, 0), rows(70, 0.5)], ignore_index=True))
    prepared = prepare(table)
    assert prepared.same.table.tasks == same_items(prepared.all_items).table.tasks == prepared.all_items.tasks
    assert prepared.shared is prepared.outcomes
    assert np.all(prepared.items.tasks[0].asked)


def test_models_are_not_compared_on_tasks_of_which_they_answered_different_items():
    one = [rows(80, at, task=task) for at in (0, 0.5) for task in ("a", "b")]
    other = [rows(70, at, task="a", model="n") for at in (0, 0.5)]
    other += [rows(70, at, task="b", model="n").assign(item_id=lambda t: "n" + t["item_id"]) for at in (0, 0.5)]
    prepared = prepare(validate(pd.concat([*one, *other], ignore_index=True)))
    assert prepared.same.unlike == (("b", None),)
    assert prepared.cells.unlike == {("b", None)}
    said = data(prepared)
    assert said.unlike_models == ["b"]
    assert "items differ between models" in set(caveats(prepared, said, None))


def test_the_header_of_a_report_warns_of_what_was_left_out():
    said = data(prepare(validate(pd.concat(limited(), ignore_index=True)), in_order=True))
    example = normal()
    rest = {"unshared": said.unshared, "n_ungraded": 3}
    found = {chip.text for chip in warnings(example.model_copy(update={"data": example.data.model_copy(update=rest)}))}
    assert "900 answers left out: items that not every condition answered, a selection" in found
    assert "3 answers not graded" in found
    assert not any("left out" in chip.text for chip in warnings(example))
