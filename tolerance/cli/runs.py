"""What a command says of the run that it reads."""

from pathlib import Path

from tolerance.cli.console import print_warning


def say_what_is_missing(run: Path) -> None:
    """On stderr, how much of its plan a run holds, where that is not all of it."""
    from tolerance.data.run_folder import RunFolder

    found = RunFolder.open(run).coverage()
    if found is not None and not found.complete:
        print_warning(f"{run}: {found} Run collect again to go on; what is said here is of the part that is there.")
