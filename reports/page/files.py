"""The page and its numbers as files, each written whole or not at all."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, assert_never

from tolerance.errors import StoreError
from tolerance.findings import Audit, Plot, Report
from tolerance.reports import spreadsheet
from tolerance.reports.export import markdown
from tolerance.reports.page.rendering import Kind, render
from tolerance.reports.withhold import withhold

PAGE, JSON, CSV, MARKDOWN = "report.html", "report.json", "report.csv", "report.md"


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
    texts = {PAGE: render(found, kind=kind, script=script, template_dir=template_dir, plots=plots), **_numbers(found)}
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


def _numbers(found: Report | Audit | Sequence[Audit]) -> dict[str, str]:
    """File name -> text of what stands beside the page."""
    if isinstance(found, Report):
        clean = withhold(found)
        return {
            JSON: clean.model_dump_json(indent=1) + "\n",
            CSV: spreadsheet.table(clean),
            MARKDOWN: markdown.summary(clean),
        }
    each = [found] if isinstance(found, Audit) else found
    return {JSON: f"[{',\n'.join(one.model_dump_json(indent=1) for one in each)}]\n"}


def _replace(path: Path, text: str) -> None:
    """A reader sees the old file or the new one, never a part."""
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        beside.write_text(text, encoding="utf-8")
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)
