"""Multi-hop QA: follow two facts, a -> b and b -> c, and give c."""

import random
from typing import ClassVar

from tolerance.runners.tasks.base import Dialect, Puzzle, Task
from tolerance.runners.tiny.words import entities


class TwoHop(Task):
    """Two facts are needed, in an order that the question does not give away."""

    name: ClassVar[str] = "two-hop"
    task_type: ClassVar[str] = "multi-hop"

    def puzzle(self, dialect: Dialect, context_length: int, rng: random.Random) -> Puzzle:
        """See `Task.puzzle`. All names are distinct; a guesser chooses among the ends of the chains."""
        n = dialect.n_chains(context_length)
        names = rng.sample(entities(), 3 * n)
        chains = list(zip(names[::3], names[1::3], names[2::3], strict=True))
        asked = rng.randrange(n)
        first = [(a, b) for a, b, _ in chains]
        second = [(b, c) for _, b, c in chains]
        return Puzzle(
            "two-hop",
            asked=chains[asked][0],
            answer=chains[asked][2],
            n_candidates=n,
            facts=(*first, *second),
            needed=(asked, n + asked),
        )
