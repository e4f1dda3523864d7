"""Tasks with known answers: a puzzle is drawn, a dialect writes it as a prompt, a documented rule grades the answer.

Item i depends on (task, dialect, context length, seed, i) alone: the same item has the same id at every sparsity level
and for every model, and asking for more items keeps the first ones.
"""

import random
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, Literal, Protocol

Question = Literal["lookup", "two-hop", "most-common"]
Fact = tuple[str, str]


@dataclass(frozen=True)
class Puzzle:
    """What is asked, before it is written: facts (key, value) or a list of words, and the one right answer.

    ``needed`` indexes the facts that the answer rests on; a guesser would choose among ``n_candidates`` answers.
    """

    question: Question
    asked: str
    answer: str
    n_candidates: int
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
    """One question with its answer, and what the outcome table says of it."""

    item_id: str
    task: str
    task_type: str
    context_length: int
    prompt: str
    answer: str
    chance: float
    scope: int
    dispersion: float
    seed: int


@dataclass(frozen=True)
class Grade:
    """How an answer was judged: ``k`` of ``n`` parts right; ``parse_ok`` False where nothing could be read."""

    k: int
    n: int
    parse_ok: bool
    answer: str

    @property
    def score(self) -> float:
        """The share of parts that are right."""
        return self.k / self.n


class Dialect(Protocol):
    """How puzzles are written for a model, and answers read."""

    @property
    def name(self) -> str:
        """What plans and item ids call it."""

    @property
    def max_new_tokens(self) -> int:
        """Tokens that an answer may take."""

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

    def truncated(self, *, stopped: bool) -> bool:
        """Whether an answer was cut off at the limit, given whether the model stopped by itself."""

    def read(self, text: str) -> list[str]:
        """The words that a generated text offers as its answer; none if it cannot be read."""


class Task(ABC):
    """A source of puzzles of one kind."""

    name: ClassVar[str]
    task_type: ClassVar[str]

    @abstractmethod
    def puzzle(self, dialect: Dialect, context_length: int, rng: random.Random) -> Puzzle:
        """Draw one puzzle that fits a context."""

    def item(self, dialect: Dialect, context_length: int, seed: int, index: int) -> Item:
        """Item ``index``."""
        item_id = f"{self.name}/{dialect.name}/{context_length}/{seed}/{index:05d}"
        rng = random.Random(item_id)
        puzzle = self.puzzle(dialect, context_length, rng)
        written = dialect.write(puzzle, context_length, rng)
        places = [written.places[i] for i in puzzle.needed]
        return Item(
            item_id=item_id,
            task=self.name,
            task_type=self.task_type,
            context_length=context_length,
            prompt=written.prompt,
            answer=puzzle.answer,
            chance=1 / puzzle.n_candidates,
            scope=written.scope,
            dispersion=max(places) - min(places) if places else 1.0,
            seed=seed,
        )

    def items(self, n: int, dialect: Dialect, context_length: int, seed: int) -> list[Item]:
        """The first ``n`` items."""
        return [self.item(dialect, context_length, seed, index) for index in range(n)]


def grade(item: Item, text: str, dialect: Dialect) -> Grade:
    """Right if the answer is among the words offered (RULER's string match, 2404.06654); unreadable is said."""
    offered = dialect.read(text)
    return Grade(k=int(item.answer in offered), n=1, parse_ok=bool(offered), answer=text.strip())


Count = Callable[[str], int]
