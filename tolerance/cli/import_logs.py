"""`tolerance import`: logs and published means become a run folder."""

from pathlib import Path
from typing import Annotated

import typer

from tolerance.cli.console import command_line, note, stages
from tolerance.cli.options import Out


def import_(
    path: Annotated[Path, typer.Argument(help="Tidy .csv or .parquet, one row an answer; or a file of --format.")],
    out: Out = Path("run"),
    mapping: Annotated[
        str | None, typer.Option("--mapping", "-m", help="Mapping file, or the name of a shipped mapping.")
    ] = None,
    aggregates: Annotated[
        bool, typer.Option("--aggregates", help="Published means: one row the mean score of a task under a condition.")
    ] = False,
    format: Annotated[
        str | None, typer.Option("--format", help="An importer of an installed package by name, or module:Class.")
    ] = None,
) -> None:
    """Turn other people's logs, or published means, into a run folder."""
    from tolerance.data.importers import import_any

    with stages() as stage:
        stage(f"reading {path}")
        folder, n_rows = import_any(path, mapping, out, command=command_line(), aggregates=aggregates, format=format)
    note(f"{n_rows:,} {'means' if aggregates else 'answers'} -> {folder.path}")
