"""What is printed: results on stdout, what happens meanwhile on stderr; rich is imported when something is.

With `hushed`, results alone are left.
"""

import shlex
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd
    from rich.console import Console
    from rich.progress import Progress, TaskID

_QUIET = ContextVar("quiet", default=False)


@contextmanager
def hushed(quiet: bool = True) -> Iterator[None]:
    """Print nothing but results; inside of it, what is quiet stays so."""
    before = _QUIET.set(quiet or _QUIET.get())
    try:
        yield
    finally:
        _QUIET.reset(before)


def is_quiet() -> bool:
    """Whether results alone are printed."""
    return _QUIET.get()


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

    with Progress(SpinnerColumn(), TimeElapsedColumn(), TextColumn("{task.description}"), console=meanwhile()) as bar:
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
    results().print(shown)


def say(text: str, *, wrap: bool = True) -> None:
    """A sentence of the result, broken between words where the terminal ends or, without ``wrap``, wherever it ends."""
    results().print(plain(text), highlight=False, soft_wrap=not wrap)


def note(text: str) -> None:
    """What was written where: no result, so that `hushed` leaves it out."""
    if not is_quiet():
        results().print(plain(text), soft_wrap=True)


def print_warning(text: str) -> None:
    """What a result lacks, on stderr, hushed or not."""
    from rich.console import Console

    Console(stderr=True).print(f"[bold yellow]note:[/] {plain(text)}", soft_wrap=True, highlight=False)


def print_error(text: str) -> None:
    """What went wrong, on stderr, hushed or not."""
    from rich.console import Console

    Console(stderr=True).print(f"[bold red]error:[/] {plain(text)}", soft_wrap=True, highlight=False)


def results() -> "Console":
    """Stdout."""
    from rich.console import Console

    return Console()


def meanwhile() -> "Console":
    """Stderr, for bars and spinners; nothing where one is to be quiet."""
    from rich.console import Console

    return Console(stderr=True, quiet=is_quiet())


def plain(text: str) -> str:
    """Text in which nothing is taken for markup."""
    from rich.markup import escape

    return escape(text)


def command_line() -> str:
    """The command as it was typed, for the record."""
    return shlex.join(["tolerance", *sys.argv[1:]])
