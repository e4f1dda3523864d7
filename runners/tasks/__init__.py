"""Tasks by name. To add one: a file with a `Task`, a line here, a test (see CONTRIBUTING.md)."""

from tolerance.errors import SchemaError
from tolerance.runners.tasks.base import Grade, Item, Task, grade
from tolerance.runners.tasks.common_word import CommonWord
from tolerance.runners.tasks.kv_lookup import KeyValueLookup
from tolerance.runners.tasks.two_hop import TwoHop

TASKS: dict[str, Task] = {task.name: task for task in (KeyValueLookup(), TwoHop(), CommonWord())}

__all__ = ["TASKS", "Grade", "Item", "Task", "get", "grade"]


def get(name: str) -> Task:
    """A task by name.

    Raises:
        SchemaError: unknown name.
    """
    if name not in TASKS:
        raise SchemaError(f"task {name!r} unknown. Known: {', '.join(TASKS)}.")
    return TASKS[name]
