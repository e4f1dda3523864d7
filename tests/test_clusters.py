"""Items that depend on each other widen intervals everywhere, and nothing is counted twice."""

import numpy as np
import pandas as pd
import pytest

from tolerance.data.cells import collapse
from tolerance.data.outcomes import validate
from tolerance.data.prepared import prepare
from tolerance.instant.answer import instant_answer
from tolerance.stats.paired_proportions import clustered_mcnemar, mcnemar

LEVELS = {0.0: 0, 0.5: 4, 0.9: 8}


def answers(scores, task="a", **fields):
    """``scores`` ``(item, level)`` of three levels."""
    parts = [
        pd.DataFrame(
            {
                "item_id": [f"i{i}" for i in range(len(scores))],
                "task": task,
                "task_type": "single-qa",
                "model": "m",
                "sparsifier": "dense" if at == 0 else "x",
                "sparsity_requested": at,
                "score": scores[:, k],
                "chance": 0.0,
                **fields,
            }
        )
        for k, at in enumerate(LEVELS)
    ]
    return pd.concat(parts, ignore_index=True)


def passages(n=20, each=25):
    """Passages whose items are all right or all wrong; 4 of 20 are lost at .5 and 8 at .9."""
    lost = np.array([[float(p >= k) for k in LEVELS.values()] for p in range(n)])
    return np.repeat(lost, each, axis=0), [f"p{p}" for p in range(n) for _ in range(each)]


def found_at(table, level=0.9):
    (one,) = [c for c in instant_answer(table).contrasts if c.second == "dense" and c.level == level]
    return one


def width(interval):
    return interval.upper - interval.lower


def test_passages_count_as_passages_everywhere():
    scores, names = passages()
    apart, together = validate(answers(scores)), validate(answers(scores, cluster=names))
    one = found_at(together)
    assert (one.mcnemar.n_pairs, one.mcnemar.only_second, one.mcnemar.by_cluster) == (20, 8, True)
    assert one.mcnemar.p == pytest.approx(2 / 2**8)
    # 8 of 20 lost: about .6 (.4 to .8)
    assert 0.35 < one.retention.interval.lower < 0.48
    assert 0.72 < one.retention.interval.upper < 0.85
    assert width(one.retention.interval) > 4 * width(found_at(apart).retention.interval)
    weight, items = (collapse(together).frame[name].to_numpy() for name in ("weight", "items"))
    assert items.tolist() == [500, 500, 500]
    assert np.all(weight < 25)
    trends = [instant_answer(table).trends[0].slope.interval for table in (apart, together)]
    assert width(trends[1]) > 3 * width(trends[0])


def test_clusters_of_one_are_items():
    scores = (np.random.default_rng(3).random((80, 3)) < (0.9, 0.7, 0.5)).astype(float)
    alone = answers(scores, cluster=[f"c{i}" for i in range(80)])
    one, other = validate(answers(scores)), validate(alone)
    assert np.array_equal(collapse(one).weight, collapse(other).weight)
    assert instant_answer(one).model_dump(exclude={"contrasts"}) == instant_answer(other).model_dump(
        exclude={"contrasts"}
    )


def test_two_filters_of_the_same_generations_are_one_item():
    rng = np.random.default_rng(0)
    strict = (rng.random((100, 1)) < (0.8, 0.7, 0.5)).astype(float)
    flexible = np.maximum(strict, (rng.random((100, 3)) < 0.1).astype(float))
    alone = validate(answers(strict, "strict"))
    both = validate(pd.concat([answers(strict, "strict"), answers(flexible, "flexible")], ignore_index=True))
    assert prepare(both).items.shared_items.alike == (("flexible", "strict"),)
    one, two = found_at(alone), found_at(both)
    assert width(two.retention.interval) > 0.85 * width(one.retention.interval)
    assert two.mcnemar.n_pairs == 100
    assert two.mcnemar.only_second <= 100 * (0.8 - 0.5) + 1
    assert collapse(both).weight.sum() < 1.25 * collapse(alone).weight.sum()


def test_tasks_whose_items_only_bear_the_same_numbers_are_not():
    rng = np.random.default_rng(1)
    one, other = ((rng.random((100, 3)) < (0.8, 0.7, 0.5)).astype(float) for _ in range(2))
    table = validate(pd.concat([answers(one, "a"), answers(other, "b")], ignore_index=True))
    items = prepare(table).items
    assert items.shared_items.alike == ()
    assert not items.spanning


def test_repeats_and_models_are_no_further_items():
    scores = (np.random.default_rng(2).random((60, 3)) < (0.9, 0.7, 0.4)).astype(float)
    once = answers(scores)
    models = validate(pd.concat([once, once.assign(model="n")], ignore_index=True))
    one = found_at(models)
    assert one.mcnemar.n_pairs == 60
    assert one.mcnemar.only_second == found_at(validate(once)).mcnemar.only_second
    cells = {cell.sparsity: cell.n_items for cell in instant_answer(models).cells if cell.task is None}
    assert set(cells.values()) == {60}


def test_the_clustered_test_is_mcnemars_where_each_cluster_has_one_item():
    for lost, gained in ((9, 2), (40, 20), (5, 5)):
        changes = np.r_[-np.ones(lost), np.ones(gained), np.zeros(30)]
        exact = float(mcnemar(np.array([gained]), np.array([lost]))[0])
        assert clustered_mcnemar(changes) == pytest.approx(exact, abs=0.012)
    assert clustered_mcnemar(np.zeros(4)) == 1.0


def test_intervals_of_clustered_answers_cover():
    rng, hits = np.random.default_rng(5), 0
    for seed in range(60):
        passage = rng.normal(0, 1.5, (30, 1, 1))
        scores = (rng.logistic(size=(30, 10, 3)) < np.array([2.0, 1.0, 0.0]) + passage).astype(float)
        table = validate(answers(scores.reshape(300, 3), cluster=[f"p{p}" for p in range(30) for _ in range(10)]))
        (one,) = [
            c
            for c in instant_answer(table, resamples=300, seed=seed).contrasts
            if c.second == "dense" and c.level == 0.9
        ]
        big = np.random.default_rng(9).normal(0, 1.5, 200_000)
        true = np.mean(1 / (1 + np.exp(-big))) / np.mean(1 / (1 + np.exp(-(2.0 + big))))
        hits += one.retention.interval.lower <= true <= one.retention.interval.upper
    assert 46 <= hits <= 60
