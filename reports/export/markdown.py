"""Findings -> a summary in Markdown of one screen, for a pull request or a chat."""

from collections.abc import Iterator, Sequence

from tolerance.findings import Report
from tolerance.reports.sections import verdict_matrix
from tolerance.reports.sections.thresholds import thresholds
from tolerance.reports.withhold import withhold
from tolerance.reports.words import sentences
from tolerance.reports.words.chips import warnings

# Names of a report are text: what Markdown or the HTML inside it would read otherwise is escaped.
SPECIAL = str.maketrans(
    {**{mark: f"\\{mark}" for mark in "\\`*_[]#|~"}, "&": "&amp;", "<": "&lt;", ">": "&gt;", "\n": " ", "@": "@\u200b"}
)


def summary(report: Report) -> str:
    """Question, answer, warnings, verdict matrix and thresholds."""
    return "\n".join(_lines(withhold(report))) + "\n"


def _lines(report: Report) -> Iterator[str]:
    yield f"## {escaped(sentences.title(report))}"
    yield ""
    for lead in sentences.leads(report):
        yield f"- {escaped(lead.text)}"
    warned = warnings(report)
    if warned:
        yield ""
        yield f"**Before quoting a number:** {escaped('; '.join(one.text for one in warned))}."
    matrix = verdict_matrix.matrix(report.conclusions, report)
    if matrix is not None:
        yield ""
        yield from _table(
            ["Conclusion", *(f"equal {axis}" for axis in matrix.axes), "Across axes"],
            [
                [
                    row.sentence,
                    *(f"{cell.said.glyph} {cell.said.word} {cell.value}".strip() for cell in row.cells),
                    f"{row.label.glyph} {row.label.word}",
                ]
                for row in matrix.first
            ],
        )
        yield ""
        more = f" {len(matrix.rest)} further conclusions are in the report." if matrix.rest else ""
        yield f"{escaped(matrix.rules)}{more}"
    yield ""
    yield from _table(
        ["Task type", "Method", "Threshold", "Interval", "Items"],
        [
            [
                found.task_type,
                found.sparsifier,
                *row.said,
                row.items,
            ]
            for found, row in zip(report.thresholds, thresholds(report), strict=True)
        ],
    )


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    yield f"| {' | '.join(map(escaped, heads))} |"
    yield f"|{' --- |' * len(heads)}"
    for row in rows:
        yield f"| {' | '.join(map(escaped, row))} |"


def escaped(text: str) -> str:
    """Text in which Markdown reads nothing, and nobody is mentioned."""
    return text.translate(SPECIAL)
