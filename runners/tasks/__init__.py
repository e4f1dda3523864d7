"""Tasks by name: ours, those of installed packages, and ``module:Class`` of anybody's (see CONTRIBUTING.md)."""

from inspect import isabstract
from typing import Any

from tolerance.errors import SchemaError
from tolerance.plugins import Registry
from tolerance.runners.tasks.base import Item, Puzzle, PuzzleTask, Task
from tolerance.runners.tasks.biographies import Biographies
from tolerance.runners.tasks.common_word import CommonWord
from tolerance.runners.tasks.dialects import English
from tolerance.runners.tasks.english import Draft, EnglishTask, names, needs
from tolerance.runners.tasks.from_file import MARK, FileTask, is_file, read
from tolerance.runners.tasks.graders import Grade, grade
from tolerance.runners.tasks.kv_lookup import KeyValueLookup
from tolerance.runners.tasks.needles import Needles
from tolerance.runners.tasks.records import Counting, Filtering
from tolerance.runners.tasks.two_hop import TwoHop
from tolerance.runners.tasks.variable_tracking import VariableTracking
from tolerance.runners.tasks.word_lists import CommonWords, FrequentWords
from tolerance.runners.tiny.words import entities

# What the shipped model was trained on; written in every dialect.
PUZZLES: dict[str, Task] = {task.name: task for task in (KeyValueLookup(), TwoHop(), CommonWord())}
# Written in English only.
ENGLISH: dict[str, Task] = {
    task.name: task
    for task in (
        Needles("niah-single", alone=True),
        Needles("niah-multi-key"),
        Needles("niah-multi-value", values=4),
        Needles("niah-multi-query", keys=4),
        *(VariableTracking(hops) for hops in (1, 2, 3, 4)),
        CommonWords(),
        FrequentWords(),
        Filtering(),
        Counting(),
        *(Biographies(hops) for hops in (1, 2, 3)),
    )
}


def _made(found: Any) -> Any:  # noqa: ANN401 - whatever a name stands for
    """A task, where a class of one is found."""
    return found() if isinstance(found, type) and issubclass(found, Task) and not isabstract(found) else found


TASKS: Registry[Task] = Registry(
    "tolerance.tasks",
    "task",
    lambda found: isinstance(found, Task) and isinstance(getattr(found, "name", None), str),
    {**PUZZLES, **ENGLISH},
    needs="A task is a class, or an instance of one, on EnglishTask, PuzzleTask or Task of tolerance.runners.tasks",
    made=_made,
)

__all__ = [
    "ENGLISH",
    "PUZZLES",
    "TASKS",
    "Draft",
    "English",
    "EnglishTask",
    "FileTask",
    "Grade",
    "Item",
    "Puzzle",
    "PuzzleTask",
    "Task",
    "entities",
    "get",
    "grade",
    "is_file",
    "names",
    "needs",
]


def get(name: str) -> Task:
    """A task by name or ``module:Class``; ``questions.jsonl#capitals`` is a task in a file.

    Raises:
        SchemaError: unknown name, or a task of somebody's that bears a name of ours.
    """
    if is_file(name):
        path, _, wanted = name.partition(MARK)
        tasks = read(path).tasks
        if wanted not in tasks:
            raise SchemaError(f"{path}: task {wanted!r} unknown. It holds {', '.join(tasks)}.")
        return tasks[wanted]
    hint = "or a path to questions that ends in .jsonl or .parquet, or module:Class of your own"
    task = TASKS.find(name, hint=hint)
    if task.name in TASKS.ours and TASKS[task.name] is not task:
        raise SchemaError(f"task {name!r} calls itself {task.name!r}, which is ours. Give it another name.")
    return task
