"""One threshold -> its sentence, and a warning where the prior leads."""

from tolerance.findings import Leaning, Threshold
from tolerance.reports.words import levels
from tolerance.reports.words.absent import absent
from tolerance.reports.words.phrases import rule, tolerated

LEANINGS: dict[Leaning, str] = {
    "prior-data conflict": "prior and answers pull apart, and both are felt",
    "strong prior": "the prior leads, for the answers say little",
}


def sentence(found: Threshold) -> str:
    """What one task type tolerates under one method."""
    if found.status != "ok" or found.level is None:
        word, reason = absent(found)
        return f"Under {found.sparsifier}, the threshold of {found.task_type} is {word}: {reason}."
    return (
        f"With {rule(found.retention, found.margin)} under {found.sparsifier}, {found.task_type} "
        f"{levels.verb(found.level.scale)} {tolerated(found.level)}."
    )


def leaning(found: Leaning | None) -> str:
    """A warning about the prior; nothing where the answers decide."""
    return LEANINGS[found] if found else ""
