"""How puzzles are written: in the compact words of the shipped model, or in plain English for any tokenizer."""

import random
import re
from dataclasses import dataclass
from typing import ClassVar

from tolerance.errors import SchemaError
from tolerance.runners.tasks.base import Count, Dialect, Puzzle, Question, Written
from tolerance.runners.tiny import words as tiny
from tolerance.runners.tiny.words import IS, MOST, SLOT, SLOT_WIDTH, fillers

_MARK: dict[Question, str] = {"lookup": tiny.ASK, "two-hop": tiny.ASK_TWO_HOPS}


class Words:
    """The dialect of `tolerance.runners.tiny`: one word, one token; context lengths are exact."""

    name: ClassVar[str] = "words"
    max_new_tokens: ClassVar[int] = 1
    adds_special_tokens: ClassVar[bool] = True

    def n_facts(self, context_length: int) -> int:
        """Half of the slots hold facts, 48 at most."""
        return tiny.lookup_facts(context_length)

    def n_chains(self, context_length: int) -> int:
        """Half of the slots hold the facts of chains, 16 chains at most."""
        return tiny.two_hop_chains(context_length)

    def n_words(self, candidates: list[str], context_length: int) -> int:
        """As many words as tokens."""
        return context_length

    def write(self, puzzle: Puzzle, context_length: int, rng: random.Random) -> Written:
        """Facts in slots among slots of filler words, or the bare list of words; then the question."""
        if puzzle.question == "most-common":
            text = " ".join([*puzzle.words, SLOT, MOST, IS])
            return Written(text, (), puzzle.words.count(puzzle.answer))
        n_slots = context_length // SLOT_WIDTH
        slots = [" ".join(rng.choices(fillers(), k=SLOT_WIDTH)) for _ in range(n_slots)]
        chosen = rng.sample(range(n_slots), len(puzzle.facts))
        for slot, (key, value) in zip(chosen, puzzle.facts, strict=True):
            slots[slot] = f"{SLOT} {key} {value} {SLOT}"
        text = " ".join([*slots, SLOT, _MARK[puzzle.question], puzzle.asked])
        return Written(text, tuple(slot / n_slots for slot in chosen), 2 * len(puzzle.needed))

    def truncated(self, *, stopped: bool) -> bool:
        """Never: the answer is one word, and one word is generated."""
        return False

    def read(self, text: str) -> list[str]:
        """The one word, if it is an entity."""
        return [word for word in text.split()[:1] if word in _ENTITIES]


_ENTITIES = set(tiny.entities())
_FILLER = (
    *("The grass by the river is green.", "A cold wind came down from the hills.", "Somebody closed the old gate."),
    *("The market opens early in spring.", "Rain fell on the roof all night.", "The train left without a sound."),
    *("Two birds sat on the wall.", "The lamp in the hall was still on.", "Nobody had touched the bread."),
    *("The road bends behind the mill.", "Boats were tied up along the quay.", "The clock struck four."),
)
_ASKED: dict[Question, str] = {
    "lookup": "What is the code of {asked}? Answer with the code alone.",
    "two-hop": "Who is the guide of the guide of {asked}? Answer with the name alone.",
    "most-common": "Which word appears most often in the list? Answer with that word alone.",
}
_FACT: dict[Question, str] = {"lookup": "The code of {0} is {1}.", "two-hop": "The guide of {0} is {1}."}
_INTRODUCTION: dict[Question, str] = {
    "lookup": "Read the text and remember the codes in it.",
    "two-hop": "Read the text and remember the guides in it.",
    "most-common": "Read the list of words.",
}


@dataclass(frozen=True)
class English:
    """Plain sentences, filled with filler sentences to 90-100% of the context length in the model's own tokens.

    ``count`` counts the tokens of a text; ``wrap`` puts a message into the model's chat template, if it has one.
    """

    count: Count
    wrap: "Wrap"
    name: ClassVar[str] = "english"
    max_new_tokens: ClassVar[int] = 16

    @property
    def adds_special_tokens(self) -> bool:
        """A chat template brings its own."""
        return not self.wrap.has_template

    def n_facts(self, context_length: int) -> int:
        """One fact in forty tokens, 2 to 48."""
        return max(2, min(context_length // 40, 48))

    def n_chains(self, context_length: int) -> int:
        """One chain in eighty tokens, 2 to 16: a single chain would leave nothing to choose."""
        return max(2, min(context_length // 80, 16))

    def n_words(self, candidates: list[str], context_length: int) -> int:
        """So many that the list stays just below the context length."""
        twice = candidates * 2
        return int(0.97 * context_length * len(twice) / self.count(_list(twice)))

    def write(self, puzzle: Puzzle, context_length: int, rng: random.Random) -> Written:
        """Introduction, context, question."""
        if puzzle.question == "most-common":
            context, scope = _list(list(puzzle.words)), puzzle.words.count(puzzle.answer)
            places: list[float] = []
        else:
            context, places = self._sentences(puzzle, context_length, rng)
            scope = sum(self.count(self._fact(puzzle, i)) for i in puzzle.needed)
        question = _ASKED[puzzle.question].format(asked=puzzle.asked)
        message = f"{_INTRODUCTION[puzzle.question]}\n\n{context}\n\n{question}"
        return Written(self.wrap(message), tuple(places), scope)

    def truncated(self, *, stopped: bool) -> bool:
        """Unless the model ended its answer."""
        return not stopped

    def read(self, text: str) -> list[str]:
        """All words of the text, lower case, without punctuation."""
        return re.findall(r"[a-z]+", text.lower())

    def _fact(self, puzzle: Puzzle, index: int) -> str:
        return _FACT[puzzle.question].format(*puzzle.facts[index])

    def _sentences(self, puzzle: Puzzle, context_length: int, rng: random.Random) -> tuple[str, list[float]]:
        """Facts at random places among filler; the last filler loses words until the whole fits."""
        facts = [self._fact(puzzle, i) for i in range(len(puzzle.facts))]
        room = context_length - self.count(" ".join(facts))
        if room < 0:
            raise SchemaError(
                f"context_lengths: {context_length}: {len(facts)} facts take {context_length - room} of this model's "
                f"tokens. Ask for at least {2 * (context_length - room)}."
            )
        filler: list[str] = []
        while room > 0:
            filler.append(rng.choice(_FILLER))
            room -= self.count(" " + filler[-1])
        order = list(range(len(facts) + len(filler)))
        rng.shuffle(order)
        sentences = [*facts, *filler]
        while filler and self.count(" ".join(sentences[i] for i in order)) > context_length:
            shorter = filler[-1].rstrip(".").split()[:-1]
            if shorter:
                filler[-1] = sentences[-1] = " ".join(shorter) + "."
            else:
                order.remove(len(sentences) - 1)
                sentences.pop()
                filler.pop()
        places = [order.index(i) / len(order) for i in range(len(facts))]
        return " ".join(sentences[i] for i in order), places


class Wrap:
    """Puts a message into a chat template, or leaves it with an answer cue where the tokenizer has none."""

    def __init__(self, tokenizer: "object | None" = None) -> None:
        self._tokenizer = tokenizer
        self.has_template = bool(getattr(tokenizer, "chat_template", None))

    def __call__(self, message: str) -> str:
        """The prompt for one user message."""
        if not self.has_template:
            return f"{message}\nAnswer:"
        turn = [{"role": "user", "content": message}]
        text: str = self._tokenizer.apply_chat_template(turn, tokenize=False, add_generation_prompt=True)  # type: ignore[union-attr]
        return text


def dialect(name: str, tokenizer: "object") -> Dialect:
    """The dialect by name, for a tokenizer.

    Raises:
        SchemaError: unknown name.
    """
    if name == Words.name:
        return Words()
    if name == English.name:
        return English(lambda text: len(tokenizer.encode(text, add_special_tokens=False)), Wrap(tokenizer))  # type: ignore[attr-defined]
    raise SchemaError(f"dialect {name!r} unknown. Known: {Words.name}, {English.name}.")


def _list(words: list[str]) -> str:
    return ", ".join(words)
