"""Single-fact QA: find one key among many key-value facts and give its value."""

import random

from tolerance.runners.tasks.base import Dialect, Puzzle, PuzzleTask
from tolerance.runners.tiny.words import entities


class KeyValueLookup(PuzzleTask):
    """One fact is needed; the other facts are distractors of the same form."""

    name = "kv-lookup"
    task_type = "single-qa"

    def puzzle(self, dialect: Dialect, context_length: int, rng: random.Random) -> Puzzle:
        """See `PuzzleTask.puzzle`. Keys are distinct; values may repeat, but there are two at least to choose from."""
        n = dialect.n_facts(context_length)
        keys = rng.sample(entities(), n)
        values = rng.choices(entities(), k=n)
        while len(set(values)) < 2:
            values = rng.choices(entities(), k=n)
        asked = rng.randrange(n)
        return Puzzle(
            "lookup",
            asked=keys[asked],
            answer=values[asked],
            candidates=tuple(sorted(set(values))),
            facts=tuple(zip(keys, values, strict=True)),
            needed=(asked,),
        )
