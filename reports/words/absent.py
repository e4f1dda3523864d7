"""What stands where a number does not: the word, and its reason."""

from tolerance.findings import Budget, Comparison, Contrast, Ordering, Reason, Threshold

REASONS: dict[Reason, str] = {
    "fit failed its checks": "the fit failed its checks",
    "no dense baseline": "no dense baseline was measured",
    "dense accuracy is at the guessing floor": "its dense accuracy is at the guessing floor",
    "no task and configuration in common": "they have no task and configuration in common",
    "levels of different units": "their levels are set in different units",
}


def absent(found: Threshold | Comparison | Contrast | Ordering | Budget) -> tuple[str, str]:
    """The word in place of a number, and its reason."""
    word = "withheld" if found.status == "withheld" else "unanswerable"
    if isinstance(found, Comparison | Contrast) and found.reason == "dense accuracy is at the guessing floor":
        return word, "the dense accuracy of one of them is at the guessing floor"
    return word, REASONS[found.reason] if found.reason else "no reason was recorded"
