"""How puzzles are written: in the compact words of the shipped model, or in plain English for any tokenizer."""

import hashlib
import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import ClassVar

from tolerance.errors import SchemaError
from tolerance.runners.tasks.base import Count, Dialect, Grader, Puzzle, Question, Written
from tolerance.runners.tiny import words as tiny
from tolerance.runners.tiny.words import IS, MOST, SLOT, SLOT_WIDTH, fillers

_MARK: dict[Question, str] = {"lookup": tiny.ASK, "two-hop": tiny.ASK_TWO_HOPS}


class Words:
    """The dialect of `tolerance.runners.tiny`: one word, one token; context lengths are exact."""

    name: ClassVar[str] = "words"
    family: ClassVar[str] = "words"
    grader: ClassVar[Grader] = "word"
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

    def ask(self, message: str) -> str:
        """As it is."""
        return message


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


# A context is never longer than asked and never shorter than this share of it.
LEAST_FILLED = 0.9
SPACE, LINE = " ", "\n"


@dataclass(frozen=True)
class Filled:
    """A context; where in it each fact stands, 0 start to 1 end."""

    text: str
    places: tuple[float, ...]


@dataclass(frozen=True)
class English:
    """Plain sentences, filled with filler sentences to 90-100% of the context length in the model's own tokens.

    ``count`` counts the tokens of a text; ``wrap`` puts a message into the model's chat template, if it has one;
    ``tokenizer`` is a short hash of both, so that ids of items tell prompts of different tokenizers apart.
    """

    count: Count
    wrap: "Wrap"
    tokenizer: str
    _counted: dict[str, int] = field(default_factory=dict, compare=False, repr=False)
    family: ClassVar[str] = "english"
    grader: ClassVar[Grader] = "named"
    max_new_tokens: ClassVar[int] = 32

    @property
    def name(self) -> str:
        """The family and the tokenizer."""
        return f"{self.family}-{self.tokenizer}"

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
        return int(0.97 * context_length * len(twice) / self.count(listed(twice)))

    def write(self, puzzle: Puzzle, context_length: int, rng: random.Random) -> Written:
        """Introduction, context, question."""
        if puzzle.question == "most-common":
            context, scope = Filled(listed(puzzle.words), ()), puzzle.words.count(puzzle.answer)
        else:
            facts = [_FACT[puzzle.question].format(*fact) for fact in puzzle.facts]
            context = self.fill(facts, context_length, rng)
            scope = self.tokens(facts[i] for i in puzzle.needed)
        question = _ASKED[puzzle.question].format(asked=puzzle.asked)
        message = self.message(_INTRODUCTION[puzzle.question], context.text, question)
        return Written(message, context.places, scope)

    def message(self, introduction: str, context: str, question: str) -> str:
        """The prompt for a question about a context."""
        return self.wrap(f"{introduction}\n\n{context}\n\n{question}")

    def ask(self, message: str) -> str:
        """In the chat template, or as it is: whoever wrote it also wrote its cue."""
        return self.wrap.bare(message)

    def tokens(self, texts: Iterable[str]) -> int:
        """Tokens of some texts, each counted alone (and once)."""
        total = 0
        for text in texts:
            if text not in self._counted:
                self._counted[text] = self.count(text)
            total += self._counted[text]
        return total

    def fit(self, facts: Iterable[str], context_length: int, *, between: str = SPACE, least: int = 1) -> list[str]:
        """As many facts as a context holds, in the order given, ``least`` at least.

        A little room is left: tokens where two facts meet depend on the order that `fill` brings them into.
        """
        held: list[str] = []
        room = context_length - max(8, context_length // 100)
        for fact in facts:
            room -= self.count(between + fact)
            if room < 0 and len(held) >= least:
                break
            held.append(fact)
        return held

    def fill(
        self,
        facts: Sequence[str],
        context_length: int,
        rng: random.Random,
        *,
        between: str = SPACE,
        chains: Sequence[Sequence[int]] = (),
    ) -> Filled:
        """Facts at random places among filler; the last filler loses words until the whole fits.

        ``chains`` are facts (by index) that must stand in this order.

        Raises:
            SchemaError: the facts alone are longer than the context.
        """
        room = context_length - self.count(between.join(facts))
        if room < 0:
            raise SchemaError(
                f"context_lengths: {context_length}: {len(facts)} facts take {context_length - room} of this model's "
                f"tokens. Ask for at least {2 * (context_length - room)}."
            )
        filler: list[str] = []
        while room > 0:
            filler.append(rng.choice(_FILLER))
            room -= self.tokens([between + filler[-1]])
        order = list(range(len(facts) + len(filler)))
        rng.shuffle(order)
        for chain in chains:
            _in_order(order, chain)
        sentences = [*facts, *filler]
        while filler and (over := self.count(between.join(sentences[i] for i in order)) - context_length) > 0:
            # a word is a token at least and seldom more than three
            shorter = filler[-1].rstrip(".").split()[: -max(1, over // 3)]
            if shorter:
                filler[-1] = sentences[-1] = " ".join(shorter) + "."
            else:
                order.remove(len(sentences) - 1)
                sentences.pop()
                filler.pop()
        places = {index: place / len(order) for place, index in enumerate(order)}
        return Filled(between.join(sentences[i] for i in order), tuple(places[i] for i in range(len(facts))))


def _in_order(order: list[int], chain: Sequence[int]) -> None:
    """Let the members of a chain change places until they stand in its order."""
    at = {index: place for place, index in enumerate(order)}
    for place, index in zip(sorted(at[i] for i in chain), chain, strict=True):
        order[place] = index


class Wrap:
    """Puts a message into a chat template, or leaves it with an answer cue where the tokenizer has none."""

    def __init__(self, tokenizer: "object | None" = None) -> None:
        self._tokenizer = tokenizer
        self.has_template = bool(getattr(tokenizer, "chat_template", None))

    def __call__(self, message: str) -> str:
        """The prompt for one user message."""
        return self.bare(message) if self.has_template else f"{message}\nAnswer:"

    def bare(self, message: str) -> str:
        """The prompt for one user message, without a cue of ours."""
        if not self.has_template:
            return message
        turn = [{"role": "user", "content": message}]
        # Some templates write today's date, and an item must be the same tomorrow: theirs is the default of Llama's.
        text: str = self._tokenizer.apply_chat_template(  # type: ignore[union-attr]
            turn, tokenize=False, add_generation_prompt=True, date_string="26 Jul 2024"
        )
        return text


def dialect(name: str, tokenizer: "object") -> Dialect:
    """The dialect by name, for a tokenizer.

    Raises:
        SchemaError: unknown name.
    """
    if name == Words.name:
        return Words()
    if name == English.family:
        return english(tokenizer)
    raise SchemaError(f"dialect {name!r} unknown. Known: {Words.name}, {English.family}.")


def english(tokenizer: "object") -> English:
    """English in a tokenizer's tokens.

    Its hash is over the ids of a fixed text and the chat template: vocabularies that cut our text alike make the same
    prompts, whatever else they hold.
    """
    count = _counter(tokenizer)
    probe = " ".join([*_FILLER, listed(tiny.entities()[:64]), "0123456789"])
    ids = tokenizer.encode(probe, add_special_tokens=False)  # type: ignore[attr-defined]
    whole = hashlib.sha256(repr((list(ids), getattr(tokenizer, "chat_template", None))).encode()).hexdigest()
    return English(count, Wrap(tokenizer), whole[:8])


def _counter(tokenizer: "object") -> Count:
    """Counts the tokens of a text; past the wrapper of a fast tokenizer, which takes seven times as long."""
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None:
        return lambda text: len(tokenizer.encode(text, add_special_tokens=False))  # type: ignore[attr-defined]

    def count(text: str) -> int:
        # Either may stand in a tokenizer's file or be left from a padded batch; the wrapper sets both anew.
        backend.no_truncation()
        backend.no_padding()
        return len(backend.encode(text, add_special_tokens=False).ids)

    return count


def listed(words: Iterable[str]) -> str:
    """Words with commas between them."""
    return ", ".join(words)
