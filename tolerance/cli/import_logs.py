"""`tolerance import`: logs and published means become a run folder."""

from pathlib import Path
from typing import Annotated

import typer

from tolerance.cli.console import command_line, note, print_warning, stages
from tolerance.cli.options import LevelsAreSparsity, Out


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
    ignore: Annotated[
        list[str] | None, typer.Option("--ignore", help="A column that is not used though it looks like one of ours.")
    ] = None,
    levels_are_sparsity: LevelsAreSparsity = False,
) -> None:
    """Turn other people's logs, or published means, into a run folder."""
    from tolerance.data.importers import import_any, said_of_import

    with stages() as stage:
        stage(f"reading {path}")
        folder, n_rows = import_any(
            path,
            mapping,
            out,
            command=command_line(),
            aggregates=aggregates,
            format=format,
            ignore=ignore or (),
            levels_are_sparsity=levels_are_sparsity,
        )
    note(f"{n_rows:,} {'means' if aggregates else 'answers'} -> {folder.path}")
    for text in said_of_import(folder.manifest):
        print_warning(text)
