"""Where memory runs out, batches become smaller; what a row is answered does not depend on its batch."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch

from tolerance.errors import RunnerError


@dataclass(frozen=True)
class Done[T]:
    """What was made of some rows."""

    rows: list[int]
    made: T


def shrinking[T](rows: list[int], work: Callable[[list[int]], T], forget: Callable[[], None]) -> Iterator[Done[T]]:
    """Work on rows, in halves of halves where memory runs out.

    Raises:
        RunnerError: a single row does not fit.
    """
    try:
        made = work(rows)
    except torch.OutOfMemoryError as error:
        if len(rows) == 1:
            reason = str(error).splitlines()[0] if str(error) else "out of memory"
            raise RunnerError(
                f"one item alone does not fit into the device's memory ({reason}). Use a shorter context, a smaller "
                "dtype or a larger device."
            ) from None
        made = None
    if made is not None:
        yield Done(rows, made)
        return
    # Outside the handler, so that the error's frames no longer hold the memory.
    forget()
    half = (len(rows) + 1) // 2
    for part in (rows[:half], rows[half:]):
        yield from shrinking(part, work, forget)
