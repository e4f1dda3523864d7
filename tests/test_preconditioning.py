"""Coordinates that straighten the posterior: the same density, an exact inverse, and less spread of its curvature."""

import numpy as np
import pytest

from tests.simulated import outcomes
from tolerance import validate
from tolerance.data.cells import collapse
from tolerance.inference.preconditioning import straightened
from tolerance.model import covariance, density
from tolerance.model.parameters import Parameters
from tolerance.model.priors import PRIORS


@pytest.fixture(scope="module")
def posterior():
    """A design with many answers, and a small cloud of positions near the top of its posterior."""
    cells = collapse(validate(outcomes(n_items=300)))
    parameters = Parameters(cells, PRIORS)
    observed = (cells.right + 0.5) / (cells.n + 1)
    built = covariance.blocks(cells, observed, covariance.independent(cells), covariance.departures(cells, observed))
    design = density.design(parameters, built)
    at, log_density = parameters.centre(), density.log_density(design)
    for _ in range(300):
        gradient = log_density(at)[1]
        at = at + 0.01 * gradient / (1 + np.abs(gradient))
    return design, at + 0.05 * np.random.default_rng(0).standard_normal((60, parameters.size))


def test_the_density_is_the_same_and_its_gradient_is_its_slope(posterior):
    design, draws = posterior
    coordinates = straightened(design, draws)
    z = coordinates.coordinates(draws)
    np.testing.assert_allclose(coordinates.positions(z), draws, atol=1e-9)
    straight = coordinates.log_density(design)
    value, gradient = straight(z[0])
    assert value == pytest.approx(density.log_density(design)(draws[0])[0], abs=1e-6)
    for i in range(0, len(gradient), 7):
        step = 1e-5 * np.eye(len(gradient))[i]
        ahead, behind = (straight(z[0] + s)[0] for s in (step, -step))
        assert (ahead - behind) / 2e-5 == pytest.approx(gradient[i], rel=1e-4, abs=1e-4)


def test_curvature_is_more_alike_along_every_direction(posterior):
    design, draws = posterior
    coordinates = straightened(design, draws)
    mean, scale = draws.mean(axis=0), draws.std(axis=0)
    steps = 1e-3 * np.eye(len(mean))

    def curvatures(gradient_at):
        hessian = np.stack([(gradient_at(-step) - gradient_at(step)) / 2e-3 for step in steps])
        return np.linalg.eigvalsh((hessian + hessian.T) / 2)

    plain, straight = density.log_density(design), coordinates.log_density(design)
    before = curvatures(lambda z: scale * plain(mean + scale * z)[1])
    after = curvatures(lambda z: straight(z)[1])
    assert after.max() < before.max() / 2
