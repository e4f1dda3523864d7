"""`tolerance audit`: a claim is held against evidence."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tolerance.cli.console import print_table, say, stages
from tolerance.cli.gate import gate
from tolerance.cli.options import AnswerOptions
from tolerance.cli.report import write_answer
from tolerance.cli.runs import say_what_is_missing
from tolerance.errors import DesignError

if TYPE_CHECKING:
    from tolerance.auditing.claims import Claim


def audit(
    claim: Annotated[str | None, typer.Argument(help="Claim file (YAML or JSON), or the id of one that ships.")] = None,
    evidence: Annotated[
        Path | None, typer.Option(help="Run folder of collect or import, or a CSV of published cells.")
    ] = None,
    list_: Annotated[bool, typer.Option("--list", help="List the claims that ship.")] = False,
    fail_on: Annotated[
        str | None, typer.Option(help="Exit with code 2 on some of contradicted, supported only for, not identifiable.")
    ] = None,
    *,
    answer: AnswerOptions,
) -> None:
    """Does a claim's number hold: overall, by task type, by model, on each axis? And what does its average hide?"""
    from tolerance.auditing.ask import audit as asked
    from tolerance.auditing.claims import find_claim, library
    from tolerance.reports.words import audit_sentences as told

    failing = gate(fail_on, ("contradicted", "supported only for", "not identifiable"))
    if list_:
        _list_claims(library(), as_json=answer.as_json)
        return
    if claim is None or evidence is None:
        raise DesignError("what to audit against is missing. Give a claim and --evidence, or --list.")
    with stages() as stage:
        stage("auditing")
        found = asked(find_claim(claim), evidence)
    if evidence.is_dir():
        say_what_is_missing(evidence)
    if answer.as_json:
        typer.echo(found.model_dump_json(indent=1))
    else:
        for sentence in told.sentences(found):
            say(sentence, wrap=False)
        for title, rows in told.tables(found):
            print_table(title, told.HEADS, rows)
    write_answer(found, answer, kind="audit")
    if found.verdict in failing:
        raise typer.Exit(2)


def _list_claims(claims: "list[Claim]", *, as_json: bool) -> None:
    """Ids, kinds and statements of claims."""
    if as_json:
        typer.echo(json.dumps([claim.model_dump() for claim in claims], indent=1))
        return
    heads = ["id", "kind", "held constant", "statement", "source"]
    rows = [
        [
            claim.id,
            claim.claimed.kind,
            claim.axis,
            claim.statement,
            claim.citation.source + (" (second-hand)" if claim.citation.second_hand else ""),
        ]
        for claim in claims
    ]
    print_table("Claims that ship", heads, rows)
