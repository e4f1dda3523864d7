"""Which task type keeps most, and which least, at each level of a saved analysis, with probabilities.

    python -m benchmarks.orders RUN ANALYSIS [--without-dense]

Kept is accuracy as a share of the dense one; without a dense baseline, of that at the first level.
"""

import argparse
from pathlib import Path

import numpy as np
import pandas as pd

from tolerance import read_run
from tolerance.diagnostics.checks import check, trustworthy
from tolerance.estimands.curves import type_curves
from tolerance.inference.saved import read_fit

PROB = 0.9


def orders(run: Path, analysis: Path, *, without_dense: bool) -> pd.DataFrame:
    """One row for each method, level and task type: share kept with its interval, probability of most and of least.

    Raises:
        SystemExit: the fit failed its checks, so nothing is concluded.
    """
    fit = read_fit(read_run(run), analysis)
    curves = type_curves(fit)
    if not trustworthy(check(fit, curves)):
        raise SystemExit(f"{analysis}: the fit failed its checks: withheld.")
    rows = []
    for method in sorted({one.sparsifier for one in curves}):
        mine = [one for one in curves if one.sparsifier == method and (one.has_dense or without_dense)]
        for level in sorted({float(s) for one in mine for s in one.distinct}):
            reference = min(float(s) for one in mine for s in one.distinct) if without_dense else 0.0
            if level <= reference:
                continue
            kept = np.stack([one.accuracy_at(level) / one.accuracy_at(reference) for one in mine], axis=1)
            most, least = (np.bincount(at, minlength=len(mine)) / len(kept) for at in (kept.argmax(1), kept.argmin(1)))
            low, middle, high = np.quantile(kept, [(1 - PROB) / 2, 0.5, (1 + PROB) / 2], axis=0)
            rows += [
                {
                    "method": method,
                    "level": level,
                    "task type": one.task_type,
                    "kept": f"{middle[i]:.3f} ({low[i]:.3f} to {high[i]:.3f})",
                    "most": most[i],
                    "least": least[i],
                }
                for i, one in enumerate(mine)
            ]
    return pd.DataFrame(rows)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("analysis", type=Path)
    parser.add_argument("--without-dense", action="store_true")
    given = parser.parse_args()
    print(orders(given.run, given.analysis, without_dense=given.without_dense).to_string(index=False))


if __name__ == "__main__":
    main()
