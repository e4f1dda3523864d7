"""Findings as a notebook shows them: question, answer, warnings, thresholds, as a little HTML without style."""

from collections.abc import Iterator, Sequence

from markupsafe import escape

from tolerance.findings import Audit, Conclusions, Report
from tolerance.reports.sections import verdict_matrix
from tolerance.reports.sections.thresholds import thresholds
from tolerance.reports.withhold import withhold
from tolerance.reports.words import audit_sentences, axes, sentences
from tolerance.reports.words.chips import warnings


def html(found: Report | Conclusions | Audit) -> str:
    """A fragment: names are escaped, nothing runs."""
    return "\n".join(_lines(found))


def _lines(found: Report | Conclusions | Audit) -> Iterator[str]:
    if isinstance(found, Report):
        yield from _report(withhold(found))
    elif isinstance(found, Conclusions):
        yield from _sentences(sentences.comparison_title(found), list(axes.sentences(found)))
        for one in found.conclusions:
            yield from _table(axes.title(one), axes.HEADS, axes.table(one))
    else:
        yield from _sentences(found.statement, list(audit_sentences.sentences(found)))


def _report(report: Report) -> Iterator[str]:
    yield from _sentences(sentences.title(report), sentences.headlines(report))
    warned = [one.text for one in warnings(report)]
    if warned:
        yield f"<p>▲ {escape('; '.join(warned))}</p>"
    matrix = verdict_matrix.matrix(report.conclusions, report)
    if matrix is not None:
        cells = [[f"{c.said.glyph} {c.said.word} {c.value}" for c in row.cells] for row in matrix.first]
        rows = [
            [row.sentence, *each, f"{row.label.glyph} {row.label.word}"]
            for row, each in zip(matrix.first, cells, strict=True)
        ]
        yield from _table("Conclusions", ["", *matrix.axes, "across axes"], rows)
    rows = [[row.task_type, row.method, *row.said, row.items] for row in thresholds(report)]
    yield from _table("Thresholds", ["task type", "method", "threshold", "interval", "items"], rows)


def _sentences(title: str, said: Sequence[str]) -> Iterator[str]:
    yield f"<p><strong>{escape(title)}</strong></p>"
    yield f"<ul>{''.join(f'<li>{escape(one)}</li>' for one in said)}</ul>"


def _table(title: str, heads: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    yield f"<table><caption>{escape(title)}</caption>"
    yield f"<thead><tr>{''.join(f'<th>{escape(one)}</th>' for one in heads)}</tr></thead><tbody>"
    for row in rows:
        yield f"<tr>{''.join(f'<td>{escape(one)}</td>' for one in row)}</tr>"
    yield "</tbody></table>"
