"""Coordinates that straighten the posterior: the same density, an exact inverse, and less spread of its curvature."""

import numpy as np
import pytest

from tests.simulated import outcomes
from tolerance import blocks, density, validate
from tolerance.cells import collapse
from tolerance.parameters import Parameters
from tolerance.preconditioning import plain, straightened
from tolerance.priors import PRIORS


@pytest.fixture(scope="module")
def posterior():
    """A design with many answers, and a small cloud of positions near the top of its posterior."""
    cells = collapse(validate(outcomes(n_items=300)))
    parameters = Parameters(cells, PRIORS)
    observed = (cells.right + 0.5) / (cells.n + 1)
    built = blocks.blocks(cells, observed, blocks.independent(cells), blocks.departures(cells, observed))
    design = density.design(parameters, built)
    at = parameters.centre()
    for _ in range(300):
        gradient = density.log_density(at, design)[1]
        at = at + 0.01 * gradient / (1 + np.abs(gradient))
    return design, at + 0.05 * np.random.default_rng(0).standard_normal((60, parameters.size))


def test_the_density_is_the_same_and_its_gradient_is_its_slope(posterior):
    design, draws = posterior
    coordinates = straightened(design, draws)
    z = coordinates.coordinates(draws)
    np.testing.assert_allclose(coordinates.positions(z), draws, atol=1e-9)
    value, gradient = coordinates.log_density(z[0], design)
    assert value == pytest.approx(density.log_density(draws[0], design)[0], abs=1e-6)
    for i in range(0, len(gradient), 7):
        step = 1e-5 * np.eye(len(gradient))[i]
        ahead, behind = (coordinates.log_density(z[0] + s, design)[0] for s in (step, -step))
        assert (ahead - behind) / 2e-5 == pytest.approx(gradient[i], rel=1e-4, abs=1e-4)


def test_curvature_is_more_alike_along_every_direction(posterior):
    design, draws = posterior
    coordinates = straightened(design, draws)
    mean, scale = draws.mean(axis=0), draws.std(axis=0)
    steps = 1e-3 * np.eye(len(mean))

    def curvatures(gradient_at):
        hessian = np.stack([(gradient_at(-step) - gradient_at(step)) / 2e-3 for step in steps])
        return np.linalg.eigvalsh((hessian + hessian.T) / 2)

    before = curvatures(lambda z: scale * density.log_density(mean + scale * z, design)[1])
    after = curvatures(lambda z: coordinates.log_density(z, design)[1])
    assert after.max() < before.max() / 2


def test_plain_coordinates_are_positions(posterior):
    design, draws = posterior
    coordinates = plain(draws.shape[1])
    np.testing.assert_array_equal(coordinates.coordinates(draws), draws)
    assert coordinates.log_density(draws[0], design)[0] == density.log_density(draws[0], design)[0]
