"""Findings -> the text of a page: what its sections say, each placed by its template, inside one shell."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from markupsafe import Markup

from tolerance.errors import DesignError
from tolerance.findings import Audit, Plot, Report
from tolerance.reports.page.environment import Templates, section_template, shipped, templates
from tolerance.reports.page.policy import embedded, policy
from tolerance.reports.sections import audit as audits
from tolerance.reports.sections import sections
from tolerance.reports.sections.section import Section
from tolerance.reports.sections.size import inside, shown
from tolerance.reports.withhold import withhold
from tolerance.reports.words import chips, numbers, sentences

Kind = Literal["card", "comparison", "audit"]
EYEBROWS: dict[Kind, str] = {"card": "Benchmark report card", "comparison": "Comparison", "audit": "Audit of claims"}


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
    mail. ``template_dir`` is looked into first: ``docs/reports.md`` has the blocks and names that a template may use.
    ``plots`` of the draws, from `tolerance.diagnostics.plots`, make an appendix of a report.

    Raises:
        DesignError: findings that this kind is not made of, a template that fails, or a section without its place.
    """
    is_report = isinstance(found, Report)
    kind = kind or ("card" if is_report else "audit")
    if is_report != (kind != "audit"):
        made_of = "one audit or several" if kind == "audit" else "a report"
        raise DesignError(f"kind {kind!r} is made of {made_of}, not of {type(found).__name__}.")
    folder = None if template_dir is None else Path(template_dir)
    if isinstance(found, Report):
        return _report(withhold(found), kind, plots, script=script, folder=folder)
    return _audits([found] if isinstance(found, Audit) else list(found), script=script, folder=folder)


def _report(report: Report, kind: Kind, plots: Sequence[Plot], *, script: bool, folder: Path | None) -> str:
    """The card of a report, or a comparison."""
    if kind == "comparison" and not report.conclusions:
        raise DesignError("a comparison needs conclusions: run tolerance compare A B --out FOLDER.")
    listed = [one.headed(report) for one in sections(plots)]
    said = {one.id: one.values(report) for one in listed}
    contents = [(one.id, one.title) for one in listed if one.title and said[one.id] is not None]
    title, leads = _answer(report, kind, {name for name, _ in contents})
    shell = _shell(inside(report.model_dump_json()), script=script)
    made = templates(folder, listed)
    values = {
        **shell,
        "title": title,
        "leads": leads,
        "facts": chips.facts(report),
        "warnings": chips.warnings(report),
        "contents": contents,
        "eyebrow": f"{EYEBROWS[kind]} · {numbers.day(report.provenance.created)}",
        "id": report.id,
        "report": report,
        "sections": {one.id: _section(one, said[one.id], shell, made) for one in listed},
    }
    return made.text("report.html.j2", values)


def _answer(report: Report, kind: Kind, on_page: set[str]) -> tuple[str, list[sentences.Lead]]:
    """The question, and the sentences that answer it, each with a place on this page."""
    if kind == "comparison":
        title = "; ".join(sentences.comparison_title(one) for one in report.conclusions)
        leads = sentences.comparison_leads(report)
    else:
        title, leads = sentences.title(report), sentences.leads(report)
    on_page = on_page | {found.id for found in shown(report).thresholds}
    return title, [one if one.target in on_page else sentences.Lead(one.text, "thresholds") for one in leads]


def _section(section: Section, values: dict[str, object] | None, shell: dict[str, object], made: Templates) -> Markup:
    """A section as it stands on the page; nothing where the page does not have it."""
    if values is None:
        return Markup("")
    names = {**values, "section": section, "script": shell["script"], "embedded": shell["embedded"]}
    return Markup(made.text("section.html.j2", names, blame=section_template(section.id)))


def _audits(found: list[Audit], *, script: bool, folder: Path | None) -> str:
    """The page of claims checked."""
    if not found:
        raise DesignError("an audit page needs at least one audit.")
    json = f"[{','.join(one.model_dump_json() for one in found)}]"
    values = {**_shell(json, script=script), **audits.values(found), "eyebrow": EYEBROWS["audit"]}
    return templates(folder).text("audit.html.j2", values)


def _shell(json: str, *, script: bool) -> dict[str, object]:
    """What every page has: the numbers, style and script, and the policy that allows these two."""
    style, code = shipped("report.css"), shipped("report.js") if script else ""
    return {
        "embedded": embedded(json),
        "style": Markup(style),
        "script": Markup(code),
        "policy": policy(style, code),
    }
