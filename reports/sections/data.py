"""What was answered: items by task, and by task, method and level."""

from dataclasses import dataclass

from tolerance.findings import Report, TaskData
from tolerance.reports.sections.section import Section
from tolerance.reports.sections.size import shown
from tolerance.reports.words import left_out, levels, numbers, phrases, subjects


@dataclass(frozen=True)
class TaskRow:
    """Counts of one task."""

    task: str
    task_type: str
    items: str
    answers: str
    chance: str
    unreadable: str
    truncated: str


@dataclass(frozen=True)
class DataRow:
    """Items of one task under one method, level by level."""

    task: str
    task_type: str
    method: str
    levels: list[tuple[str, str, str]]


@dataclass(frozen=True)
class Values:
    """Counts of all answers, or how many published means there are, and how many items were assumed behind them."""

    published: str
    assumed: str
    answers: str
    items: str
    paired: str
    left_out: list[str]
    tasks: list[TaskRow]
    cells: list[DataRow]


def values(report: Report) -> Values:
    """Counts of all answers, and one row a task."""
    data = report.data
    return Values(
        published="" if data.n_means is None else phrases.capitalised(subjects.answers(report)),
        assumed="" if data.assumed_items is None else numbers.count(data.assumed_items),
        answers=numbers.count(data.n_rows),
        items=numbers.count(data.n_items),
        paired=numbers.count(data.n_paired),
        left_out=left_out.of_report(report),
        tasks=[_task(found) for found in data.tasks],
        cells=_cells(shown(report)),
    )


def _task(found: TaskData) -> TaskRow:
    return TaskRow(
        task=found.task,
        task_type=found.task_type,
        items=numbers.count(found.n_items),
        answers=numbers.count(found.n_rows),
        chance="not recorded" if found.chance is None else numbers.accuracy(found.chance),
        unreadable=_recorded(found.unreadable),
        truncated=_recorded(found.truncated),
    )


def _recorded(count: int | None) -> str:
    return "not recorded" if count is None else numbers.count(count)


def _cells(report: Report) -> list[DataRow]:
    """Items by task and method, level by level with the realised sparsity where it differs from the one asked for."""
    types = {task.task: task.task_type for task in report.data.tasks}
    rows: dict[tuple[str, str], list[tuple[str, str, str]]] = {}
    for cell in report.data.cells:
        asked = levels.cell(cell.sparsity, cell.scale, report)
        got = "" if cell.realised is None or cell.scale is not None else numbers.level(cell.realised)
        level = (asked, numbers.count(cell.n_items), "" if got == asked else got)
        rows.setdefault((cell.task, cell.sparsifier), []).append(level)
    return [DataRow(task, types.get(task, ""), method, levels) for (task, method), levels in rows.items()]


SECTION = Section(id="data", title="Data", rows=values)
