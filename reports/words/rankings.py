"""Task types in the order of what they tolerate -> one line, and what cannot be told apart."""

from tolerance.findings import Order, Ordering, Rank
from tolerance.reports.words import levels, numbers


def order(found: Order) -> str:
    """An ordering from the most to the least tolerant; those that lie outside on one side stand together."""
    return " > ".join(_rank_of(rank) for rank in found.ranks)


def _rank_of(found: Rank) -> str:
    sides = {"inside": "", "beyond": " (beyond the last level)", "below": " (below the first level)"}
    return f"{' = '.join(found.task_types)}{sides[found.place]}"


def ties(found: Ordering) -> str:
    """Between which levels task types are told apart, and how often they are not at either end."""
    if found.first is None or found.last is None:
        return ""
    said = f"Told apart between {levels.level(found.first, found.scale)} and {levels.level(found.last, found.scale)}."
    for place, chance in (("most", found.tied_most or 0.0), ("least", found.tied_least or 0.0)):
        if chance >= 0.01:
            said += f" Tied for the {place} tolerant, outside: {numbers.probability(chance)}."
    return said
