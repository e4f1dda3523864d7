"""`tolerance collect`: a plan is answered, or what it would take is said."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tolerance.cli.console import command_line, meanwhile, note, print_frame, say, stages
from tolerance.cli.options import Out

if TYPE_CHECKING:
    from tolerance.runners.collect.plan import Plan


def collect(
    plan: Annotated[Path, typer.Argument(help="YAML plan: models, tasks, sparsifiers, levels, contexts, items.")],
    out: Out = Path("run"),
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    engine: Annotated[str, typer.Option(help="local (this process) or ray (several GPUs or hosts).")] = "local",
    workers: Annotated[int, typer.Option(min=1, help="Workers, a GPU each (ray).")] = 1,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what it would take; answer nothing.")] = False,
) -> None:
    """Take a model through tasks at several sparsity levels; run it again to go on after an interruption."""
    from tolerance.runners.collect.plan import Plan

    if dry_run:
        print_estimate(Plan.from_yaml(plan), out, device=device, workers=workers)
    else:
        collect_aloud(Plan.from_yaml(plan), out, device=device, engine=engine, workers=workers)


def collect_aloud(plan: "Plan", out: Path, *, device: str = "auto", engine: str = "local", workers: int = 1) -> None:
    """Answer what is missing of a plan, with a bar that shows rate, remaining time and cost so far."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    from tolerance.runners.collect.collect import collect as collect_plan

    columns = (
        TextColumn("[bold]collect"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("items"),
        TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(),
        TextColumn("{task.description}"),
    )
    with Progress(*columns, console=meanwhile()) as bar:
        task = bar.add_task("loading", total=None, rate="")
        folder = collect_plan(
            plan,
            out,
            device=device,
            command=command_line(),
            progress=lambda p: bar.update(
                task,
                completed=p.items_done,
                total=p.items_total,
                rate=f"{p.items_per_second:.1f}/s",
                description=f"{p.text} ({p.cost})" if p.text else "",
            ),
            engine=engine,
            workers=workers,
        )
    note(f"answers -> {folder.path}")


def print_estimate(plan: "Plan", out: Path, *, device: str, workers: int) -> None:
    """A table of what is left of a plan, and what it takes."""
    import pandas as pd

    from tolerance.runners.collect.estimate import estimate

    with stages() as stage:
        stage("reading configurations")
        made = estimate(plan, out, device=device, workers=workers)
    print_frame(
        f"{out}: what is left",
        pd.DataFrame(
            {
                "model": line.model,
                "task": line.task,
                "context": line.context_length or "-",
                "cells": line.cells,
                "items": line.items,
                "left": line.items_left,
                "FLOP": "-" if line.flops_left is None else f"{line.flops_left:.2g}",
            }
            for line in made.lines
        ),
    )
    cells, items = sum(line.cells for line in made.lines), sum(line.items_left for line in made.lines)
    flops = "" if made.flops_left is None else f", {made.flops_left:.2g} FLOP at most"
    seconds = "time not estimated" if made.seconds is None else f"{made.seconds:,.0f} s"
    say(f"{cells} cells, {items:,} answers left{flops}, {seconds} ({made.basis})", wrap=False)
