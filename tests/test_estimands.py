"""What is asked of draws: sums, signs and censoring that hold for any draws. No sampling."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.fake_fit import fake_fit
from tests.simulated import outcomes
from tolerance import DesignError, validate
from tolerance.data.cells import halvings, sparsity
from tolerance.estimands.contrasts import ALL_PAIRS, Contrasted, common_levels, difference
from tolerance.estimands.curve_state import CurveState
from tolerance.estimands.curves import averaged, beyond, curve, type_curves
from tolerance.estimands.kv_budgets import budgets, tokens
from tolerance.estimands.parts import part_curves
from tolerance.estimands.rankings import censored, ordering
from tolerance.estimands.source import Source
from tolerance.estimands.thresholds import tolerated
from tolerance.model.curve import departed, survival
from tolerance.model.parameters import Parameters
from tolerance.model.priors import PRIORS
from tolerance.model.transform import Meaning, accuracies
from tolerance.question import Question
from tolerance.stats.intervals import lower_limit, quantiles

ASK = Question()


def states(curves, status="ok", reason=None):
    """Curves as an analysis hands them on."""
    return [CurveState(curve, pd.DataFrame(), "causal-pairs", status, reason) for curve in curves]


few = settings(max_examples=25, deadline=None)
draws = st.lists(st.floats(-1, 1), min_size=1, max_size=60).map(np.array)


def two_models():
    frame = outcomes(n_items=4, sparsifiers=("top-k", "streaming"), levels=(0.5, 0.8, 0.9))
    frame = frame.assign(sparsity_kind="kv-cache", prompt_tokens=256)
    return validate(pd.concat([frame, frame.assign(model="other")], ignore_index=True))


@pytest.fixture(scope="module")
def fitted():
    return fake_fit(two_models(), draws=50, spread=0.6)


@pytest.fixture(scope="module")
def curves(fitted):
    return type_curves(fitted)


@pytest.fixture(scope="module")
def contrasts(fitted, curves):
    return list(Contrasted(Source(fitted), states(curves), ASK).contrasts())


def test_a_curve_in_single_precision_is_the_curve_that_is_fitted(fitted):
    one = curve(fitted, "top-k", ["chain"], [("other", 256)])
    method, task, config = (
        fitted.cells.sparsifiers.index("top-k"),
        fitted.cells.tasks.index("chain"),
        fitted.cells.configs.index(("other", 256)),
    )
    loc, shape = (fitted.variable(name)[:, method, task, config] for name in ("loc", "shape"))
    at = halvings(np.array([0.8]))
    left = survival(at, loc, shape, fitted.variable("tail"))
    cell = Source(fitted).measured[method, task, config][1]
    knots = Source(fitted).knots
    path = knots.path[method, fitted.cells.type_of_task[task], config]
    shared = fitted.variable("departure_type")[:, path : path + 2].sum(1)
    above = one.dense * left
    family = above / (above + (1 - above) * np.exp(-shared))
    want = departed(family, fitted.variable("departure")[:, cell])
    np.testing.assert_allclose(one.accuracy_at(0.8), want, atol=2e-6)


def test_beyond_the_last_level_a_curve_goes_on_from_there_and_its_band_widens(fitted, curves):
    at = curves[0].grid[-1] + np.linspace(0, 0.6, 7)
    for one in curves:
        further = beyond(Source(fitted), one, at)
        assert further.shape == (len(one.dense), 7)
        assert ((further >= 0) & (further <= 1)).all()
        np.testing.assert_allclose(further[:, 0], one.accuracy_at(one.last), atol=2e-5)
        assert (np.diff(np.median(further, axis=0)) < 0.005).all()
    # departures alone widen it
    wide = fake_fit(fitted.cells, spread=0.0, departure=0.3)
    one = type_curves(wide)[0]
    sd = beyond(Source(wide), one, at).std(axis=0)
    assert sd[-1] > sd[0]


def test_a_level_that_tasks_realise_a_little_differently_is_one_level():
    frame = outcomes(n_items=4, tasks={"a": "retrieval", "b": "retrieval", "c": "retrieval"}, sparsifiers=("top-k",))
    frame["sparsity_realised"] = frame["sparsity_requested"] * frame["task"].map({"a": 0.98, "b": 0.99, "c": 1.0})
    one = type_curves(fake_fit(validate(frame)))[0]
    asked = np.unique(frame["sparsity_requested"][frame["sparsity_requested"] > 0])
    assert len(one.levels) == 3 * len(asked)
    np.testing.assert_allclose(one.distinct, 0.99 * asked)


def test_a_type_curve_is_the_mean_of_its_parts_within_every_draw(fitted, curves):
    parts = [curve(fitted, curves[0].sparsifier, curves[0].tasks, [config]) for config in fitted.cells.configs]
    np.testing.assert_allclose(np.mean([p.accuracy for p in parts], axis=0), curves[0].accuracy, atol=1e-6)


def test_nothing_is_lost_at_density_1_and_areas_lie_between_0_and_a_little_more_than_1(curves):
    for one in curves:
        assert np.all(one.retention[:, 0] == 1)
        for over_sparsity in (False, True):
            area = one.area(one.last, over_sparsity=over_sparsity)
            assert np.all((area > 0) & (area < 1.2))
            assert np.all(area <= one.retention.max(1) + 1e-6)


def test_an_area_is_the_integral_of_its_curve(curves):
    one = curves[0]
    fine = np.linspace(0, halvings(np.array(0.85)), 20_001)
    kept = [np.interp(fine, one.grid, row) for row in one.retention[:5]]
    np.testing.assert_allclose(one.area(0.85)[:5], np.mean(kept, axis=1), atol=1e-4)


def test_allowing_a_loss_equal_to_the_share_is_the_same_rule(curves):
    one = curves[0]
    share = float(0.05 * np.median(one.above))
    narrow = one.tolerated(0.95), one.tolerated(0.5, margin=share)
    steady = np.abs(one.above - np.median(one.above)) < 0.002
    np.testing.assert_allclose(narrow[0][steady], narrow[1][steady], rtol=0.02)
    assert np.all(one.tolerated(0.95, margin=0.1) >= one.tolerated(0.95, margin=0.02))


@few
@given(draws, draws)
def test_swapping_the_sides_of_a_difference_swaps_its_sign_and_verdict(x, y):
    n = min(len(x), len(y))
    one, other = difference(x[:n] - y[:n], ASK), difference(y[:n] - x[:n], ASK)
    assert one.estimate.value == pytest.approx(-other.estimate.value, abs=1e-12)
    assert one.prob_positive == pytest.approx(1 - other.prob_positive)
    swapped = {"better": "worse", "worse": "better"}
    assert other.verdict == swapped.get(one.verdict, one.verdict)


def test_what_is_surely_small_is_equivalent_and_what_is_surely_large_is_not():
    assert difference(np.full(100, 0.01), ASK).verdict == "equivalent"
    assert difference(np.full(100, 0.03), ASK).verdict == "better"
    assert difference(np.linspace(-0.1, 0.1, 100), ASK).verdict == "undecided"


def test_contrasts_of_whole_curves_never_reach_beyond_what_both_measured(contrasts):
    assert {c.of for c in contrasts} == {"methods", "task types", "models"}
    for c in contrasts:
        assert c.upto == 0.9
        assert [round(level.sparsity, 6) for level in c.levels] == [0.5, 0.8, 0.9]


def test_models_are_compared_at_equal_tasks_and_context(contrasts):
    models = [c for c in contrasts if c.of == "models"]
    assert {(c.first, c.second) for c in models} == {("other", "simulated")}
    assert len(models) == 6


def test_curves_without_a_place_in_common_are_not_compared():
    frame = two_models()
    apart = frame[~((frame["sparsifier"] == "top-k") ^ (frame["model"] == "other")) | (frame["sparsifier"] == "dense")]
    fitted = fake_fit(apart, draws=10)
    curves = type_curves(fitted)
    found = [c for c in Contrasted(Source(fitted), states(curves), ASK).contrasts() if c.of == "methods"]
    assert {c.reason for c in found} == {"no task and configuration in common"}
    assert all(c.whole is None and c.levels == [] for c in found)


def test_a_withheld_contrast_ordering_or_budget_carries_no_number(fitted, curves):
    failed = ("withheld", "fit failed its checks")
    contrasted = Contrasted(Source(fitted), states(curves, *failed), ASK)
    assert all(c.whole is None and c.levels == [] and c.upto is None for c in contrasted.contrasts())
    found = ordering(states(curves[:2], *failed), ASK)
    assert found.orders == found.extremes == []
    assert found.prob_others is found.tied_most is None
    for one in budgets(contrasted.source, two_models(), contrasted.states, ASK):
        assert one.median is one.lower is one.upper is one.assured is one.prob_more is None


def test_large_groups_are_compared_with_their_best():
    names = tuple(f"m{i:02}" for i in range(ALL_PAIRS + 3))
    fitted = fake_fit(validate(outcomes(n_items=2, sparsifiers=names, levels=(0.5,), tasks={"a": "single-qa"})))
    curves = type_curves(fitted)
    contrasted = Contrasted(Source(fitted), states(curves), ASK)
    found = list(contrasted.contrasts())
    best = curves[int(np.argmax(contrasted.areas))].sparsifier
    assert len(found) == len(names) - 1
    assert all(best in (c.first, c.second) for c in found)


def test_levels_that_nearly_agree_are_one_level():
    asked, realised = halvings(np.array([0.25, 0.5, 0.9])), halvings(np.array([0.24, 0.5, 0.75]))
    assert common_levels(asked, realised, 0.75) == pytest.approx([0.245, 0.5], abs=1e-3)


@few
@given(st.lists(st.lists(st.sampled_from([0.2, 1.5, 2.5, 9.0, np.inf]), min_size=3, max_size=3), min_size=1))
def test_censoring_puts_every_level_inside_or_on_one_side(rows):
    found = censored(np.array(rows), 0.5, 0.9)
    inside = np.isfinite(found)
    assert np.all((sparsity(found[inside]) >= 0.5) & (sparsity(found[inside]) <= 0.9))


def test_probabilities_of_all_orders_sum_to_1_and_ends_to_what_is_not_tied(curves):
    for method in ("top-k", "streaming"):
        mine = [c for c in curves if c.sparsifier == method]
        found = ordering(states(mine), ASK)
        assert sum(o.probability for o in found.orders) + found.prob_others == pytest.approx(1)
        assert sum(e.most for e in found.extremes) + found.tied_most == pytest.approx(1)
        assert sum(e.least for e in found.extremes) + found.tied_least == pytest.approx(1)
        for one in found.orders:
            assert sorted(name for rank in one.ranks for name in rank.task_types) == sorted(found.task_types)
            assert [rank.place for rank in one.ranks] == sorted(
                (rank.place for rank in one.ranks), key=["beyond", "inside", "below"].index
            )


def test_the_order_of_two_is_that_of_their_comparison(curves):
    a, b = [c for c in curves if c.sparsifier == "top-k"][:2]
    found = ordering(states([a, b]), ASK)
    x, y = censored(np.stack([tolerated(a, ASK), tolerated(b, ASK)]), a.first, a.last)
    assert found.extremes[0].most == pytest.approx(np.mean(x > y))
    assert found.tied_most == found.tied_least == pytest.approx(np.mean(x == y))


@few
@given(st.lists(st.sampled_from([0.5, 1.0, 2.0, 3.0, np.inf]), min_size=1, max_size=400).map(np.array))
def test_the_required_level_is_exceeded_as_often_as_required_and_ends_a_two_sided_interval(levels):
    limit = lower_limit(levels, 0.95)
    assert np.mean(levels >= limit) >= 0.95
    assert np.mean(levels <= limit) >= 0.05 - 1e-9
    assert limit == quantiles(levels, 0.9)[0]


def test_computed_budgets_are_prompt_tokens_times_what_is_kept(fitted, curves):
    source = Source(fitted)
    found = list(budgets(source, two_models(), states(curves), ASK))
    assert len(found) == len(curves)
    for curve_, budget in zip(curves, found, strict=True):
        assert (budget.source, budget.context_length) == ("computed", 256)
        assert (budget.most, budget.least) == pytest.approx((128, 25.6))
        levels = sparsity(tolerated(curve_, ASK))
        assert budget.prob_more == pytest.approx(np.mean(levels < 0.5))
        assert budget.prob_fewer == pytest.approx(np.mean(levels > 0.9))
        if budget.median is not None:
            median = np.quantile(levels, 0.5, method="inverted_cdf")
            assert budget.median == pytest.approx(256 * (1 - median), rel=1e-6)


def test_recorded_budgets_come_first_and_attention_alone_has_none():
    frame = two_models()
    sparse = frame[frame["sparsifier"] == "top-k"]
    recorded = tokens(
        sparse.assign(kv_budget_tokens=(100 * (1 - sparse["sparsity_requested"])).round().astype("Int64"))
    )
    assert recorded.source == "recorded"
    assert list(recorded.kept) == [50, 20, 10]
    assert tokens(sparse.assign(sparsity_kind="attention")) is None


@pytest.mark.parametrize("levels", [(0.5,), (0.5, 0.9)])
def test_one_method_one_task_and_few_levels_are_enough(levels):
    frame = validate(outcomes(n_items=4, sparsifiers=("top-k",), levels=levels, tasks={"a": "single-qa"}))
    fitted = fake_fit(frame, draws=20)
    (one,) = type_curves(fitted)
    assert (one.first, one.last) == (levels[0], levels[-1])
    assert list(Contrasted(Source(fitted), states([one]), ASK).contrasts()) == []


def test_a_question_in_percent_is_refused():
    with pytest.raises(DesignError, match=r"margin 2 is outside \(0, 1\)"):
        Question(margin=2.0)


def twenty_levels():
    """One type of two tasks with more levels than knots, which the tasks realise a little differently."""
    levels = tuple(np.round(np.linspace(0.1, 0.97, 20), 3))
    table = outcomes(n_items=20, levels=levels, tasks={"a": "retrieval", "b": "retrieval"}, sparsifiers=("p",))
    sparse = (table["sparsity_requested"] > 0) & (table["task"] == "b")
    realised = table["sparsity_realised"].where(~sparse, table["sparsity_realised"] - 0.01)
    return validate(table.assign(sparsity_realised=realised))


@pytest.mark.parametrize("table", [twenty_levels, two_models])
def test_at_every_measured_level_the_reported_draw_is_the_cells(table):
    fit = fake_fit(table(), spread=0.5, departure=0.3)
    cells, parameters, source = fit.cells, Parameters(fit.cells, PRIORS), Source(fit)
    told = {name: fit.variable(name) for name in ("dense", "loc", "shape", "tail", "floor")}
    m = Meaning(**told, increments=fit.variable("departure_type"), log_scales={}, effects={}, means={})
    each = departed(accuracies(m, parameters), fit.variable("departure"))
    for (method, task, config), mine in source.measured.items():
        one = averaged(source, method, [(task, config)])
        at = np.searchsorted(one.grid, cells.halvings[mine] - 1e-9)
        np.testing.assert_allclose(one.accuracy[:, at], each[:, mine], atol=2e-5)


def test_averages_are_those_of_their_models_and_their_context_lengths(fitted, curves):
    found = part_curves(Source(fitted), curves)
    of = {kind: [part for part in found if part.of == kind] for kind in ("model", "context length")}
    models = sorted({model for model, _ in fitted.cells.configs})
    assert [part.name for part in of["model"]] == models
    for i, one in enumerate(curves):
        each = [part.curves[i] for part in of["model"]]
        weights = np.array([len(curve.places) for curve in each]) / len(one.places)
        at = float(one.levels[0])
        mean = sum(w * curve.accuracy_at(at) for w, curve in zip(weights, each, strict=True))
        np.testing.assert_allclose(mean, one.accuracy_at(at), atol=2e-5)


def test_one_model_at_one_length_has_no_parts():
    fit = fake_fit(twenty_levels())
    assert part_curves(Source(fit), type_curves(fit)) == []
