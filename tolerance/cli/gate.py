"""What a CI shall fail on, and other values of fixed lists."""

from tolerance.errors import DesignError


def gate(fail_on: str | None, among: tuple[str, ...]) -> set[str]:
    """What a CI shall fail on."""
    return set() if fail_on is None else {one_of("--fail-on", one, among) for one in fail_on.split(",")}


def one_of[T: str](option: str, value: str, among: tuple[T, ...]) -> T:
    """A value of a fixed list."""
    for one in among:
        if value == one:
            return one
    raise DesignError(f"{option} {value!r} is none of {', '.join(among)}.")
