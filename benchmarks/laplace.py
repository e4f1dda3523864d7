"""Would a Laplace approximation do instead of sampling? Its Pareto k and seconds, beside those of a fit.

    python -m benchmarks.laplace [answers.parquet truth.json]

Mode by L-BFGS, Hessian by differences of the gradient, 4,000 normal draws weighted by density over approximation,
under the likelihood that the fit came to. Pareto k of the weights (Vehtari et al. 2024, JMLR 25:72) is to be below 0.7,
or the draws are not of this posterior. Without files: data sets of the calibration study. Times are CPU seconds.
"""

import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
from arviz_stats.base import array_stats
from scipy.optimize import minimize

from benchmarks.calibration.scenarios import simulate
from benchmarks.known_truth import outcomes
from tolerance import Settings, validate
from tolerance.inference.fit import fit
from tolerance.model import density
from tolerance.model.parameters import Parameters

DRAWS, STEP = 4000, 1e-5


def tables() -> Iterator[tuple[str, pd.DataFrame]]:
    """Validated outcomes by name."""
    if len(sys.argv) > 1:
        yield Path(sys.argv[1]).stem, outcomes(pd.read_parquet(sys.argv[1]), json.loads(Path(sys.argv[2]).read_text()))
        return
    for scenario in ("few tasks", "family", "plateau"):
        yield scenario, validate(simulate(scenario, 7000)[0])


def main() -> None:
    """One line a data set."""
    for name, table in tables():
        sampled = time.process_time()
        done = fit(table, settings=Settings(cores=1))
        sampled = time.process_time() - sampled
        parameters = Parameters(done.cells, done.settings.priors)
        log_density = density.log_density(density.design(parameters, done.blocks))
        started = time.process_time()

        def uphill(x: np.ndarray, log_density: density.LogDensity = log_density) -> tuple[float, np.ndarray]:
            value, gradient = log_density(x)
            return -value, -gradient

        found = minimize(uphill, parameters.centre(), jac=True, method="L-BFGS-B", options={"maxiter": 5000})
        steps = STEP * np.eye(parameters.size)
        hessian = np.stack([(uphill(found.x + e)[1] - uphill(found.x - e)[1]) / (2 * STEP) for e in steps])
        values, vectors = np.linalg.eigh((hessian + hessian.T) / 2)
        values = np.maximum(values, 1e-3)
        normal = np.random.default_rng(0).standard_normal((DRAWS, parameters.size))
        draws = found.x + (normal / np.sqrt(values)) @ vectors.T
        log_weights = np.array([log_density(x)[0] for x in draws]) + 0.5 * (normal**2).sum(1)
        weights, k = array_stats.psislw(log_weights)
        ess = 1 / np.exp(2 * weights).sum()
        took = time.process_time() - started
        print(
            f"{name}: {parameters.size} parameters; Laplace {took:.1f} s, Pareto k {float(k):.1f}, effective draws "
            f"{ess:.0f} of {DRAWS}; sampling {sampled:.1f} s",
            flush=True,
        )


if __name__ == "__main__":
    main()
