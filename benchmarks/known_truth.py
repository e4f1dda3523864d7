"""Thresholds of 48 curves (4 methods x 12 tasks) against a known truth, with the CPU seconds they took.

    python -m benchmarks.known_truth answers.parquet truth.json

answers.parquet: item_id, task, task_type, model, params, context_length, method, sparsity, correct; every method has
dense rows of its own. truth.json: guess, methods, task_names and s95_marginal ``[method][task]``: the sparsity at which
accuracy, averaged over models, contexts and items, falls to 95% of dense accuracy (raw: no floor is subtracted).
"""

import json
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd

from tolerance import Settings, validate
from tolerance.data.cells import sparsity
from tolerance.diagnostics.refit import refitted
from tolerance.estimands.curves import curve
from tolerance.inference.saved import Fit
from tolerance.model.curve import crossing

PROB = 0.95


def outcomes(answers: pd.DataFrame, truth: dict) -> pd.DataFrame:
    """The table as outcomes; the dense rows of the four methods are four repeats of one dense baseline."""
    dense = answers["sparsity"] == 0
    frame = answers[["item_id", "task", "model", "params", "context_length"]].assign(
        task_type=answers["task_type"].str.replace("_", "-"),
        sparsifier=answers["method"].where(~dense, "dense"),
        sparsity_requested=answers["sparsity"],
        score=answers["correct"].astype(float),
        chance=answers["task"].map(dict(zip(truth["task_names"], truth["guess"], strict=True))),
        replicate=answers["method"].astype("category").cat.codes.where(dense, 0).astype(int),
    )
    return validate(frame)


def thresholds(fitted: Fit, method: str, task: str, last: float) -> np.ndarray:
    """Draws of the raw 95% threshold of one curve, averaged over configurations first; capped at the last level."""
    one = curve(fitted, method, [task])
    return np.minimum(sparsity(crossing(one.accuracy / one.dense[:, None], one.grid, 0.95)), last)


def main() -> None:
    """Print one line: size, seconds, checks, error, width, coverage."""
    answers, truth = pd.read_parquet(sys.argv[1]), json.loads(Path(sys.argv[2]).read_text())
    wall, cpu = time.perf_counter(), time.process_time()
    table = outcomes(answers, truth)
    done = refitted(table, Settings())
    fitted, checks = done.fit, done.checks
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    failed = [one.name for one in checks if not one.passed]
    errors, widths, inside = [], [], []
    for m, method in enumerate(truth["methods"]):
        for t, task in enumerate(truth["task_names"]):
            draws = thresholds(fitted, method, task, last=answers["sparsity"].max())
            low, middle, high = np.quantile(draws, [(1 - PROB) / 2, 0.5, (1 + PROB) / 2])
            real = truth["s95_marginal"][m][t]
            errors.append(middle - real)
            widths.append(high - low)
            inside.append(low <= real <= high)
    print(
        f"{len(table):>9,} rows: {cpu:.0f} CPU-s, {wall:.0f} s; RMSE {np.sqrt(np.mean(np.square(errors))):.4f}, median "
        f"{PROB:.0%} width {np.median(widths):.2f}, coverage {np.mean(inside):.2f} of {len(inside)}; "
        f"checks failed: {', '.join(failed) or 'none'}"
    )


if __name__ == "__main__":
    main()
