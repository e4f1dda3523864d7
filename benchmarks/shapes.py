"""How often shapes are named rightly and wrongly: simulated data sets, the rule asked of the fit and of the truth.

    python -m benchmarks.shapes --replicates 12 --jobs 2 --out shapes.parquet

The scenarios are those of the calibration study, and two of non-monotone type means, which it lacks: a gain of 5-20% of
dense accuracy near one halving, and a dip of 15-40% near 1.6. A curve truly has a shape if the rule of
`tolerance.estimands.curve_shapes` holds of its true retention at the measured levels. Printed by scenario and kind:
true curves and how many of them were named, other curves and how many of these were named; fits that failed their
checks name nothing.
"""

import argparse
import os
import time
import warnings
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks.calibration import scenarios
from benchmarks.calibration.scenarios import LEVELS, SCENARIOS, SPARSIFIERS, TYPES, Scenario, Truth, simulate

for threads in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(threads, "1")

USED = ("family", "log-logistic", "cliff", "plateau", "bump", "below", "beyond", "gain", "dip")
PROBS = (0.95, 0.8)


def data_set(name: str, seed: int) -> tuple[pd.DataFrame, Truth]:
    """Outcomes and truth; gains and dips are the same for all tasks of a type."""
    if name in SCENARIOS:
        return simulate(name, seed)
    rng = np.random.default_rng([seed, 100 + USED.index(name)])
    plain = Scenario(name, dense=0.9, spread=0.5)
    tasks = [(f"{kind}-{i}", kind) for kind in TYPES for i in range(plain.tasks_per_type)]
    curves = scenarios._curves(plain, tasks, rng)
    at, width, size = (1.0, 0.4, (0.05, 0.2)) if name == "gain" else (1.6, 0.3, (-0.4, -0.15))
    for kind in TYPES:
        for method in SPARSIFIERS:
            by = rng.uniform(*size)
            for task in (task for task, of in tasks if of == kind):
                curves[task, method] = _moved(curves[task, method], by, at, width)
    answers = [scenarios._answers(plain, task, kind, plain.items, curves, rng) for task, kind in tasks]
    measured = {(kind, m): {t for t, of in tasks if of == kind} for kind in TYPES for m in SPARSIFIERS}
    return pd.concat(answers, ignore_index=True), scenarios._truth(plain, curves, measured, 0.95)


def _moved(curve: scenarios.Curve, by: float, at: float, width: float) -> scenarios.Curve:
    """A curve with a share more, or less, around some halvings."""

    def moved(x: np.ndarray) -> np.ndarray:
        near = np.exp(-0.5 * ((np.asarray(x) - at) / width) ** 2) * np.minimum(x, 1)
        return np.clip(curve(x) * (1 + by * near), 1e-9, 1 - 1e-9)

    return moved


def asked(job: tuple[str, int]) -> list[dict]:
    """One row for each curve and kind of one data set."""
    from tolerance import Settings, validate
    from tolerance.data.cells import halvings
    from tolerance.diagnostics.refit import refitted
    from tolerance.estimands.curve_shapes import shapes
    from tolerance.estimands.type_curve import TypeCurve

    name, seed = job
    answers, truth = data_set(name, seed)
    cpu = time.process_time()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        done = refitted(validate(answers), Settings(cores=1))
    cpu = time.process_time() - cpu
    rows = []
    for curve in done.curves:
        left = [1.0, *(truth.retention[curve.task_type, curve.sparsifier, s] for s in LEVELS)]
        levels, one = np.array(LEVELS), np.ones(1)
        grid = halvings(np.r_[0.0, levels])
        true = TypeCurve(
            curve.task_type, curve.sparsifier, (), levels, levels, grid, np.array([left]), one, 0 * one, has_dense=True
        )
        real = {shape.kind: shape.probability == 1 for shape in shapes(true)}
        rows += [
            {
                "scenario": name,
                "seed": seed,
                "curve": f"{curve.task_type}|{curve.sparsifier}",
                "kind": shape.kind,
                "probability": shape.probability,
                "true": real[shape.kind],
                "failed": "; ".join(check.name for check in done.checks if not check.passed),
                "cpu": cpu,
            }
            for shape in shapes(curve)
        ]
    return rows


def table(rows: pd.DataFrame) -> pd.DataFrame:
    """Counts by scenario and kind."""
    passed = rows[rows["failed"] == ""]
    columns = {}
    for state, mine in (("true", passed[passed["true"]]), ("other", passed[~passed["true"]])):
        groups = mine.groupby(["scenario", "kind"])["probability"]
        columns[f"{state} curves"] = groups.size()
        for prob in PROBS:
            columns[f"{state}, named at {prob}"] = groups.agg(lambda p, prob=prob: int((p >= prob).sum()))
    return pd.DataFrame(columns).fillna(0).astype(int).reset_index()


def main() -> None:
    """Run and tabulate, or tabulate what was run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--replicates", type=int, default=12)
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    parser.add_argument("--scenarios", default=",".join(USED))
    parser.add_argument("--seconds", type=float, default=np.inf, help="stop after so long; what is done is kept")
    parser.add_argument("--out", type=Path, required=True)
    given = parser.parse_args()
    jobs = [(name, given.first + r) for r in range(given.replicates) for name in given.scenarios.split(",")]
    started, collected = time.monotonic(), []
    with get_context("spawn").Pool(given.jobs) as pool:
        for rows in pool.imap_unordered(asked, jobs):
            collected += rows
            pd.DataFrame(collected).to_parquet(given.out)
            if time.monotonic() - started > given.seconds:
                break
    rows = pd.DataFrame(collected)
    sets = rows.groupby(["scenario", "seed"]).first().groupby("scenario")
    print(pd.DataFrame({"sets": sets.size(), "failed": sets["failed"].agg(lambda f: int((f != "").sum()))}).to_string())
    print(table(rows).to_string(index=False))
    print(f"median CPU-s a data set: {sets['cpu'].median().median():.0f}")


if __name__ == "__main__":
    main()
