"""`tolerance show`: what a run holds."""

import json
from pathlib import Path
from typing import Annotated

import typer

from tolerance.cli.console import print_frame
from tolerance.cli.options import AsJson
from tolerance.cli.runs import say_what_is_missing


def show(
    run: Annotated[Path, typer.Argument(help="Run folder of collect or import.")],
    as_json: AsJson = False,
) -> None:
    """Say what a run holds: answers, items and accuracy by task, method and level."""
    from tolerance.data.summary import summarise_run

    summary = summarise_run(run)
    say_what_is_missing(run)
    if as_json:
        typer.echo(json.dumps(summary.to_dict(), indent=1))
    else:
        print_frame(summary.title, summary.to_text())
