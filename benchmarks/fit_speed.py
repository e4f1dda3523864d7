"""What a fit costs from answers to checked posterior: a process of its own for each run, cold and warm.

    python -m benchmarks.fit_speed answers.parquet truth.json [more.parquet more.json ...]

Files are those of `benchmarks.known_truth`. Cold: the density and all byte code are compiled, into empty caches; warm:
they are read from there. CPU seconds are the process's own and its threads', imports and reading of the file included;
ESS is the smallest bulk ESS of the reported curves, as the fit's checks have it, and the rate is over the seconds of
both sampling runs.
"""

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path


def one(answers: str, truth: str) -> dict:
    """Fit in this process."""
    started = time.perf_counter()
    import pandas as pd

    from benchmarks.known_truth import outcomes
    from tolerance import Settings
    from tolerance.diagnostics.checks import trustworthy
    from tolerance.diagnostics.refit import refitted

    table = outcomes(pd.read_parquet(answers), json.loads(Path(truth).read_text()))
    marks: list[tuple[str, float]] = []
    checks = refitted(table, Settings(), stage=lambda text: marks.append((text, time.process_time()))).checks
    worst = {check.name: check.worst for check in checks}
    ends = [*(at for _, at in marks[1:]), time.process_time()]
    sampling = sum(end - at for (text, at), end in zip(marks, ends, strict=True) if text in ("pilot run", "sampling"))
    used = resource.getrusage(resource.RUSAGE_SELF)
    ess = worst["bulk ESS of reported curves, smallest"]
    return {
        "rows": len(table),
        "CPU-s": used.ru_utime + used.ru_stime,
        "wall-s": time.perf_counter() - started,
        "sampling CPU-s": sampling,
        "attempts": sum(text == "pilot run" for text, _ in marks),
        "R-hat": worst["R-hat of reported curves, largest"],
        "ESS": ess,
        "ESS per CPU-s": ess / sampling,
        "passed": trustworthy(checks),
    }


def main() -> None:
    """Print one row for each file, cold and warm."""
    if sys.argv[1] == "--one":
        print(json.dumps(one(*sys.argv[2:])))
        return
    files = list(zip(sys.argv[1::2], sys.argv[2::2], strict=True))
    with tempfile.TemporaryDirectory() as cache:
        for number, (answers, truth) in enumerate(files):
            for kind in ("cold", "warm") if number == 0 else ("warm",):
                command = [sys.executable, "-m", "benchmarks.fit_speed", "--one", answers, truth]
                environment = {**os.environ, "NUMBA_CACHE_DIR": cache, "PYTHONPYCACHEPREFIX": cache}
                environment.pop("PYTHONDONTWRITEBYTECODE", None)
                done = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
                found = json.loads(done.stdout.splitlines()[-1])
                told = ", ".join(f"{k} {v:,.3f}" if isinstance(v, float) else f"{k} {v}" for k, v in found.items())
                print(f"{kind}: {told}", flush=True)


if __name__ == "__main__":
    main()
