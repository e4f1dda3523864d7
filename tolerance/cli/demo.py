"""`tolerance demo`: the whole chain on a small model that ships."""

from pathlib import Path
from typing import Annotated

import typer

from tolerance.cli.collect import collect_aloud
from tolerance.cli.fit import fit_aloud
from tolerance.cli.options import Cores, Out
from tolerance.cli.report import write_report


def demo(
    out: Out = Path("tolerance-demo"),
    items: Annotated[int, typer.Option(min=8, help="Items per task.")] = 64,
    seed: Annotated[int, typer.Option(help="Seed of the items.")] = 0,
    cores: Cores = 2,
) -> None:
    """Collect, fit and report, live: a small model that ships with us answers three tasks at six sparsity levels."""
    from tolerance.runners.collect.plan import demo_plan

    collect_aloud(demo_plan(items=items, seed=seed), out / "run")
    fit_aloud(out / "run", out / "analysis", cores=cores)
    write_report(out / "analysis", out)
