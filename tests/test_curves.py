"""The curve family and what is read off it."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tolerance.data.cells import halvings, sparsity
from tolerance.model.curve import ANCHOR, crossing, departed, signed_root, steepness, survival

locs = st.floats(-1.5, 2.5)
shapes = st.floats(-0.5, 2.0)
tails = st.floats(0.02, 7.0)


def at(x, loc, shape, tail):
    return survival(np.asarray(x, float), *(np.asarray(v) for v in (loc, shape, tail)))


@given(locs, shapes, tails)
def test_the_location_is_where_the_anchor_share_is_left(loc, shape, tail):
    assert at(np.exp(loc), loc, shape, tail) == pytest.approx(ANCHOR)


@given(locs, shapes, tails)
def test_a_curve_starts_whole_and_never_rises(loc, shape, tail):
    left = at(np.linspace(0, 8, 200), loc, shape, tail)
    assert left[0] == 1
    assert np.all(np.diff(left) <= 1e-12)
    assert np.all((left >= 0) & (left <= 1))


def test_tail_one_is_log_logistic_and_tail_zero_weibull():
    x = np.array([0.5, 1.0, 2.0, 4.0])
    logistic = 1 / (1 + (1 / ANCHOR - 1) * (x / np.exp(0.7)) ** steepness(np.array(0.8), np.array(1.0)))
    np.testing.assert_allclose(at(x, 0.7, 0.8, 1.0), logistic)
    weibull = np.exp(np.log(ANCHOR) * (x / np.exp(0.7)) ** np.exp(0.8))
    np.testing.assert_allclose(at(x, 0.7, 0.8, 1e-6), weibull, rtol=0.05)


@given(locs, st.floats(-0.5, 1.0), tails)
def test_the_shape_is_the_steepness_at_the_anchor_whatever_the_tail(loc, shape, tail):
    near = np.exp(loc + np.array([-1e-4, 1e-4]))
    slope = np.diff(np.log(at(near, loc, shape, tail))) / 2e-4
    assert slope[0] == pytest.approx(np.log(ANCHOR) * np.exp(shape), rel=0.02)


@given(st.floats(0.01, 0.99), st.integers(1, 1000), st.floats(0.01, 0.99))
def test_residuals_are_signed_roots_of_the_deviance(share, n, accuracy):
    saturated, fitted = (share * np.log(p) + (1 - share) * np.log(1 - p) for p in (share, accuracy))
    found = signed_root(np.array(share), np.array(n), np.array(accuracy))
    assert found**2 == pytest.approx(2 * n * (saturated - fitted), abs=1e-6)
    assert np.sign(found) in (0, np.sign(share - accuracy))


def test_departures_move_accuracy_and_stop_at_the_ends():
    assert departed(np.array(0.5), np.array(0.0)) == pytest.approx(0.5)
    assert departed(np.array(0.5), np.array(0.1)) > 0.5
    assert departed(np.array(0.99), np.array(2.0)) == 1.0
    assert departed(np.array(0.01), np.array(-2.0)) == 0.0


@given(locs, shapes, tails, st.floats(0.5, 0.99))
def test_the_crossing_is_where_the_share_is_met(loc, shape, tail, least):
    grid = np.linspace(0, 6, 2001)
    found = crossing(at(grid, loc, shape, tail)[None], grid, least)[0]
    if np.isinf(found):
        assert at(6.0, loc, shape, tail) >= least
    else:
        assert at(found, loc, shape, tail) == pytest.approx(least, abs=0.02)


@given(st.floats(0, 0.999))
def test_halvings_and_sparsity_are_inverse(s):
    assert sparsity(halvings(np.array(s))) == pytest.approx(s, abs=1e-12)
