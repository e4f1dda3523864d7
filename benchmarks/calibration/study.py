"""The calibration study: simulated data sets with a known truth, fitted, gated and scored.

    python -m benchmarks.calibration.study --scenarios "2 models,4 models" --sets 100 --jobs 32 --out rows/
    python -m benchmarks.calibration.study table rows.parquet [rows/ ...] --out table.csv

The first writes a file for each data set that is done, and leaves out those that are there already. A file has one row
for each quantity of one data set by one estimator: truth, estimate and 90% interval, the verdict where it is a contrast
or an order, and for our fits which checks failed. Scenarios are those of `scenarios.py` (one model) and
`worlds.py` (several). Estimators are `tolerance`, by itself, with a likelihood (`tolerance:independent`) or with the
priors of a remedy (`tolerance:narrow`), and those of `baselines.py`. `table` prints coverage, error, wrong verdicts and
the share withheld, with standard errors over data sets.
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

from benchmarks.calibration import scenarios, worlds
from benchmarks.calibration.scenarios import SCENARIOS, SPARSIFIERS, Truth
from benchmarks.calibration.worlds import WORLDS

# read by the workers' libraries when they start: one data set a core
for threads in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(threads, "1")

QUANTITIES = ("tolerated", "retention", "contrast", "accuracy")
# Differences up to here are nothing in practice: "equivalent" is wrong of larger ones.
NOTHING = 0.02


def estimate(estimator: str, answers: pd.DataFrame, levels: tuple[float, ...]) -> tuple[dict, list[str], int]:
    """Estimates by quantity and key, the checks that failed, and the number of attempts."""
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
        return done["found"], done["failed"], done["attempts"]
    from benchmarks.calibration.baselines import BASELINES, PEERS

    found = {**BASELINES, **PEERS}[estimator](answers, levels)
    return {"tolerated": found.tolerated, "retention": found.retention}, [], 1


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


def made(name: str, seed: int) -> tuple[pd.DataFrame, dict[str, dict], tuple[float, ...]]:
    """Answers of one data set, true values by quantity and key, and the levels."""
    if name in WORLDS:
        answers, truth = worlds.simulate(name, seed)
        return answers, _with_orders(truth.values), WORLDS[name].levels
    answers, true = scenarios.simulate(name, seed)
    return answers, _with_orders(truths(true)), SCENARIOS[name].levels


def _with_orders(values: dict[str, dict]) -> dict[str, dict]:
    """And by how many halvings one type tolerates more than another under a method."""
    halved = {key: -np.log2(1 - min(value, 1 - 1e-9)) for key, value in values["tolerated"].items()}
    order = {
        (method, kind, other): at - halved[other, method]
        for (kind, method), at in halved.items()
        for other in {k for k, m in halved if m == method} - {kind}
    }
    return values | {"order": order}


def score(job: tuple[str, int, str]) -> list[dict]:
    """All rows of one data set by one estimator; one row that says so where it could not be estimated."""
    name, seed, estimator = job
    answers, truth, levels = made(name, seed)
    cpu = time.process_time()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            found, failed, attempts = estimate(estimator, answers, levels)
        except Exception as error:  # one set that breaks must not end a study of thousands
            found, failed, attempts = {}, [f"{type(error).__name__}: {error}"], 0
    cpu = time.process_time() - cpu
    common = {"scenario": name, "seed": seed, "estimator": estimator, "failed": "; ".join(failed), "cpu": cpu}
    rows = list(scored(common | {"attempts": attempts}, found, truth, levels))
    return rows or [{**common, "attempts": attempts, "quantity": "none", "key": "", "verdict": ""}]


def scored(common: dict, found: dict, truth: dict[str, dict], levels: tuple[float, ...]) -> Iterator[dict]:
    """One row for each quantity that was estimated."""
    for quantity, values in truth.items():
        for key, value in values.items():
            if key not in found.get(quantity, {}):
                continue
            middle, low, high, *verdict = found[quantity][key]
            tolerated = quantity.startswith("tolerated")
            # a truth beyond the last level is scored where the level was last measured, as the estimates are
            where = min(value, max(levels)) if tolerated else value
            # levels outside what was measured are at its ends, where their order cannot be seen
            told = quantity != "order"
            yield {
                **common,
                "quantity": quantity,
                "key": "|".join(str(k) for k in key),
                "truth": value,
                "error": middle - where if told else np.nan,
                "low": low,
                "high": high,
                "hit": float(low <= value <= high) if told and not np.isnan(low + high) else np.nan,
                "censored": tolerated and not min(levels) <= value <= max(levels),
                "verdict": judged(verdict[0], value) if verdict else "",
            }


def judged(verdict: str, truth: float) -> str:
    """Whether a verdict is right; one that decides nothing is neither."""
    if verdict in ("undecided", "out of range"):
        return "undecided"
    if verdict == "equivalent":
        return "right" if abs(truth) <= NOTHING else "wrong"
    return "right" if (truth > 0) == (verdict in ("better", "first")) else "wrong"


def place(folder: Path, job: tuple[str, int, str]) -> Path:
    """Where the rows of a data set are written."""
    name, seed, estimator = job
    return folder / name.replace(" ", "-") / f"{estimator.replace(':', '-')}-{seed}.parquet"


def done(job: tuple[tuple[str, int, str], Path]) -> float:
    """Scores a data set and writes its rows, whole or not at all: CPU seconds."""
    what, path = job
    rows = score(what)
    path.parent.mkdir(parents=True, exist_ok=True)
    half = path.with_suffix(f".half-{os.getpid()}")
    pd.DataFrame(rows).to_parquet(half, compression="zstd")
    half.rename(path)
    return float(rows[0]["cpu"])


def compiled() -> None:
    """The density compiled and kept, once, before many processes ask for it at a time."""
    from tolerance.model import density

    density.compiled(), density.copying()


def run(jobs: list[tuple[str, int, str]], folder: Path, processes: int) -> Iterator[float]:
    """CPU seconds of each data set that was not there already, as they come."""
    left = [(job, place(folder, job)) for job in jobs if not place(folder, job).is_file()]
    print(f"{len(jobs)} data sets, {len(jobs) - len(left)} of them done already", flush=True)
    if not left:
        return
    with get_context("spawn").Pool(1) as one:
        one.apply(compiled)
    with get_context("spawn").Pool(min(processes, len(left)), maxtasksperchild=100) as pool:
        yield from pool.imap_unordered(done, left)


def read(paths: list[Path]) -> pd.DataFrame:
    """Rows of files, and of all files in folders."""
    files = [file for path in paths for file in (sorted(path.rglob("*.parquet")) if path.is_dir() else [path])]
    return pd.concat([pd.read_parquet(file) for file in files], ignore_index=True)


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


def verdicts(rows: pd.DataFrame) -> pd.DataFrame:
    """How many verdicts and orders were decided, and how many of these are wrong, in fits that passed."""
    told = rows[(rows["failed"].astype(str) == "") & rows["verdict"].isin(["right", "wrong", "undecided"])]
    if told.empty:
        return pd.DataFrame()
    counts = told.pivot_table(
        index=["scenario", "estimator", "quantity"], columns="verdict", values="seed", aggfunc="size", fill_value=0
    ).reindex(columns=["right", "wrong", "undecided"], fill_value=0)
    decided = (counts["right"] + counts["wrong"]).clip(lower=1)
    return counts.assign(**{"wrong share": counts["wrong"] / decided}).reset_index()


def slimmed(rows: pd.DataFrame) -> pd.DataFrame:
    """The same rows as they are kept: categories, and numbers in single precision."""
    names = [c for c in ("scenario", "estimator", "failed", "quantity", "key", "verdict") if c in rows]
    small = {c: rows[c].astype("str").astype("category") for c in names}
    return rows.assign(**small, **{c: rows[c].astype("float32") for c in ("truth", "error", "low", "high", "cpu")})


def main() -> None:
    """Run or tabulate."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", nargs="?", choices=("run", "table"), default="run")
    parser.add_argument("rows", nargs="*", type=Path)
    parser.add_argument("--sets", "--replicates", type=int, default=20)
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    parser.add_argument("--scenarios", default=",".join(SCENARIOS), help="by name, or all, old, new")
    parser.add_argument("--estimators", default="tolerance")
    parser.add_argument("--seconds", type=float, default=np.inf, help="stop after so long; what is done is kept")
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    if given.what == "table":
        rows = read(given.rows)
        found = table(rows)
        print(found.to_string(index=False, float_format="%.3f"))
        if "verdict" in rows:
            print(verdicts(rows).to_string(index=False, float_format="%.3f"))
        if given.out and given.out.suffix == ".parquet":
            slimmed(rows).to_parquet(given.out, compression="zstd")
        elif given.out:
            found.to_csv(given.out, index=False, float_format="%.4f")
        return
    groups = {"all": [*SCENARIOS, *WORLDS], "old": list(SCENARIOS), "new": list(WORLDS)}
    names = groups.get(given.scenarios, given.scenarios.split(","))
    if unknown := [name for name in names if name not in groups["all"]]:
        parser.error(f"no such scenario: {', '.join(unknown)}. There are: {', '.join(groups['all'])}.")
    if given.out is None:
        parser.error("give --out, a folder for the rows.")
    jobs = [(s, given.first + r, e) for r in range(given.sets) for s in names for e in given.estimators.split(",")]
    started, spent = time.monotonic(), 0.0
    for n, cpu in enumerate(run(jobs, given.out, given.jobs), 1):
        spent += cpu
        if n % 20 == 0:
            print(f"{n} data sets, {time.monotonic() - started:.0f} s, {spent / n:.1f} CPU-s each", flush=True)
        if time.monotonic() - started > given.seconds:
            print(f"stopped after {n} data sets")
            break
    rows = read([given.out])
    print(table(rows).to_string(index=False, float_format="%.3f"))
    print(verdicts(rows).to_string(index=False, float_format="%.3f"))


if __name__ == "__main__":
    main()
