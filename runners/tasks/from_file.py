"""Anyone's questions: a JSONL or Parquet file, one question a row, becomes a task for each name in its column `task`.

Required columns: prompt, answer (a text, or a list of texts), task, task_type. Optional: grader (how the answer is
judged, 'contains' unless given; see `graders`), chance, scope, dispersion, context_length, max_new_tokens, id.

A prompt is one message of a user: it goes into the model's chat template where there is one and stays as it is where
there is none. What the file does not say (chance, scope, dispersion) stays empty in the outcomes; it is not guessed.
"""

import hashlib
import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from tolerance.data.outcomes import TASK_TYPES
from tolerance.data.vocabularies import near_miss
from tolerance.errors import SchemaError
from tolerance.runners.tasks.base import Dialect, Grader, Item, Task
from tolerance.runners.tasks.graders import FOR_FILES

ENDINGS = (".jsonl", ".parquet")
# Between a file and one of its tasks: questions.jsonl#capitals
MARK = "#"
REQUIRED = ("prompt", "answer", "task", "task_type")
OPTIONAL = ("grader", "chance", "scope", "dispersion", "context_length", "max_new_tokens", "id")
MAX_NEW_TOKENS = 64
# Far beyond any context; what lies above is a slip.
MOST = 10**10


@dataclass(frozen=True)
class Row:
    """One question of a file, checked."""

    item_id: str
    prompt: str
    answers: tuple[str, ...]
    task: str
    task_type: str
    grader: Grader
    chance: float | None
    scope: float | None
    dispersion: float | None
    context_length: int | None
    max_new_tokens: int


class FileTask(Task):
    """The questions of one task in a file, in the order of the file."""

    def __init__(self, rows: tuple[Row, ...]) -> None:
        self.rows = rows
        self.name, self.task_type = rows[0].task, rows[0].task_type
        self.max_new_tokens = max(row.max_new_tokens for row in rows)

    def item(self, dialect: Dialect, context_length: int, seed: int, index: int) -> Item:
        """Row ``index``; context length and seed play no part."""
        row = self.rows[index]
        return Item(
            item_id=f"{row.item_id}/{dialect.name}",
            task=row.task,
            task_type=row.task_type,
            context_length=row.context_length,
            prompt=dialect.ask(row.prompt),
            answers=row.answers,
            chance=row.chance,
            scope=row.scope,
            dispersion=row.dispersion,
            seed=seed,
            grader=row.grader,
        )

    def longest(self, n: int) -> int:
        """By characters."""
        return max(range(n), key=lambda i: len(self.rows[i].prompt))


@dataclass(frozen=True)
class QuestionFile:
    """A file's tasks by name, and the hash of its bytes."""

    sha256: str
    tasks: dict[str, FileTask]


def is_file(name: str) -> bool:
    """Whether a plan's task is a file of questions, or a task in one."""
    return name.partition(MARK)[0].endswith(ENDINGS)


def read(path: str) -> QuestionFile:
    """Read and check a whole file of questions.

    Raises:
        SchemaError: naming file, row, column, value and mend.
    """
    where = Path(path)
    if not where.is_file():
        raise SchemaError(f"{path}: no such file of questions. Give a path as seen from here.")
    return _read(path, where.stat().st_mtime_ns, where.stat().st_size)


@lru_cache(maxsize=16)
def _read(path: str, _changed: int, _size: int) -> QuestionFile:
    content = Path(path).read_bytes()
    tasks: dict[str, list[Row]] = {}
    seen: dict[str, int] = {}
    stem = Path(path).stem
    for number, given in _records(path, content):
        row = _Checked(f"{path} row {number}", given).row(stem)
        if row.item_id in seen:
            raise SchemaError(
                f"{path} row {number}: the same question as row {seen[row.item_id]}. Drop it: an item counts once."
            )
        seen[row.item_id] = number
        tasks.setdefault(row.task, []).append(row)
    if not tasks:
        raise SchemaError(f"{path}: holds no questions. Give one row a question.")
    for rows in tasks.values():
        _require_one(path, rows)
    return QuestionFile(
        hashlib.sha256(content).hexdigest(), {name: FileTask(tuple(rows)) for name, rows in tasks.items()}
    )


def _require_one(path: str, rows: list[Row]) -> None:
    """A task is a set of items with one type and one grading rule."""
    for column in ("task_type", "grader"):
        several = sorted({str(getattr(row, column)) for row in rows})
        if len(several) > 1:
            raise SchemaError(
                f"{path}: task {rows[0].task!r} has {column} {' and '.join(several)}. Give each its own task."
            )


def _records(path: str, content: bytes) -> Iterator[tuple[int, Mapping[str, Any]]]:
    """Rows with their numbers, counted from 1."""
    if path.endswith(".parquet"):
        import pyarrow as pa
        import pyarrow.parquet as pq

        try:
            table = pq.read_table(pa.BufferReader(content), page_checksum_verification=True)
            rows = table.to_pylist()
        except (pa.ArrowException, OSError, ValueError, KeyError, TypeError, OverflowError) as error:
            said = (str(error).splitlines() or [type(error).__name__])[0]
            raise SchemaError(f"{path}: not a readable Parquet file ({said}). Write it anew.") from error
        yield from enumerate(rows, 1)
        return
    try:
        # not splitlines: a JSON text may hold other marks that end lines elsewhere
        lines = content.decode("utf-8-sig").split("\n")
    except UnicodeDecodeError as error:
        raise SchemaError(f"{path}: not UTF-8 text ({error}). Save it as UTF-8.") from error
    for number, line in enumerate(lines, 1):
        if line.strip():
            try:
                given = json.loads(line)
            except RecursionError as error:
                raise SchemaError(f"{path} row {number}: nested too deeply. Give one object a line.") from error
            except ValueError as error:
                raise SchemaError(f"{path} row {number}: not JSON ({error}). Give one object a line.") from error
            if not isinstance(given, dict):
                raise SchemaError(f"{path} row {number}: {given!r}, expected an object with {', '.join(REQUIRED)}.")
            yield number, given


@dataclass(frozen=True)
class _Checked:
    """One reading of a row; ``where`` names it in messages."""

    where: str
    given: Mapping[str, Any]

    def row(self, stem: str) -> Row:
        self._require_columns()
        prompt, task = self._text("prompt"), self._text("task")
        answers = self._answers()
        grader: Grader = self._choice("grader", FOR_FILES, "contains")  # type: ignore[assignment]
        self._require_fit(grader, answers)
        chance = self._number("chance", below=1)
        if grader == "choice" and chance is None:
            raise SchemaError(f"{self.where}: grader 'choice' needs chance. Give 1 / number of options.")
        name = self.given.get("id")
        if name is not None and (
            isinstance(name, bool) or not isinstance(name, str | int) or not str(name).isprintable()
        ):
            raise SchemaError(f"{self.where}: id: {name!r}, expected a text or a whole number.")
        whole = hashlib.sha256(json.dumps([prompt, answers]).encode()).hexdigest()[:12]
        return Row(
            item_id=f"{stem}/{task}/{whole if name is None else name}",
            prompt=prompt,
            answers=answers,
            task=task,
            task_type=self._task_type(),
            grader=grader,
            chance=chance,
            scope=self._number("scope"),
            dispersion=self._number("dispersion", most=1),
            context_length=self._whole("context_length", None),
            max_new_tokens=self._whole("max_new_tokens", MAX_NEW_TOKENS) or 1,
        )

    def _task_type(self) -> str:
        """One of ours, or a word of the user's own that is no slip of one."""
        given = self._text("task_type")
        meant = near_miss(given, TASK_TYPES)
        if meant is not None:
            raise SchemaError(f"{self.where}: task_type: {given!r}: did you mean {meant}?")
        return given

    def _require_columns(self) -> None:
        missing = [name for name in REQUIRED if self.given.get(name) is None]
        unknown = sorted(set(self.given) - {*REQUIRED, *OPTIONAL})
        if missing:
            raise SchemaError(f"{self.where}: {', '.join(missing)} missing. A question has {', '.join(REQUIRED)}.")
        if unknown:
            raise SchemaError(
                f"{self.where}: column {', '.join(unknown)} unknown. Known: {', '.join((*REQUIRED, *OPTIONAL))}."
            )

    def _text(self, name: str) -> str:
        value = self.given[name]
        if not isinstance(value, str) or not value.strip():
            raise SchemaError(f"{self.where}: {name}: {value!r}, expected a text.")
        _require_whole(self.where, name, value)
        if name == "task" and not value.isprintable():
            raise SchemaError(
                f"{self.where}: {name}: {value!r} holds a character that cannot be seen. Name it plainly."
            )
        return value

    def _answers(self) -> tuple[str, ...]:
        value = self.given["answer"]
        values = value if isinstance(value, list) else [value]
        wrong = [v for v in values if isinstance(v, bool) or not isinstance(v, str | int | float) or not str(v).strip()]
        wrong += [v for v in values if isinstance(v, float) and not math.isfinite(v)]
        if wrong or not values:
            raise SchemaError(f"{self.where}: answer: {value!r}, expected a text or a list of texts.")
        for answer in values:
            _require_whole(self.where, "answer", str(answer))
        return tuple(str(v) for v in values)

    def _require_fit(self, grader: str, answers: tuple[str, ...]) -> None:
        for answer in answers:
            if grader == "choice" and not (len(answer) == 1 and answer.isascii() and answer.isupper()):
                raise SchemaError(f"{self.where}: answer: {answer!r}, expected one capital letter for grader 'choice'.")
            if grader == "number" and not _is_number(answer):
                raise SchemaError(f"{self.where}: answer: {answer!r}, expected a number for grader 'number'.")
            if grader in ("exact", "contains", "any") and not any(c.isalnum() for c in answer):
                raise SchemaError(f"{self.where}: answer: {answer!r}, expected at least one letter or digit.")

    def _choice(self, name: str, among: tuple[str, ...], default: str | None) -> str:
        value = self.given.get(name) or default
        if not isinstance(value, str) or value not in among:
            raise SchemaError(f"{self.where}: {name}: {value!r}, expected one of {', '.join(among)}.")
        return str(value)

    def _number(self, name: str, *, most: float | None = None, below: float | None = None) -> float | None:
        value = self.given.get(name)
        if value is None:
            return None
        right = not isinstance(value, bool) and isinstance(value, int | float) and 0 <= value <= MOST
        if not right or (most is not None and value > most) or (below is not None and value >= below):
            limit = "" if most is None else f" and at most {most:g}"
            limit = limit if below is None else f" and below {below:g}"
            raise SchemaError(
                f"{self.where}: {name}: {value!r}, expected a number, at least 0{limit or f' and at most {MOST:g}'}."
            )
        return float(value)

    def _whole(self, name: str, default: int | None) -> int | None:
        value = self.given.get(name)
        if value is None:
            return default
        if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= MOST:
            seen = repr(value)[:40]
            raise SchemaError(
                f"{self.where}: {name}: {seen}, expected a whole number, at least 1 and at most {MOST:g}."
            )
        return value


def _require_whole(where: str, name: str, text: str) -> None:
    """JSON can hold half a character, which nothing can write again."""
    if any("\ud800" <= character <= "\udfff" for character in text):
        raise SchemaError(f"{where}: {name}: holds half a character (a lone surrogate). Write it out.")


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
