"""Multi-hop QA: follow two facts, a -> b and b -> c, and give c."""

import random

from tolerance.runners.tasks.base import Dialect, Puzzle, PuzzleTask
from tolerance.runners.tiny.words import entities


class TwoHop(PuzzleTask):
    """Two facts are needed, in an order that the question does not give away."""

    name = "two-hop"
    task_type = "multi-hop"

    def puzzle(self, dialect: Dialect, context_length: int, rng: random.Random) -> Puzzle:
        """See `PuzzleTask.puzzle`. All names are distinct; a guesser chooses among the ends of the chains."""
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
            candidates=tuple(end for _, _, end in chains),
            facts=(*first, *second),
            needed=(asked, n + asked),
        )
