"""Items that were left out because not every condition was asked them, as findings."""

from tolerance import findings
from tolerance.data.same_items import LeftOut, SameItems


def left_out(same: SameItems) -> list[findings.Unshared]:
    """One for each condition that lost items."""
    return [_unshared(one) for one in same.left_out]


def _unshared(left: LeftOut) -> findings.Unshared:
    return findings.Unshared(
        task=left.task,
        model=left.model,
        context_length=left.context,
        sparsifier=left.sparsifier,
        level=left.level,
        n_items=left.n_items,
        n_kept=left.n_kept,
        selection=left.selection,
        whole=left.whole,
    )
