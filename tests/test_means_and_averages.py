"""Published means without a model and in audits, dense scores that are rows, and averages over tasks and items."""

import numpy as np
import pandas as pd
import pytest

from tests.simulated import outcomes
from tolerance import SchemaError, audit, instant_answer, validate
from tolerance.auditing.claims import Claim
from tolerance.auditing.evidence import of_means, published
from tolerance.data.published import validate_aggregates
from tolerance.instant.means import sizes

FROM_ANSWERS = ["task", "task_type", "model", "context_length", "sparsifier", "sparsity_requested", "chance"]


def means_of(answers):
    return answers.groupby(FROM_ANSWERS, as_index=False).agg(score=("score", "mean"), n_items=("score", "size"))


def claim(number=0.9, **claimed):
    fields = {"kind": "retention", "number": number, "unit": "share of dense", **claimed}
    return Claim.model_validate(
        {
            "format": "tolerance-claim/1",
            "id": "c",
            "statement": "It is kept.",
            "citation": {"source": "a paper"},
            "claimed": fields,
            "axis": "none stated",
            "scope": {"sparsity": 0.9},
        }
    )


@pytest.fixture
def answers():
    """Independent answers: what pairing would add is nothing, so both answers must say the same."""
    return outcomes(n_items=200, levels=(0.5, 0.9), sparsifiers=("top-k", "streaming"), seed=3)


def test_means_of_independent_answers_say_what_the_answers_say(answers):
    ours, theirs = instant_answer(validate(answers)), instant_answer(validate_aggregates(means_of(answers)))
    for a, b in zip(ours.contrasts, theirs.contrasts, strict=True):
        assert (a.task_type, a.first, a.second, a.level) == (b.task_type, b.first, b.second, b.level)
        assert a.difference.value == pytest.approx(b.difference.value)
        ends = (a.difference.interval.lower, a.difference.interval.upper)
        assert (b.difference.interval.lower, b.difference.interval.upper) == pytest.approx(ends, abs=0.025)
    for a, b in zip(ours.tolerated, theirs.tolerated, strict=True):
        assert a.level.median == b.level.median or a.level.median == pytest.approx(b.level.median)
    assert theirs.n_means == len(means_of(answers))
    assert {one.n_pairs for one in theirs.contrasts} == {0}
    assert theirs.trends == []


def test_the_order_of_means_makes_no_difference(answers):
    table = validate_aggregates(means_of(answers))
    turned = validate_aggregates(means_of(answers).sample(frac=1, random_state=1))
    assert instant_answer(table) == instant_answer(turned)


def test_a_standard_error_says_how_much_a_mean_varies(answers):
    table = means_of(answers).assign(score=lambda t: t["score"].clip(0.1, 0.9))
    share = table["score"] * (1 - table["score"])
    told = validate_aggregates(table.assign(se=np.sqrt(share / 50)))
    np.testing.assert_allclose(sizes(told), 50)
    np.testing.assert_allclose(sizes(validate_aggregates(table.assign(se=None))), 200)
    np.testing.assert_allclose(sizes(validate_aggregates(table.assign(n_items=None, se=np.sqrt(share / 50)))), 50)
    wide = instant_answer(told).contrasts[0].difference.interval
    narrow = instant_answer(validate_aggregates(table)).contrasts[0].difference.interval
    assert wide.upper - wide.lower > 1.5 * (narrow.upper - narrow.lower)


def test_a_value_lies_in_its_interval_even_at_the_ends(answers):
    table = means_of(answers)
    at_zero = table.assign(score=table["score"].where(table["sparsity_requested"] < 0.9, 0.0))
    for one in instant_answer(validate_aggregates(at_zero)).contrasts:
        assert one.difference.interval.lower <= one.difference.value <= one.difference.interval.upper


def test_means_are_evidence_and_share_their_dense_mean(answers):
    evidence = of_means(validate_aggregates(means_of(answers)))
    rows = evidence.cells.query("task == 'chain' and sparsity > 0").index
    assert np.ptp(evidence.dense_draws[rows], axis=0).max() == 0
    found = audit(claim(), validate_aggregates(means_of(answers)))
    assert found.basis == "published means"
    assert found.overall.value == pytest.approx(audit(claim(), validate(answers)).overall.value)


@pytest.fixture
def uneven():
    """Almost all of a task of many items is kept, and half of one of few."""
    many = outcomes(n_items=2000, levels=(0.9,), sparsifiers=("top-k",), tasks={"many": "single-qa"}, seed=1)
    few = outcomes(n_items=40, levels=(0.9,), sparsifiers=("top-k",), tasks={"few": "multi-hop"}, seed=2)
    rng = np.random.default_rng(5)
    for table, kept in ((many, 0.97), (few, 0.2)):
        dense = table.loc[table["sparsifier"] == "dense", "score"].to_numpy()
        table.loc[table["sparsifier"] == "top-k", "score"] = dense * (rng.random(len(dense)) < kept)
    return pd.concat([many, few], ignore_index=True)


@pytest.mark.parametrize("as_means", [False, True])
@pytest.mark.parametrize(
    ("average", "verdict", "only_for"),
    [
        (None, "supported only for", ["the average over items"]),
        ("items", "supported", []),
        ("tasks", "contradicted", []),
    ],
)
def test_averages_over_tasks_and_items_are_told_apart(uneven, as_means, average, verdict, only_for):
    evidence = validate_aggregates(means_of(uneven)) if as_means else validate(uneven)
    found = audit(claim(0.9, tolerance=0.01, average=average), evidence)
    assert (found.verdict, found.only_for) == (verdict, only_for)
    tasks, items = (one.value for one in found.averages)
    assert tasks < 0.65
    assert items == pytest.approx(0.955, abs=0.02)
    assert found.overall.value == (items if average == "items" else tasks)
    assert f"{100 * tasks:.1f}% over tasks" in str(found)
    which = "does not say which it means" if average is None else f"is about the one over {average}"
    assert which in " ".join(str(found).split())


def test_where_they_are_one_number_one_is_given(answers):
    assert audit(claim(), validate(answers)).averages == []


def test_an_average_over_items_needs_to_know_them(uneven):
    from tolerance import DesignError

    with pytest.raises(DesignError, match=r"claims an average over items.*Fill n_items"):
        audit(claim(average="items"), validate_aggregates(means_of(uneven).assign(n_items=None)))


def test_an_average_is_of_scores():
    with pytest.raises(ValueError, match="a threshold is no average of scores"):
        claim(0.5, kind="threshold", unit="share of KV kept", average="items")


def cells(**changes):
    rows = [
        {"source": "p", "table_or_figure": "T1", "method": method, "model": "m", "task": task, "task_type": "other"}
        | {"score_scale": "0-100", "score": score, "n_items": 100, "sparsity": level}
        for task, dense in (("a", 80), ("b", 60))
        for method, score, level in (("FullKV", dense, None), ("x", dense - 30, 0.9))
    ]
    return pd.DataFrame(rows).assign(**changes)


def test_dense_rows_stand_in_for_a_column_of_dense_scores(tmp_path):
    path = tmp_path / "cells.csv"
    cells().to_csv(path, index=False)
    evidence = published(path)
    assert evidence.cells["dense"].tolist() == pytest.approx([0.8, 0.8, 0.6, 0.6])
    found = audit(claim(), path)
    assert found.overall.value == pytest.approx(80 / 140)
    assert found.n_cells == 2


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"sparsity": [None, 0.9, None, 1.0]}, r"row 3, column sparsity: 1\.0, expected at least 0 and below 1"),
        ({"sparsity": [None, 90, None, 0.9]}, r"row 1, column sparsity: 90\.0.*a percentage is divided by 100"),
        ({"n_items": [100, -5, 100, 100]}, "row 1, column n_items: -5, expected at least 1"),
        ({"n_items": [100, "inf", 100, 100]}, "row 1, column n_items: .*is not a whole number"),
        ({"score": [80, "high", 60, 30]}, "row 1, column score: 'high' is not a number"),
        ({"score": [80, 500, 60, 30]}, "row 1: score 500 does not fit its score_scale '0-100'"),
        ({"dense_score": [None, -3, None, 60]}, "row 1: dense_score -3 does not fit its score_scale '0-100'"),
        ({"task": "a", "method": "x", "sparsity": 0.9}, "row 1: a second score of 'x' for 'a' by 'm'"),
        ({"score_scale": "perplexity"}, "no row has a score_scale of 0-1, 0-100"),
        ({"densescore": 1}, "column `densescore`: did you mean `dense_score`"),
        ({"query_aware": 7}, r"row 0, column query_aware: 7.*expected at least 0 and at most 1"),
    ],
)
def test_what_a_cell_may_not_hold_is_named(tmp_path, changes, said):
    path = tmp_path / "cells.csv"
    cells(**changes).to_csv(path, index=False)
    with pytest.raises(SchemaError, match=said):
        published(path)


def test_two_dense_scores_of_one_place_are_not_chosen_between(tmp_path):
    path = tmp_path / "cells.csv"
    other = cells().query("method == 'FullKV'").assign(score=70, sparsity=0.0, method="dense")
    pd.concat([cells(), other]).to_csv(path, index=False)
    with pytest.raises(SchemaError, match=r"2 dense rows with other scores for 'a' by 'm' \(rows 0, 4\)"):
        published(path)
