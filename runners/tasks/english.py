"""The base of tasks that are written in English: draw facts and a question, fill the context, say what it takes.

A task of this kind is one short file: `EnglishTask.draw` returns a `Draft`, and everything else (ids, seeds, prompt,
scope, dispersion, grading by rule 'named') is here. Names are made of the 512 two-syllable words of the shipped model,
so that no model knows anything about them beforehand.
"""

import random
from abc import abstractmethod
from dataclasses import dataclass

from tolerance.errors import RunnerError
from tolerance.runners.tasks.base import Dialect, Item, Task, draws, item_id, spread
from tolerance.runners.tasks.dialects import English, Filled, Words
from tolerance.runners.tasks.graders import blind_score
from tolerance.runners.tiny.words import entities


@dataclass(frozen=True)
class Needed:
    """Tokens of the facts that an answer rests on, and the part of the context that they span."""

    scope: int
    dispersion: float


@dataclass(frozen=True)
class Draft:
    """One question about a context; ``chance`` None is that of naming candidates at random."""

    introduction: str
    context: str
    question: str
    answers: tuple[str, ...]
    candidates: tuple[str, ...]
    needed: Needed
    chance: float | None = None


class EnglishTask(Task):
    """A task for any model whose tokenizer reads English."""

    max_new_tokens: int

    @abstractmethod
    def draw(self, english: English, context_length: int, rng: random.Random) -> Draft:
        """Draw one question with a context of 90-100% of ``context_length`` tokens.

        Raises:
            SchemaError: the context is too short for what must stand in it.
        """

    def item(self, dialect: Dialect, context_length: int, seed: int, index: int) -> Item:
        """See `Task.item`.

        Raises:
            RunnerError: the model does not read English.
        """
        if not isinstance(dialect, English):
            raise RunnerError(
                f"task {self.name} is written in English, and this model reads the dialect {dialect.name!r} alone. "
                f"Ask it kv-lookup, two-hop or common-word{' (it ships for the demo)' * isinstance(dialect, Words)}, "
                "or take another model."
            )
        draft = self.draw(dialect, context_length, draws(self, dialect, context_length, seed, index))
        chance = blind_score(len(draft.answers), len(draft.candidates)) if draft.chance is None else draft.chance
        return Item(
            item_id=item_id(self, dialect, context_length, seed, index),
            task=self.name,
            task_type=self.task_type,
            context_length=context_length,
            prompt=dialect.message(draft.introduction, draft.context, draft.question),
            answers=draft.answers,
            candidates=draft.candidates,
            chance=chance,
            scope=draft.needed.scope,
            dispersion=draft.needed.dispersion,
            seed=seed,
            grader="named",
        )


def needs(english: English, facts: list[str], filled: Filled, needed: list[int]) -> Needed:
    """Scope and dispersion of the facts (by index) that an answer rests on."""
    return Needed(english.tokens(facts[i] for i in needed), spread([filled.places[i] for i in needed]))


def names(rng: random.Random, n: int) -> list[str]:
    """Different first and last names, ``Bada Kolo``; 512 x 512 there are."""
    pairs = rng.sample(range(len(entities()) ** 2), n)
    return [" ".join(entities()[part].capitalize() for part in divmod(pair, len(entities()))) for pair in pairs]


def both(words: list[str]) -> str:
    """``a, b and c``."""
    return f"{', '.join(words[:-1])} and {words[-1]}" if len(words) > 1 else words[0]
