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
from tests.simulated import outcomes, retained
from tolerance import Settings, validate
from tolerance.data.outcomes import TASK_TYPES
from tolerance.diagnostics.refit import refitted
from tolerance.model.parameters import Parameters

ITEMS = 40
CENTRE = 2.5  # halvings at which 1/e is left, at no effects


def design(methods: int, tasks: int, levels: int, seed: int) -> tuple[pd.DataFrame, tuple[float, ...], dict]:
    """One row an answer, the levels, and the share of dense accuracy kept by type, method and level."""
    rng = np.random.default_rng(seed)
    effects = (
        0.4 * rng.normal(size=(methods, 1)) + 0.3 * rng.normal(size=tasks) + 0.2 * rng.normal(size=(methods, tasks))
    )
    n_types = min(len(TASK_TYPES), -(-tasks // 4))
    kinds = {f"task-{t}": TASK_TYPES[t * n_types // tasks] for t in range(tasks)}
    names = tuple(f"method-{m}" for m in range(methods))
    scales = {
        (task, name): float(CENTRE * np.exp(effects[m, t]))
        for t, task in enumerate(kinds)
        for m, name in enumerate(names)
    }
    halvings = np.linspace(0.5, 4, levels)
    at = tuple((1 - 2.0**-halvings).tolist())
    answers = outcomes(n_items=ITEMS, levels=at, sparsifiers=names, tasks=kinds, scales=scales, seed=seed)
    kept = {
        (kind, name, s): np.mean([retained(h, scales[task, name]) for task, its in kinds.items() if its == kind])
        for kind in kinds.values()
        for name in names
        for h, s in zip(halvings, at, strict=True)
    }
    return validate(answers), at, kept


def main() -> None:
    """Print a line for each design."""
    for number, asked in enumerate(sys.argv[1:]):
        methods, tasks, levels = (int(part) for part in asked.split("x"))
        table, at, kept = design(methods, tasks, levels, seed=number)
        cpu = time.process_time()
        done = refitted(table, Settings())
        cpu = time.process_time() - cpu
        found = summarised(done.curves, at)["retention"]
        inside = [low <= kept[key] <= high for key, (_, low, high) in found.items()]
        size = Parameters(done.fit.cells, done.fit.settings.priors).size
        failed = ", ".join(one.name for one in done.checks if not one.passed) or "none"
        print(
            f"{asked}: {len(table):,} answers, {size:,} parameters, {len(done.attempts)} attempts, {cpu:.0f} CPU-s; "
            f"checks failed: {failed}; {np.mean(inside):.2f} of {len(inside)} retentions covered",
            flush=True,
        )


if __name__ == "__main__":
    main()
