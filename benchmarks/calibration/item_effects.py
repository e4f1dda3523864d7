"""Ablation on a small set: the same curves under an exact likelihood of items, against our working ones.

    python -m benchmarks.calibration.item_effects --sets 10 --scenario "few tasks" --out rows.parquet

The exact one has an effect of each item, on the probit scale and common to all conditions: with latent correlation
rho of its task, P(right | z) = Phi((probit(p) + sqrt(rho) z) / sqrt(1 - rho)), z integrated out by Gauss-Hermite
quadrature, so that p stays the accuracy of the curve. Curves, hierarchy and priors are those of
`tolerance.model.pymc_model`; no cell departs on its own. Rows are those of `benchmarks.calibration.study`: estimator
"item effects", and ours beside it.
"""

import argparse
import time
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pymc as pm
import pytensor.tensor as pt
import xarray as xr

from benchmarks.calibration import ours, study
from benchmarks.calibration.scenarios import SCENARIOS, simulate
from tolerance import Settings, validate
from tolerance.data.cells import Cells, collapse
from tolerance.estimands.curves import type_curves
from tolerance.inference.saved import Fit
from tolerance.model import pymc_model
from tolerance.model.parameters import Parameters
from tolerance.model.priors import PRIORS

NODES, CHAINS, TUNE, DRAWS = 15, 4, 400, 400
LIKELIHOODS = ("tolerance", "tolerance:over-dispersed", "tolerance:independent")
# Looser than our own check: it is the smallest that chains of this length, without a pilot, reach.
RHAT = 1.05


def answers_by_item(table: pd.DataFrame, cells: Cells) -> np.ndarray:
    """0/1 answers ``(block, item, cell of the block)``; every block asks the same number of items of every cell."""
    names = ["task", "sparsifier", "sparsity_requested"]
    wide = table.pivot_table(index="item_id", columns=names, values="score")
    keys = (cells.frame.loc[group, names].itertuples(index=False, name=None) for group in cells.blocks)
    return np.stack([wide[list(each)].dropna().to_numpy() for each in keys])


def build(parameters: Parameters, answers: np.ndarray) -> pm.Model:
    """The curves of `tolerance.model.pymc_model` under the likelihood of items."""
    cells = parameters.cells
    nodes, weights = np.polynomial.hermite_e.hermegauss(NODES)
    log_weights = np.log(weights / weights.sum())
    with pm.Model() as model:
        right = pm.Data("answers", answers)
        accuracy = pymc_model.accuracy_of_cells(pymc_model._Build(parameters, {}))
        probit = -np.sqrt(2) * pt.erfcinv(2 * pt.clip(accuracy, 1e-6, 1 - 1e-6))
        latent = pm.Normal("rho_mean", 0.5, 1.0) + pm.Normal("rho_task", 0.0, 0.5, shape=len(cells.blocks))
        rho = pm.Deterministic("rho", pt.sigmoid(latent))
        each = []
        for b, group in enumerate(cells.blocks):
            at = (probit[group][None, :] + pt.sqrt(rho[b]) * nodes[:, None]) / pt.sqrt(1 - rho[b])
            wrong, sure = (pt.log(0.5 * pt.erfc(sign * pt.clip(at, -8, 8) / np.sqrt(2))) for sign in (1, -1))
            by_node = pt.dot(right[b], sure.T) + pt.dot(1 - right[b], wrong.T)
            each.append(pt.logsumexp(by_node + log_weights[None, :], axis=1).sum())
        pm.Potential("log_likelihood", pt.sum(pt.stack(each)))
    return model


def as_fit(cells: Cells, posterior: xr.Dataset) -> Fit:
    """The draws as a fit whose cells do not depart, for `tolerance.estimands.curves`."""
    sizes = posterior.sizes["chain"], posterior.sizes["draw"]
    median, spread = PRIORS.sd_departure_type
    scale = median * np.exp(spread * posterior["sd_departure_type_z"])
    found = {
        "dense": (("task", "config"), posterior["dense"]),
        "loc": (("sparsifier", "task", "config"), posterior["loc"]),
        "shape": (("sparsifier", "task", "config"), posterior["shape"]),
        "tail": ((), posterior["tail"]),
        "floor": (("task",), posterior["floor"]),
        "departure": (("cell",), np.zeros((*sizes, len(cells.frame)))),
        "sd_departure": ((), np.full(sizes, 1e-9)),
        "departure_type": (("increment",), posterior["departure_type"]),
        "sd_departure_type": ((), scale),
    }
    kept = xr.Dataset({n: (("chain", "draw", *dims), np.asarray(values)) for n, (dims, values) in found.items()})
    return Fit(cells, xr.DataTree.from_dict({"posterior": kept}), Settings(), 0, "", {})


def exact(scenario: str, seeds: range) -> Iterator[list[dict]]:
    """Rows of each data set under the likelihood of items; the model is compiled once."""
    import arviz as az
    import nutpie

    compiled = None
    for seed in seeds:
        answers, truth = simulate(scenario, seed)
        table = validate(answers)
        cells = collapse(table)
        data = answers_by_item(table, cells)
        cpu = time.process_time()
        if compiled is None:
            compiled = nutpie.compile_pymc_model(build(Parameters(cells, PRIORS), data))
        found = nutpie.sample(
            compiled.with_data(answers=data), chains=CHAINS, tune=TUNE, draws=DRAWS, seed=seed, progress_bar=False
        )
        posterior = found["posterior"].to_dataset()
        fit = as_fit(cells, posterior)
        cpu = time.process_time() - cpu
        rhat = max(float(v.max()) for v in az.rhat(posterior[["loc", "dense", "shape"]]).values())
        failed = [] if rhat <= RHAT else ["R-hat"]
        told = ours.summarised(type_curves(fit), SCENARIOS[scenario].levels)
        common = {"scenario": scenario, "seed": seed, "estimator": "item effects", "failed": "; ".join(failed)}
        levels = SCENARIOS[scenario].levels
        yield list(study.scored({**common, "cpu": cpu, "attempts": 1}, told, study.truths(truth), levels))


def main() -> None:
    """Fit, score, tabulate."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sets", type=int, default=10)
    parser.add_argument("--first", type=int, default=7000)
    parser.add_argument("--scenario", default="few tasks")
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    seeds = range(given.first, given.first + given.sets)
    rows: list[dict] = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for found in exact(given.scenario, seeds):
            rows += found
            print(f"{len(rows)} rows", flush=True)
        for seed in seeds:
            for likelihood in LIKELIHOODS:
                rows += study.score((given.scenario, seed, likelihood))
    frame = pd.DataFrame(rows)
    print(study.table(frame).to_string(index=False, float_format="%.3f"))
    if given.out:
        frame.to_parquet(given.out, compression="zstd")


if __name__ == "__main__":
    main()
