"""Where the question of a prompt begins, for methods that must not see it.

An item may say so itself (`question_at`, a character of its prompt). Otherwise it follows from how a dialect writes:
a question is the last paragraph of an English message, or what follows the last slot mark of the compact words.
"""

from tolerance.runners.tasks.base import Dialect, Item
from tolerance.runners.tasks.dialects import English, Words
from tolerance.runners.tiny.words import SLOT


def question_at(item: Item, dialect: Dialect) -> int | None:
    """The character of the prompt at which its question begins; None if that is not known."""
    told: int | None = getattr(item, "question_at", None)
    if told is not None:
        return told
    if isinstance(dialect, Words):
        return item.prompt.rfind(f" {SLOT} ") + 1 or None
    if isinstance(dialect, English):
        return _last_paragraph(item.prompt, dialect)
    return None


def _last_paragraph(prompt: str, dialect: English) -> int | None:
    """Found in the message alone: a chat template may end in an empty line of its own."""
    mark = "\x00"
    before, _, after = dialect.wrap(mark).partition(mark)
    message = prompt[len(before) : len(prompt) - len(after)]
    if "\n\n" not in message or before + message + after != prompt:
        return None
    return len(before) + message.rindex("\n\n") + 2
