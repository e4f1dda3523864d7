"""What an importer must hold: it knows its files, what it reads are valid outcomes, and reading changes nothing."""

import hashlib
import os
from pathlib import Path
from typing import TYPE_CHECKING

from tolerance.errors import SchemaError
from tolerance.testing.requiring import require

if TYPE_CHECKING:
    import pandas as pd

    from tolerance.data.importers import Importer


def check_importer(importer: "Importer | type[Importer]", sample: str | os.PathLike[str]) -> None:
    """Check an importer, or a class of one that takes no arguments, on a small file of its format.

    Raises:
        AssertionError: what does not hold, and the mend.
    """
    made: Importer = importer() if isinstance(importer, type) else importer
    path = Path(sample)
    who = f"importer {getattr(made, 'name', None)!r}"
    named = isinstance(getattr(made, "name", None), str) and made.name
    require(named, who, "it has no name", "Give it a name, a text: what --format is given")
    require(path.is_file(), who, f"the sample {path} is no file", "Give a small file of its format")
    require(made.recognises(path) is True, who, f"it does not recognise {path.name}", "Return True for its own files")
    elsewhere = made.recognises(path.with_name("nothing.of-the-kind"))
    require(elsewhere is False, who, "it recognises a file that is not there", "Look at the ending or the first bytes")
    before = _sha256(path)
    frame, again = made.read(path), made.read(path)
    require(_sha256(path) == before, who, "reading changes the file", "Only read it")
    require(len(frame), who, "it reads no row", "Give one row for each answer")
    require(frame.equals(again), who, "reading twice gives two tables", "Draw nothing at random")
    table = _valid(who, frame)
    shuffled = _valid(who, frame.sample(frac=1, random_state=0))
    mend = "Give every answer its item, task, model, sparsifier and level, so that a row says all by itself"
    require(_sorted(table).equals(_sorted(shuffled)), who, "the order of rows matters", mend)


def _valid(who: str, frame: "pd.DataFrame") -> "pd.DataFrame":
    from tolerance.data.outcomes import validate

    try:
        return validate(frame, source=who)
    except SchemaError as error:
        raise AssertionError(f"{who}: what it reads are no outcomes. {error}") from error


def _sorted(table: "pd.DataFrame") -> "pd.DataFrame":
    from tolerance.data.conditions import KEY

    return table.sort_values(list(KEY), ignore_index=True)


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
