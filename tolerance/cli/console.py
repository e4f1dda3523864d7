"""What is printed: tables, spinners and plain lines; rich is imported when something is."""

import shlex
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd
    from rich.console import Console
    from rich.progress import Progress, TaskID


@dataclass(frozen=True)
class Stages:
    """Says what is being done; `aside` clears the line while something else is printed."""

    bar: "Progress"
    task: "TaskID"

    def __call__(self, text: str) -> None:
        """Say what is being done now."""
        self.bar.update(self.task, description=plain(text))

    @contextmanager
    def aside(self) -> Iterator[None]:
        """Clear the line, and show it again afterwards."""
        self.bar.stop()
        yield
        self.bar.start()


@contextmanager
def stages() -> Iterator[Stages]:
    """A spinner with what is being done and for how long, on stderr."""
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    to = console(stderr=True)
    with Progress(SpinnerColumn(), TimeElapsedColumn(), TextColumn("{task.description}"), console=to) as bar:
        yield Stages(bar, bar.add_task("starting", total=None))


def print_frame(title: str, table: "pd.DataFrame") -> None:
    """A data frame on stdout."""
    rows = [[str(value) for value in row] for row in table.itertuples(index=False)]
    print_table(title, [str(column) for column in table.columns], rows)


def print_table(title: str, heads: list[str], rows: list[list[str]]) -> None:
    """A table on stdout."""
    from rich.table import Table

    shown = Table(*heads, title=plain(title))
    for row in rows:
        shown.add_row(*[plain(value) for value in row])
    console().print(shown)


def console(*, stderr: bool = False) -> "Console":
    """Where to print: results on stdout, what happens meanwhile and errors on stderr."""
    from rich.console import Console

    return Console(stderr=stderr)


def plain(text: str) -> str:
    """Text in which nothing is taken for markup."""
    from rich.markup import escape

    return escape(text)


def command_line() -> str:
    """The command as it was typed, for the record."""
    return shlex.join(["tolerance", *sys.argv[1:]])
