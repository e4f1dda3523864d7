"""Shapes are named where a curve has them, and not where it has not."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tolerance.data.cells import halvings
from tolerance.estimands.curve_shapes import named, shapes
from tolerance.estimands.type_curve import TypeCurve
from tolerance.model.curve import survival

LEVELS = (0.5, 0.67, 0.8, 0.9, 0.95)


def curve(shares, *, levels=LEVELS, noise=0.005, has_dense=True, floor=0.1, dense=0.8):
    """A curve whose draws lie near given shares of dense accuracy at the levels."""
    grid = halvings(np.r_[0.0, levels])
    rng = np.random.default_rng(0)
    left = np.r_[1.0, shares] + noise * rng.normal(size=(200, len(grid))) * (grid > 0)
    accuracy = floor + (dense - floor) * left
    whole = np.full(200, dense)
    return TypeCurve(
        "t", "s", ("t",), np.array(levels), np.array(levels), grid, accuracy, whole, 0 * whole + floor, has_dense
    )


def kinds(found):
    return {shape.kind for shape in named(found, 0.95)}


@pytest.mark.parametrize(
    ("shares", "expected"),
    [
        ((0.97, 0.9, 0.8, 0.6, 0.4), set()),
        ((1.0, 0.95, 0.5, 0.48, 0.47), {"plateau"}),
        ((0.9, 0.5, 0.49, 0.48, 0.1), {"plateau"}),
        ((1.1, 1.0, 0.8, 0.5, 0.2), {"better than dense"}),
        ((0.9, 0.6, 0.8, 0.6, 0.3), {"dip"}),
        ((0.3, 0.15, 0.1, 0.05, 0.0), {"cliff before the first level"}),
        ((1.0, 0.99, 0.99, 0.98, 0.98), {"flat"}),
    ],
)
def test_a_shape_has_its_name(shares, expected):
    assert kinds(curve(shares)) == expected


def test_a_shape_is_said_where_it_is():
    plateau = next(iter(named(curve((1.0, 0.95, 0.5, 0.48, 0.2)), 0.95)))
    assert (plateau.low, plateau.high) == (pytest.approx(0.8), pytest.approx(0.9))
    dip = next(iter(named(curve((0.9, 0.6, 0.8, 0.6, 0.3)), 0.95)))
    assert (dip.low, dip.high) == (pytest.approx(0.67), pytest.approx(0.8))


def test_what_draws_do_not_agree_on_is_not_named():
    assert kinds(curve((1.0, 0.95, 0.5, 0.48, 0.47), noise=0.15)) == set()


def test_without_a_dense_baseline_nothing_relative_to_it_is_named():
    asked = {shape.kind for shape in shapes(curve((1.1, 0.3, 0.2, 0.1, 0.0), has_dense=False))}
    assert asked == {"plateau", "dip"}
    sparse = curve((0.9, 0.85, 0.4, 0.38, 0.37))
    bare = replace(sparse, has_dense=False)
    assert kinds(bare) == {"plateau"}


def test_levels_that_nearly_coincide_are_one_point():
    realised = (0.498, 0.5, 0.502, 0.79, 0.8, 0.9)
    assert kinds(curve((0.9, 0.8, 0.9, 0.6, 0.7, 0.3), levels=realised)) == set()


@given(st.floats(-0.5, 2.0), st.floats(-0.2, 1.5), st.floats(0.02, 1.0))
def test_curves_of_the_family_never_rise(loc, shape, tail):
    left = survival(halvings(np.array(LEVELS)), *(np.asarray(v) for v in (loc, shape, tail)))
    assert not {"dip", "better than dense"} & kinds(curve(left, noise=0.0))
