"""Items that are asked again under another condition count once; scores that vary less than 0/1 answers count more."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom, multivariate_normal, norm

from tests.simulated import outcomes
from tolerance import validate
from tolerance.data.cells import collapse
from tolerance.model import covariance
from tolerance.model.covariance import _covariance
from tolerance.model.curve import signed_root, signed_root_mean


def correlated(rho, n=2000, seed=0):
    """Two conditions whose answers come from normals with correlation rho."""
    table = outcomes(n_items=n, tasks={"a": "retrieval"}, sparsifiers=("p",), levels=(0.5,))
    rng = np.random.default_rng(seed)
    shared = rng.normal(size=n)
    for condition, accuracy in (("dense", 0.9), ("p", 0.6)):
        latent = np.sqrt(rho) * shared + np.sqrt(1 - rho) * rng.normal(size=n)
        table.loc[table["sparsifier"] == condition, "score"] = (latent < norm.ppf(accuracy)).astype(float)
    return validate(table)


@given(st.floats(0, 0.98), st.floats(0.02, 0.98), st.floats(0.02, 0.98))
def test_the_covariance_of_answers_is_that_of_thresholded_normals(rho, p, q):
    both = multivariate_normal.cdf([norm.ppf(p), norm.ppf(q)], cov=[[1, rho], [rho, 1]])
    assert _covariance(np.array([rho]), np.array([p]), np.array([q]))[0] == pytest.approx(both - p * q, abs=2e-4)


@pytest.mark.parametrize("rho", [0.0, 0.5, 0.9])
def test_correlation_between_conditions_is_found(rho):
    table = correlated(rho)
    cells = collapse(table)
    found = covariance.paired(cells, cells.right / cells.n)[0][0, 1]
    wide = table.pivot_table(index="item_id", columns="sparsifier", values="score")
    assert found == pytest.approx(wide.corr().iloc[0, 1], abs=0.05)


def test_models_that_answer_the_same_items_are_correlated_and_depart_on_their_own():
    one = correlated(0.5).drop(columns=["k", "n", "correct"])
    other = one.assign(model="other", params=9)
    rng = np.random.default_rng(1)
    guessed, guess = rng.random(len(one)) < 0.3, (rng.random(len(one)) < 0.5).astype(float)
    other["score"] = np.where(guessed, guess, one["score"])
    cells = collapse(validate(pd.concat([one, other], ignore_index=True)))
    assert len(cells.blocks) == 1
    found = covariance.paired(cells, cells.right / cells.n)[0]
    keys = list(zip(cells.frame["model"], cells.frame["sparsifier"], strict=True))
    i, j = keys.index(("other", "p")), keys.index(("simulated", "p"))
    wide = [table[table["sparsifier"] == "p"].set_index("item_id")["score"] for table in (one, other)]
    assert found[i, j] == pytest.approx(wide[0].corr(wide[1]), abs=0.06)
    assert covariance.departures(cells, cells.right / cells.n)[0][i, j] == 0


def test_cells_without_a_common_item_are_uncorrelated():
    table = correlated(0.9)
    apart = table.copy()
    apart.loc[apart["sparsifier"] == "p", "item_id"] += "-other"
    cells = collapse(apart)
    assert covariance.paired(cells, cells.right / cells.n)[0][0, 1] == 0


def test_order_and_names_of_items_do_not_matter():
    table = correlated(0.5, n=200)
    shuffled = table.sample(frac=1, random_state=1).reset_index(drop=True)
    shuffled["item_id"] = "x" + shuffled["item_id"]
    for one, other in zip(collapse(table).pairs, collapse(shuffled).pairs, strict=True):
        np.testing.assert_allclose(one.products, other.products, atol=1e-9)
        np.testing.assert_array_equal(one.common, other.common)


def test_whitening_makes_noise_and_departures_independent():
    cells = collapse(validate(outcomes(n_items=50)))
    accuracy = np.clip(cells.right / cells.n, 0.05, 0.95)
    noise, departures = covariance.paired(cells, accuracy), covariance.departures(cells, accuracy)
    built = covariance.blocks(cells, accuracy, noise, departures)
    for (_, matrix, spread), one, other in zip(built.matrices, noise, departures, strict=True):
        np.testing.assert_allclose(matrix @ one @ matrix.T, np.eye(len(one)), atol=1e-8)
        np.testing.assert_allclose(matrix @ other @ matrix.T, np.diag(spread), atol=1e-6)
    variance = np.concatenate([np.diag(one) for one in departures])
    np.testing.assert_allclose(built.departure[np.concatenate(cells.blocks)], variance, atol=1e-6)


def test_a_likelihood_without_a_cell_is_that_of_the_other_cells():
    cells = collapse(validate(outcomes(n_items=50)))
    accuracy = np.clip(cells.right / cells.n, 0.05, 0.95)
    noise, departures = covariance.paired(cells, accuracy), covariance.departures(cells, accuracy)
    gone = int(cells.blocks[0][2])
    built = covariance.without(covariance.blocks(cells, accuracy, noise, departures), gone)
    rest = np.arange(len(cells.blocks[0])) != 2
    _, whitening, spread = built.matrices[0]
    assert not whitening[2].any()
    assert not whitening[:, 2].any()
    assert built.centre[gone] == 0
    few = whitening[np.ix_(rest, rest)]
    np.testing.assert_allclose(few @ noise[0][np.ix_(rest, rest)] @ few.T, np.eye(rest.sum()), atol=1e-8)
    np.testing.assert_allclose(few @ departures[0][np.ix_(rest, rest)] @ few.T, np.diag(spread[rest]), atol=1e-6)
    mean = signed_root_mean(cells.weight, accuracy)[cells.blocks[0][rest]]
    np.testing.assert_allclose(
        built.centre[cells.blocks[0][rest]], mean - noise[0][np.ix_(rest, rest)] @ mean, atol=1e-10
    )


@given(st.integers(1, 3000), st.floats(0.0, 1.0))
def test_the_mean_of_residuals_is_the_binomials(n, accuracy):
    right = np.arange(n + 1)
    p = np.clip(accuracy, 1e-12, 1 - 1e-12)
    expected = (binom.pmf(right, n, p) * signed_root(right / n, n, accuracy)).sum()
    found = signed_root_mean(np.array([n]), np.array([accuracy]))[0]
    assert found == pytest.approx(expected, abs=2e-3)


@pytest.mark.parametrize("accuracy", [0.05, 0.9, 0.95, 0.99])
def test_correlated_cells_do_not_pull_each_other_towards_a_half(accuracy):
    """At the true accuracy of ten conditions their log likelihood is level on average; without the centre it is not."""
    n, conditions = 50, 10
    latent = 0.9 * np.random.default_rng(0).normal(size=(5000, n, 1))
    latent = latent + np.sqrt(1 - 0.9**2) * np.random.default_rng(1).normal(size=(5000, n, conditions))
    right = latent < norm.ppf(accuracy)
    share, noise = right.mean(1), np.corrcoef(right.reshape(-1, conditions).T)
    mean = signed_root_mean(np.full(conditions, n), np.full(conditions, accuracy))

    def pull(centre):
        """Mean slope of the log likelihood, in its standard deviations over data sets."""

        def told(p):
            away = signed_root(share, n, p) - centre
            return -0.5 * np.einsum("ri,ij,rj->r", away, np.linalg.inv(noise), away)

        slope = told(accuracy + 1e-5) - told(accuracy - 1e-5)
        return slope.mean() / slope.std()

    assert abs(pull(mean - noise @ mean)) < 0.05
    assert pull(0.0) * np.sign(0.5 - accuracy) > 0.4


def test_right_or_wrong_answers_weigh_one_each():
    cells = collapse(validate(outcomes(n_items=50)))
    np.testing.assert_allclose(cells.weight, cells.n)


def test_graded_scores_weigh_as_much_as_their_variance_says():
    table = outcomes(n_items=400)
    # the mean of four answers varies a quarter as much as one
    rng = np.random.default_rng(0)
    table["score"] = rng.binomial(4, 0.6, len(table)) / 4
    cells = collapse(validate(table))
    assert np.mean(cells.weight / cells.n) == pytest.approx(4, rel=0.1)


def test_an_item_that_is_answered_four_times_alike_weighs_once():
    table = validate(outcomes(n_items=50))
    repeated = table.loc[table.index.repeat(4)].reset_index(drop=True)
    repeated["replicate"] = np.tile(range(4), len(table))
    cells = collapse(validate(repeated))
    np.testing.assert_allclose(cells.n, 200)
    np.testing.assert_allclose(cells.weight, 50)
