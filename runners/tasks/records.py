"""Filtering and counting: a context full of orders, "Bada Kolo ordered soup."; who ordered the dish, or how many?"""

import random
from abc import abstractmethod
from dataclasses import dataclass

from tolerance.runners.tasks.dialects import English, Filled
from tolerance.runners.tasks.english import Draft, EnglishTask, names, needs

_DISHES = ("soup", "salad", "rice", "bread", "cheese", "pasta", "curry", "stew")
_INTRODUCTION = "Read who ordered what."


@dataclass(frozen=True)
class _Orders:
    """As many orders as fit a context; the first ``n_match`` people ordered the dish."""

    dish: str
    n_match: int
    people: list[str]
    facts: list[str]
    filled: Filled


class _Records(EnglishTask):
    """Every order must be read to know the answer; scope and dispersion are those of the orders of the dish."""

    task_type = "aggregation"

    def draw(self, english: English, context_length: int, rng: random.Random) -> Draft:
        """See `EnglishTask.draw`. At least half of the people ordered something else."""
        most = self.most_matches(context_length)
        n_match = self.matches(most, rng)
        dish, *others = rng.sample(_DISHES, len(_DISHES))
        # an order takes five tokens at least
        people = names(rng, max(2 * n_match, context_length // 5))
        ordered = [dish] * n_match + [rng.choice(others) for _ in people[n_match:]]
        sentences = (f"{name} ordered {what}." for name, what in zip(people, ordered, strict=True))
        facts = english.fit(sentences, context_length, least=2 * n_match)
        filled = english.fill(facts, context_length, rng)
        question, answers, candidates = self.asked(_Orders(dish, n_match, people[: len(facts)], facts, filled), most)
        return Draft(
            introduction=_INTRODUCTION,
            context=filled.text,
            question=question,
            answers=answers,
            candidates=candidates,
            needed=needs(english, facts, filled, list(range(n_match))),
        )

    @abstractmethod
    def most_matches(self, context_length: int) -> int:
        """The largest number of people who may have ordered the dish."""

    @abstractmethod
    def matches(self, most: int, rng: random.Random) -> int:
        """How many ordered it."""

    @abstractmethod
    def asked(self, orders: _Orders, most: int) -> tuple[str, tuple[str, ...], tuple[str, ...]]:
        """Question, answers, candidates."""


class Filtering(_Records):
    """Name the four people who ordered the dish."""

    name = "filtering"
    max_new_tokens = 96

    def most_matches(self, context_length: int) -> int:
        """Four."""
        return 4

    def matches(self, most: int, rng: random.Random) -> int:
        """Four."""
        return most

    def asked(self, orders: _Orders, most: int) -> tuple[str, tuple[str, ...], tuple[str, ...]]:
        """See `_Records.asked`."""
        question = (
            f"Which {most} people ordered {orders.dish}? Answer with the {most} full names alone, separated by commas."
        )
        return question, tuple(orders.people[:most]), tuple(sorted(orders.people))


class Counting(_Records):
    """How many people ordered the dish: one to ten, each equally likely."""

    name = "counting"
    max_new_tokens = 32

    def most_matches(self, context_length: int) -> int:
        """Ten, or what a short context holds twice."""
        return max(2, min(10, context_length // 32))

    def matches(self, most: int, rng: random.Random) -> int:
        """One to ``most``."""
        return rng.randint(1, most)

    def asked(self, orders: _Orders, most: int) -> tuple[str, tuple[str, ...], tuple[str, ...]]:
        """See `_Records.asked`."""
        question = f"How many people ordered {orders.dish}? Answer with the number alone."
        return question, (str(orders.n_match),), tuple(str(n) for n in range(1, most + 1))
