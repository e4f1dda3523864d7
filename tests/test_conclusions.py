"""Conclusions along held-constant axes: support, interpolation, verdicts, labels. Draws alone, no fit."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.worlds.cellwise import Cellwise
from benchmarks.worlds.worlds import WORLDS, difference, right, simulate
from tolerance import DesignError, validate
from tolerance.axes.table import AXES, by_key
from tolerance.comparison.arms import parse, rows
from tolerance.comparison.both_arms import ALL_TYPES
from tolerance.comparison.compare import Rules, compare
from tolerance.comparison.conditions import conditions
from tolerance.comparison.verdicts import AxisPath, Held, Stratum, at_equal, joint, label
from tolerance.question import Question

ASK = Question()
DRAWS = 400
few = settings(max_examples=25, deadline=None)
BY_NAME = {world.name: world for world in WORLDS}


def path(x, means, spread=0.005, seed=0):
    rng = np.random.default_rng(seed)
    return AxisPath(np.array(x, float), np.array(means) + spread * rng.standard_normal((DRAWS, len(x))))


def world(name, seed=0, n_items=100, **changes):
    outcomes = simulate(BY_NAME[name], n_items=n_items, seed=seed).assign(**changes)
    return validate(outcomes)


def conclude(name, outcomes=None, **rules):
    outcomes = world(name) if outcomes is None else outcomes
    sides = parse(BY_NAME[name].treatment), parse(BY_NAME[name].reference)
    return compare(outcomes, Cellwise.of(outcomes, n_draws=DRAWS), *sides, Rules(**rules))


def axis(found, name, kind=ALL_TYPES):
    (one,) = [c for c in found.conclusions if c.task_type == kind]
    return next(held for held in one.axes if held.axis == name)


@few
@given(st.floats(0, 20), st.floats(0.1, 5), st.floats(0.2, 5), st.floats(0.1, 5))
def test_what_does_not_overlap_has_no_number(start, width, gap, other):
    a = path([start, start + width], [0.5, 0.6])
    b = path([start + width + gap, start + width + gap + other], [0.5, 0.6])
    for stratum in (Stratum(a, b), Stratum(b, a)):
        held = at_equal(AXES["compute"], [stratum], ASK)
        assert held.verdict == "no overlap"
        assert held.draws is None
        assert "treatment at" in held.reason


@few
@given(st.lists(st.floats(0.2, 3), min_size=2, max_size=5), st.integers(0, 9), st.floats(0.2, 0.9))
def test_the_support_lies_inside_both_hulls(steps, seed, shift):
    x = np.cumsum(steps)
    a, b = path(x, np.full(len(x), 0.6), seed=seed), path(x + shift * np.ptp(x), np.full(len(x), 0.6), seed=seed + 1)
    held = at_equal(AXES["params"], [Stratum(a, b)], ASK, seed=seed)
    assert held.verdict != "no overlap"
    assert AXES["params"].forward(held.low) >= b.x[0] - 0.02
    assert AXES["params"].forward(held.high) <= a.x[-1] + 0.02


def test_the_same_points_on_both_sides_are_compared_without_interpolation():
    a, b = path([1, 3, 5], [0.5, 0.6, 0.7]), path([1, 3, 5], [0.4, 0.5, 0.6], seed=1)
    held = at_equal(AXES["compute"], [Stratum(a, b)], ASK)
    assert not held.interpolated
    np.testing.assert_allclose(held.draws, (a.draws - b.draws).mean(axis=1))
    assert held.verdict == "better"


def test_interpolating_between_few_far_sizes_is_less_certain_than_between_many_near_ones():
    def width(x):
        a = path(x, 0.5 + 0.02 * np.array(x))
        b = path(np.array(x) + 0.4, 0.5 + 0.02 * np.array(x), seed=1)
        return np.std(at_equal(AXES["compute"], [Stratum(a, b)], ASK).draws)

    assert width([0, 6]) > 2 * width(np.arange(7))


def test_sizes_that_scatter_about_their_trend_widen_what_lies_between_them():
    def width(scatter):
        y = 0.6 + scatter * np.array([0, 1, -1, 1, -1, 0])
        b = path(np.arange(6) + 0.5, np.full(6, 0.6), seed=1)
        return np.std(at_equal(AXES["compute"], [Stratum(path(np.arange(6), y), b)], ASK).draws)

    assert width(0.2) > 1.5 * width(0.0)


def test_a_sure_change_of_sign_is_undecided_with_the_crossing():
    x = np.array([0.0, 2.0, 4.0])
    held = at_equal(AXES["compute"], [Stratum(path(x, 0.5 + 0.05 * (x - 1)), path(x, [0.5] * 3, seed=1))], ASK)
    assert held.verdict == "undecided"
    assert held.crossover.first_better == "reference"
    assert held.crossover.probability > 0.95
    assert abs(held.crossover.at.value - 2) < 0.5
    assert held.crossover.at.interval.lower < 2 < held.crossover.at.interval.upper


@few
@given(st.sampled_from(["compute", "kv-tokens", "sparsity"]), st.floats(0.01, 0.99))
def test_the_scale_of_an_axis_goes_there_and_back(name, value):
    value = value if name == "sparsity" else 1e6 * value
    assert np.isclose(AXES[name].back(AXES[name].forward(np.array(value))), value)


def held(mean, spread=0.01, seed=0):
    draws = mean + spread * np.random.default_rng(seed).standard_normal(DRAWS)
    stratum = Stratum(AxisPath(np.zeros(1), draws[:, None]), AxisPath(np.zeros(1), np.zeros((DRAWS, 1))))
    return at_equal(AXES["compute"], [stratum], ASK)


@pytest.mark.parametrize(
    ("means", "want"),
    [
        ((0.1, 0.2), "robust"),
        ((0.1, -0.2), "axis-dependent"),
        ((0.1, 0.012), "fragile"),
        ((0.1, 0.001), "axis-dependent"),
        ((0.05, 0.001), "axis-dependent"),
        ((0.031, 0.001), "fragile"),
        ((0.1,), "untestable"),
        ((), "untestable"),
    ],
)
def test_labels(means, want):
    asked = [held(mean, spread=0.008, seed=i) for i, mean in enumerate(means)]
    assert label([*asked, Held("no overlap"), Held("unavailable")], ASK)[0] == want


def test_levels_that_both_sides_measured_need_no_curve_between_them():
    x, measured = np.linspace(0, 4, 9), np.array([0, 4, 8])
    a, b = (AxisPath(x, path(x, [m] * 9).draws, "curve", measured) for m in (0.6, 0.5))
    held = at_equal(AXES["sparsity"], [Stratum(a, b)], ASK)
    assert not held.interpolated
    np.testing.assert_allclose(held.draws, (a.draws - b.draws)[:, measured].mean(axis=1))
    assert at_equal(AXES["compute"], [Stratum(a, AxisPath(x + 0.3, b.draws, "curve", measured))], ASK).interpolated


def test_verdicts_that_are_not_jointly_sure_are_no_flip():
    """Each of three is sure enough by itself, and wrong in draws of its own."""
    signs = np.ones((3, DRAWS))
    for i in range(3):
        signs[i, 10 * i : 10 * (i + 1)] = -1
    asked = [Held("better" if i else "worse", draws=0.1 * row * (1 if i else -1)) for i, row in enumerate(signs)]
    said, flip = label(asked, ASK)
    assert said == "fragile"
    assert np.mean(flip) == 1 - 30 / DRAWS
    assert joint([]) is None
    assert joint([flip, ~flip]) == 0


def test_sparse_wins_at_equal_compute_and_loses_at_equal_parameters():
    found = conclude("a", world("a", seed=4))
    assert axis(found, "compute").verdict == "better"
    assert axis(found, "compute").interpolated
    assert axis(found, "parameters").verdict == "worse"
    assert axis(found, "parameters").check.slope.value < 0
    assert axis(found, "sparsity fraction").verdict == "no overlap"
    assert axis(found, "KV bytes").verdict == "unavailable"
    assert found.conclusions[-1].label == "axis-dependent"
    assert found.n_flagged >= 2
    assert found.prob_all_flips <= min(one.prob_flip for one in found.conclusions if one.label == "axis-dependent")
    assert found.conclusions[0].factor == ["method"]


def test_the_pooled_mean_says_better_where_every_type_is_worse():
    found = conclude("e", world("e", seed=4))
    for one in found.conclusions:
        assert axis(found, "parameters", one.task_type).verdict == "worse"
    assert found.conclusions[-1].naive > 0.05


@pytest.mark.parametrize("name", BY_NAME)
def test_a_decisive_verdict_is_right_in_worlds_of_known_truth(name):
    found = conclude(name, world(name, seed=4))
    for one in found.conclusions:
        for at in one.axes:
            if at.axis in BY_NAME[name].axes and at.verdict not in ("undecided", "unavailable"):
                assert right(at.verdict, difference(BY_NAME[name], 4, one.task_type, at.axis)), (name, at)


def test_levels_move_along_memory_where_both_sides_leave_them_open():
    outcomes = world("b")
    outcomes["sparsity_kind"] = "kv-cache"
    outcomes["prompt_tokens"] = 4096
    outcomes.loc[outcomes["sparsifier"] == "dense", "sparsity_kind"] = "none"
    found = compare(outcomes, Cellwise.of(outcomes, n_draws=DRAWS), parse("a"), parse("b"), Rules())
    assert len(found.conclusions) == 3
    for name in ("KV tokens", "sparsity fraction"):
        assert axis(found, name).verdict == "better"
    assert axis(found, "KV tokens").low == pytest.approx(819.2, rel=0.01)
    assert axis(found, "KV tokens").high == pytest.approx(2048, rel=0.01)


def test_an_open_side_against_dense_is_one_comparison_for_each_level():
    outcomes = world("a")
    found = compare(outcomes, Cellwise.of(outcomes, n_draws=DRAWS), parse("a"), parse("dense"))
    assert {one.treatment for one in found.conclusions} == {"a@0.5", "a@0.8"}


def test_retention_and_model_attributes():
    outcomes = world("a")
    found = compare(
        outcomes,
        Cellwise.of(outcomes, n_draws=DRAWS),
        parse("a@0.8,params>=4e9"),
        parse("a@0.8,params<=2e9"),
        Rules(quantity="retention"),
    )
    assert found.conclusions[0].factor == ["params"]
    assert axis(found, "parameters").verdict == "no overlap"
    assert axis(found, "context length").verdict in ("equivalent", "undecided")
    without = outcomes[outcomes["sparsifier"] != "dense"]
    sides = parse("a@0.8"), parse("a@0.5")
    found = compare(without, Cellwise.of(without, n_draws=DRAWS), *sides, Rules(quantity="retention"))
    assert axis(found, "parameters").reason == "no dense baseline"


def test_without_a_posterior_everything_is_withheld():
    outcomes = world("a")
    found = compare(outcomes, None, parse("a@0.8"), parse("dense"), Rules(axes=by_key("params")))
    (at,) = found.conclusions[0].axes
    assert (at.verdict, at.difference, found.conclusions[0].label) == ("withheld", None, "withheld")
    assert found.conclusions[0].naive is None


@settings(max_examples=3, deadline=None)
@given(st.permutations(range(40)))
def test_the_order_of_rows_does_not_matter(order):
    outcomes = world("b", n_items=20)
    posterior = Cellwise.of(outcomes, n_draws=50)
    sides, rules = (parse("a@0.8"), parse("b@0.8")), Rules(axes=by_key("compute,params"))
    mixed = outcomes.iloc[np.r_[np.array(order), 40 : len(outcomes)]].reset_index(drop=True)
    assert compare(outcomes, posterior, *sides, rules) == compare(mixed, posterior, *sides, rules)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a@90", "the level 90 is no fraction"),
        ("a@0.7", "Levels asked for: 0.5, 0.8"),
        ("aa", "Did you mean a"),
        ("a,parms>=1e9", "Did you mean params"),
        ("a,model>=m1b", "only = can be asked"),
        ("a,params>=9e9", "no answer has params>=9e9"),
        ("a,params=big", "'big' is no number"),
    ],
)
def test_a_side_that_finds_nothing_says_what_there_is(text, words):
    with pytest.raises(DesignError, match=words):
        rows(world("a", n_items=2), parse(text))


def test_sides_that_share_answers_are_refused():
    outcomes = world("a", n_items=2)
    with pytest.raises(DesignError, match="share answers"):
        compare(outcomes, None, parse("a"), parse("a,params>=4e9"))


def test_a_method_that_removed_nothing_is_dense():
    outcomes = world("a", n_items=2)
    outcomes.loc[outcomes["sparsity_requested"] == 0.5, "sparsity_realised"] = 0.0
    assert {condition.requested for condition in conditions(rows(outcomes, parse("a")))} == {0.8}
