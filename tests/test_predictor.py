"""Linear predictors, term by term: what is compiled is what the matrices of its factors say, forward and back."""

import numpy as np
import pandas as pd
import pytest

from tests.simulated import outcomes
from tolerance import validate
from tolerance.data.cells import collapse
from tolerance.model import predictor as compiled
from tolerance.model.parameters import Parameters
from tolerance.model.priors import PRIORS
from tolerance.model.terms import COVARIATES, PREDICTORS, TERMS
from tolerance.model.transform import gathered, spread

TASKS = {"a": "retrieval", "b": "retrieval", "c": "multi-hop", "d": "multi-hop", "e": "aggregation"}


@pytest.fixture(scope="module")
def parameters():
    """Three models, three contexts, three methods, tasks of three types, one of which has a single one."""
    one = outcomes(n_items=4, tasks=TASKS, sparsifiers=("p", "q", "r"), levels=(0.5, 0.9))
    parts = [
        one.assign(model=f"m{size}", params=size, context_length=length)
        for size in (1, 4, 9)
        for length in (8, 64, 256)
    ]
    return Parameters(collapse(validate(pd.concat(parts, ignore_index=True))), PRIORS)


@pytest.fixture(scope="module")
def packed(parameters):
    return compiled.packed(parameters)


def test_this_design_has_every_term(parameters):
    assert set(parameters.by_name) == {term.name for term in TERMS}


@pytest.mark.parametrize("name", [term.name for term in TERMS])
def test_a_term_is_the_product_of_its_matrices_and_back_its_transposed(parameters, packed, name):
    placed, rng = parameters.by_name[name], np.random.default_rng(0)
    row = [one.term.name for p in PREDICTORS for one in parameters.terms[p]].index(name)
    effects = rng.standard_normal((1, int(np.prod(placed.shape))))
    levels = rng.standard_normal((1, placed.n_levels))
    forward, back = np.zeros(placed.n_levels), np.zeros(effects.size)
    compiled.spread_term(packed.terms, row, packed.bases, packed.numbers, effects[0], 0, forward, 0)
    compiled.gathered_term(packed.terms, row, packed.bases, packed.numbers, levels[0], 0, back, 0)
    np.testing.assert_allclose(forward, spread(placed, effects)[0], atol=1e-12)
    np.testing.assert_allclose(back, gathered(placed, levels)[0], atol=1e-12)
    assert forward @ levels[0] == pytest.approx(effects[0] @ back)


CONTRASTS = [one.name for one in TERMS if one.crossed and not COVARIATES.keys() & set(one.crossed)]


@pytest.mark.parametrize("name", CONTRASTS)
def test_effects_of_crossed_factors_sum_to_zero_over_each(parameters, name):
    placed = parameters.by_name[name]
    values = spread(placed, np.random.default_rng(0).standard_normal((1, int(np.prod(placed.shape)))))[0]
    grid = values.reshape([basis.levels for basis in placed.bases])
    for axis, basis in enumerate(placed.bases):
        for group in basis.groups:
            np.testing.assert_allclose(np.take(grid, group, axis).sum(axis), 0, atol=1e-12)


def test_one_model_at_one_context_has_no_term_of_them():
    names = set(Parameters(collapse(validate(outcomes(n_items=4))), PRIORS).by_name)
    assert not {
        name for name in names if any(part in name for part in ("model", "config", "context", "slope", "shift"))
    }
