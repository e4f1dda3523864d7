"""`tolerance fit`: curves of a run, the instant answer first."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tolerance.cli.console import command_line, is_quiet, stages
from tolerance.cli.options import (
    AsJson,
    AssumeItems,
    Cores,
    LevelsAreSparsity,
    Margin,
    Out,
    Retention,
    Seed,
    WithoutDense,
)
from tolerance.cli.quick import print_instant
from tolerance.cli.report import print_headlines
from tolerance.cli.runs import say_what_is_missing

if TYPE_CHECKING:
    from tolerance.findings import Instant, Report
    from tolerance.question import Question


def fit(
    run: Annotated[Path, typer.Argument(help="Run folder of collect or import.")],
    out: Out = Path("analysis"),
    retention: Retention = 0.95,
    margin: Margin = None,
    without_dense: WithoutDense = False,
    assume_items: AssumeItems = None,
    levels_are_sparsity: LevelsAreSparsity = False,
    compare_families: Annotated[
        bool, typer.Option("--compare-families", help="Also fit other curve families and compare them (six more fits).")
    ] = False,
    seed: Seed = None,
    cores: Cores = 2,
    force: Annotated[bool, typer.Option("--force", help="Write over the analysis of another run.")] = False,
    as_json: AsJson = False,
) -> None:
    """Fit tolerance curves to a run, the instant answer first; an unchanged fit is not repeated."""
    from tolerance.question import Question

    report = fit_aloud(
        run,
        out,
        question=Question(retention=retention, margin=margin),
        without_dense=without_dense,
        assume_items=assume_items,
        levels_are_sparsity=levels_are_sparsity,
        families=compare_families,
        seed=seed,
        cores=cores,
        force=force,
        aloud=not as_json,
    )
    if as_json:
        typer.echo(report.model_dump_json(indent=1))
    else:
        print_headlines(report)


def fit_aloud(
    run: Path,
    out: Path,
    *,
    question: "Question | None" = None,
    without_dense: bool = False,
    assume_items: int | None = None,
    levels_are_sparsity: bool = False,
    families: bool = False,
    seed: int | None = None,
    cores: int = 2,
    force: bool = False,
    aloud: bool = True,
) -> "Report":
    """Fit; ``aloud``, the instant answer is printed before sampling starts, unless one is to be quiet."""
    from tolerance.analysis.analyse import analyse
    from tolerance.data.direction import known_as_sparsity
    from tolerance.data.prepared import prepare, read_prepared
    from tolerance.data.published import assume_items as assuming
    from tolerance.data.run_folder import RunFolder
    from tolerance.inference.folder import refuse_strangers
    from tolerance.inference.settings import Settings

    refuse_strangers(out)  # before a large run is read
    say_what_is_missing(run)
    with stages() as stage:
        stage("reading outcomes")
        folder = RunFolder.open(run)
        outcomes = read_prepared(run)

        def at_once(found: "Instant") -> None:
            with stage.aside():
                print_instant(found)

        return analyse(
            outcomes if assume_items is None else assuming(prepare(outcomes).outcomes, assume_items),
            question=question,
            settings=Settings(cores=cores),
            seed=seed,
            without_dense=without_dense,
            levels_are_sparsity=levels_are_sparsity or known_as_sparsity(folder.manifest),
            families=families,
            folder=out,
            force=force,
            command=command_line(),
            sources=(str(run),),
            stage=stage,
            at_once=at_once if aloud and not is_quiet() else None,
        )
