"""Findings -> one tidy CSV: a row a number, with its interval, its probability and its state.

A cell that a spreadsheet would run as a formula is quoted; what is withheld or outside the range is empty.
"""

import csv
import io
from collections.abc import Iterator

from tolerance.findings import Report, Scale, Threshold, numbered
from tolerance.reports.withhold import withhold
from tolerance.stats.intervals import Estimate

HEAD = (
    *("id", "finding", "task_type", "subject", "against", "held_equal", "level", "value", "lower", "upper"),
    *("interval", "interval_prob", "state", "reason", "n_items", "unit"),
)
FORMULA = ("=", "+", "-", "@", "\t", "\r")

type Row = dict[str, str]


def table(report: Report) -> str:
    """All numbers of a report as CSV (RFC 4180, with bare newlines)."""
    text = io.StringIO()
    writer = csv.DictWriter(text, HEAD, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows({key: _safe(value) for key, value in row.items()} for row in rows(withhold(report)))
    return text.getvalue()


def rows(report: Report) -> Iterator[Row]:
    """Thresholds, observed accuracies, contrasts, and conclusions by axis."""
    for threshold in report.thresholds:
        yield _threshold(threshold)
    for curve in report.curves:
        for point in curve.observed:
            named = {"id": curve.id, "finding": "observed accuracy", "task_type": curve.task_type}
            yield {
                **named,
                "subject": curve.sparsifier,
                **_level(point.sparsity, curve.scale),
                **_estimate(Estimate(value=point.accuracy, interval=point.interval)),
                "state": "ok",
                "n_items": str(point.n_items),
            }
    for contrast in report.contrasts:
        yield {
            "id": contrast.id,
            "finding": f"difference of mean retention between {contrast.of}",
            "task_type": "" if contrast.of == "task types" else contrast.within,
            "subject": contrast.first,
            "against": contrast.second,
            **_estimate(contrast.whole.estimate if contrast.whole else None),
            "state": contrast.whole.verdict if contrast.whole else contrast.status,
            "reason": contrast.reason or "",
        }
    for whole in report.conclusions:
        for one in whole.conclusions:
            for at in one.axes:
                yield {
                    "id": one.id,
                    "finding": f"difference of {one.quantity}",
                    "task_type": one.task_type,
                    "subject": one.treatment,
                    "against": one.reference,
                    "held_equal": at.axis,
                    **_estimate(at.difference),
                    "state": at.verdict,
                    "reason": at.reason or "",
                }


def _threshold(found: Threshold) -> Row:
    """An end outside the measured range is empty: ``state`` says on which side the median lies."""
    row = {
        "id": found.id,
        "finding": "tolerated level",
        "task_type": found.task_type,
        "subject": found.sparsifier,
        "state": found.status,
        "reason": found.reason or "",
        "n_items": str(found.n_items),
    }
    level = found.level
    if level is None:
        return row
    beyond = {"none": "ok", "left": f"less than {level.first:g}", "right": f"more than {level.last:g}"}
    ends = {"value": level.median, "lower": level.lower, "upper": level.upper}
    scale = level.scale
    if scale is not None:
        row["unit"] = scale.unit
        beyond |= {"left": scale.past(level.first, end="first"), "right": scale.past(level.last, end="last")}
        if scale.direction == "kept":
            ends |= {"lower": level.upper, "upper": level.lower}
    said = {name: _number(value) for name, at in ends.items() if (value := numbered(at, scale)) is not None}
    return {**row, **said, "interval": "eti", "interval_prob": _number(level.prob), "state": beyond[level.censored]}


def _level(place: float, scale: Scale | None) -> Row:
    """A level as it was set; of dense nothing where what dense has is unknown."""
    at = numbered(place, scale)
    return {"level": "" if at is None else _number(at), "unit": "" if scale is None else scale.unit}


def _estimate(found: Estimate | None) -> Row:
    if found is None:
        return {}
    around = found.interval
    ends = {"value": found.value, "lower": around.lower, "upper": around.upper, "interval_prob": around.prob}
    return {**{name: _number(value) for name, value in ends.items()}, "interval": around.kind}


def _number(value: float) -> str:
    return f"{value:.6g}"


def _safe(value: str) -> str:
    """A name that looks like a formula gets the quote that spreadsheets read as text; numbers stay numbers."""
    if not value.startswith(FORMULA):
        return value
    try:
        float(value)
    except ValueError:
        return f"'{value}"
    return value
