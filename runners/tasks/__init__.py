"""Tasks by name. To add one: a file with a `Task`, a line here, a test, a row in docs/tasks.md (CONTRIBUTING.md)."""

from tolerance.errors import SchemaError
from tolerance.runners.tasks.base import Item, Task
from tolerance.runners.tasks.biographies import Biographies
from tolerance.runners.tasks.common_word import CommonWord
from tolerance.runners.tasks.from_file import MARK, FileTask, is_file, read
from tolerance.runners.tasks.graders import Grade, grade
from tolerance.runners.tasks.kv_lookup import KeyValueLookup
from tolerance.runners.tasks.needles import Needles
from tolerance.runners.tasks.records import Counting, Filtering
from tolerance.runners.tasks.two_hop import TwoHop
from tolerance.runners.tasks.variable_tracking import VariableTracking
from tolerance.runners.tasks.word_lists import CommonWords, FrequentWords

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
TASKS: dict[str, Task] = {**PUZZLES, **ENGLISH}

__all__ = ["ENGLISH", "PUZZLES", "TASKS", "FileTask", "Grade", "Item", "Task", "get", "grade", "is_file"]


def get(name: str) -> Task:
    """A task by name; ``questions.jsonl#capitals`` is a task in a file.

    Raises:
        SchemaError: unknown name.
    """
    if is_file(name):
        path, _, wanted = name.partition(MARK)
        tasks = read(path).tasks
        if wanted not in tasks:
            raise SchemaError(f"{path}: task {wanted!r} unknown. It holds {', '.join(tasks)}.")
        return tasks[wanted]
    if name not in TASKS:
        raise SchemaError(
            f"task {name!r} unknown. Known: {', '.join(TASKS)}; or a path to questions that ends in .jsonl or .parquet."
        )
    return TASKS[name]
