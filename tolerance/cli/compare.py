"""`tolerance compare`: two arms at equal everything, from a saved analysis."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tolerance.cli.console import print_table, say, stages
from tolerance.cli.gate import gate, one_of
from tolerance.cli.options import AnswerOptions
from tolerance.cli.report import write_answer
from tolerance.cli.runs import say_what_is_missing
from tolerance.errors import StoreError

if TYPE_CHECKING:
    from tolerance.findings import Report


def compare(
    treatment: Annotated[
        str, typer.Argument(help="Method, method@level, or attributes of a model: snapkv@0.9,params>=8e9")
    ],
    reference: Annotated[str, typer.Argument(help="What it is compared with; dense where no method is named.")],
    analysis: Annotated[Path, typer.Option(help="Analysis folder of fit.")] = Path("analysis"),
    run: Annotated[Path | None, typer.Option(help="Its run folder, if it has moved since.")] = None,
    hold: Annotated[
        str,
        typer.Option(
            help="Axes to hold equal: all, or some of compute, prefill, decode, params, active, context, kv, "
            "kv-tokens, budget, sparsity."
        ),
    ] = "all",
    quantity: Annotated[str, typer.Option(help="accuracy, or retention (share of dense accuracy kept).")] = "accuracy",
    equivalence: Annotated[float, typer.Option(help="Differences within plus and minus this are equivalent.")] = 0.02,
    shapes: Annotated[
        Path | None, typer.Option(help="YAML of model: config.json, for costs that were not recorded.")
    ] = None,
    fail_on: Annotated[
        str | None, typer.Option(help="Exit with code 2 on some of axis-dependent, fragile, untestable, withheld.")
    ] = None,
    *,
    answer: AnswerOptions,
) -> None:
    """Is one thing better than another, at equal compute, parameters, context, memory ...? From a saved analysis."""
    from tolerance.analysis.saved import read_report
    from tolerance.comparison.ask import compare as asked
    from tolerance.data.prepared import read_prepared
    from tolerance.reports.words import axes as told

    failing = gate(fail_on, ("axis-dependent", "fragile", "untestable", "withheld"))
    with stages() as stage:
        stage("reading outcomes")
        report = read_report(analysis)
        run = run or _recorded(report, analysis)
        outcomes = read_prepared(run)
        stage("comparing")
        found = asked(
            outcomes,
            analysis,
            treatment,
            reference,
            hold=hold,
            quantity=one_of("--quantity", quantity, ("accuracy", "retention")),
            equivalence=equivalence,
            shapes=shapes,
        )
    say_what_is_missing(run)
    if answer.as_json:
        typer.echo(found.model_dump_json(indent=1))
    else:
        for one in found.conclusions:
            print_table(told.title(one), told.HEADS, told.table(one))
        for sentence in told.sentences(found):
            say(sentence, wrap=False)
    write_answer(report.model_copy(update={"conclusions": [found]}), answer, kind="comparison")
    if failing & {one.label for one in found.conclusions}:
        raise typer.Exit(2)


def _recorded(report: "Report", analysis: Path) -> Path:
    """Where the run of an analysis was; one that was made from Python may not say."""
    if not report.provenance.sources:
        raise StoreError(f"{analysis}: does not say which run it is of. Give --run FOLDER.")
    return Path(report.provenance.sources[0])
