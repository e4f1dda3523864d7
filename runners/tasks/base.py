"""Tasks with known answers: a puzzle is drawn, a dialect writes it as a prompt, a documented rule grades the answer.

Item i depends on (task, dialect, context length, seed, i) alone: the same item has the same id at every sparsity level
and for every model that is given the same text, and asking for more items keeps the first ones. docs/tasks.md lists
every task with its rule.
"""

import random
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, Protocol

Question = Literal["lookup", "two-hop", "most-common"]
Grader = Literal["word", "named", "exact", "contains", "any", "choice", "number"]
Fact = tuple[str, str]
Count = Callable[[str], int]


@dataclass(frozen=True)
class Puzzle:
    """What is asked, before it is written: facts (key, value) or a list of words, and the one right answer.

    ``needed`` indexes the facts that the answer rests on; a guesser would choose among ``candidates``.
    """

    question: Question
    asked: str
    answer: str
    candidates: tuple[str, ...]
    facts: tuple[Fact, ...] = ()
    needed: tuple[int, ...] = ()
    words: tuple[str, ...] = ()


@dataclass(frozen=True)
class Written:
    """A prompt; where each fact stands in its context (0 start, 1 end); how many tokens the needed part takes."""

    prompt: str
    places: tuple[float, ...]
    scope: int


@dataclass(frozen=True)
class Item:
    """One question with its answers, and what the outcome table says of it.

    ``answers`` are the parts of the answer, or with graders 'exact', 'any', 'choice' and 'number' ways to write it;
    ``candidates`` are what grader 'named' looks for. ``chance``, ``scope``, ``dispersion`` and ``context_length`` are
    None where nobody knows them.
    """

    item_id: str
    task: str
    task_type: str
    context_length: int | None
    prompt: str
    answers: tuple[str, ...]
    chance: float | None
    scope: float | None
    dispersion: float | None
    seed: int
    grader: Grader
    candidates: tuple[str, ...] = ()

    @property
    def answer(self) -> str:
        """All parts as one text."""
        return ", ".join(self.answers)


class Dialect(Protocol):
    """How puzzles are written for a model, and answers read."""

    @property
    def name(self) -> str:
        """What item ids call it: everything that a prompt depends on besides the puzzle."""

    @property
    def family(self) -> str:
        """What plans call it. Puzzles are drawn by it, so that two tokenizers get the same ones where they can."""

    @property
    def grader(self) -> Grader:
        """The rule by which answers to its puzzles are judged."""

    @property
    def max_new_tokens(self) -> int:
        """Tokens that an answer to one of its puzzles may take."""

    @property
    def adds_special_tokens(self) -> bool:
        """Whether the tokenizer is to add its start token to a prompt."""

    def n_facts(self, context_length: int) -> int:
        """Facts in a context of this many tokens."""

    def n_chains(self, context_length: int) -> int:
        """Two-hop chains in a context of this many tokens."""

    def n_words(self, candidates: list[str], context_length: int) -> int:
        """Words of a list drawn from candidates that fill a context of this many tokens."""

    def write(self, puzzle: Puzzle, context_length: int, rng: random.Random) -> Written:
        """Write a puzzle as a prompt."""

    def ask(self, message: str) -> str:
        """The prompt for a message that somebody else wrote."""


class Task(ABC):
    """A source of items of one kind. ``max_new_tokens`` bounds an answer; None leaves it to the dialect."""

    name: str
    task_type: str
    max_new_tokens: int | None = None

    @abstractmethod
    def item(self, dialect: Dialect, context_length: int, seed: int, index: int) -> Item:
        """Item ``index``."""

    def items(self, n: int, dialect: Dialect, context_length: int, seed: int) -> list[Item]:
        """The first ``n`` items."""
        return [self.item(dialect, context_length, seed, index) for index in range(n)]

    def longest(self, n: int) -> int:
        """Which of the first ``n`` items has the longest prompt; where lengths are made equal, the first will do."""
        return 0

    def answer_tokens(self, dialect: Dialect) -> int:
        """Tokens that an answer may take."""
        return self.max_new_tokens or dialect.max_new_tokens


class PuzzleTask(Task):
    """A task that every dialect can write."""

    @abstractmethod
    def puzzle(self, dialect: Dialect, context_length: int, rng: random.Random) -> Puzzle:
        """Draw one puzzle that fits a context."""

    def item(self, dialect: Dialect, context_length: int, seed: int, index: int) -> Item:
        """See `Task.item`."""
        rng = draws(self, dialect, context_length, seed, index)
        puzzle = self.puzzle(dialect, context_length, rng)
        written = dialect.write(puzzle, context_length, rng)
        return Item(
            item_id=item_id(self, dialect, context_length, seed, index),
            task=self.name,
            task_type=self.task_type,
            context_length=context_length,
            prompt=written.prompt,
            answers=(puzzle.answer,),
            candidates=puzzle.candidates,
            chance=1 / len(puzzle.candidates),
            scope=written.scope,
            dispersion=spread([written.places[i] for i in puzzle.needed]),
            seed=seed,
            grader=dialect.grader,
        )


def item_id(task: Task, dialect: Dialect, context_length: int, seed: int, index: int) -> str:
    """The same prompt has the same id, another prompt another."""
    return f"{task.name}/{dialect.name}/{context_length}/{seed}/{index:05d}"


def draws(task: Task, dialect: Dialect, context_length: int, seed: int, index: int) -> random.Random:
    """Where all of an item's randomness comes from."""
    return random.Random(f"{task.name}/{dialect.family}/{context_length}/{seed}/{index:05d}")


def spread(places: list[float]) -> float:
    """Dispersion: the part of the context that the needed facts span; 1 where all of it is needed."""
    return max(places) - min(places) if places else 1.0
