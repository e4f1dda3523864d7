"""Columns of a file that an import does not use: listed, and refused where one looks like a slip of one of ours."""

import difflib
import re
from collections.abc import Sequence

from tolerance.errors import SchemaError

# What others call columns of ours; whole names, without marks between words.
OTHER_WORDS = {
    "chance": ("chancelevel", "chancerate", "chanceaccuracy", "guessingfloor", "randombaseline", "randomchance"),
    "cluster": ("clusterid", "passage", "passageid", "paragraph", "paragraphid", "storyid", "documentgroup"),
    "context_length": ("contextlen", "ctxlen", "ctxlength", "ctx", "contexttokens"),
    "item_id": ("itemid", "questionid", "exampleid", "sampleid", "docid"),
    "n_items": ("nsamples", "numsamples", "numitems", "itemcount"),
    "params": ("nparams", "numparams", "parameters", "nparameters", "paramcount"),
    "replicate": ("repeat", "repetition", "epoch"),
    "score": ("accuracy", "acc"),
    "se": ("stderr", "standarderror"),
    "sparsity_realised": ("realisedsparsity", "realizedsparsity", "actualsparsity", "measuredsparsity"),
    "sparsity_requested": ("requestedsparsity", "targetsparsity"),
}
CLOSE = 0.85
# What no number rests on; logs have ``answers`` of their own.
_FREE = ("answer",)


def near_miss(theirs: str, ours: Sequence[str]) -> str | None:
    """The column of ours, of those that the file lacks, that a column of theirs is most likely meant as."""
    word = _letters(theirs)
    ours = [name for name in ours if name not in _FREE]
    for name in ours:
        if word == _letters(name) or word in OTHER_WORDS.get(name, ()):
            return name
    close = difflib.get_close_matches(word, [_letters(name) for name in ours if len(name) > 3], n=1, cutoff=CLOSE)
    return next((name for name in ours if close and _letters(name) == close[0]), None)


def refuse_misspelt(unused: Sequence[str], lacking: Sequence[str], source: str) -> None:
    """Refuse a file that lacks a column of ours and has one that looks like it.

    Raises:
        SchemaError: naming every such column and how to map or ignore it.
    """
    missed = _missed(unused, lacking)
    if missed:
        first, ours = next(iter(missed.items()))
        raise SchemaError(
            f"{source}: {_asked(missed)} Rename the column or map it (mapping: 'columns: {{{ours}: {first}}}'); if it "
            f"is something else, leave it out with --ignore {first} (mapping: 'ignore: [{first}]')."
        )


def _missed(unused: Sequence[str], lacking: Sequence[str]) -> dict[str, str]:
    """Theirs -> ours."""
    return {theirs: ours for theirs in unused if (ours := near_miss(theirs, lacking))}


def _asked(missed: dict[str, str]) -> str:
    return "; ".join(f"`{theirs}`: did you mean `{ours}`?" for theirs, ours in missed.items())


def refuse_twice(columns: Sequence[str], source: str) -> None:
    """Refuse a file that has a column twice, which pandas would call ``name`` and ``name.1``.

    Raises:
        SchemaError: naming the columns.
    """
    copies = [name for name in columns if (seen := re.fullmatch(r"(.+)\.\d+", name)) and seen[1] in columns]
    twice = sorted({*(name.rpartition(".")[0] for name in copies), *(n for n in columns if columns.count(n) > 1)})
    if twice:
        raise SchemaError(f"{source}: column {', '.join(twice)} stands there twice. Drop one, or rename it.")


def refuse_without(unused: Sequence[str], lacking: Sequence[str], columns: Sequence[str], source: str) -> None:
    """Refuse a file with ``columns`` without those that every table has, unless an unused one looks like each.

    Raises:
        SchemaError: naming what is missing.
    """
    missed = _missed(unused, lacking)
    if set(lacking) <= set(missed.values()):
        return
    mend = f"{_asked(missed)} Rename columns, or map them with a mapping file (tolerance import --help).".lstrip()
    raise SchemaError(f"{source}: column {', '.join(lacking)} missing; the file has {', '.join(columns)}. {mend}")


def _letters(name: str) -> str:
    return re.sub(r"[\W_]+", "", name).casefold()
