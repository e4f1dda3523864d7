"""Needles in a haystack: access codes hidden in filler; one or several are asked for (after RULER, 2404.06654)."""

import random

from tolerance.runners.tasks.dialects import English
from tolerance.runners.tasks.english import Draft, EnglishTask, both, needs

_CODES = range(100_000, 1_000_000)
_COLOURS = (
    *("amber", "azure", "black", "blue", "bronze", "copper", "coral", "crimson"),
    *("golden", "green", "grey", "indigo", "ivory", "olive", "orange", "pink"),
)
_THINGS = (
    *("anchor", "basket", "bridge", "candle", "castle", "engine", "feather"),
    *("garden", "harbour", "island", "ladder", "lantern", "meadow", "mirror"),
)


class Needles(EnglishTask):
    """``keys`` keys are asked for, each with ``values`` codes; ``alone`` leaves out the codes of other keys."""

    task_type = "retrieval"

    def __init__(self, name: str, *, keys: int = 1, values: int = 1, alone: bool = False) -> None:
        self.name, self.keys, self.values, self.alone = name, keys, values, alone
        # instruction-tuned models repeat the keys before they give the codes
        self.max_new_tokens = 32 if keys * values == 1 else 128

    def draw(self, english: English, context_length: int, rng: random.Random) -> Draft:
        """See `EnglishTask.draw`. As many other codes as the context has room for, as many as asked for at least."""
        n_asked = self.keys * self.values
        n_others = 0 if self.alone else max(n_asked, english.n_facts(context_length) - n_asked)
        keys = [f"{c} {t}" for c, t in _pairs(rng, self.keys + n_others)]
        codes = [str(code) for code in rng.sample(_CODES, n_asked + n_others)]
        owners = [key for key in keys[: self.keys] for _ in range(self.values)] + keys[self.keys :]
        facts = [f"The access code of the {key} is {code}." for key, code in zip(owners, codes, strict=True)]
        filled = english.fill(facts, context_length, rng)
        return Draft(
            introduction="Read the text and remember the access codes in it.",
            context=filled.text,
            question=self._question(keys[: self.keys], n_asked),
            answers=tuple(codes[:n_asked]),
            candidates=tuple(sorted(codes)),
            # with one code in the context a guess is blind, among 900,000 numbers: as good as none
            chance=0.0 if self.alone else None,
            needed=needs(english, facts, filled, list(range(n_asked))),
        )

    def _question(self, keys: list[str], n_codes: int) -> str:
        asked = both([f"the {key}" for key in keys])
        if n_codes == 1:
            return f"What is the access code of {asked}? Answer with the code alone."
        end = f"Answer with the {n_codes} codes alone, separated by commas."
        return f"What are the {n_codes} access codes of {asked}? {end}"


def _pairs(rng: random.Random, n: int) -> list[tuple[str, str]]:
    pairs = rng.sample(range(len(_COLOURS) * len(_THINGS)), n)
    return [(_COLOURS[pair // len(_THINGS)], _THINGS[pair % len(_THINGS)]) for pair in pairs]
