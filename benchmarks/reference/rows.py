"""Training rows: an item of one of our tasks as it is asked, then further questions about the same context.

Reading a context costs most of a row, so as many questions follow as fit. Answers are in one of two styles: ``steps``
writes the way to the answer first ("Bada Kolo, Dimedale"), ``direct`` gives the answer alone. Graders read the end.

A batch depends on (seed, number of the batch, number of all batches) alone, whoever makes it and when: so several
sizes can be trained on the same batches, and a training that was cut goes on where it was.
"""

import random
import re
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from tolerance.errors import SchemaError
from tolerance.runners import tasks
from tolerance.runners.tasks import Item
from tolerance.runners.tasks.dialects import dialect

# How often each task is drawn. Filtering and counting are learnt last, so they are drawn most.
WEIGHTS = {
    "filtering": 2.0,
    "counting": 2.0,
    "common-word": 0.8,
    "frequent-words": 0.8,
    "biographies-1": 0.8,
    "biographies-2": 1.0,
    "biographies-3": 1.0,
    "two-hop": 1.0,
    "variable-tracking-2": 0.9,
    "kv-lookup": 0.7,
    "niah-multi-key": 0.5,
    "niah-single": 0.2,
}
# Context lengths, and the width of a row that holds them. The widths divide the tokens of a step.
BUCKETS = (((192, 224, 256), 384), ((384, 448, 512), 768), ((768, 896, 1024), 1152))
# Until this share of the training: how often each bucket is drawn. Short contexts first, where patterns are found soon.
MIX = ((0.12, (0.70, 0.30, 0.00)), (0.40, (0.20, 0.60, 0.20)), (1.01, (0.05, 0.45, 0.50)))
STYLES = ("steps", "direct")
# Items of plans have small seeds; those that are trained on begin here.
FIRST_SEED = 1_000_000
HELD_OUT_SEED = 2
NAME = r"([A-Z][a-z]+ [A-Z][a-z]+)"
Turn = tuple[str, str]


def read(prompt: str) -> Turn:
    """Context and question of a prompt in the chat template."""
    context, _, question = prompt[: prompt.rindex("<|im_end|>")].rpartition("\n\n")
    return context, question


def turns(item: Item, style: str, rng: random.Random) -> tuple[str, list[Turn]]:
    """The answer to the item's own question, and other questions with their answers, in random order."""
    context, question = read(item.prompt)
    own, more = WRITERS[item.task.rstrip("-0123456789")](item, context, question, style, rng)
    rng.shuffle(more)
    return own, [(q, a) for q, a in more if q not in question]


def _lookup(item: Item, context: str, question: str, style: str, rng: random.Random) -> tuple[str, list[Turn]]:
    facts = re.findall(r"The code of (\w+) is (\w+)\.", context)
    return item.answer, [(f"What is the code of {key}?", value) for key, value in facts]


def _needles(item: Item, context: str, question: str, style: str, rng: random.Random) -> tuple[str, list[Turn]]:
    facts = re.findall(r"The access code of the (\w+ \w+) is (\d+)\.", context)
    return item.answer, [(f"What is the access code of the {key}?", code) for key, code in facts]


def _two_hop(item: Item, context: str, question: str, style: str, rng: random.Random) -> tuple[str, list[Turn]]:
    guide = dict(re.findall(r"The guide of (\w+) is (\w+)\.", context))
    follow = {a: f"{b}, {guide[b]}" if style == "steps" else guide[b] for a, b in guide.items() if b in guide}
    asked = re.search(r"guide of the guide of (\w+)\?", question)[1]
    return follow[asked], [(f"Who is the guide of the guide of {a}?", way) for a, way in follow.items()]


def _variables(item: Item, context: str, question: str, style: str, rng: random.Random) -> tuple[str, list[Turn]]:
    """The answer is the way itself, in both styles."""
    after = {before: name for name, before in re.findall(r"Set (\w+) to (\w+)\.", context)}
    more = []
    for number in filter(str.isdigit, after):
        chain = [after[number]]
        while chain[-1] in after:
            chain.append(after[chain[-1]])
        more.append((f"Which {len(chain)} variables hold the number {number} in the end?", ", ".join(chain)))
    return item.answer, more


def _orders(item: Item, context: str, question: str, style: str, rng: random.Random) -> tuple[str, list[Turn]]:
    """Filtering and counting; the way to a number is the first names of those who are counted."""
    ordered: dict[str, list[str]] = {}
    for who, what in re.findall(NAME + r" ordered (\w+)\.", context):
        ordered.setdefault(what, []).append(who)

    def count(who: list[str]) -> str:
        return f"{', '.join(name.split()[0] for name in who)}: {len(who)}" if style == "steps" else str(len(who))

    dish = re.search(r"ordered (\w+)\?", question)[1]
    named = item.task == "filtering"
    more = [(f"How many people ordered {d}?", count(who)) for d, who in ordered.items() if len(who) <= 10]
    more += [(f"Which {len(who)} people ordered {d}?", ", ".join(who)) for d, who in ordered.items() if len(who) <= 5]
    # the own question in other words would be answered by copying
    more = [(q, a) for q, a in more if not (dish in q and q.startswith("Which") == named)]
    return ", ".join(ordered[dish]) if named else count(ordered[dish]), more


def _biographies(item: Item, context: str, question: str, style: str, rng: random.Random) -> tuple[str, list[Turn]]:
    town = dict(re.findall(NAME + r" was born in (\w+) ", context))
    mentor = dict(re.findall(r"The mentor of " + NAME + " was " + NAME + r"\.", context))

    def follow(person: str, hops: int) -> str:
        way = []
        for _ in range(hops - 1):
            person = mentor[person]
            way.append(person)
        return ", ".join([*way, town[person]]) if style == "steps" else town[person]

    hops = int(item.task[-1])
    own = follow(re.search(r"was (?:the mentor of )*" + NAME + " born", question)[1], hops)
    more = []
    for person in rng.sample(sorted(town), min(8, len(town))):
        n = rng.choice((1, 2, 3) if hops > 1 else (1, 1, 2))
        more.append((f"In which town was {'the mentor of ' * (n - 1)}{person} born?", follow(person, n)))
    return own, more


def _common(item: Item, context: str, question: str, style: str, rng: random.Random) -> tuple[str, list[Turn]]:
    return item.answer, []


def _frequent(item: Item, context: str, question: str, style: str, rng: random.Random) -> tuple[str, list[Turn]]:
    first, second, _ = item.answers
    more = [("Which word appears most often in the list?", first)]
    return item.answer, [*more, ("Which 2 words appear most often in the list?", f"{first}, {second}")]


Writer = Callable[[Item, str, str, str, random.Random], tuple[str, list[Turn]]]
WRITERS: dict[str, Writer] = {
    "kv-lookup": _lookup,
    "niah-single": _needles,
    "niah-multi-key": _needles,
    "two-hop": _two_hop,
    "variable-tracking": _variables,
    "filtering": _orders,
    "counting": _orders,
    "biographies": _biographies,
    "common-word": _common,
    "frequent-words": _frequent,
}


def bucket_of(seed: int, number: int, n_batches: int) -> int:
    """Which bucket a batch is drawn from."""
    shares = next(shares for end, shares in MIX if number / n_batches < end)
    return random.Random(f"bucket/{seed}/{number}").choices(range(len(BUCKETS)), shares)[0]


@dataclass
class Source:
    """Makes rows for the tokenizer in a model's folder."""

    folder: str
    style: str

    def __post_init__(self) -> None:
        from transformers import AutoTokenizer

        tokenizer = AutoTokenizer.from_pretrained(self.folder)
        self.english, self.tokens = dialect("english", tokenizer), tokenizer.backend_tokenizer

    def encode(self, text: str) -> list[int]:
        """Token ids."""
        return self.tokens.encode(text, add_special_tokens=False).ids

    def row(self, item: Item, width: int, rng: random.Random, *, alone: bool = False) -> np.ndarray | None:
        """``(2, width)``: token ids, and 1 where a token is learnt; None if the item does not fit."""
        own, more = turns(item, self.style, rng)
        ids = self.encode(item.prompt)
        answer = self.encode(own + "<|im_end|>")
        learnt = [0] * len(ids) + [1] * len(answer)
        ids = ids + answer
        if len(ids) > width:
            return None
        for question, text in () if alone else more:
            asked = self.encode(f"\n<|im_start|>user\n{question}<|im_end|>\n<|im_start|>assistant\n")
            answer = self.encode(text + "<|im_end|>")
            if len(ids) + len(asked) + len(answer) > width:
                break
            ids, learnt = ids + asked + answer, learnt + [0] * len(asked) + [1] * len(answer)
        made = np.zeros((2, width), np.int32)
        made[0, : len(ids)], made[1, : len(ids)] = ids, learnt
        return made

    def batch(self, seed: int, number: int, n_batches: int, n_tokens: int) -> np.ndarray:
        """``(row, 2, width)`` of one bucket, ``n_tokens`` in all."""
        lengths, width = BUCKETS[bucket_of(seed, number, n_batches)]
        rng = random.Random(f"batch/{seed}/{number}")
        made: list[np.ndarray] = []
        index = number * 10_000
        while len(made) < max(1, n_tokens // width):
            (name,) = rng.choices(list(WEIGHTS), list(WEIGHTS.values()))
            index += 1
            try:
                item = tasks.get(name).item(self.english, rng.choice(lengths), FIRST_SEED + seed, index)
            except SchemaError:  # some tasks need a longer context
                continue
            row = self.row(item, width, rng)
            if row is not None:
                made.append(row)
        return np.stack(made)

    def held_out(self, name: str, length: int, n: int) -> np.ndarray:
        """Rows of items that no plan asks and no batch holds, each with its own question alone."""
        width = next(width for lengths, width in BUCKETS if length <= max(lengths))
        items = tasks.get(name).items(n, self.english, length, HELD_OUT_SEED)
        made = [self.row(item, width, random.Random(0), alone=True) for item in items]
        return np.stack([row for row in made if row is not None])
