"""What a report is about: its methods, its task types, how much was answered, and what fractions are of."""

from collections.abc import Iterable

from tolerance.findings import Report
from tolerance.reports.words import numbers
from tolerance.reports.words.phrases import listed


def methods(report: Report) -> list[str]:
    """The methods with a curve, in the order of the report."""
    return list(dict.fromkeys(curve.sparsifier for curve in report.curves))


def task_types(report: Report) -> list[str]:
    """The task types with a curve, in the order of the report."""
    return list(dict.fromkeys(curve.task_type for curve in report.curves))


def answers(report: Report) -> str:
    """How much the report rests on."""
    answers = f"{numbers.count(report.data.n_rows)} answers to {numbers.count(report.data.n_items)} items"
    if report.data.n_means is None:
        return answers
    return f"{numbers.count(report.data.n_means)} published means of {answers}"


def units(report: Report, of: Iterable[str]) -> list[str]:
    """What the fractions of these methods are fractions of, each once."""
    wanted = set(of)
    return list(dict.fromkeys(found.unit for found in report.thresholds if found.sparsifier in wanted))


# Levels that were realised a point beside the one asked for, or farther, are another level.
DIFFERENT = 0.01


def realised(report: Report, method: str) -> bool:
    """Whether a method realised other levels than it was asked for: curves are of what was realised."""
    cells = (cell for cell in report.data.cells if cell.sparsifier == method and cell.realised is not None)
    return any(abs(cell.sparsity - (cell.realised or 0.0)) >= DIFFERENT for cell in cells)


def different_units(report: Report) -> list[str]:
    """A warning where methods remove fractions of different things."""
    different = units(report, methods(report))
    if len(different) < 2:
        return []
    scaled = {found.unit for found in report.thresholds if found.scale is not None}
    if not scaled:
        return [
            f"The fractions are of different things ({listed(different)}), so equal fractions are not equal savings."
        ]
    shares = {"not stated": "a share removed"}
    said = [unit if unit in scaled else shares.get(unit, f"a share of {unit}") for unit in different]
    return [f"Levels count different things ({listed(said)}), so methods of different units are not ordered by level."]
