"""Findings -> one self-contained page: no outside resource, the numbers inside, and under 1 KB of script or none.

    from tolerance.reports.page import render, write
    render(report)                              # the benchmark report card
    render(report, kind="comparison")           # A against B, from the report's conclusions
    render(audit, kind="audit")                 # one claim, or several

Templates place and escape. The policy in the page's head allows its own style sheet and script, by hash, and nothing
else. What a finding's state says is not to be read is taken out before anything is rendered.
"""

import base64
import hashlib
import os
from collections.abc import Sequence
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal, assert_never

from jinja2 import BaseLoader, ChoiceLoader, Environment, FileSystemLoader, PackageLoader, PrefixLoader, StrictUndefined
from jinja2.exceptions import TemplateError
from markupsafe import Markup

from tolerance.errors import DesignError, StoreError
from tolerance.findings import Audit, Plot, Report
from tolerance.reports.export import markdown, spreadsheet
from tolerance.reports.sections import audit as audit_page
from tolerance.reports.sections import diagnostics as trust
from tolerance.reports.sections import instant as instantly
from tolerance.reports.sections import tables, verdict_matrix
from tolerance.reports.svg import forest
from tolerance.reports.svg import panels as figures
from tolerance.reports.withhold import scrubbed
from tolerance.reports.words import caveats, held, numbers, phrases, sentences, subjects
from tolerance.reports.words import glyphs as states

Kind = Literal["card", "comparison", "audit"]
PAGE, JSON, CSV, MARKDOWN = "report.html", "report.json", "report.csv", "report.md"
EYEBROWS: dict[Kind, str] = {"card": "Benchmark report card", "comparison": "Comparison", "audit": "Audit of claims"}
# A page stays usable: so many curves are drawn, and tables have so many rows; report.csv and report.json have all.
CURVES, ROWS = 240, 500
LARGEST_INSIDE = 3_000_000
LISTS = ("comparisons", "contrasts", "orderings", "budgets", "sensitivities", "predicted", "shapes")
# An end tag or an entity inside the data block would end or change it; JSON has its own escapes for these.
IN_SCRIPT = str.maketrans({"<": "\\u003c", ">": "\\u003e", "&": "\\u0026"})


def render(
    found: Report | Audit | Sequence[Audit],
    *,
    kind: Kind | None = None,
    script: bool = True,
    template_dir: str | os.PathLike[str] | None = None,
    plots: Sequence[Plot] = (),
) -> str:
    """The page of a report or of audits, the same bytes for the same findings.

    ``kind``: by default the card of a report, the audit of claims. ``script=False`` leaves only data in the page, for
    mail. ``template_dir`` is looked into first: see ``templates/base.html.j2`` for the blocks that one may replace.
    ``plots`` of the draws, from `tolerance.diagnostics.plots`, make an appendix of a report.

    Raises:
        DesignError: findings that this kind is not made of, or a template that fails.
    """
    is_report = isinstance(found, Report)
    kind = kind or ("card" if is_report else "audit")
    if is_report != (kind != "audit"):
        made_of = "one audit or several" if kind == "audit" else "a report"
        raise DesignError(f"kind {kind!r} is made of {made_of}, not of {type(found).__name__}.")
    if isinstance(found, Report):
        name, values = "report.html.j2", _of_report(scrubbed(found), kind, plots)
    else:
        name, values = "audit.html.j2", _of_audits([found] if isinstance(found, Audit) else list(found))
    return _rendered(name, values, script=script, template_dir=template_dir)


def _of_report(report: Report, kind: Kind, plots: Sequence[Plot]) -> dict[str, Any]:
    """What the template of cards and comparisons places."""
    if kind == "comparison" and not report.conclusions:
        raise DesignError("a comparison needs conclusions: run tolerance compare A B --out FOLDER.")
    whole, report = report, _shown(report)
    panels = figures.panels(report)
    by_curve = {one.id: panel.id for panel in panels for one in panel.series}
    drawn = {(curve.task_type, curve.sparsifier): by_curve[curve.id] for curve in report.curves}
    rows: dict[str, Any] = {
        "report": report,
        "matrix": verdict_matrix.matrix(report.conclusions, report),
        "groups": verdict_matrix.groups(report.conclusions),
        "quantity": phrases.listed(_quantities(report)) if report.conclusions else "",
        "panels": panels,
        "thresholds": tables.thresholds(
            report, {t.id: drawn.get((t.task_type, t.sparsifier), "") for t in report.thresholds}
        ),
        "by_task": tables.comparisons(report, "task types"),
        "by_method": tables.comparisons(report, "methods"),
        "contrasts": tables.contrasts(report),
        "contrast_scale": tables.contrast_scale(report),
        "orderings": tables.orderings(report),
        "budgets": tables.budgets(report),
        "different_units": subjects.different_units(report),
        "instant": _instant(report),
        "checks": tables.checks(report),
        "attempts": trust.attempts(report),
        "predicted": trust.predicted(report),
        "sensitivities": trust.sensitivities(report),
        "shapes": report.shapes if report.fit_passed else [],
        "families": trust.families(report),
        "data": tables.data(report),
        "plots": plots,
        "csv": _inside(spreadsheet.table(whole)),
        "cut": _cut(whole, report),
    }
    if kind == "comparison":
        title = "; ".join(sentences.comparison_title(one) for one in report.conclusions)
        leads = sentences.comparison_leads(whole)
    else:
        title, leads = sentences.title(whole), sentences.leads(whole)
    rows_shown = {found.id for found in report.thresholds} | {name for name, _ in _contents(rows)}
    return {
        **rows,
        "title": title,
        "leads": [one if one.target in rows_shown else sentences.Lead(one.text, "thresholds") for one in leads],
        "facts": tables.facts(whole),
        "warnings": tables.warnings(whole),
        "contents": _contents(rows),
        "eyebrow": f"{EYEBROWS[kind]} · {numbers.day(report.provenance.created)}",
        "id": report.id,
        "json": _inside(whole.model_dump_json()),
    }


def _shown(report: Report) -> Report:
    """The findings that the page draws and lists; those of a comparison all."""
    kept: dict[str, Any] = {name: getattr(report, name)[:ROWS] for name in LISTS}
    cells = {"cells": report.data.cells[: ROWS * 10]}
    kept |= {"curves": report.curves[:CURVES], "thresholds": report.thresholds[:ROWS]}
    if report.instant is not None:
        instant = {name: getattr(report.instant, name)[:ROWS] for name in ("tolerated", "trends")}
        kept["instant"] = report.instant.model_copy(update=instant)
    return report.model_copy(update={**kept, "data": report.data.model_copy(update=cells)})


def _cut(whole: Report, shown: Report) -> list[str]:
    """What the page leaves to the files beside it."""
    names = {"curves": "curves", "thresholds": "thresholds", "comparisons": "comparisons", "contrasts": "contrasts"}
    counts = [(name, len(getattr(shown, key)), len(getattr(whole, key))) for key, name in names.items()]
    return [f"{numbers.count(n)} of {numbers.count(of)} {name}" for name, n, of in counts if n < of]


def _inside(text: str) -> str:
    """Text that the page carries itself; nothing where it would weigh too much."""
    return text if len(text) <= LARGEST_INSIDE else ""


def _quantities(report: Report) -> list[str]:
    return list(dict.fromkeys(one.quantity for whole in report.conclusions for one in whole.conclusions))


def _contents(rows: dict[str, Any]) -> list[tuple[str, str]]:
    """Ids and names of the sections that the page has."""
    sections = (
        ("verdicts", "Conclusions by axis", bool(rows["matrix"])),
        ("held", "What was held constant", True),
        ("curves", "Curves", True),
        ("thresholds", "Thresholds", True),
        ("comparisons", "Comparisons", bool(rows["by_task"] or rows["by_method"])),
        ("contrasts", "Contrasts", bool(rows["contrasts"])),
        ("budgets", "KV tokens", bool(rows["budgets"])),
        ("axes", "Along every axis", bool(rows["groups"])),
        ("instant", "The instant answer", bool(rows["instant"])),
        ("data", "Data", True),
        ("checks", "Can the fit be trusted", True),
        ("plots", "Plots of the draws", bool(rows["plots"])),
        ("methods", "Methods", True),
        ("limits", "Limits", True),
        ("provenance", "Provenance", True),
        ("copy", "Numbers to copy", True),
        ("glossary", "Glossary", True),
    )
    return [(name, text) for name, text, there in sections if there]


def _of_audits(found: list[Audit]) -> dict[str, Any]:
    """What the template of audits places."""
    if not found:
        raise DesignError("an audit page needs at least one audit.")
    rows = [audit_page.row(one) for one in found]
    return {
        "title": audit_page.title(found),
        "leads": audit_page.leads(found),
        "facts": audit_page.facts(found),
        "warnings": audit_page.warnings(found),
        "contents": [("claims", "Claims checked"), *((row.id, row.id) for row in rows), ("rules", "Rules")],
        "eyebrow": EYEBROWS["audit"],
        "id": f"{len(found)} {'claim' if len(found) == 1 else 'claims'}",
        "rows": rows,
        "axes": audit_page.axes(found),
        "unasked": states.state("not recorded"),
        "json": f"[{','.join(one.model_dump_json() for one in found)}]",
    }


def _rendered(name: str, values: dict[str, Any], *, script: bool, template_dir: str | os.PathLike[str] | None) -> str:
    style, code = _file("report.css"), _file("report.js") if script else ""
    embedded = values.pop("json")
    words = {
        "states": states,
        "tables": tables,
        "trust": trust,
        "axes_held": held,
        "caveats": caveats,
        "subjects": subjects,
        "numbers": numbers,
        "phrases": phrases,
        "figures": figures,
        "forest": forest,
    }
    try:
        return (
            _environment(None if template_dir is None else Path(template_dir))
            .get_template(name)
            .render(
                **values,
                **words,
                style=Markup(style),
                script=Markup(code),
                policy=_policy(style, code),
                embedded=Markup(embedded.translate(IN_SCRIPT)),
            )
        )
    except TemplateError as error:
        raise DesignError(f"{template_dir or 'templates'}: {name} cannot be rendered ({error}).") from error


def _instant(report: Report) -> dict[str, Any] | None:
    """What the section of the instant answer says; there is none in reports that lack it."""
    if report.instant is None:
        return None
    return {
        "curves": instantly.curves(report.instant, report),
        "methods": instantly.methods(report.instant),
        "pairing": instantly.pairing(report.instant),
        "disagreements": instantly.disagreements(report),
    }


def write(
    found: Report | Audit | Sequence[Audit],
    folder: str | os.PathLike[str],
    *,
    kind: Kind | None = None,
    script: bool = True,
    template_dir: str | os.PathLike[str] | None = None,
    plots: Sequence[Plot] = (),
) -> Path:
    """Write ``report.html`` and, beside it, ``report.json``; of a report also ``report.csv`` and ``report.md``.

    Each is written whole or not at all; returns the page's path.

    Raises:
        StoreError: the folder cannot be written to.
        DesignError: see `render`.
    """
    texts = {PAGE: render(found, kind=kind, script=script, template_dir=template_dir, plots=plots)}
    if isinstance(found, Report):
        clean = scrubbed(found)
        texts[JSON] = clean.model_dump_json(indent=1) + "\n"
        texts[CSV] = spreadsheet.table(clean)
        texts[MARKDOWN] = markdown.summary(clean)
    else:
        each = [found] if isinstance(found, Audit) else found
        texts[JSON] = f"[{',\n'.join(one.model_dump_json(indent=1) for one in each)}]\n"
    folder = Path(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in texts.items():
            _replace(folder / name, text)
    except OSError as error:
        raise StoreError(f"{folder}: the report cannot be written ({error}). Give a folder that can be.") from error
    return folder / PAGE


def schema(kind: Kind = "card") -> dict[str, Any]:
    """The JSON schema of ``report.json``: of a report, or of one audit. ``format`` in the file names its version."""
    match kind:
        case "card" | "comparison":
            return Report.model_json_schema(mode="serialization")
        case "audit":
            return Audit.model_json_schema(mode="serialization")
        case _:
            assert_never(kind)


def _replace(path: Path, text: str) -> None:
    """A reader sees the old file or the new one, never a part."""
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        beside.write_text(text, encoding="utf-8")
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)


def _policy(style: str, code: str) -> str:
    allowed = f"style-src {_hash(style)}; " + (f"script-src {_hash(code)}; " if code else "")
    return f"default-src 'none'; {allowed}img-src data:; base-uri 'none'; form-action 'none'"


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


@cache
def _file(name: str) -> str:
    return files("tolerance").joinpath("templates", name).read_text(encoding="utf-8")


@cache
def _environment(template_dir: Path | None = None) -> Environment:
    """Templates of a team first, then ours; ours are also found under ``shipped/``, so that theirs can extend them."""
    ours = PackageLoader("tolerance", "templates")
    theirs: list[BaseLoader] = []
    if template_dir is not None:
        if not template_dir.is_dir():
            raise DesignError(f"{template_dir}: no such folder. Give the folder of your templates.")
        theirs = [FileSystemLoader(template_dir)]
    return Environment(
        loader=ChoiceLoader([*theirs, PrefixLoader({"shipped": ours}), ours]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )


def panel_svg(panel: figures.Panel) -> str:
    """The SVG of one panel, as it stands in the page."""
    template = _environment().get_template("_panel.svg.j2")
    return str(template.make_module().panel(panel, figures))  # type: ignore[attr-defined]


def svg_style() -> str:
    """The rules that a figure needs when it stands alone: light colours, and those of its own classes."""
    css = _file("report.css")
    colours = css[css.index(":root {") : css.index("@media screen")]
    methods = css[css.index(".m1 {") : css.index("/* Page */")]
    marks = css[css.index("svg text {") : css.index("@media (min-width: 1080px)")]
    marks = marks[: marks.index("/* Verdicts */")]
    return f"{colours}{methods}{marks}.name {{ font-size: 13px; font-weight: 650; fill: var(--fg); }}"
