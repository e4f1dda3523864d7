"""The calibration study: simulated data sets with a known truth, fitted, gated and scored.

    python -m benchmarks.calibration.study run --replicates 200 --jobs 2 --out rows.parquet
    python -m benchmarks.calibration.study table rows.parquet [more.parquet ...] --out table.csv

`run` writes one row for each quantity of each data set by each estimator: truth, estimate and 90% interval, and for our
fits which checks failed. Estimators are `tolerance`, by itself, with a likelihood (`tolerance:independent`) or with the
priors of a remedy (`tolerance:narrow`), and those of `baselines.py`. `table` prints coverage, error and the share
withheld, with standard errors over data sets.
"""

import argparse
import os
import time
import warnings
from collections.abc import Iterator
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks.calibration.scenarios import SCENARIOS, SPARSIFIERS, Truth, simulate

# read by the workers' libraries when they start: one data set a core
for threads in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(threads, "1")

QUANTITIES = ("tolerated", "retention", "contrast", "accuracy")


def estimate(estimator: str, answers: pd.DataFrame, levels: tuple[float, ...]) -> tuple[dict, list[str]]:
    """Estimates by quantity and key, and the checks that failed."""
    if estimator.startswith("tolerance"):
        from benchmarks.calibration.ours import estimates
        from tolerance import Settings
        from tolerance.diagnostics.refit import narrowed

        how, usual = estimator.partition(":")[2], Settings(cores=1)
        if how == "narrow":
            settings = replace(usual, priors=narrowed(usual.priors))
        else:
            settings = replace(usual, likelihood=how or usual.likelihood)
        done = estimates(answers, levels, settings)
        return done["found"], done["failed"]
    from benchmarks.calibration.baselines import BASELINES, PEERS

    found = {**BASELINES, **PEERS}[estimator](answers, levels)
    return {"tolerated": found.tolerated, "retention": found.retention}, []


def truths(truth: Truth) -> dict[str, dict]:
    """True values by quantity and key."""
    contrast = {
        (kind, s): value - truth.retention[kind, SPARSIFIERS[1], s]
        for (kind, method, s), value in truth.retention.items()
        if method == SPARSIFIERS[0] and (kind, SPARSIFIERS[1], s) in truth.retention
    }
    return {
        "tolerated": truth.tolerated,
        "retention": truth.retention,
        "contrast": contrast,
        "accuracy": truth.accuracy,
    }


def score(job: tuple[str, int, str]) -> list[dict]:
    """All rows of one data set by one estimator."""
    name, seed, estimator = job
    answers, truth = simulate(name, seed)
    levels = SCENARIOS[name].levels
    cpu = time.process_time()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found, failed = estimate(estimator, answers, levels)
    cpu = time.process_time() - cpu
    return list(scored(name, seed, estimator, found, truth, failed, cpu))


def scored(
    name: str, seed: int, estimator: str, found: dict, truth: Truth, failed: list[str], cpu: float
) -> Iterator[dict]:
    """One row for each quantity that was estimated."""
    levels = SCENARIOS[name].levels
    common = {"scenario": name, "seed": seed, "estimator": estimator, "failed": "; ".join(failed), "cpu": cpu}
    for quantity, values in truths(truth).items():
        for key, value in values.items():
            if key not in found.get(quantity, {}):
                continue
            middle, low, high = found[quantity][key]
            # a truth beyond the last level is scored where the level was last measured, as the estimates are
            where = min(value, max(levels)) if quantity == "tolerated" else value
            yield {
                **common,
                "quantity": quantity,
                "key": "|".join(str(k) for k in key),
                "truth": value,
                "error": middle - where,
                "low": low,
                "high": high,
                "hit": np.nan if np.isnan(low + high) else float(low <= value <= high),
                "censored": quantity == "tolerated" and not min(levels) <= value <= max(levels),
            }


def run(scenarios: list[str], estimators: list[str], replicates: int, jobs: int, first: int) -> Iterator[list[dict]]:
    """Rows of each data set, as they come."""
    tasks = [(s, first + r, e) for r in range(replicates) for s in scenarios for e in estimators]
    with get_context("spawn").Pool(jobs, maxtasksperchild=200) as pool:
        yield from pool.imap_unordered(score, tasks)


def table(rows: pd.DataFrame) -> pd.DataFrame:
    """Coverage and error by scenario, estimator and quantity, each with its standard error over data sets."""
    rows = rows.assign(square=rows["error"] ** 2, passed=rows["failed"].astype(str) == "")
    by = ["scenario", "estimator", "quantity"]
    rows = rows.astype(dict.fromkeys([*by, "failed", "key"], "str"))
    shown = rows[rows["passed"]].groupby([*by, "seed"])[["hit", "square"]].mean().groupby(by)
    out = shown.agg(["mean", "sem"])
    sets = rows.groupby([*by, "seed"])["passed"].first().groupby(by)
    return pd.DataFrame(
        {
            "data sets": sets.size(),
            "withheld": 1 - sets.mean(),
            "no answer": rows["hit"].isna().groupby([rows[b] for b in by]).mean(),
            "coverage": out["hit", "mean"],
            "se": out["hit", "sem"],
            "RMSE": np.sqrt(out["square", "mean"]),
            "CPU-s": rows.groupby([*by, "seed"])["cpu"].first().groupby(by).median(),
        }
    ).reset_index()


def main() -> None:
    """Run or tabulate."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("run", "table"))
    parser.add_argument("rows", nargs="*", type=Path)
    parser.add_argument("--replicates", type=int, default=20)
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    parser.add_argument("--scenarios", default=",".join(SCENARIOS))
    parser.add_argument("--estimators", default="tolerance")
    parser.add_argument("--seconds", type=float, default=np.inf, help="stop after so long; what is done is kept")
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    if given.what == "table":
        rows = pd.concat([pd.read_parquet(path) for path in given.rows], ignore_index=True)
        found = table(rows)
        print(found.to_string(index=False, float_format="%.3f"))
        if given.out:
            found.to_csv(given.out, index=False, float_format="%.4f")
        return
    started, collected = time.monotonic(), []
    arguments = given.scenarios.split(","), given.estimators.split(","), given.replicates, given.jobs, given.first
    for n, rows in enumerate(run(*arguments), 1):
        collected += rows
        if n % 100 == 0:
            print(f"{n} data sets, {time.monotonic() - started:.0f} s", flush=True)
        if time.monotonic() - started > given.seconds:
            print(f"stopped after {n} data sets")
            break
    frame = pd.DataFrame(collected)
    small = {c: frame[c].astype("category") for c in ("scenario", "estimator", "failed", "quantity", "key")}
    frame = frame.assign(**small, **{c: frame[c].astype("float32") for c in ("truth", "error", "low", "high", "cpu")})
    frame.to_parquet(given.out, compression="zstd")
    print(table(frame).to_string(index=False, float_format="%.3f"))


if __name__ == "__main__":
    main()
