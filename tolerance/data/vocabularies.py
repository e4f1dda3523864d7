"""Words that a column knows, and words of the user's own: a new word is taken as it is unless it looks like a slip.

A word looks like a slip of a known one where both have the same letters apart from case and marks between words, or
nearly the same ones. Words whose digits differ are different words (weight-2:4 and weight-4:8).
"""

import difflib
import re
from collections.abc import Iterator, Sequence
from typing import Protocol

import pandas as pd

CLOSE = 0.82


class Words(Protocol):
    """A column with the words that it knows."""

    @property
    def name(self) -> str:
        """Of the column."""

    @property
    def known(self) -> tuple[str, ...]:
        """Its words; none where any text will do."""


def near_miss(word: str, known: Sequence[str]) -> str | None:
    """The known word that another is most likely a slip of; None for a known word and for one of the user's own."""
    if word in known:
        return None
    letters = _letters(word)
    alike = [one for one in known if _digits(one) == _digits(word)]
    same = next((one for one in alike if _letters(one) == letters), None)
    close = difflib.get_close_matches(letters, [_letters(one) for one in alike], n=1, cutoff=CLOSE)
    return same or next((one for one in alike if close and _letters(one) == close[0]), None)


def misspelt(table: pd.DataFrame, columns: Sequence[Words]) -> Iterator[str]:
    """A fault for each value that looks like a slip of a known word."""
    for column in columns:
        if not column.known or column.name not in table:
            continue
        for word in table[column.name].dropna().unique():
            meant = near_miss(str(word), column.known)
            if meant is not None:
                row = int(table.index[(table[column.name] == word).to_numpy(dtype=bool)][0])
                yield (
                    f"row {row}, column {column.name}: {word!r}: did you mean {meant}? Correct it or map it (mapping: "
                    f"'values: {{{column.name}: {{{word}: {meant}}}}}'); a word of your own is taken as it is where it "
                    "cannot be mistaken for one of ours."
                )


def own_words(table: pd.DataFrame, columns: Sequence[Words]) -> Iterator[str]:
    """Words of the user's own, by column."""
    for column in columns:
        if column.known and column.name in table:
            new = sorted(str(word) for word in table[column.name].dropna().unique() if word not in column.known)
            if new:
                more = f" and {len(new) - 5} more" if len(new) > 5 else ""
                yield f"column {column.name}: taken as words of your own: {', '.join(new[:5])}{more}."


def _letters(word: str) -> str:
    return re.sub(r"[^\w]|_", "", word).casefold()


def _digits(word: str) -> str:
    return re.sub(r"\D", "", word)
