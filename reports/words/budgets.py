"""A tolerated KV budget -> tokens with their interval, and how many suffice."""

from tolerance.findings import Budget


def tokens(found: Budget) -> tuple[str, str]:
    """The smallest budget that keeps enough and the ends of its interval; an end that was not measured is a bound."""
    low = _tokens(found.lower, found) if found.lower is not None else ""
    high = _tokens(found.upper, found) if found.upper is not None else ""
    more, fewer = f"more than {_tokens(found.most, found)}", f"fewer than {_tokens(found.least, found)}"
    if found.median is not None:
        return _tokens(found.median, found), f"{low or fewer} to {high or more}"
    needs_more = (found.prob_more or 0.0) > (found.prob_fewer or 0.0)
    if not low and not high:
        surely = max(found.prob_more or 0.0, found.prob_fewer or 0.0) >= 1 - (1 - found.prob) / 2
        bound = more if needs_more else fewer
        return bound, bound if surely else "not bounded by the measured range"
    return (more, f"{low} or more") if needs_more else (fewer, f"{high} or fewer")


def enough(found: Budget) -> str:
    """The budget that suffices with the required probability, or the measured budget beyond which it lies."""
    if found.assured is None:
        return ""
    if found.assured.value is not None:
        return _tokens(found.assured.value, found)
    side = "more than", found.most
    if found.assured.censored == "left":
        side = "fewer than", found.least
    return f"{side[0]} {_tokens(side[1], found)}"


def _tokens(value: float, found: Budget) -> str:
    """Whole tokens, or a decimal where budgets are that small."""
    return f"{value:,.0f}" if found.least >= 20 else f"{value:,.1f}"
