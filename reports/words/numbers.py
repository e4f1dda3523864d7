"""The one rounding rule: every number that a reader sees is written here, and is rounded once.

* Sparsity is a percent: whole, or with one decimal where estimate and interval all lie at 90% or more. Numbers of one
  estimate share their decimals. Digits are added rather than printing 0% or 100% for what is neither.
* Levels that were measured are design values: at most one decimal, no trailing zero.
* Accuracy has two decimals, or three where two would make an estimate and its ends look equal.
* A probability has two decimals, and is never printed as 0 or 1; an exact p has three, and is never printed as 0.
* A difference has its sign and two decimals, or three where two would make an estimate and its ends look equal.
"""

from collections.abc import Sequence
from datetime import datetime

# From here on one percent point is a tenth of what is left, so it deserves a decimal.
FINE_FROM = 0.9
MOST_DECIMALS = 6
SCALES = ((1e15, "quadrillion"), (1e12, "trillion"), (1e9, "billion"), (1e6, "million"))


def percents(values: Sequence[float], *, bounds: Sequence[float] = ()) -> list[str]:
    """Percents of one estimate and its interval, with equal decimals: ``["82%", "76%", "86%"]``.

    ``bounds`` are measured levels among them: all get as many decimals as these have by themselves.
    """
    decimals = max([1 if values and min(values) >= FINE_FROM else 0, *(_decimals(level(bound)) for bound in bounds)])
    while decimals < MOST_DECIMALS and any(_rounds_away(value, decimals) for value in values):
        decimals += 1
    return [f"{_unsigned_zero(f'{100 * value:.{decimals}f}')}%" for value in values]


def level(value: float) -> str:
    """A measured sparsity: ``"95%"``, ``"98.5%"``, ``"99.95%"``."""
    decimals = 1
    while decimals < MOST_DECIMALS and _rounds_away(value, decimals):
        decimals += 1
    return f"{_bare(f'{100 * value:.{decimals}f}')}%"


def accuracy(value: float) -> str:
    """A share of right answers by itself: ``"0.83"``."""
    return f"{value:.2f}"


def accuracies(values: Sequence[float]) -> list[str]:
    """An accuracy and its interval: two decimals, or three where two would make different values look equal."""
    coarse = [accuracy(value) for value in values]
    return coarse if len(set(coarse)) == len(set(values)) else [f"{value:.3f}" for value in values]


def differences(values: Sequence[float]) -> list[str]:
    """A difference of shares and its interval, signed: two decimals, or three where two would look equal or like 0."""
    coarse = [f"{value:+.2f}" for value in values]
    alike = len(set(coarse)) < len(set(values)) or any(float(said) == 0 for said in coarse)
    return [_unsigned_zero(f"{value:+.3f}") if alike else said for value, said in zip(values, coarse, strict=True)]


def signed(value: float) -> str:
    """A difference on an axis, a round value: ``"+0.05"``, ``"0"``."""
    return f"{value:+g}" if value else "0"


def points(value: float) -> str:
    """A margin of accuracy in percent points: ``"2"``, ``"0.5"``."""
    return f"{100 * value:g}"


def probability(value: float) -> str:
    """A posterior probability, never certain: ``"0.83"``, ``"> 0.99"``, ``"< 0.01"``."""
    if value > 0.99:
        return "> 0.99"
    return "< 0.01" if value < 0.01 else f"{value:.2f}"


def required(value: float) -> str:
    """A probability that is required, as it was set: ``"0.95"``, ``"0.975"``."""
    return f"{value:.4g}"


def exact_p(value: float) -> str:
    """The p of an exact test, never 0: ``"0.250"``, ``"< 0.001"``."""
    return "< 0.001" if value < 0.001 else f"{value:.3f}"


def tenths(value: float) -> str:
    """A log density: ``"-312.4"``."""
    return f"{value:,.1f}"


def count(value: int) -> str:
    """A number of things: ``"43,440"``."""
    return f"{value:,}"


def quantity(value: float) -> str:
    """A cost or size to three digits: ``"256"``, ``"4,096"``, ``"8.19 billion"``."""
    for scale, name in SCALES:
        if abs(value) >= scale:
            return f"{_three(value / scale)} {name}"
    return _three(value)


def against(value: float, limit: float) -> tuple[str, str]:
    """A statistic and its limit, with digits enough that they look equal only if they are."""
    digits = 4
    while digits < 10 and value != limit and f"{value:.{digits}g}" == f"{limit:.{digits}g}":
        digits += 1
    return _plain(value, digits), _plain(limit, digits)


def day(created: str) -> str:
    """The day of an ISO 8601 time: ``"23 November 2026"``."""
    moment = datetime.fromisoformat(created)
    return f"{moment.day} {moment:%B %Y}"


def _rounds_away(value: float, decimals: int) -> bool:
    """Whether something strictly between 0 and 1 would be printed as one of them."""
    return 0 < value < 1 and float(f"{100 * value:.{decimals}f}") in (0.0, 100.0)


def _unsigned_zero(text: str) -> str:
    return text.lstrip("+-") if float(text) == 0 else text


def _three(value: float) -> str:
    """Three significant digits, all of those before the point, and no exponent."""
    return f"{value:,.0f}" if abs(value) >= 99.95 else f"{value:.3g}"


def _plain(value: float, digits: int) -> str:
    """Thousands as counts, everything else to significant digits."""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.{digits}g}"


def _decimals(text: str) -> int:
    return len(text.rstrip("%").partition(".")[2])


def _bare(text: str) -> str:
    return text.rstrip("0").rstrip(".") if "." in text else text
