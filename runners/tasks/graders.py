"""How a generated text is judged: where its answer ends, which rule applies, how many parts are right.

Reading comes first. Of a text with ``</think>`` only what follows counts; an opening line that ends in a colon is an
introduction; the answer is then the first line (one-part answers) or the first paragraph (answers of several parts).
An answer is `truncated` if the token limit came before its end; what cannot be read is `parse_ok` False and scores 0,
counted and visible.

word      the first word is the answer (the shipped model's dialect)
named     of the item's candidates the answer names the right ones: k = right ones named - wrong ones named, at least 0
exact     the answer is one of the given ones, but for case, punctuation and articles
contains  k of the n given parts stand in the answer as whole words (string match of RULER, 2404.06654)
any       one of the given answers stands in the answer as whole words
choice    the letter given first: "B", "(B)", "The answer is B"
number    the last number of the answer equals the given one
"""

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

from tolerance.runners.tasks.base import Grader, Item
from tolerance.runners.tiny import words as tiny


@dataclass(frozen=True)
class Grade:
    """How an answer was judged: ``k`` of ``n`` parts right; ``parse_ok`` False where nothing could be read.

    ``truncated``: the limit came before the end of the answer.
    """

    k: int
    n: int
    parse_ok: bool
    truncated: bool
    answer: str

    @property
    def score(self) -> float:
        """The share of parts that are right."""
        return self.k / self.n


def grade(item: Item, text: str, *, stopped: bool) -> Grade:
    """Judge a generated text; ``stopped`` says whether the model ended it by itself."""
    if item.grader == "word":
        # one word was asked for and one was generated: nothing can be cut off
        offered, ended = text, True
    else:
        offered, ended = answer_of(text, one_line=_in_one_line(item))
    k, readable = GRADERS[item.grader](item, offered)
    n = len(item.answers) if item.grader in PARTS else 1
    return Grade(k=k, n=n, parse_ok=readable, truncated=not (stopped or ended), answer=text.strip())


def answer_of(text: str, *, one_line: bool) -> tuple[str, bool]:
    """The answer in a text, and whether its end was seen (a line or paragraph follows)."""
    if "<think>" in text and "</think>" not in text:
        return "", False
    parts = re.split(r"\n" if one_line else r"\n[^\S\n]*\n", text.rpartition("</think>")[2].lstrip())
    for i, part in enumerate(parts):
        if part.strip() and not part.rstrip().endswith(":"):
            return "\n".join(parts[: i + 1]), i + 1 < len(parts)
    return "\n".join(parts), False


def ends(item: Item) -> Callable[[str], bool] | None:
    """Whether a text holds the whole answer to an item, so that nothing after it is graded; None: it may go on."""
    if item.grader == "word":
        return None
    one_line = _in_one_line(item)
    return lambda text: answer_of(text, one_line=one_line)[1]


def blind_score(n_right: int, n_candidates: int) -> float:
    """Chance of rule 'named': the best that naming candidates at random scores, for any number of names.

    max over m of E[max(0, h - (m - h))] / n_right with h hypergeometric; 1 / n_candidates for one-part answers.
    """
    return max(_expected(n_right, n_candidates, m) for m in range(1, min(2 * n_right, n_candidates + 1)))


@cache
def _expected(n: int, candidates: int, named: int) -> float:
    ways = math.comb(candidates, named)
    hits = range(named // 2 + 1, min(n, named) + 1)
    return sum(math.comb(n, h) * math.comb(candidates - n, named - h) / ways * (2 * h - named) for h in hits) / n


def _in_one_line(item: Item) -> bool:
    return item.grader != "contains" and not (item.grader == "named" and len(item.answers) > 1)


def _word(item: Item, text: str) -> tuple[int, bool]:
    words = [word for word in text.split()[:1] if word in _ENTITIES]
    return int(item.answers[0] in words), bool(words)


def _named(item: Item, text: str) -> tuple[int, bool]:
    numeric = all(candidate.isdigit() for candidate in item.candidates)
    plain = _digits(text) if numeric else text.lower()
    # a longer name comes first, so that it is not taken for a shorter one inside it
    longest_first = sorted((c.lower() for c in item.candidates), key=len, reverse=True)
    found = set(re.findall(rf"(?<!\w)(?:{'|'.join(map(re.escape, longest_first))})(?!\w)", plain))
    right = {answer.lower() for answer in item.answers}
    readable = bool(re.search(r"\d" if numeric else r"[a-z]", plain))
    return max(0, len(found & right) - len(found - right)), readable


def _exact(item: Item, text: str) -> tuple[int, bool]:
    return int(_bare(text) in {_bare(answer) for answer in item.answers}), bool(_bare(text))


def _contains(item: Item, text: str) -> tuple[int, bool]:
    return sum(_stands_in(answer, text) for answer in item.answers), bool(_bare(text))


def _any(item: Item, text: str) -> tuple[int, bool]:
    return int(any(_stands_in(answer, text) for answer in item.answers)), bool(_bare(text))


_CHOICES = (r"^\W*([A-Z])(?:[).:,]|\s*$)", r"(?:answer|option|choice)\s*(?:is)?\W*([A-Z])\b", r"\(([A-Z])\)")


def _choice(item: Item, text: str) -> tuple[int, bool]:
    found = next((m for m in (re.search(pattern, text) for pattern in _CHOICES) if m), None)
    return int(found is not None and found[1] in item.answers), found is not None


def _number(item: Item, text: str) -> tuple[int, bool]:
    found = re.findall(r"(?<![\w.])-?\d+(?:\.\d+)?", _digits(text))
    if not found:
        return 0, False
    return int(any(math.isclose(float(found[-1]), float(answer), rel_tol=1e-9) for answer in item.answers)), True


GRADERS: dict[Grader, Callable[[Item, str], tuple[int, bool]]] = {
    "word": _word,
    "named": _named,
    "exact": _exact,
    "contains": _contains,
    "any": _any,
    "choice": _choice,
    "number": _number,
}
# Rules that count parts; the others take the given answers for ways to write the one that is right.
PARTS = ("word", "named", "contains")
# What a file of questions may ask for: the other two rest on what our own generators know.
FOR_FILES = ("exact", "contains", "any", "choice", "number")

_ENTITIES = frozenset(tiny.entities())
_SPELLED = dict(
    zip(
        ["one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"],
        map(str, range(1, 11)),
        strict=True,
    )
)


def _digits(text: str) -> str:
    """Numbers as digits: 12,345 without its comma, one to ten spelled out."""
    text = re.sub(r"(?<=\d),(?=\d{3}(?!\d))", "", text.lower())
    return re.sub(rf"(?<![\w-])({'|'.join(_SPELLED)})(?![\w-])", lambda m: _SPELLED[m[1]], text)


def _bare(text: str) -> str:
    """Lower case, without punctuation and articles, single spaces."""
    return " ".join(word for word in re.findall(r"\w+", text.lower()) if word not in ("a", "an", "the"))


def _stands_in(answer: str, text: str) -> bool:
    return f" {_bare(answer)} " in f" {_bare(text)} "
