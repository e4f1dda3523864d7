"""Log likelihood and log prior beside the draws are those of the model, and ArviZ reads them."""

import warnings

import numpy as np
import pytest
from scipy.stats import binom, multivariate_normal

from tests.simulated import outcomes
from tolerance import Settings, validate
from tolerance.data.cells import collapse
from tolerance.inference.fit import fit
from tolerance.model import covariance as blocks
from tolerance.model import density, log_likelihood
from tolerance.model.parameters import Parameters
from tolerance.model.priors import PRIORS
from tolerance.model.transform import accuracies, meaning

TASKS = {"a": "retrieval", "b": "retrieval", "c": "multi-hop"}


@pytest.fixture(scope="module")
def cells():
    table = outcomes(n_items=40, tasks=TASKS)
    table["chance"] = table["task"].map({"a": 0.25, "b": 0.0, "c": 0.1})
    return collapse(validate(table))


@pytest.fixture(scope="module")
def paired(cells):
    accuracy = np.clip(cells.right / cells.n, 0.05, 0.95)
    return blocks.blocks(cells, accuracy, blocks.paired(cells, accuracy), blocks.departures(cells, accuracy))


def positions(parameters, n=3):
    return 0.5 * np.random.default_rng(0).normal(size=(n, parameters.size))


def test_without_correlation_and_departures_it_is_the_binomial(cells):
    nothing = [np.zeros((len(group), len(group))) for group in cells.blocks]
    plain = blocks.blocks(cells, cells.right / cells.n, blocks.independent(cells), nothing)
    p = np.random.default_rng(0).uniform(0.1, 0.9, (5, len(cells.frame)))
    each = binom.logpmf(cells.right, cells.n, p)
    scale = np.full(5, 0.3)
    np.testing.assert_allclose(log_likelihood.by_cell(cells, plain, p, scale)[0], each, atol=1e-9)
    whole = np.stack([each[:, group].sum(1) for group in cells.blocks], axis=1)
    np.testing.assert_allclose(log_likelihood.by_block(cells, plain, p, scale), whole, atol=1e-9)


def test_a_cell_given_the_others_is_the_block_without_them(cells, paired):
    p, scale = np.full((1, len(cells.frame)), 0.7), 0.4
    found = log_likelihood.by_cell(cells, paired, p, np.array([scale]))[0][0]
    residual, mass = log_likelihood.residuals(cells, p)[0] - paired.centre, log_likelihood.saturated(cells)
    for group, whitening, spread in paired.matrices:
        unwhitening = np.linalg.inv(whitening)
        covariance = unwhitening @ np.diag(1 + scale**2 * spread) @ unwhitening.T
        joint = multivariate_normal(np.zeros(len(group)), covariance).logpdf(residual[group])
        for i, cell in enumerate(group):
            rest = np.delete(np.arange(len(group)), i)
            others = multivariate_normal(np.zeros(len(rest)), covariance[np.ix_(rest, rest)])
            given = joint - others.logpdf(residual[group][rest]) + 0.5 * np.log(2 * np.pi)
            assert found[cell] == pytest.approx(given + mass[cell], abs=1e-8)


@pytest.mark.parametrize("name", ["sd_departure_z", "log_tail", "floor_z"])
def test_likelihood_and_prior_add_up_to_the_sampled_density(cells, paired, name):
    parameters = Parameters(cells, PRIORS)
    design = density.design(parameters, paired)
    one = positions(parameters, 1)[0]
    other = one.copy()
    # nothing but likelihood and top-level prior changes with these
    other[parameters.where[name]] += 0.4

    def told(x):
        m = meaning(x[None], parameters, design)
        scale = np.exp(m.log_scales["departure"])
        likelihood = log_likelihood.by_block(cells, paired, accuracies(m, parameters), scale).sum()
        return likelihood + sum(float(v) for v in log_likelihood.top_level(parameters, x).values())

    expected = density.log_density(design)(other)[0] - density.log_density(design)(one)[0]
    assert told(other) - told(one) == pytest.approx(expected, abs=1e-6)


def test_effects_of_estimated_scale_are_not_of_the_top_level(cells):
    parameters = Parameters(cells, PRIORS)
    names = set(log_likelihood.top_level(parameters, positions(parameters)))
    assert {"dense_mean", "log_tail", "floor", "loc_type", "sd_shape_curve", "sd_departure"} <= names
    assert not names & set(parameters.scaled)


def test_arviz_reads_the_draws_as_they_are():
    import arviz as az

    short = Settings(chains=2, tune=100, draws=60, pilot_tune=100, pilot_draws=50, cores=1)
    draws = fit(validate(outcomes(n_items=40)), settings=short).draws
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # sixty draws are few
        left = az.loo(draws, pointwise=True)
        felt = az.psense_summary(draws, var_names=["loc", "tail"])
    assert list(left.elpd_i["block"].values) == [f"{task} | simulated @ 256" for task in ("chain", "count", "look-up")]
    assert len(felt) == 2 * 3 + 1
    assert felt["prior"].between(0, 1).all()
