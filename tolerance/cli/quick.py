"""`tolerance quick`: the instant answer, and its tables."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tolerance.cli.console import print_table, print_warning, say, stages
from tolerance.cli.options import AsJson, Retention
from tolerance.cli.runs import say_what_is_missing

if TYPE_CHECKING:
    from tolerance.findings import Instant


def quick(
    run: Annotated[Path, typer.Argument(help="Run folder of collect or import.")],
    retention: Retention = 0.95,
    as_json: AsJson = False,
) -> None:
    """The instant answer alone: what the answers show without a model, on the same items, in about a second."""
    from tolerance.data.prepared import prepare, read_prepared
    from tolerance.data.remarks import unknown_floors
    from tolerance.instant.answer import instant_answer

    with stages() as stage:
        stage("reading outcomes")
        outcomes = prepare(read_prepared(run))
        found = instant_answer(outcomes, retention=retention)
    say_what_is_missing(run)
    if as_json:
        typer.echo(found.model_dump_json(indent=1))
    else:
        print_instant(found)
        _instant_by_level(found)
        for text in unknown_floors(outcomes.outcomes):
            print_warning(text)


def print_instant(found: "Instant") -> None:
    """The instant answer, one row for each task type and method."""
    from tolerance.reports.sections import instant as instantly
    from tolerance.reports.words import numbers

    heads = ["task type", "method", "tolerated level, observed", "log odds per halving"]
    rows = [
        [row.task_type, row.method, _with_ends(row.observed), _with_ends(row.trend)] for row in instantly.curves(found)
    ]
    print_table(f"The instant answer: at least {numbers.level(found.retention)} of dense accuracy kept", heads, rows)
    for sentence in instantly.sentences(found):
        say(sentence)


def _instant_by_level(found: "Instant") -> None:
    """Contrasts with dense and between methods, level by level."""
    from tolerance.reports.sections import instant as instantly

    how = "on the same items" if found.n_means is None else "unpaired"
    against_dense = [
        [row.task_type, row.method, kept.level, _with_ends((kept.value, kept.ends)), changed.more]
        for row in instantly.curves(found)
        for kept, changed in zip(row.kept, row.changed, strict=True)
    ]
    if against_dense:
        heads = ["task type", "method", "level", "share of dense kept", "items changed"]
        print_table(f"Against dense, {how}", heads, against_dense)
    of_methods = [
        [row.task_type, f"{row.first} - {row.second}", at.level, _with_ends((at.value, at.ends)), at.more]
        for row in instantly.methods(found)
        for at in row.levels
    ]
    if of_methods:
        heads = ["task type", "methods", "level", "difference of accuracy", "right by one alone"]
        print_table(f"Between methods, {how}", heads, of_methods)


def _with_ends(said: tuple[str, str]) -> str:
    """A number with its interval, or the reason alone."""
    value, ends = said
    return ends if value == "-" else f"{value} ({ends})" if ends else value
