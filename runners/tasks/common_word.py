"""Aggregation: which word of a long list appears most often? Every part of the context counts."""

import random

from tolerance.runners.tasks.base import Dialect, Puzzle, PuzzleTask
from tolerance.runners.tiny.words import entities

N_OTHERS = 16
SHARE = 0.20


class CommonWord(PuzzleTask):
    """The answer makes up a fifth of the list; sixteen others share the rest evenly, so it is never in doubt."""

    name = "common-word"
    task_type = "aggregation"

    def puzzle(self, dialect: Dialect, context_length: int, rng: random.Random) -> Puzzle:
        """See `PuzzleTask.puzzle`."""
        candidates = rng.sample(entities(), N_OTHERS + 1)
        # in the proportions of the list: four of the answer to one each of the sixteen others
        n = dialect.n_words([candidates[0]] * 4 + candidates[1:], context_length)
        n_answer = round(SHARE * n)
        others = [candidates[1 + i % N_OTHERS] for i in range(n - n_answer)]
        words = [candidates[0]] * n_answer + others
        rng.shuffle(words)
        return Puzzle("most-common", asked="", answer=candidates[0], candidates=tuple(candidates), words=tuple(words))
