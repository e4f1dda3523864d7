"""Common words and frequent words: which words of a long list appear most often? (after RULER, 2404.06654)."""

import random
from abc import abstractmethod

from tolerance.errors import SchemaError
from tolerance.runners.tasks.dialects import English, listed
from tolerance.runners.tasks.english import Draft, EnglishTask, Needed
from tolerance.runners.tiny.words import entities

_LEAST, _AIM, _TRIES = 0.95, 0.975, 10


class _WordList(EnglishTask):
    """The ``n_asked`` most frequent words of a list are asked for; the whole list is needed to know them."""

    task_type = "aggregation"
    max_new_tokens = 96
    n_asked: int
    least_words: int

    @abstractmethod
    def counts(self, n_words: int) -> list[int]:
        """How often each word appears in a list of about ``n_words``, the most frequent first."""

    def draw(self, english: English, context_length: int, rng: random.Random) -> Draft:
        """See `EnglishTask.draw`."""
        vocabulary = rng.sample(entities(), len(entities()))
        words = self._fitting(vocabulary, english, context_length)
        rng.shuffle(words)
        # Other places of the words can cut into other tokens, by a few.
        while english.count(listed(words)) > context_length:
            words.remove(vocabulary[len(set(words)) - 1])
        answers = tuple(vocabulary[: self.n_asked])
        return Draft(
            introduction="Read the list of words.",
            context=listed(words),
            question=(
                f"Which {self.n_asked} words appear most often in the list? Answer with the {self.n_asked} words "
                "alone, separated by commas."
            ),
            answers=answers,
            candidates=tuple(sorted(set(words))),
            needed=Needed(english.count(listed(words)), 1.0),
        )

    def _fitting(self, vocabulary: list[str], english: English, context_length: int) -> list[str]:
        """As many words as fill 95-100% of the context; the tokens of a list follow from the words it repeats."""
        n_words = english.n_words(vocabulary, context_length)
        for _ in range(_TRIES):
            if n_words < self.least_words:
                raise SchemaError(
                    f"context_lengths: {context_length}: {self.name} needs a list of {self.least_words} words, which "
                    f"does not fit. Ask for at least {8 * self.least_words}."
                )
            words = self._words(vocabulary, n_words)
            taken = english.count(listed(words))
            if _LEAST * context_length <= taken <= context_length:
                break
            n_words = int(n_words * _AIM * context_length / taken)
        return words

    def _words(self, vocabulary: list[str], n_words: int) -> list[str]:
        counts = self.counts(n_words)
        return [word for word, n in zip(vocabulary, counts, strict=False) for _ in range(n)]


class CommonWords(_WordList):
    """Ten words make up half of the list, each at least four times as frequent as any other."""

    name = "common-words"
    n_asked = 10
    least_words = 80

    def counts(self, n_words: int) -> list[int]:
        """Ten of n / 20; the rest share the other half, each a tenth as often and once at least."""
        often = n_words // (2 * self.n_asked)
        seldom = max(1, often // 10)
        n_seldom, left = divmod(n_words - self.n_asked * often, seldom)
        return [often] * self.n_asked + [seldom] * n_seldom + [left] * bool(left)


class FrequentWords(_WordList):
    """Frequencies fall with the square of the rank (Zipf's law with exponent 2); the three at the top are asked for."""

    name = "frequent-words"
    n_asked = 3
    least_words = 72

    def counts(self, n_words: int) -> list[int]:
        """N x r^-2 / sum r^-2 for the ranks that get one at least; what rounding leaves goes to the first."""
        total = sum(rank**-2 for rank in range(1, len(entities()) + 1))
        counts = [int(n_words / total / rank**2) for rank in range(1, len(entities()) + 1)]
        return [counts[0] + n_words - sum(counts), *(n for n in counts[1:] if n)]
