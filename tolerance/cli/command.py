"""A function becomes a command: its groups of options are spread out, and `--quiet` comes with it."""

from collections.abc import Callable
from dataclasses import fields, is_dataclass
from functools import wraps
from inspect import Parameter, Signature, signature
from typing import Any, get_type_hints

import typer

from tolerance.cli.console import hushed, print_error
from tolerance.cli.guard import KEPT, NOTHING_HALF
from tolerance.cli.options import Quiet

# What shells call a command that was interrupted.
STOPPED = 130
QUIET = Parameter("quiet", Parameter.KEYWORD_ONLY, default=False, annotation=Quiet)


def as_command(function: Callable[..., None]) -> Callable[..., None]:
    """What typer is given for a function.

    A parameter that is a dataclass of options stands for all of its fields, so that commands can share them. Of what
    the command prints, ``--quiet`` leaves the result and errors.
    """
    asked = signature(function, eval_str=True).parameters
    groups: dict[str, type[Any]] = {
        name: one.annotation
        for name, one in asked.items()
        if isinstance(one.annotation, type) and is_dataclass(one.annotation)
    }
    spread = [one for name, given in asked.items() for one in (_options(groups[name]) if name in groups else [given])]

    @wraps(function)
    def called(*, quiet: bool, **given: Any) -> None:  # noqa: ANN401 - whatever the function takes
        made = {
            name: group(**{field.name: given.pop(field.name) for field in fields(group)})
            for name, group in groups.items()
        }
        with hushed(quiet):
            try:
                function(**given, **made)
            except KeyboardInterrupt as error:
                print_error(f"stopped. {KEPT.get(function.__name__, NOTHING_HALF)}")
                raise typer.Exit(STOPPED) from error

    keywords = [one.replace(kind=Parameter.KEYWORD_ONLY) for one in spread]
    called.__signature__ = Signature([*keywords, QUIET])  # type: ignore[attr-defined]
    return called


def _options(group: type[Any]) -> list[Parameter]:
    """The fields of a dataclass of options as parameters."""
    hints = get_type_hints(group, include_extras=True)
    keyword = Parameter.KEYWORD_ONLY
    return [Parameter(one.name, keyword, default=one.default, annotation=hints[one.name]) for one in fields(group)]
