"""The sampled density is the PyMC model's, and its gradient is its own."""

import numpy as np
import pandas as pd
import pytest

from tests.simulated import outcomes
from tolerance import validate
from tolerance.data.cells import collapse
from tolerance.model import covariance, density, transform
from tolerance.model.parameters import Parameters
from tolerance.model.priors import PRIORS

TASKS = {"a": "retrieval", "b": "retrieval", "c": "multi-hop", "d": "multi-hop"}


def crossed():
    """Three sparsifiers, four tasks of two types, one floor above 0, and three configurations."""
    one = outcomes(n_items=30, tasks=TASKS, sparsifiers=("p", "q", "r"))
    one["chance"] = one["task"].map({"a": 0.25, "b": 0.0, "c": 0.1, "d": 0.0})
    other, longer = one.copy(), one.copy()
    other[["model", "params"]] = "other", 4000
    longer["context_length"] = 512
    return pd.concat([one, other, longer])


def test_exp_and_log_are_numpys():
    from tolerance.model import numba_math

    numbers = np.random.default_rng(0).uniform(-600, 600, 2000)
    np.testing.assert_allclose([numba_math.exp(x) for x in numbers], np.exp(numbers), rtol=1e-15)
    near_one = 1 - np.exp(np.linspace(-30, -1e-3, 500))
    positive = np.concatenate([np.exp(numbers), near_one, 1 / near_one, [1.0, 0.5, 2.0]])
    np.testing.assert_allclose([numba_math.log(x) for x in positive], np.log(positive), rtol=1e-15, atol=1e-16)


def many():
    """Four models at three context lengths, one of which has one method alone and one of which lacks a task."""
    one = outcomes(n_items=8, tasks=TASKS, sparsifiers=("p", "q"), levels=(0.5, 0.9))
    parts = [
        one.assign(model=f"m{size}", params=size, context_length=n) for size in (1, 3, 9, 27) for n in (64, 256, 1024)
    ]
    whole = pd.concat(parts, ignore_index=True)
    lacking = (whole["model"] == "m9") & (whole["sparsifier"] == "q") | (whole["model"] == "m3") & (
        whole["task"] == "c"
    )
    return whole[~lacking]


TABLES = {
    "plain": lambda: outcomes(n_items=40),
    "crossed": crossed,
    "many models and contexts": many,
    "one curve": lambda: outcomes(n_items=30, tasks={"a": "retrieval"}, sparsifiers=("p",), levels=(0.5, 0.8, 0.9)),
    "no dense": lambda: outcomes(n_items=30, with_dense=False),
    "more levels than knots": lambda: outcomes(n_items=9, levels=tuple(np.round(np.linspace(0.1, 0.97, 20), 3))),
}


def parts(table):
    cells = collapse(validate(table))
    parameters = Parameters(cells, PRIORS)
    accuracy = np.clip(cells.right / cells.n, 0.02, 0.98)
    noise = covariance.paired(cells, accuracy)
    built = covariance.blocks(cells, accuracy, noise, covariance.departures(cells, accuracy))
    return parameters, built, density.design(parameters, built)


@pytest.mark.parametrize("name", TABLES)
def test_the_gradient_is_the_slope_of_the_density(name):
    parameters, _, design = parts(TABLES[name]())
    x = 0.5 * np.random.default_rng(0).normal(size=parameters.size)
    log_density = density.log_density(design)
    gradient = log_density(x)[1]
    steps = 1e-6 * np.eye(parameters.size)
    slopes = [(log_density(x + e)[0] - log_density(x - e)[0]) / 2e-6 for e in steps]
    np.testing.assert_allclose(gradient, slopes, atol=1e-6 * (1 + np.abs(gradient).max()))


@pytest.mark.slow
@pytest.mark.parametrize("name", TABLES)
def test_the_density_is_that_of_the_pymc_model(name):
    import pytensor.tensor as pt
    from pymc.pytensorf import gradient as slope_of
    from pytensor.compile.mode import Mode

    from tolerance.model.pymc_model import build

    parameters, built, design = parts(TABLES[name]())
    shares = {name: np.full(parameters.shapes[f"{name}_z"], 0.3) for name in parameters.scaled}
    design = density.design(parameters, built, shares)
    model = build(parameters, built, shares)
    rng = np.random.default_rng(1)
    one, other = (0.5 * rng.normal(size=parameters.size) for _ in range(2))

    def points(x):
        return {name: np.asarray(value) for name, value in parameters.named(x).items()}

    assert {variable.name for variable in model.free_RVs} == set(parameters.shapes)
    # an operation in Python may have 32 operands: PyMC adds all factors in one, and so do rewritten sums
    mode = Mode(linker="py", optimizer=None)
    whole = pt.stack([pt.sum(factor) for factor in model.logp(sum=False)]).sum()
    log_density = model.compile_fn(whole, inputs=model.value_vars, mode=mode)
    slope = model.compile_fn(slope_of(whole, model.value_vars), inputs=model.value_vars, mode=mode)
    difference = density.log_density(design)(one)[0] - density.log_density(design)(other)[0]
    assert difference == pytest.approx(float(log_density(points(one)) - log_density(points(other))), abs=1e-8)
    ours = parameters.named(density.log_density(design)(one)[1])
    gradient = np.concatenate([np.ravel(ours[variable.name]) for variable in model.free_RVs])
    # within a thousandth of its root a residual's slope is that at the root (`cell_kernels.NEAR`)
    np.testing.assert_allclose(gradient, slope(points(one)), rtol=1e-5, atol=1e-8)


def test_without_correlation_and_departures_the_likelihood_is_binomial():
    cells = collapse(validate(outcomes(n_items=40)))
    parameters = Parameters(cells, PRIORS)
    nothing = [np.zeros((len(group), len(group))) for group in cells.blocks]
    design = density.design(
        parameters, covariance.blocks(cells, cells.right / cells.n, covariance.independent(cells), nothing)
    )
    rng = np.random.default_rng(2)
    centre = np.zeros(parameters.size)
    # moving the dense mean alone changes the prior by its own square only
    moved = centre.copy()
    place = parameters.where["dense_mean"]
    centre[place], moved[place] = 1.0, 1.0 + rng.uniform(0.1, 0.5)

    def binomial(x):
        p = transform.accuracies(transform.meaning(x[None], parameters, design), parameters)[0]
        return float(np.sum(cells.right * np.log(p) + (cells.n - cells.right) * np.log1p(-p)))

    def prior(x):
        task = transform.meaning(x[None], parameters, design)
        away = x[parameters.where["dense_task_z"]] - 0.5 * task.means["dense_task"][0]
        scale = np.exp(0.5 * task.log_scales["dense_task"][0])
        return -0.5 * ((x[place][0] - PRIORS.dense[0]) / PRIORS.dense[1]) ** 2 - 0.5 * np.sum((away / scale) ** 2)

    found = density.log_density(design)(moved)[0] - density.log_density(design)(centre)[0]
    expected = binomial(moved) + prior(moved) - binomial(centre) - prior(centre)
    assert found == pytest.approx(expected, abs=1e-6)
