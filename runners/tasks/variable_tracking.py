"""Variable tracking: a number is handed from variable to variable; which of them hold it? (after RULER, 2404.06654)."""

import random

from tolerance.runners.tasks.dialects import English
from tolerance.runners.tasks.english import Draft, EnglishTask, needs
from tolerance.runners.tiny.words import entities

_MOST_CHAINS = 8


class VariableTracking(EnglishTask):
    """Chains of ``hops`` + 1 variables, one of which is asked for; each chain's assignments stand in their order."""

    task_type = "multi-hop"
    max_new_tokens = 96

    def __init__(self, hops: int) -> None:
        self.name, self.hops = f"variable-tracking-{hops}", hops

    def draw(self, english: English, context_length: int, rng: random.Random) -> Draft:
        """See `EnglishTask.draw`. One chain in forty tokens an assignment, 2 to 8 chains."""
        length = self.hops + 1
        n_chains = max(2, min(context_length // (40 * length), _MOST_CHAINS))
        variables = [word.upper() for word in rng.sample(entities(), n_chains * length)]
        chains = [variables[i : i + length] for i in range(0, len(variables), length)]
        numbers = [str(number) for number in rng.sample(range(10_000, 100_000), n_chains)]
        facts = [
            f"Set {name} to {before}."
            for chain, number in zip(chains, numbers, strict=True)
            for before, name in zip([number, *chain], chain, strict=False)
        ]
        rows = [range(i, i + length) for i in range(0, len(facts), length)]
        filled = english.fill(facts, context_length, rng, chains=rows)
        return Draft(
            introduction="Read the text and follow the variables that are set in it.",
            context=filled.text,
            question=(
                f"Which {length} variables hold the number {numbers[0]} in the end? Answer with the {length} names "
                "alone, separated by commas."
            ),
            answers=tuple(chains[0]),
            candidates=tuple(sorted(variables)),
            needed=needs(english, facts, filled, list(rows[0])),
        )
