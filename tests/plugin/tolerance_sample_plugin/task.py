"""Look-ups among four keys, however long the context."""

from tolerance.runners.tasks import Puzzle, PuzzleTask, entities


class FewKeys(PuzzleTask):
    """One of four values is asked for by its key."""

    name, task_type = "few-keys", "retrieval"

    def puzzle(self, dialect, context_length, rng):
        words = rng.sample(entities(), 8)
        keys, values = words[:4], words[4:]
        asked = rng.randrange(4)
        return Puzzle(
            "lookup",
            asked=keys[asked],
            answer=values[asked],
            candidates=tuple(values),
            facts=tuple(zip(keys, values, strict=True)),
            needed=(asked,),
        )
