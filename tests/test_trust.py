"""What a fit says of itself: answers unlike it, priors that lead, left-out cells, and what was tried."""

from dataclasses import replace

import numpy as np
import pytest
import xarray as xr

from tests.simulated import outcomes
from tolerance import Settings, analyse, compare_families, validate
from tolerance.diagnostics import loo
from tolerance.diagnostics.checks import ANY, DIVERGENCES, PREDICTIVE, REPORTED, check, sampled
from tolerance.diagnostics.loo import difference, leave_out, refit_high_k
from tolerance.diagnostics.model_comparison import Member
from tolerance.diagnostics.posterior_predictive import LIMIT, Predictive
from tolerance.diagnostics.power_scaling import leaning, sensitivities
from tolerance.diagnostics.refit import TRIES, widened
from tolerance.estimands.curves import type_curves
from tolerance.findings import Check
from tolerance.inference.fit import fit
from tolerance.model.priors import NARROW, PRIORS

TASKS = {"one": "retrieval", "two": "retrieval", "three": "retrieval", "chain": "multi-hop"}
# Long enough that whether chains agree is no matter of luck.
SHORT = Settings(chains=2, tune=200, draws=700, pilot_tune=100, pilot_draws=50, cores=1)


@pytest.fixture(scope="module")
def table():
    return validate(outcomes(n_items=80, tasks=TASKS, sparsifiers=("top-k",)))


@pytest.fixture(scope="module")
def fitted(table):
    return fit(table, settings=SHORT)


def moved(fitted, task, by):
    """The fit, with accuracy of one task's cells predicted too low or high."""
    posterior = fitted.draws["posterior"].to_dataset()
    mine = (fitted.cells.frame["task"] == task).to_numpy()
    wrong = np.clip(posterior["fitted"] + by * mine, 0.01, 0.99)
    draws = fitted.draws.copy()
    draws["posterior"] = type(draws)(posterior.assign(fitted=wrong))
    return replace(fitted, draws=draws)


def test_answers_from_the_model_are_as_predicted(fitted):
    found = Predictive(fitted)
    assert found.smallest > LIMIT
    assert list(found.unlike()) == []
    inside = found.table["observed"].between(found.table["lower"], found.table["upper"])
    assert inside.mean() > 0.8


def test_a_task_that_defeats_the_family_is_named(fitted):
    wrong = moved(fitted, "two", -0.3)
    found = Predictive(wrong)
    # its type as a whole may be, too; no other task is
    assert {name.split(" under ")[0] for name in found.unlike()} - {"all tasks of retrieval"} == {"two"}
    assert set(found.table["task"][found.table["unlike"]]) == {"two"}
    worst = found.table.iloc[0]
    assert not worst["lower"] <= worst["observed"] <= worst["upper"]
    last = check(wrong, type_curves(wrong))[-1]
    assert not last.passed
    assert "two under" in last.meaning


def test_every_task_method_and_level_is_checked_once(fitted):
    table = Predictive(fitted).table
    assert len(table) == len(table.groupby(["task", "sparsifier", "sparsity_requested"])) == 4 * (1 + 5)
    assert table["n"].sum() == fitted.cells.n.sum()


def test_the_gate_corrects_for_both_ways_to_group(fitted):
    found = Predictive(fitted)
    by_task, by_type = found.by_task.table, found.by_type.table
    assert found.smallest == pytest.approx(
        min(1.0, 2 * min(by_task["p"].min() * len(by_task), by_type["p"].min() * len(by_type)))
    )


@pytest.mark.parametrize(
    ("prior", "likelihood", "expected"),
    [(3.0, 0.0, "strong prior"), (3.0, 3.0, "prior-data conflict"), (0.0, 3.0, None)],
)
def test_what_the_densities_say_of_a_level_is_the_diagnosis(fitted, prior, likelihood, expected):
    """Densities that go with the tolerated level pull it; noise does not."""
    curve = type_curves(fitted)[0]
    level = np.minimum(curve.tolerated(0.95), curve.grid[-1])
    pull, noise = (level - level.mean()) / level.std(), 0.05 * np.random.default_rng(0).normal(size=level.shape)
    draws = fitted.draws.copy()
    for group, strength in (("log_prior", prior), ("log_likelihood", likelihood)):
        values = (strength * pull + noise).reshape(draws[group].sizes["chain"], -1)
        draws[group] = type(draws)(xr.Dataset({"x": (("chain", "draw"), values)}, coords=draws[group].coords))
    found = sensitivities(replace(fitted, draws=draws), [curve], 0.95)[0]
    assert found[0].what == "tolerated level"
    assert leaning(found) == expected


def test_what_is_the_same_in_every_draw_has_no_sensitivity(fitted):
    found = sensitivities(fitted, type_curves(fitted), 0.0001)
    level = found[0][0]
    assert np.isnan(level.prior)
    assert level.leaning is None


def test_left_out_cells_say_how_many_are_out_of_reach(fitted):
    cells, blocks = leave_out(fitted, "cell"), leave_out(fitted, "block")
    assert len(cells.k) == len(fitted.cells.frame)
    assert len(blocks.k) == len(TASKS)
    assert cells.high <= len(cells.k)
    assert difference(cells, cells) == (0.0, 0.0)


def test_predictions_far_off_are_worse_for_left_out_cells(fitted):
    elpd, se = difference(leave_out(moved(fitted, "two", -0.3), "cell"), leave_out(fitted, "cell"))
    assert elpd < -2 * se < 0


def test_leaving_a_cell_out_in_earnest_agrees_with_importance_sampling_where_that_is_good(fitted, monkeypatch):
    usual = leave_out(fitted, "cell")
    cell = int(np.argmin(np.where(np.arange(len(usual.k)) < fitted.cells.n_dense, np.inf, usual.k)))
    assert usual.k[cell] < 0.4
    said = replace(usual, k=np.where(np.arange(len(usual.k)) == cell, 1.0, 0.0))
    monkeypatch.setattr(loo, "leave_out", lambda *_: said)
    told = []
    found = refit_high_k(fitted, stage=told.append)
    assert (found.high, found.refitted, told) == (0, 1, ["left-out cell 1 of 1"])
    assert found.each[cell] == pytest.approx(usual.each[cell], abs=0.15)
    others = np.arange(len(usual.k)) != cell
    np.testing.assert_array_equal(found.each[others], usual.each[others])
    assert refit_high_k(fitted, at_most=0) is said


def failing(*names):
    each = ("R-hat", "ESS", ANY, DIVERGENCES, REPORTED, PREDICTIVE)
    return [Check(name=n, worst=0, limit=0, sense="at most", passed=n not in names, meaning="is off") for n in each]


def after(one, *names, priors=PRIORS):
    return one.next(failing(*names), priors)


def test_remedies_follow_what_failed():
    first = TRIES[0]
    assert after(first) is None
    assert after(first, "R-hat").change == "2 times as long"
    assert after(first, "R-hat", PREDICTIVE).change == "2 times as long"
    assert after(first, PREDICTIVE).change == "priors of departures 3 times as wide"
    smaller = after(first, DIVERGENCES)
    assert smaller.change == "smaller steps"
    assert smaller.of(Settings()).draws == Settings().draws
    assert smaller.of(Settings()).target_accept > Settings().target_accept
    assert after(smaller, DIVERGENCES).change == "2 times as long, with smaller steps"
    assert after(first, DIVERGENCES, "ESS").change == "2 times as long, with smaller steps"
    longer = after(first, "ESS")
    assert longer.of(Settings()).draws == 2 * Settings().draws
    assert longer.of(Settings()).target_accept == Settings().target_accept
    assert after(longer, DIVERGENCES).change == "2 times as long, with smaller steps"
    assert after(smaller, "ESS").change == "2 times as long, with smaller steps"
    both = after(longer, PREDICTIVE)
    assert both.change == "2 times as long; priors of departures 3 times as wide"
    assert after(both, PREDICTIVE) is None
    assert after(first, REPORTED) == after(first, PREDICTIVE)
    # a wider family that breaks the sampling leads nowhere
    assert after(both, "R-hat") is None


def test_of_chains_that_stopped_half_way_only_what_stopped_them_counts():
    found = failing("R-hat", "ESS", DIVERGENCES)
    assert TRIES[0].next(found, PRIORS, True).change == "smaller steps"
    assert TRIES[0].next(found, PRIORS).change == "2 times as long, with smaller steps"
    assert TRIES[0].next(failing(ANY, DIVERGENCES), PRIORS, True).change == "2 times as long, with smaller steps"


def test_priors_are_narrowed_where_twice_as_long_was_not_enough_and_the_caller_chose_none():
    longer = after(TRIES[0], "ESS")
    narrower = after(longer, "ESS")
    assert narrower.change == "2 times as long; narrower priors of what single curves do"
    assert narrower.of(Settings()).priors == replace(PRIORS, **NARROW)
    longest = after(narrower, "ESS")
    assert (longest.times, longest.narrower) == (4, True)
    assert after(longest, "ESS") is None
    some = replace(PRIORS, sd_loc_curve=(0.5, 0.3))
    assert narrower.of(Settings(priors=some)).priors == replace(PRIORS, **NARROW | {"sd_loc_curve": (0.5, 0.3)})
    own = replace(PRIORS, **dict.fromkeys(NARROW, (0.3, 0.4)))
    assert after(longer, "ESS", priors=own).change == "4 times as long"


def test_every_remedy_is_among_those_that_a_saved_fit_is_looked_for():
    own = replace(PRIORS, **dict.fromkeys(NARROW, (0.3, 0.4)))
    seen, todo = set(), [TRIES[0]]
    while todo:
        one = todo.pop()
        seen.add(one)
        fails = (("ESS",), (DIVERGENCES,), (PREDICTIVE,), ("ESS", PREDICTIVE))
        each = (after(one, *names, priors=priors) for names in fails for priors in (PRIORS, own))
        todo += [later for later in each if later is not None and later not in seen]
    assert seen == {one for one in TRIES if one.times > 1 or not one.narrower}


def test_more_room_is_more_room_for_departures_alone():
    wide = widened(PRIORS)
    assert wide.sd_departure[0] > PRIORS.sd_departure[0]
    assert replace(wide, sd_departure=PRIORS.sd_departure, sd_departure_type=PRIORS.sd_departure_type) == PRIORS


def test_the_report_holds_what_the_fit_says_of_itself(table, tmp_path):
    short = replace(SHORT, chains=4)
    report = analyse(table, settings=short, folder=tmp_path)
    assert report.fit_passed, [one for one in report.checks if not one.passed]
    assert report.attempts[-1].failed == []
    assert [one.leaning for one in report.thresholds] == [one.leaning for one in report.sensitivities]
    assert {one.unit for one in report.left_out} == {"cell", "block"}
    assert all((one.elpd is None) == (one.high_k > 0) for one in report.left_out)
    assert len(report.predicted) == len(TASKS) * 6
    assert analyse(table, settings=short, folder=tmp_path).attempts == report.attempts


def test_a_failed_fit_says_nothing_of_its_curves(table):
    report = analyse(table, settings=Settings(chains=2, tune=10, draws=20, pilot_tune=10, pilot_draws=10, cores=1))
    assert not report.fit_passed
    assert not sampled(report.checks)
    assert report.shapes == []
    assert all(one.quantities == [] and one.status == "withheld" for one in report.sensitivities)
    assert all(one.elpd is None and one.status == "withheld" for one in report.left_out)
    assert all(one.lower is None and one.upper is None for one in report.predicted)
    assert len(report.attempts) == 4


@pytest.mark.slow
def test_families_are_ranked_by_left_out_cells_or_withheld(table, tmp_path):
    stiff = replace(SHORT, priors=replace(PRIORS, shape=(-1.0, 0.02), sd_shape_curve=(0.01, 0.1)))
    hasty = replace(SHORT, tune=10, draws=20)
    members = {"usual": Member("", SHORT), "stiff": Member("", stiff), "hasty": Member("", hasty)}
    found = compare_families(table, families=members, folder=tmp_path, refits=0)
    assert {one.name for one in found} == set(members)
    assert next(one for one in found if one.name == "hasty").status == "withheld"
    for one in found:
        assert (one.status == "ok") == (not one.failed and not one.high_k)
        assert (one.difference is None) == (one.elpd is None) == (one.status != "ok")
    told = [one.difference for one in found if one.status == "ok"]
    assert told == sorted(told, reverse=True)
    assert told[:1] in ([], [0.0])
