"""`tolerance import`: logs and published means become a run folder."""

from pathlib import Path
from typing import Annotated

import typer

from tolerance.cli.console import command_line, note, stages
from tolerance.cli.options import Out


def import_(
    path: Annotated[Path, typer.Argument(help="Tidy .csv or .parquet, one row an answer.")],
    out: Out = Path("run"),
    mapping: Annotated[
        str | None, typer.Option("--mapping", "-m", help="Mapping file, or the name of a shipped mapping.")
    ] = None,
    aggregates: Annotated[
        bool, typer.Option("--aggregates", help="Published means: one row the mean score of a task under a condition.")
    ] = False,
) -> None:
    """Turn other people's logs, or published means, into a run folder."""
    from tolerance.data.importers import import_published, import_run

    with stages() as stage:
        stage(f"reading {path}")
        import_any = import_published if aggregates else import_run
        folder, n_rows = import_any(path, mapping, out, command=command_line())
    note(f"{n_rows:,} {'means' if aggregates else 'answers'} -> {folder.path}")
