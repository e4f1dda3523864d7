"""Estimates -> phrases: a number with the class and the probability of its interval, or a bound with no other end."""

from collections.abc import Sequence
from typing import Literal

from tolerance.findings import Assured, Difference, Level, Observed
from tolerance.reports.words import numbers
from tolerance.stats.intervals import Interval

KINDS = {
    "eti": "credible",
    "wilson": "Wilson",
    "robust": "cluster-robust",
    "bootstrap": "paired bootstrap",
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


def assured(found: Assured, first: float, last: float) -> str:
    """The level that is kept with the required probability, or the end of the measured range beyond which it lies."""
    if found.value is not None:
        return numbers.percents([found.value])[0]
    return f"less than {numbers.level(first)}" if found.censored == "left" else f"more than {numbers.level(last)}"


def difference(found: Difference) -> tuple[str, str]:
    """A signed difference and the ends of its interval, for where kind and probability stand in the heading."""
    return signed(found.estimate.value, found.estimate.interval)


def amount(found: Level) -> str:
    """A tolerated sparsity with its interval, or a bound with its probability."""
    if found.median is None:
        return f"{bound(found)} (posterior probability {numbers.probability(_prob_outside(found))})"
    return f"{median(found)} ({percent(found.prob)} credible interval {ends(found)})"


def median(found: Level) -> str:
    """The posterior median in percent, or the bound beyond which it lies."""
    return bound(found) if found.median is None else _percents(found)[1]


def bound(found: Level) -> str:
    """The end of the measured range beyond which the median lies."""
    if found.censored == "left":
        return f"less than {numbers.level(found.first)}"
    return f"more than {numbers.level(found.last)}"


def ends(found: Level) -> str:
    """The interval in percent. An end outside the measured range is a bound; one wholly outside is the bound alone."""
    lower, _, upper = _percents(found)
    low = lower if found.lower is not None else f"less than {lower}"
    high = upper if found.upper is not None else f"more than {upper}"
    if found.censored == "none":
        return f"{low} to {high}"
    if found.lower is None and found.upper is None:
        return "not bounded by the measured range" if wholly_outside(found) == "no" else bound(found)
    return f"{lower} or more" if found.censored == "right" else f"{upper} or less"


def wholly_outside(found: Level) -> Literal["no", "left", "right"]:
    """Whether the whole interval lies below or beyond the measured range."""
    least = 1 - (1 - found.prob) / 2
    if found.prob_below >= least:
        return "left"
    return "right" if found.prob_beyond >= least else "no"


def _percents(found: Level) -> list[str]:
    """Lower end, median and upper end with equal decimals; one that is outside is the end of the measured range."""
    middle = found.median
    if middle is None:
        middle = found.first if found.censored == "left" else found.last
    lower = found.first if found.lower is None else found.lower
    upper = found.last if found.upper is None else found.upper
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
