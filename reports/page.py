"""Report -> one self-contained page: no script, no outside resource, the report's JSON inside.

Templates place and escape. The policy in the page's head allows its own style sheet, by hash, and nothing else.
"""

import base64
import hashlib
import os
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from tolerance.errors import StoreError
from tolerance.findings import Report
from tolerance.reports import figures, instantly, numbers, phrases, tables, trust, wording

PAGE, JSON = "report.html", "report.json"
# An end tag or an entity inside the data block would end or change it; JSON has its own escapes for these.
IN_SCRIPT = str.maketrans({"<": "\\u003c", ">": "\\u003e", "&": "\\u0026"})


def render(report: Report) -> str:
    """The page of a report, the same bytes for the same report."""
    panels = figures.panels(report)
    by_curve = {one.id: panel.id for panel in panels for one in panel.series}
    drawn = {(curve.task_type, curve.sparsifier): by_curve[curve.id] for curve in report.curves}
    style = _style()
    return (
        _environment()
        .get_template("report.html.j2")
        .render(
            report=report,
            title=wording.title(report),
            leads=wording.leads(report),
            facts=tables.facts(report),
            warnings=tables.warnings(report),
            panels=panels,
            thresholds=tables.thresholds(report, {t.id: drawn[t.task_type, t.sparsifier] for t in report.thresholds}),
            by_task=tables.comparisons(report, "task types"),
            by_method=tables.comparisons(report, "methods"),
            contrasts=tables.contrasts(report),
            orderings=tables.orderings(report),
            budgets=tables.budgets(report),
            different_units=wording.different_units(report),
            instant=_instant(report),
            checks=tables.checks(report),
            attempts=trust.attempts(report),
            predicted=trust.predicted(report),
            sensitivities=trust.sensitivities(report),
            shapes=report.shapes if report.fit_passed else [],
            families=trust.families(report),
            data=tables.data(report),
            tables=tables,
            trust=trust,
            wording=wording,
            numbers=numbers,
            phrases=phrases,
            figures=figures,
            style=Markup(style),
            policy=_policy(style),
            embedded=Markup(report.model_dump_json().translate(IN_SCRIPT)),
        )
    )


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


def write(report: Report, folder: Path) -> Path:
    """Write ``report.json`` and ``report.html`` into a folder, each whole or not at all; returns the page's path.

    Raises:
        StoreError: the folder cannot be written to.
    """
    page = render(report)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _replace(folder / JSON, report.model_dump_json(indent=1) + "\n")
        _replace(folder / PAGE, page)
    except OSError as error:
        raise StoreError(f"{folder}: the report cannot be written ({error}). Give a folder that can be.") from error
    return folder / PAGE


def _replace(path: Path, text: str) -> None:
    """A reader sees the old file or the new one, never a part."""
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        beside.write_text(text, encoding="utf-8")
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)


def _policy(style: str) -> str:
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    return f"default-src 'none'; style-src 'sha256-{digest}'; img-src data:; base-uri 'none'; form-action 'none'"


@cache
def _style() -> str:
    return files("tolerance").joinpath("templates/report.css").read_text(encoding="utf-8")


@cache
def _environment() -> Environment:
    return Environment(
        loader=PackageLoader("tolerance", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
