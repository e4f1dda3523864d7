"""What a task must hold: an item is the same whenever it is made, fits its length, and its own answer is right.

Items are written in every dialect that the task reads: the compact words of the shipped model, and English in the
tokens of two small tokenizers.
"""

import random
import re
from collections.abc import Iterator

from tolerance.data.outcomes import TASK_TYPES
from tolerance.data.vocabularies import near_miss
from tolerance.errors import RunnerError, SchemaError
from tolerance.runners.tasks import FileTask, Item, Task, grade
from tolerance.runners.tasks.base import Dialect
from tolerance.runners.tasks.dialects import LEAST_FILLED, English, Words, english
from tolerance.runners.tasks.graders import GRADERS, PARTS
from tolerance.runners.tasks.question_span import question_at
from tolerance.testing.requiring import require

CONTEXTS: dict[str, tuple[int, ...]] = {"words": (64, 256), "english": (800, 2048)}
ITEMS = 6
# Tokens that an introduction, a question and an answer cue may take beside the context.
BESIDE = 160


class _Split:
    """Words and marks are tokens."""

    chat_template = None

    def encode(self, text: str, add_special_tokens: bool = False) -> list[str]:
        """Tokens of a text."""
        return re.findall(r"\w+|[^\w\s]", text)


class _Halves:
    """A word is two tokens."""

    chat_template = None

    def encode(self, text: str, add_special_tokens: bool = False) -> list[str]:
        """Tokens of a text."""
        return [half for word in text.split() for half in (word[:2], word[2:])]


def check_task(task: Task | type[Task], *, seeds: tuple[int, int] = (0, 1)) -> None:
    """Check a task, or a class of one that takes no arguments, in every dialect that it reads.

    Raises:
        AssertionError: what does not hold, and the mend.
    """
    made = task() if isinstance(task, type) else task
    who = f"task {getattr(made, 'name', None)!r}"
    require(isinstance(made, Task), who, "it is no Task", "Derive it from EnglishTask, PuzzleTask or Task")
    named = isinstance(getattr(made, "name", None), str) and made.name
    require(named, who, "it has no name", "Give it a name, a text")
    typed = getattr(made, "task_type", None)
    known = isinstance(typed, str) and typed and near_miss(typed, TASK_TYPES) is None
    require(
        known,
        who,
        f"task_type is {typed!r}",
        f"Use one of {', '.join(TASK_TYPES)}, or a word of your own that is unlike them",
    )
    read = list(_dialects(made, seeds[0]))
    mend = "Write items of a few hundred tokens of context in English, or in the words dialect"
    require(read, who, "it reads no dialect at any length that was tried", mend)
    for dialect, context in read:
        _check_items(made, dialect, context, seeds)
        for item in made.items(_many(made), dialect, context, seeds[0]):
            _check_item(made, dialect, context, item)
            _check_grading(made, dialect, item)


def _many(task: Task) -> int:
    return min(ITEMS, len(task.rows)) if isinstance(task, FileTask) else ITEMS


def _dialects(task: Task, seed: int) -> Iterator[tuple[Dialect, int]]:
    """Dialects and lengths at which the task writes items."""
    for dialect in (Words(), english(_Split()), english(_Halves())):
        for context in CONTEXTS[dialect.family]:
            try:
                task.item(dialect, context, seed, 0)
            except (RunnerError, SchemaError):
                continue  # refused with a reason
            yield dialect, context


def _check_items(task: Task, dialect: Dialect, context: int, seeds: tuple[int, int]) -> None:
    """Which item an item is follows from task, dialect, length, seed and number alone."""
    who, n = f"task {task.name!r} in {dialect.family}", _many(task)
    state = random.getstate()
    try:
        random.seed(1)
        items = task.items(n, dialect, context, seeds[0])
        random.seed(2)
        again = [task.item(dialect, context, seeds[0], index) for index in reversed(range(n))][::-1]
        mend = "Draw everything from the rng that is given, or from draws(task, dialect, context_length, seed, index)"
        require(items == again, who, "an item differs when it is made again", mend)
    finally:
        random.setstate(state)
    few = task.items(max(1, n // 2), dialect, context, seeds[0])
    require(few == items[: len(few)], who, "asking for more items changes the first", "Make item i of its index alone")
    mend = "Let item_id(task, dialect, context_length, seed, index) name it"
    ids = [item.item_id for item in items]
    require(len(set(ids)) == n, who, "two items have one id", mend)
    if isinstance(task, FileTask):
        return
    require(len({item.prompt for item in items}) == n, who, "two items have one prompt", "Draw each anew")
    other = task.item(dialect, context, seeds[1], 0)
    require(other.item_id not in ids, who, "items of two seeds have one id", mend)
    require(other.prompt != items[0].prompt, who, "two seeds give one prompt", "Draw from the seed that is given")


def _check_item(task: Task, dialect: Dialect, context: int, item: Item) -> None:
    """What the outcome table says of an item, and its length."""
    who = f"item {item.item_id}"
    require(item.task == task.name, who, f"its task is {item.task!r}", f"Say {task.name!r}")
    require(item.task_type == task.task_type, who, f"its type is {item.task_type!r}", f"Say {task.task_type!r}")
    require(item.prompt.strip(), who, "its prompt is empty", "Write one")
    require(item.answers and all(item.answers), who, f"its answers are {item.answers}", "Give at least one text")
    distinct = len(set(item.answers)) == len(item.answers)
    require(distinct, who, "an answer is given twice", "Give every part once")
    chance = item.chance is None or 0 <= item.chance < 1
    require(
        chance, who, f"chance is {item.chance}", "Give the score of blind guessing, at least 0 and below 1, or None"
    )
    require(item.scope is None or item.scope >= 0, who, f"scope is {item.scope}", "Give tokens, or None")
    spread = item.dispersion is None or 0 <= item.dispersion <= 1
    require(spread, who, f"dispersion is {item.dispersion}", "Give a share of the context, 0 to 1, or None")
    if isinstance(task, FileTask):
        return
    require(item.context_length == context, who, f"context_length is {item.context_length}", f"Say {context}")
    within = item.scope is None or item.scope <= context
    require(within, who, f"scope is {item.scope} of {context} tokens", "Count the tokens of the needed facts alone")
    taken = _tokens(dialect, item.prompt)
    mend = "Fill the context (English.fill does), and count in the model's own tokens"
    kept = LEAST_FILLED * context <= taken <= context + BESIDE
    require(kept, who, f"its prompt takes {taken} tokens where the context is {context}", mend)
    found = question_at(item, dialect)
    mend = "Put the question into the last paragraph, or give items a question_at"
    require(found is not None and 0 < found < len(item.prompt), who, "nobody finds where its question begins", mend)


def _check_grading(task: Task, dialect: Dialect, item: Item) -> None:
    """Its own answer is right and fits; noise is not right."""
    who = f"item {item.item_id}"
    require(item.grader in GRADERS, who, f"grader is {item.grader!r}", f"Use one of {', '.join(GRADERS)}")
    if item.grader == "named":
        among = set(item.answers) <= set(item.candidates)
        require(among, who, "an answer is not among its candidates", "Name all that could be answered")
    perfect = item.answer if item.grader in PARTS else item.answers[0]
    right = grade(item, f" {perfect}", stopped=True)
    whole = right.k == right.n and right.parse_ok
    mend = "Choose the grader that fits; see tolerance.runners.tasks.graders"
    require(whole, who, f"its own answer {perfect!r} is judged {right.k} of {right.n}", mend)
    require(grade(item, "%!", stopped=True).k == 0, who, "noise is judged right", mend)
    taken, most = _tokens(dialect, perfect), task.answer_tokens(dialect)
    require(taken <= most, who, f"its answer takes {taken} tokens and may take {most}", "Raise max_new_tokens")


def _tokens(dialect: Dialect, text: str) -> int:
    return dialect.count(text) if isinstance(dialect, English) else len(text.split())
