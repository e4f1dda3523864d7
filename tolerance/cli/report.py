"""`tolerance report`: the page of an analysis, and its headlines in the terminal."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tolerance.cli.console import note, print_table, print_warning, say, stages
from tolerance.cli.options import AnswerOptions, Script, TemplateDir
from tolerance.cli.runs import say_what_is_missing
from tolerance.errors import DesignError, OtherFitError, StoreError

if TYPE_CHECKING:
    from collections.abc import Callable

    from tolerance.comparison.arms import Arm
    from tolerance.findings import Audit, Conclusions, NotCompared, Plot, Report
    from tolerance.reports.page import Kind
    from tolerance.reports.sections.verdict_matrix import Row

# Each pair of methods is compared in a report of so many; more are asked for one by one with tolerance compare.
METHODS_COMPARED = 3


def report(
    analysis: Annotated[Path, typer.Argument(help="Analysis folder of fit.")],
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Folder for report.html; the analysis by default.")
    ] = None,
    run: Annotated[Path | None, typer.Option(help="Its run folder, if it has moved since.")] = None,
    script: Script = True,
    template_dir: TemplateDir = None,
    figures: Annotated[
        bool, typer.Option("--figures", help="Also write every figure as SVG, and as PNG where chromium is.")
    ] = False,
    plots: Annotated[
        bool, typer.Option("--plots", help="Append ArviZ's plots of the draws; needs matplotlib and the run.")
    ] = False,
    as_markdown: Annotated[
        bool, typer.Option("--markdown", help="Print the summary for a pull request alone.")
    ] = False,
) -> None:
    """Render a self-contained HTML report, with methods compared at equal everything where the run is at hand."""
    write_report(
        analysis,
        out or analysis,
        run=run,
        script=script,
        template_dir=template_dir,
        figures=figures,
        plots=plots,
        as_markdown=as_markdown,
    )


def write_report(
    analysis: Path,
    out: Path,
    *,
    run: Path | None = None,
    script: bool = True,
    template_dir: Path | None = None,
    figures: bool = False,
    plots: bool = False,
    as_markdown: bool = False,
) -> None:
    """Write the page of an analysis, its methods compared, and print its headlines."""
    from tolerance.analysis.saved import read_report
    from tolerance.reports import page as pages
    from tolerance.reports.pictures import figures as pictures

    found = read_report(analysis)
    source = _run_of(found, run)
    appendix = _plots(analysis, source) if plots else []
    found = _with_conclusions(found, analysis, source)
    if source is not None:
        say_what_is_missing(source)
    page = pages.write(found, out, script=script, template_dir=template_dir, plots=appendix)
    drawn = pictures.write(found, out / "figures") if figures else []
    if as_markdown:
        typer.echo((page.parent / "report.md").read_text(encoding="utf-8"))
        return
    print_headlines(found)
    _matrix(found)
    if drawn:
        note(f"{len(drawn)} figures -> {out / 'figures'}")
    note(f"report -> {page}")


def _run_of(report: "Report", run: Path | None) -> Path | None:
    """The run folder of an analysis: where it is said to be, else where it was; None where nothing is there."""
    source = run or next((Path(name) for name in report.provenance.sources), None)
    return source if source is not None and source.is_dir() else None


def _plots(analysis: Path, source: Path | None) -> "list[Plot]":
    """ArviZ's plots of the draws of an analysis."""
    from tolerance.analysis.saved import fit_of, read_report
    from tolerance.data.prepared import read_prepared
    from tolerance.diagnostics.plots import plots

    if source is None:
        raise StoreError(
            f"{analysis}: --plots needs the outcomes of the fit, which are not at hand. Give --run FOLDER."
        )
    with stages() as stage:
        stage("drawing plots")
        return plots(fit_of(read_report(analysis), read_prepared(source), analysis))


def _with_conclusions(report: "Report", analysis: Path, source: Path | None) -> "Report":
    """The report with its methods compared pair by pair.

    As it is where the outcomes are not at hand; where they, or the draws, are not those of the report, it says so.
    """
    from itertools import combinations

    from tolerance.analysis.saved import without_answer
    from tolerance.comparison.arms import Arm
    from tolerance.comparison.compare import compare_saved
    from tolerance.data.prepared import read_prepared

    methods = report.data.sparsifiers
    few = 2 <= len(methods) <= METHODS_COMPARED
    if source is None or not few:
        return report
    with stages() as stage:
        stage("comparing methods at equal everything")
        outcomes = read_prepared(source)
        pairs = [(Arm(a), Arm(b)) for a, b in combinations(methods, 2)]
        try:
            made, left = _each(lambda pair: compare_saved(outcomes, analysis, [pair]), pairs)
        except OtherFitError as error:
            with stage.aside():
                print_warning(f"{error} The page has what stands, and no new conclusions.")
            return without_answer(report, error)
    for one in left:
        print_warning(f"{one.treatment} and {one.reference} are not compared: {one.reason}")
    return report.model_copy(update={"conclusions": made, "not_compared": left})


def _each(
    compared: "Callable[[tuple[Arm, Arm]], list[Conclusions]]", pairs: "list[tuple[Arm, Arm]]"
) -> "tuple[list[Conclusions], list[NotCompared]]":
    """Conclusions of the pairs that can be compared, and why the others cannot."""
    from tolerance.findings import NotCompared

    made, left = [], []
    for treatment, reference in pairs:
        try:
            made += compared((treatment, reference))
        except DesignError as error:
            left.append(NotCompared(treatment=treatment.name, reference=reference.name, reason=str(error)))
    return made, left


def write_answer(found: "Report | Audit", answer: AnswerOptions, *, kind: "Kind") -> None:
    """Write the page of an answer that was printed, where one was asked for."""
    from tolerance.reports.page import write

    if answer.out is None:
        return
    page = write(found, answer.out, kind=kind, script=answer.script, template_dir=answer.template_dir)
    if not answer.as_json:
        note(f"report -> {page}")


def print_headlines(report: "Report") -> None:
    """The headlines, then where the instant answer disagrees materially."""
    from tolerance.reports.sections.instant import disagreements
    from tolerance.reports.words.sentences import headlines

    for sentence in headlines(report):
        say(sentence)
    for sentence in disagreements(report):
        say(f"Beside the instant answer: {sentence}")


def _matrix(report: "Report") -> None:
    """The verdict matrix, and what to know before quoting a number."""
    from tolerance.reports.sections import verdict_matrix
    from tolerance.reports.words.chips import warnings

    matrix = verdict_matrix.matrix(report.conclusions, report)
    if matrix is not None:
        rows = [
            [
                next(c.task_type for w in report.conclusions for c in w.conclusions if c.id == row.id),
                f"{row.label.glyph} {row.label.word}",
                _by_verdict(row),
            ]
            for row in matrix.first
        ]
        print_table("Conclusions along what can be held equal", ["on", "across axes", "at equal ..."], rows)
    for warning in warnings(report):
        say(f"Note: {warning.text}")


def _by_verdict(row: "Row") -> str:
    """Verdicts with the axes that have them: a terminal is too narrow for a column an axis."""
    axes: dict[str, list[str]] = {}
    for cell in row.cells:
        axes.setdefault(f"{cell.said.glyph} {cell.said.word} {cell.value}".strip(), []).append(cell.axis)
    return "\n".join(f"{said}: {', '.join(names)}" for said, names in axes.items())
