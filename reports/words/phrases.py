"""Estimates -> phrases: a number with the class and the probability of its interval, or a bound with no other end."""

from collections.abc import Sequence
from typing import Literal

from tolerance.findings import Assured, Difference, Level, Observed, Scale
from tolerance.reports.words import levels, numbers
from tolerance.stats.intervals import Interval

KINDS = {
    "eti": "credible",
    "wilson": "Wilson",
    "robust": "cluster-robust",
    "bootstrap": "paired bootstrap",
    "normal": "paired normal",
    "newcombe": "paired",
}


def listed(items: Sequence[str]) -> str:
    """``a``, ``a and b``, ``a, b and c``."""
    return items[0] if len(items) == 1 else f"{', '.join(items[:-1])} and {items[-1]}"


def capitalised(text: str) -> str:
    """The text with its first letter a capital, and nothing else changed."""
    return text[:1].upper() + text[1:]


def counted(n: int, noun: str) -> str:
    """``1 method``, ``1,200 methods``."""
    return f"{numbers.count(n)} {noun}" if n == 1 else f"{numbers.count(n)} {noun}s"


def percent_down(part: int, whole: int) -> str:
    """A share in whole percent, rounded down: what is not all of it is never 100%."""
    return f"{100 * part // whole}%"


def percent(prob: float) -> str:
    """The probability of an interval, or a retention: ``"90%"``."""
    return numbers.level(prob)


def rule(retention: float, margin: float | None) -> str:
    """What must be kept, after "with": ``"at least 95% of dense accuracy kept"``."""
    if margin is not None:
        return f"accuracy at most {numbers.points(margin)} points below dense"
    return f"at least {percent(retention)} of dense accuracy kept"


def rule_clause(retention: float, margin: float | None) -> str:
    """What must be kept, as a clause: ``"at least 95% of dense accuracy above the guessing floor is kept"``."""
    if margin is not None:
        return f"accuracy is at most {numbers.points(margin)} points below dense"
    return f"at least {percent(retention)} of dense accuracy above the guessing floor is kept"


def assured(found: Assured, first: float, last: float, scale: Scale | None = None) -> str:
    """The level that is kept with the required probability, or the end of the measured range beyond which it lies."""
    if found.value is not None:
        return levels.estimate(found.value, scale)
    return levels.below(first, scale) if found.censored == "left" else levels.beyond(last, scale)


def difference(found: Difference) -> tuple[str, str]:
    """A signed difference and the ends of its interval, for where kind and probability stand in the heading."""
    return signed(found.estimate.value, found.estimate.interval)


def tolerated(found: Level, noun: str = "sparsity") -> str:
    """What is tolerated, after `levels.verb`: ``"82% (...) sparsity"``, ``"2,130 tokens (...)"``.

    ``noun`` is what a fraction is called.
    """
    return f"{amount(found)} {noun}" if found.scale is None else amount(found)


def amount(found: Level) -> str:
    """A tolerated level with its interval, or a bound with its probability."""
    if found.median is None:
        return f"{bound(found)} (posterior probability {numbers.probability(_prob_outside(found))})"
    return f"{median(found)} ({percent(found.prob)} credible interval {ends(found)})"


def median(found: Level) -> str:
    """The posterior median, or the bound beyond which it lies."""
    if found.median is None:
        return bound(found)
    said = _numbers(found)[1]
    return said if found.scale is None else found.scale.counted(said)


def bound(found: Level) -> str:
    """The end of the measured range beyond which the median lies."""
    return (
        levels.below(found.first, found.scale) if found.censored == "left" else levels.beyond(found.last, found.scale)
    )


def ends(found: Level) -> str:
    """The interval, the smaller number first.

    An end outside the measured range is a bound; one wholly outside is the bound alone.
    """
    (low, low_in), _, (high, high_in) = _ascending(found)
    less = "less" if found.scale is None else "fewer"
    if found.censored == "none":
        return f"{low if low_in else f'{less} than {low}'} to {high if high_in else f'more than {high}'}"
    if found.lower is None and found.upper is None:
        return "not bounded by the measured range" if wholly_outside(found) == "no" else bound(found)
    return f"{low} or more" if low_in else f"{high} or {less}"


def _ascending(found: Level) -> list[tuple[str, bool]]:
    """Lower end, median and upper end as numbers ascend, each with whether it was measured to lie inside."""
    inside = (found.lower is not None, found.median is not None, found.upper is not None)
    said = list(zip(_numbers(found), inside, strict=True))
    return said if found.scale is None or found.scale.direction == "removed" else said[::-1]


def wholly_outside(found: Level) -> Literal["no", "left", "right"]:
    """Whether the whole interval lies below or beyond the measured range."""
    least = 1 - (1 - found.prob) / 2
    if found.prob_below >= least:
        return "left"
    return "right" if found.prob_beyond >= least else "no"


def _numbers(found: Level) -> list[str]:
    """Lower end, median and upper end with equal decimals; one that is outside is the end of the measured range."""
    middle = found.median
    if middle is None:
        middle = found.first if found.censored == "left" else found.last
    lower = found.first if found.lower is None else found.lower
    upper = found.last if found.upper is None else found.upper
    if found.scale is not None:
        return found.scale.estimates([lower, middle, upper])
    bounds = [] if found.lower is not None else [found.first]
    bounds += [] if found.upper is not None else [found.last]
    return numbers.percents([lower, middle, upper], bounds=bounds)


def _prob_outside(found: Level) -> float:
    return found.prob_below if found.censored == "left" else found.prob_beyond


def signed(value: float, around: Interval) -> tuple[str, str]:
    """A signed number and the ends of its interval, for where kind and probability are said beside it."""
    said, low, high = numbers.differences([value, around.lower, around.upper])
    return said, f"{low} to {high}"


def accuracy(value: float, around: Interval) -> tuple[str, str]:
    """An accuracy and the ends of its interval, for where kind and probability stand in the heading."""
    said, low, high = numbers.accuracies([value, around.lower, around.upper])
    return said, f"{low} to {high}"


def observed(found: Observed) -> str:
    """An observed accuracy with its interval."""
    said, ends = accuracy(found.accuracy, found.interval)
    return f"{said} ({percent(found.interval.prob)} {KINDS[found.interval.kind]} interval {ends})"
