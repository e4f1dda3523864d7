"""How much of a report its page lists: a page stays usable, and the files beside it have all."""

from typing import Any

from tolerance.findings import Report

# So many curves are drawn, and tables have so many rows.
CURVES, ROWS = 240, 500
LARGEST_INSIDE = 3_000_000
LISTS = ("comparisons", "contrasts", "orderings", "budgets", "sensitivities", "predicted", "shapes")


def shown(report: Report) -> Report:
    """The findings that the page draws and lists; those of a comparison all."""
    kept: dict[str, Any] = {name: getattr(report, name)[:ROWS] for name in LISTS}
    cells = {"cells": report.data.cells[: ROWS * 10]}
    kept |= {"curves": report.curves[:CURVES], "thresholds": report.thresholds[:ROWS]}
    if report.instant is not None:
        instant = {name: getattr(report.instant, name)[:ROWS] for name in ("tolerated", "trends")}
        kept["instant"] = report.instant.model_copy(update=instant)
    return report.model_copy(update={**kept, "data": report.data.model_copy(update=cells)})


def inside(text: str) -> str:
    """Text that the page carries itself; nothing where it would weigh too much."""
    return text if len(text) <= LARGEST_INSIDE else ""
