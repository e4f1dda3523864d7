"""Do fits of designs of every size pass their checks, and what do they cost?

    python -m benchmarks.sizes 1x1x3 3x2x5 9x2x8 10x10x4 30x30x4

A design is methods x tasks x levels, beside dense; four tasks make a type, until there are no more types. Answers are
simulated, 40 items a task: Weibull curves whose log scale has effects of method (sd 0.4), of task (0.3) and of its own
(0.2), and whose items do not depend on each other. Printed: parameters, attempts, CPU seconds, checks that failed, and
how many of the retentions of method and type at the levels lie within their 90% intervals.
"""

import sys
import time

import numpy as np
import pandas as pd

from benchmarks.calibration.ours import summarised
from tolerance import Settings, validate
from tolerance.outcomes import TASK_TYPES
from tolerance.parameters import Parameters
from tolerance.remedies import mended

ITEMS, DENSE, SHAPE = 40, 0.9, 2.0
CENTRE = 2.5  # halvings at which 1/e is left, at no effects


def types(tasks: int) -> np.ndarray:
    """Each task's type."""
    n = min(len(TASK_TYPES), -(-tasks // 4))
    return np.array(TASK_TYPES)[np.arange(tasks) * n // tasks]


def answers(methods: int, tasks: int, levels: int, seed: int) -> tuple[pd.DataFrame, np.ndarray, np.ndarray]:
    """One row an answer, the levels, and the share of dense accuracy kept ``(method, task, level)``."""
    rng = np.random.default_rng(seed)
    effects = (
        0.4 * rng.normal(size=(methods, 1)) + 0.3 * rng.normal(size=tasks) + 0.2 * rng.normal(size=(methods, tasks))
    )
    halvings = np.linspace(0.5, 4, levels)
    kept = np.exp(-((halvings / (CENTRE * np.exp(effects))[:, :, None]) ** SHAPE))
    at = 1 - 2.0**-halvings
    kinds = types(tasks)
    conditions = [("dense", 0.0, np.ones(tasks))]
    conditions += [(f"method-{m}", s, kept[m, :, i]) for m in range(methods) for i, s in enumerate(at)]
    frame = pd.DataFrame(
        [
            (f"task-{t}", kinds[t], name, s, DENSE * left[t], item)
            for name, s, left in conditions
            for t in range(tasks)
            for item in range(ITEMS)
        ],
        columns=["task", "task_type", "sparsifier", "sparsity_requested", "accuracy", "item_id"],
    )
    score = (rng.random(len(frame)) < frame.pop("accuracy")).astype(float)
    frame = frame.assign(
        score=score, item_id=frame["item_id"].astype(str), model="simulated", context_length=0, chance=0.0
    )
    return validate(frame), at, kept


def main() -> None:
    """Print a line for each design."""
    for number, asked in enumerate(sys.argv[1:]):
        methods, tasks, levels = (int(part) for part in asked.split("x"))
        table, at, kept = answers(methods, tasks, levels, seed=number)
        cpu = time.process_time()
        done = mended(table, Settings())
        cpu = time.process_time() - cpu
        found = summarised(done.curves, tuple(at))["retention"]
        inside = [
            low <= kept[int(method.split("-")[1]), types(tasks) == kind, np.argmin(np.abs(at - s))].mean() <= high
            for (kind, method, s), (_, low, high) in found.items()
        ]
        size = Parameters(done.fit.cells, done.fit.settings.priors).size
        failed = ", ".join(one.name for one in done.checks if not one.passed) or "none"
        print(
            f"{asked}: {len(table):,} answers, {size:,} parameters, {len(done.attempts)} attempts, {cpu:.0f} CPU-s; "
            f"checks failed: {failed}; {np.mean(inside):.2f} of {len(inside)} retentions covered",
            flush=True,
        )


if __name__ == "__main__":
    main()
