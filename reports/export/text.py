"""Findings on one screen of a terminal: what it is, and its leading sentences. No number that is withheld."""

import textwrap
from collections.abc import Iterable

from tolerance.findings import Audit, Conclusions, Instant, Report
from tolerance.reports.sections import instant as instantly
from tolerance.reports.withhold import withhold
from tolerance.reports.words import audit_sentences, axes, numbers, sentences

WIDTH, LINES = 80, 25


def text(found: Report | Conclusions | Audit | Instant) -> str:
    """At most `LINES` lines of `WIDTH` columns; the last says what was left out, and where the rest is."""
    if isinstance(found, Report):
        shown = withhold(found)
        title = f"Report {found.id}: {sentences.title(found)}"
        return _screen(title, sentences.headlines(shown), "render(report), report.to_frame()")
    if isinstance(found, Conclusions):
        title = sentences.comparison_title(found)
        return _screen(f"Conclusions: {title}", axes.sentences(found), "conclusions.to_frame()")
    if isinstance(found, Audit):
        title = f"Audit of {found.id}: {found.verdict}. {found.statement}"
        return _screen(title, audit_sentences.sentences(found), "render(audit)")
    return _instant(found)


def _instant(found: Instant) -> str:
    of = f"{numbers.count(found.n_answers)} answers"
    of = of if found.n_means is None else f"{numbers.count(found.n_means)} published means"
    title = f"Instant answer of {of}: at least "
    title += f"{numbers.level(found.retention)} of dense accuracy kept up to these levels, as observed"
    levels = [f"{row.task_type}, {row.method}: {_level(*row.observed)}" for row in instantly.curves(found)]
    return _screen(title, [*levels, *instantly.sentences(found)], "instant.to_frame()")


def _level(value: str, ends: str) -> str:
    return ends if value == "-" else f"{value} ({ends})" if ends else value


def _screen(title: str, said: Iterable[str], rest: str) -> str:
    """A title and as many whole sentences as there is room for."""
    lines, sentences_left = _wrapped(title), list(said)
    while sentences_left:
        made = _wrapped(sentences_left[0], "- ", "  ")
        if len(lines) + len(made) > LINES - 1:
            break
        lines += made
        sentences_left.pop(0)
    more = f"{len(sentences_left)} more: " if sentences_left else "More: "
    return "\n".join([*lines[: LINES - 1], f"({more}{rest})"])


def _wrapped(sentence: str, first: str = "", further: str = "") -> list[str]:
    return textwrap.wrap(sentence, WIDTH, initial_indent=first, subsequent_indent=further, break_on_hyphens=False)
