"""Aggregation: which word of a long list appears most often? Every part of the context counts."""

import random
from typing import ClassVar

from tolerance.runners.tasks.base import Dialect, Puzzle, Task
from tolerance.runners.tiny.words import entities

N_OTHERS = 16
SHARE = 0.20


class CommonWord(Task):
    """The answer makes up a fifth of the list; sixteen others share the rest evenly, so it is never in doubt."""

    name: ClassVar[str] = "common-word"
    task_type: ClassVar[str] = "aggregation"

    def puzzle(self, dialect: Dialect, context_length: int, rng: random.Random) -> Puzzle:
        """See `Task.puzzle`."""
        candidates = rng.sample(entities(), N_OTHERS + 1)
        n = dialect.n_words(candidates, context_length)
        n_answer = round(SHARE * n)
        others = [candidates[1 + i % N_OTHERS] for i in range(n - n_answer)]
        words = [candidates[0]] * n_answer + others
        rng.shuffle(words)
        return Puzzle("most-common", asked="", answer=candidates[0], n_candidates=len(candidates), words=tuple(words))
