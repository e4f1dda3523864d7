"""Short facts and warnings of the header: what a report rests on, and what to know before quoting a number."""

from collections.abc import Iterator
from dataclasses import dataclass

from tolerance.findings import Report, Threshold
from tolerance.reports.words import conclusions, levels, numbers, phrases, subjects
from tolerance.reports.words.phrases import counted


@dataclass(frozen=True)
class Chip:
    """A short fact or warning in the header; a warning leads to its place."""

    text: str
    target: str = ""


def facts(report: Report) -> list[Chip]:
    """What the report rests on, in a few chips."""
    data = report.data
    seen = {levels.level(cell.sparsity, cell.scale) for cell in data.cells if cell.sparsity > 0}
    counts = levels.counts(report)
    params = f", {numbers.quantity(data.params[0])} parameters" if len(data.params) == 1 else ""
    models = data.models[0] if len(data.models) == 1 else f"{len(data.models)} models"
    return [
        Chip(f"{models}{params}"),
        Chip(subjects.answers(report)),
        Chip(counted(len(subjects.task_types(report)), "task type")),
        Chip(counted(len(data.sparsifiers), "method")),
        Chip(counted(len(seen), "compression level") if counts else f"{counted(len(seen), 'sparsity level')} above 0"),
    ]


def warnings(report: Report) -> list[Chip]:
    """What a reader must know before quoting a number, each with the place that explains it."""
    failed = sum(not check.passed for check in report.checks)
    outside = sum(found.level is not None and found.level.median is None for found in _answered(report))
    at_floor = sum(found.reason == "dense accuracy is at the guessing floor" for found in report.thresholds)
    unreadable = sum(task.unreadable or 0 for task in report.data.tasks)
    counts = levels.counts(report)
    mixed = subjects.different_units(report)
    thin = sum(bool(conclusions.thin(found.n_items, found.n_levels)) for found in report.thresholds)
    flips = sum(one.label == "axis-dependent" for whole in report.conclusions for one in whole.conclusions)
    assumed = report.data.assumed_items
    planned = phrases.percent_down(report.data.n_rows, report.data.n_planned or 1)
    said = [
        (assumed, f"Sensitivity analysis: {numbers.count(assumed or 0)} items assumed where none were given", "limits"),
        (report.data.n_means, "Published means: pairing is lost, intervals are wider", "limits"),
        (report.data.missing, f"Collection not finished: {planned} of the plan", "limits"),
        (failed, f"{failed} of {len(report.checks)} checks failed: conclusions withheld", "checks"),
        (
            flips,
            f"⇅ {counted(flips, 'conclusion')} {'depends' if flips == 1 else 'depend'} on what is held equal",
            "verdicts",
        ),
        (not report.data.has_dense, "No dense baseline: no thresholds", "limits"),
        (outside, f"{counted(outside, 'threshold')} outside the measured range", "thresholds"),
        (at_floor, f"{counted(at_floor, 'threshold')} unanswerable: dense accuracy at the floor", "thresholds"),
        (thin, f"Thin data behind {counted(thin, 'threshold')}", "thresholds"),
        (
            len(mixed),
            f"Methods {'are set in' if counts else 'remove fractions of'} different {'units' if counts else 'things'}",
            "comparisons",
        ),
        (unreadable, f"{counted(unreadable, 'answer')} could not be read", "data"),
        *_left_out(report),
    ]
    return [Chip(text, target) for told, text, target in said if told]


def _left_out(report: Report) -> list[tuple[object, str, str]]:
    """Answers that no number is over."""
    data = report.data
    left, ungraded = sum(one.n_items for one in data.unshared), data.n_ungraded
    chosen = ", a selection" if any(one.selection is not None for one in data.unshared) else ""
    decides = 0 if report.instant is None else len(report.instant.denominator_matters)
    return [
        (left, f"{counted(left, 'answer')} left out: items that not every condition answered{chosen}", "data"),
        (ungraded, f"{counted(ungraded, 'answer')} not graded", "data"),
        (
            decides,
            f"{counted(decides, 'contrast')} {'turns' if decides == 1 else 'turn'} on answers not graded",
            "data",
        ),
    ]


def _answered(report: Report) -> Iterator[Threshold]:
    return (found for found in report.thresholds if found.status == "ok")
