"""The order of two thresholds -> its sentence, with the posterior probability of what it says."""

from typing import assert_never

from tolerance.findings import Comparison
from tolerance.reports.words import levels, numbers
from tolerance.reports.words.absent import absent


def sentence(found: Comparison) -> str:
    """Which of two thresholds is higher, or why that is not said."""
    where = f"Under {found.within}" if found.of == "task types" else f"On {found.within}"
    pair = f"{found.first} and {found.second}"
    if found.status != "ok" or found.verdict is None:
        word, reason = absent(found)
        return f"{where}, the order of {pair} is {word}: {reason}."
    match found.verdict:
        case "first" | "second":
            more = f"more {levels.what([found.scale])}"
            return f"{where}, {winner(found)} tolerates {more} than {loser(found)} ({chance_of(found)})."
        case "undecided":
            return f"{where}, it is undecided whether {found.first} or {found.second} tolerates more: {odds(found)}."
        case "out of range":
            return (
                f"{where}, {pair} cannot be ordered: both thresholds lie outside the measured range on the same side "
                f"({chance_of(found)})."
            )
        case _:
            assert_never(found.verdict)


def odds(found: Comparison) -> str:
    """The posterior probability of each order."""
    return f"posterior probability {shares(found)}"


def shares(found: Comparison) -> str:
    """The probabilities, that of neither only where it does not print as nothing."""
    first, second, neither = _probabilities(found)
    said = [f"{numbers.probability(first)} for {found.first}", f"{numbers.probability(second)} for {found.second}"]
    if neither >= 0.01:
        said.append(f"{numbers.probability(neither)} that both lie outside the measured range on the same side")
    return ", ".join(said)


def winner(found: Comparison) -> str:
    """The one that tolerates more, where that is decided."""
    return found.first if found.verdict == "first" else found.second


def loser(found: Comparison) -> str:
    """The other one."""
    return found.second if found.verdict == "first" else found.first


def chance_of(found: Comparison) -> str:
    """The posterior probability of what the verdict says, in words."""
    return f"posterior probability {numbers.probability(decided(found))}"


def decided(found: Comparison) -> float:
    """The probability of what the verdict says."""
    first, second, neither = _probabilities(found)
    return {"first": first, "second": second}.get(str(found.verdict), neither)


def _probabilities(found: Comparison) -> tuple[float, float, float]:
    return found.prob_first or 0.0, found.prob_second or 0.0, found.prob_neither or 0.0
