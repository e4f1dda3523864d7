"""The instant answer: known cases, equal numbers by other routes, and what must not matter."""

import warnings

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest, multinomial

from tests.simulated import outcomes
from tolerance import DesignError, instant_answer, validate
from tolerance.stats import gee
from tolerance.stats.isotonic import isotonic
from tolerance.stats.paired_proportions import mcnemar, newcombe, wilson_limits


def rows(answers, *, task="look-up", task_type="single-qa", sparsifier="top-k", level=0.5, **more):
    """One row an item with these scores, in order; dense where the level is 0."""
    return [
        {
            "item_id": f"{task}-{item}",
            "task": task,
            "task_type": task_type,
            "model": "made",
            "sparsifier": sparsifier if level else "dense",
            "unit": "kv-entries" if level else "none",
            "sparsity_requested": level,
            "score": float(score),
            **more,
        }
        for item, score in enumerate(answers)
    ]


def answer(*parts, **settings):
    return instant_answer(validate(pd.DataFrame([row for part in parts for row in part])), **settings)


def against_dense(found, level=0.5):
    (one,) = [c for c in found.contrasts if c.second == "dense" and c.level == level]
    return one


def cell(found, sparsifier, level, task=None):
    (one,) = [c for c in found.cells if (c.sparsifier, c.level, c.task) == (sparsifier, level, task)]
    return one


@pytest.fixture(scope="module")
def table():
    scales = {("chain", "top-k"): 6.0, ("chain", "streaming"): 1.2}
    return validate(outcomes(n_items=80, scales=scales, seed=3))


@pytest.fixture(scope="module")
def found(table):
    return instant_answer(table)


# Known cases


def test_mcnemar_is_the_exact_binomial_test():
    only_first, only_second = np.array([3, 0, 7, 12]), np.array([11, 0, 7, 1])
    expected = [binomtest(a, a + b).pvalue if a + b else 1.0 for a, b in zip(only_first, only_second, strict=True)]
    assert mcnemar(only_first, only_second) == pytest.approx(expected)


def test_wilson_limits_are_those_of_statsmodels():
    from statsmodels.stats.proportion import proportion_confint

    right, n = np.array([0, 3, 17, 40]), np.array([40, 40, 40, 40])
    expected = proportion_confint(right, n, alpha=0.1, method="wilson")
    assert np.array(wilson_limits(right / n, n, 0.9)) == pytest.approx(np.array(expected), abs=1e-12)


def test_a_cell_of_right_and_wrong_has_its_wilson_interval(found, table):
    mine = table[(table["task"] == "chain") & (table["sparsifier"] == "top-k") & (table["sparsity_requested"] == 0.9)]
    low, high = wilson_limits(np.array(mine["score"].mean()), np.array(len(mine)), 0.9)
    seen = cell(found, "top-k", 0.9, "chain")
    assert (seen.accuracy, seen.n_items) == (mine["score"].mean(), 80)
    assert (seen.wilson.lower, seen.wilson.upper) == pytest.approx((float(low), float(high)))


@pytest.mark.parametrize(("p", "q", "rho"), [(0.9, 0.85, 0.9), (0.98, 0.98, 0.5), (0.6, 0.3, 0.2)])
def test_the_paired_interval_of_a_difference_covers_about_nine_in_ten_or_more(p, q, rho):
    """Every table of 25 items weighed with its probability: no simulation. Alike items make it conservative."""
    both = p * q + rho * (min(p, q) - p * q)
    shares = [both, p - both, q - both, 1 - p - q + both]
    n = 25
    tables = np.array(
        [(a, b, c, n - a - b - c) for a in range(n + 1) for b in range(n + 1 - a) for c in range(n + 1 - a - b)]
    )
    low, high = newcombe(tables, 0.9)
    covered = (low <= p - q) & (p - q <= high)
    chance = multinomial.pmf(tables, n, shares)
    assert chance.sum() == pytest.approx(1)
    assert chance[covered].sum() >= 0.88
    apart = np.array([(p * q, p * (1 - q), (1 - p) * q, (1 - p) * (1 - q))]) * 1000
    together = np.array([shares]) * 1000
    assert np.ptp(newcombe(together, 0.9)) < np.ptp(newcombe(apart, 0.9))


def test_discordant_items_are_counted_and_tested():
    found = answer(rows([1, 1, 1, 1, 1, 0, 0], level=0), rows([1, 0, 0, 0, 0, 1, 0]))
    table = against_dense(found).mcnemar
    assert (table.n_pairs, table.only_first, table.only_second) == (7, 1, 4)
    assert table.p == pytest.approx(binomtest(1, 5).pvalue)
    assert table.difference == pytest.approx(-3 / 7)
    assert table.interval.lower < -3 / 7 < table.interval.upper
    assert not table.repeated


def test_the_robust_interval_is_that_of_a_clustered_regression():
    """Several configurations of one task: the sandwich of a logistic regression with items as clusters."""
    import statsmodels.api as sm

    rng = np.random.default_rng(4)
    ease = rng.random(40)
    parts = [rows(rng.random(40) < ease, context_length=c) for c in (1024, 2048, 4096)]
    seen = cell(answer(*parts), "top-k", 0.5)
    frame = pd.DataFrame([row for part in parts for row in part])
    model = sm.GLM(frame["score"], np.ones(len(frame)), family=sm.families.Binomial())
    codes = pd.factorize(frame["item_id"])[0]
    fit = model.fit(cov_type="cluster", cov_kwds={"groups": codes, "use_correction": False}, use_t=False)
    half = np.log(seen.robust.upper / (1 - seen.robust.upper)) - np.log(seen.accuracy / (1 - seen.accuracy))
    from scipy.stats import t

    assert half == pytest.approx(t.ppf(0.95, 39) * fit.bse.iloc[0] * np.sqrt(40 / 39), rel=1e-6)


@pytest.mark.parametrize("graded", [False, True])
def test_the_trend_is_that_of_statsmodels(graded):
    import statsmodels.api as sm

    rng = np.random.default_rng(5)
    n = 60
    block, item = np.repeat([0, 1], 4 * n), np.concatenate([np.repeat(np.arange(n), 4), n + np.repeat(np.arange(n), 4)])
    along = np.tile([0.0, 1.0, 2.0, 3.3], 2 * n)
    share = 1 / (1 + np.exp(-(1.5 + rng.normal(size=2 * n)[item] - 0.8 * along + 0.5 * block)))
    score = rng.binomial(5, share) / 5 if graded else (rng.random(len(share)) < share).astype(float)
    keep = rng.random(len(score)) < 0.9
    score, along, block, item = score[keep], along[keep], block[keep], item[keep]
    design = np.column_stack([block == 0, block == 1, along]).astype(float)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = sm.GEE(
            score, design, groups=item, family=sm.families.Binomial(), cov_struct=sm.cov_struct.Exchangeable()
        )
        expected = model.fit(maxiter=200, ctol=1e-10)
    ours = gee.slope(score, along, block, item)
    assert ours.slope == pytest.approx(expected.params[2], rel=1e-5)
    assert ours.se == pytest.approx(expected.bse[2], rel=1e-4)
    assert ours.correlation == pytest.approx(float(model.cov_struct.dep_params), rel=1e-4)


def test_the_tolerated_level_lies_straight_in_halvings_between_measured_levels():
    """Everything is kept at one halving, 90% at two: 95% at one and a half."""
    found = answer(rows([1] * 200, level=0), rows([1] * 200, level=0.5), rows([1] * 180 + [0] * 20, level=0.75))
    level = found.tolerated[0].level
    assert level.median == pytest.approx(1 - 2**-1.5)
    assert level.lower < level.median < level.upper


def test_a_level_outside_what_was_measured_is_a_bound(found):
    by_type = {(t.task_type, t.sparsifier): t.level for t in found.tolerated}
    assert by_type["multi-hop", "streaming"].median is None
    assert by_type["multi-hop", "streaming"].censored == "left"
    kept = answer(rows([1] * 30, level=0), rows([1] * 30, level=0.5), rows([1] * 30, level=0.9))
    level = kept.tolerated[0].level
    assert (level.median, level.upper, level.censored) == (None, None, "right")


def test_retention_subtracts_the_guessing_floor():
    found = answer(rows([1] * 75 + [0] * 25, level=0, chance=0.25), rows([1] * 50 + [0] * 50, chance=0.25))
    seen = against_dense(found)
    assert seen.retention.value == pytest.approx(0.5)
    assert seen.retention.interval.lower < 0.5 < seen.retention.interval.upper


def test_a_type_is_the_mean_of_its_tasks_not_of_its_items():
    found = answer(
        rows([1] * 90 + [0] * 10, level=0),
        rows([1] * 80 + [0] * 20),
        rows([1] * 10, task="other", level=0),
        rows([0] * 9 + [1], task="other"),
    )
    assert cell(found, "top-k", 0.5).accuracy == pytest.approx((0.8 + 0.1) / 2)
    assert against_dense(found).difference.value == pytest.approx((0.8 + 0.1) / 2 - (0.9 + 1) / 2)


def test_pairing_narrows_the_interval():
    """The same items right under both: a difference that independent items would leave wide open."""
    dense = [1] * 60 + [0] * 40
    alike = against_dense(answer(rows(dense, level=0), rows(dense)))
    apart = against_dense(answer(rows(dense, level=0), rows(dense[::-1])))
    width = [one.difference.interval.upper - one.difference.interval.lower for one in (alike, apart)]
    assert width[0] < width[1] / 3


# Scores that are not right or wrong


def test_k_of_n_and_graded_scores_have_robust_and_bootstrap_intervals_and_no_test_of_right_and_wrong():
    rng = np.random.default_rng(6)
    dense, sparse = rng.integers(2, 6, 40) / 5, rng.integers(0, 5, 40) / 5
    parts = [
        [dict(row, k=round(5 * row["score"]), n=5) for row in rows(x, level=s)] for x, s in ((dense, 0), (sparse, 0.5))
    ]
    graded = [rows(dense * 0.91, level=0), rows(sparse * 0.91)]
    for seen in (answer(*parts), answer(*graded)):
        one = against_dense(seen)
        assert one.mcnemar is None
        assert one.difference.interval.lower < one.difference.value < one.difference.interval.upper
        assert cell(seen, "top-k", 0.5).wilson is None
        assert cell(seen, "top-k", 0.5).robust.kind == "robust"


def test_in_a_mixed_type_only_tasks_of_right_and_wrong_are_tested():
    found = answer(
        rows([1, 1, 1, 0], level=0),
        rows([0, 1, 0, 0]),
        rows([0.2, 0.9, 0.7], task="graded", level=0),
        rows([0.1, 0.9, 0.2], task="graded"),
    )
    assert against_dense(found).n_pairs == 7
    assert against_dense(found).mcnemar.n_pairs == 4


# Degenerate cells


@pytest.mark.parametrize("score", [0, 1])
def test_a_cell_without_variation_has_a_wilson_interval_of_some_width_and_no_robust_one(score):
    seen = cell(answer(rows([score] * 40, level=0), rows([score] * 40)), "top-k", 0.5)
    assert seen.robust is None
    assert seen.wilson.upper - seen.wilson.lower > 0.05


def test_all_right_everywhere_claims_no_certainty():
    found = answer(rows([1] * 40, level=0), rows([1] * 40))
    one = against_dense(found)
    assert one.retention.value == 1
    assert one.retention.interval.lower < 0.99 < 1 < one.retention.interval.upper
    assert one.mcnemar.p == 1
    assert found.trends[0].reason == "every answer is right"
    assert found.trends[0].slope is None


def test_all_wrong_is_a_dense_accuracy_at_the_floor():
    found = answer(rows([0] * 40, level=0), rows([0] * 40))
    one = against_dense(found)
    assert (one.retention, one.reason) == (None, "dense accuracy is at the guessing floor")
    assert found.tolerated[0].reason == "dense accuracy is at the guessing floor"
    assert found.trends[0].reason == "every answer is wrong"


def test_one_item_has_numbers_and_no_interval():
    found = answer(rows([1], level=0), rows([0]))
    one = against_dense(found)
    assert (one.difference.value, one.difference.interval) == (-1, None)
    assert cell(found, "top-k", 0.5).robust is None
    assert found.tolerated[0].reason == "a task with a single item"
    assert found.trends[0].reason == "one item"


def test_levels_that_separate_right_from_wrong_have_no_slope():
    found = answer(rows([1] * 20, level=0), rows([1] * 20, level=0.5), rows([0] * 20, level=0.9))
    assert (found.trends[0].slope, found.trends[0].reason) == (None, "no convergence")


def test_answers_that_no_level_changes_have_no_slope():
    found = answer(*(rows([1, 0, 1, 1, 0], level=s) for s in (0, 0.5, 0.9)))
    assert found.trends[0].reason == "no answer changes"


def test_without_dense_cells_trends_and_methods_stand(table):
    found = instant_answer(table[table["sparsifier"] != "dense"])
    assert not [c for c in found.contrasts if c.second == "dense"]
    assert {c.first for c in found.contrasts} == {"streaming"}
    assert {t.reason for t in found.tolerated} == {"no dense baseline"}
    assert found.n_unpaired == 3 * 80 * 10
    assert any(t.slope is not None for t in found.trends)


def test_only_dense_answers_are_refused():
    with pytest.raises(DesignError, match="every answer is dense"):
        answer(rows([1, 0], level=0))


def test_unpaired_items_are_counted_and_left_out_of_contrasts():
    found = answer(rows([1, 1, 0, 1, 1], level=0)[1:], rows([0, 1, 0, 1, 0])[:4])
    one = against_dense(found)
    assert (one.n_pairs, one.unpaired_first, one.unpaired_second) == (3, 0, 0)
    assert (one.accuracy_first, one.accuracy_second) == (pytest.approx(2 / 3), pytest.approx(2 / 3))
    assert found.n_unpaired == 2


def test_fractions_of_different_things_are_not_compared():
    other = [dict(row, unit="heads") for row in rows([1, 0, 1], sparsifier="pruning")]
    found = answer(rows([1, 1, 1], level=0), rows([1, 1, 0]), other)
    assert {c.second for c in found.contrasts} == {"dense"}


def test_a_method_without_a_dense_run_is_compared_with_its_own_level_zero():
    own = [dict(row, sparsifier="top-k", unit="kv-entries") for row in rows([1, 1, 0, 1], level=0)]
    found = answer(own, rows([1, 0, 0, 1]))
    assert against_dense(found).mcnemar.only_second == 1


def test_items_that_enter_once_for_each_model_are_marked():
    parts = [rows(x, level=s, context_length=c) for c in (1, 2) for x, s in (([1, 1, 0], 0), ([0, 1, 0], 0.5))]
    assert against_dense(answer(*parts)).mcnemar.repeated


# What must not matter


@settings(max_examples=6, deadline=None)
@given(st.randoms(use_true_random=False))
def test_the_order_of_rows_does_not_matter(random):
    frame = outcomes(n_items=12, levels=(0.5, 0.9), tasks={"a": "single-qa", "b": "multi-hop"}, seed=9)
    frame = frame.sample(frac=0.9, random_state=1)
    order = list(range(len(frame)))
    random.shuffle(order)
    expected = instant_answer(validate(frame), resamples=100)
    assert instant_answer(validate(frame.iloc[order]), resamples=100) == expected


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 1000))
def test_the_same_answers_asked_again_add_no_information(seed):
    """The item is the unit: a replicate that repeats every answer leaves numbers and intervals as they were."""
    frame = outcomes(n_items=15, levels=(0.5, 0.9), tasks={"a": "single-qa", "b": "single-qa"}, dense=0.7, seed=seed)
    once = instant_answer(validate(frame), resamples=100)
    again = pd.concat([frame.assign(replicate=r) for r in (0, 1)])
    twice = instant_answer(validate(again), resamples=100)
    for part in ("tolerated", "trends"):
        # six digits, as they are written
        assert [x.model_dump_json() for x in getattr(twice, part)] == [x.model_dump_json() for x in getattr(once, part)]
    unit = {"wilson", "n_answers", "mcnemar", "sparsity"}
    for part in ("cells", "contrasts"):
        one, two = ([x.model_dump_json(exclude=unit) for x in getattr(found, part)] for found in (once, twice))
        assert one == two
    assert all(c.wilson is None for c in twice.cells)


def test_the_same_seed_gives_the_same_numbers_and_another_does_not(table, found):
    assert instant_answer(table) == found
    other = instant_answer(table, seed=1)
    assert other.contrasts != found.contrasts
    assert [c.difference.value for c in other.contrasts] == [c.difference.value for c in found.contrasts]


def test_every_interval_of_a_difference_holds_the_difference(found):
    for contrast in found.contrasts:
        interval = contrast.difference.interval
        assert interval.lower - 1e-9 <= contrast.difference.value <= interval.upper + 1e-9


def test_many_methods_are_compared_with_dense_alone():
    names = [f"m{i:02d}" for i in range(13)]
    found = answer(rows([1, 1, 0], level=0), *(rows([1, 0, 0], sparsifier=name) for name in names))
    assert len(found.contrasts) == 13


def test_a_dip_by_chance_is_no_threshold():
    rng = np.random.default_rng(3)
    parts = [rows(list(rng.binomial(1, 0.2, 300)), level=at) for at in (0, 0.1, 0.3, 0.5, 0.7, 0.9)]
    (found,) = answer(*parts).tolerated
    assert found.level.lower is None
    assert found.level.upper is None
    assert found.level.prob_beyond > 0.02
    assert found.level.prob_below < 0.95


@given(st.lists(st.lists(st.floats(0, 1), min_size=4, max_size=4), min_size=1, max_size=5))
def test_isotonic_regression_never_rises_and_keeps_the_mean(curves):
    values = np.array(curves)
    falling = isotonic(values)
    assert np.all(np.diff(falling, axis=1) <= 1e-12)
    assert falling.mean(axis=1) == pytest.approx(values.mean(axis=1))
    assert isotonic(falling) == pytest.approx(falling)


def test_tasks_of_unlike_size_near_a_correlation_of_one_have_a_trend():
    n = {"big": 800, "small": 20}
    parts = []
    for task, size in n.items():
        right = {0: size, 0.5: size - size // 40, 0.9: size - size // 20}
        right = right if task == "big" else {0: 19, 0.5: 11, 0.9: 2}
        parts += [
            [dict(row, task=task) for row in rows([i < k for i in range(size)], level=at)] for at, k in right.items()
        ]
    (trend,) = answer(*parts).trends
    assert trend.reason is None
    assert trend.slope.interval.upper < 0
