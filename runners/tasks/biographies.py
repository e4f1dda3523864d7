"""Questions over many documents: biographies of invented people; follow none, one or two mentors to a birthplace."""

import random
from collections.abc import Iterator

from tolerance.runners.tasks.dialects import LINE, English
from tolerance.runners.tasks.english import Draft, EnglishTask, names, needs
from tolerance.runners.tiny.words import entities

_JOBS = (
    *("baker", "carpenter", "dentist", "farmer", "gardener", "judge"),
    *("nurse", "painter", "pilot", "potter", "sailor", "tailor"),
)
_HOBBIES = (
    *("chess", "cycling", "dancing", "fishing", "hiking", "knitting"),
    *("rowing", "running", "sailing", "singing", "skating", "swimming"),
)
_ENDS = ("bury", "dale", "field", "ford", "ham", "port", "stead", "ton")
# The chain that is asked for, and somebody else to choose.
_FEWEST_OTHERS = 2


class Biographies(EnglishTask):
    """Birthplace of a person (1 hop), of the person's mentor (2), of the mentor's mentor (3)."""

    max_new_tokens = 32

    def __init__(self, hops: int) -> None:
        self.name, self.hops = f"biographies-{hops}", hops
        self.task_type = "single-qa" if hops == 1 else "multi-hop"

    def draw(self, english: English, context_length: int, rng: random.Random) -> Draft:
        """See `EnglishTask.draw`. As many biographies as fit; those of the chain come first until they are shuffled."""
        # a biography takes twenty tokens at least
        n_most = max(self.hops + _FEWEST_OTHERS, context_length // 20)
        people = names(rng, n_most)
        towns = _towns(rng, n_most)
        least = self.hops + _FEWEST_OTHERS
        n_people = len(english.fit(_documents(people, towns, n_most, rng), context_length, between=LINE, least=least))
        documents = list(_documents(people, towns, n_people, rng))
        while n_people > least and english.count(LINE.join(documents)) > context_length:
            n_people -= 1
            documents = list(_documents(people, towns, n_people, rng))
        filled = english.fill(documents, context_length, rng, between=LINE)
        chain = list(range(self.hops))
        answer = towns[chain[-1]]
        return Draft(
            introduction="Read the biographies.",
            context=filled.text,
            question=(
                f"In which town was {'the mentor of ' * (self.hops - 1)}{people[0]} born? Answer with the name of the "
                "town alone."
            ),
            answers=(answer,),
            candidates=tuple(sorted(set(towns[:n_people]))),
            needed=needs(english, documents, filled, chain),
        )


def _documents(people: list[str], towns: list[str], n_people: int, rng: random.Random) -> Iterator[str]:
    """Biographies of the first ``n_people``: each one's mentor is the next, the last one's is the first."""
    for i in range(n_people):
        mentor = people[(i + 1) % n_people]
        yield (
            f"{people[i]} was born in {towns[i]} and became a {rng.choice(_JOBS)}. "
            f"The mentor of {people[i]} was {mentor}. {people[i]} liked {rng.choice(_HOBBIES)}."
        )


def _towns(rng: random.Random, n: int) -> list[str]:
    """Invented towns, all different: ``Badaford``."""
    pairs = rng.sample(range(len(entities()) * len(_ENDS)), n)
    return [entities()[pair // len(_ENDS)].capitalize() + _ENDS[pair % len(_ENDS)] for pair in pairs]
