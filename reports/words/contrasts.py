"""The difference of two whole curves -> its sentence."""

from typing import assert_never

from tolerance.findings import Contrast, Difference
from tolerance.reports.words import levels, numbers
from tolerance.reports.words.absent import absent


def sentence(found: Contrast) -> str:
    """Which of two curves keeps more over the range that both measured, or why that is not said."""
    where = f"Under {found.within}" if found.of == "task types" else f"On {found.within}"
    if found.status != "ok" or found.whole is None or found.upto is None:
        word, reason = absent(found)
        return f"{where}, the difference of {found.first} and {found.second} is {word}: {reason}."
    upto = levels.upto(found.upto, found.scale)
    match found.whole.verdict:
        case "better" | "worse":
            more, less = (found.first, found.second)[:: 1 if found.whole.verdict == "better" else -1]
            return f"{where}, {more} keeps more than {less} {upto} ({_surely(found.whole)})."
        case "equivalent":
            chance = f"posterior probability {numbers.probability(found.whole.prob_equivalent)}"
            return f"{where}, {found.first} and {found.second} keep the same in practice {upto} ({chance})."
        case "undecided":
            chance = numbers.probability(found.whole.prob_positive)
            return (
                f"{where}, it is undecided whether {found.first} or {found.second} keeps more {upto}: posterior "
                f"probability {chance} for {found.first}."
            )
        case _:
            assert_never(found.whole.verdict)


def _surely(found: Difference) -> str:
    chance = found.prob_positive if found.verdict == "better" else 1 - found.prob_positive
    return f"posterior probability {numbers.probability(chance)}"
