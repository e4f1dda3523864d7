"""The same tasks at every level: what a task type's mean is over, so that its change is not a change of tasks.

A place is a task under one model and context. Of a method's places and levels in a task type the largest set stays in
which every place has every level: places that lack levels, or levels that lack places, are named and left out.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd

from tolerance.data.item_table import ItemTable

Place = tuple[str, str, int | None]


@dataclass(frozen=True)
class TaskSet:
    """What a task type's mean under a method is over: ``places`` at ``levels``, and what was left out for it.

    ``lacking`` names tasks, of all methods' and of dense, that are not among the places at all levels; ``dropped`` are
    levels at which places are missing. ``mixed``: no set of more than one level was found, so that all stay.
    """

    task_type: str
    sparsifier: str
    places: frozenset[Place]
    levels: frozenset[float]
    lacking: tuple[str, ...]
    dropped: tuple[float, ...]
    mixed: bool = False

    @property
    def tasks(self) -> tuple[str, ...]:
        """Tasks among the places."""
        return tuple(sorted({task for task, _, _ in self.places}))

    @property
    def whole(self) -> bool:
        """Whether nothing is left out."""
        return not self.lacking and not self.dropped and not self.mixed


def task_sets(table: ItemTable) -> list[TaskSet]:
    """One for each task type and method of answers by item, in order of both."""
    rows = [
        (task.name, task.task_type, *table.configs[config], *table.conditions[condition])
        for task in table.tasks
        for config, condition, at in zip(task.config, task.condition, task.sparsity, strict=True)
        if at > 0
    ]
    every = {(task.task_type, task.name) for task in table.tasks}
    return list(_sets(rows, every))


def task_sets_of_cells(cells: pd.DataFrame) -> list[TaskSet]:
    """The same of cells' ``frame``."""
    columns = ["task", "task_type", "model", "context_length", "sparsifier", "sparsity_requested"]
    sparse = cells.loc[cells["sparsity"] > 0, columns].astype({"context_length": object})
    rows = [(t, kind, m, None if pd.isna(c) else int(c), s, float(at)) for t, kind, m, c, s, at in sparse.to_numpy()]
    return list(_sets(rows, set(zip(cells["task_type"], cells["task"], strict=True))))


def _sets(rows: list[tuple[str, str, str, int | None, str, float]], every: set[tuple[str, str]]) -> Iterator[TaskSet]:
    measured: dict[tuple[str, str], set[tuple[Place, float]]] = {}
    for task, kind, model, context, method, level in rows:
        measured.setdefault((kind, method), set()).add(((task, model, context), level))
    for (kind, method), cells in sorted(measured.items()):
        places, levels = _largest(cells)
        tasks = {task for task, _, _ in places}
        lacking = tuple(sorted(name for its, name in every if its == kind and name not in tasks))
        seen = {level for _, level in cells}
        partial = any((place, level) not in cells for place in places for level in levels)
        yield TaskSet(kind, method, places, levels, lacking, tuple(sorted(seen - levels)), mixed=partial)


def _largest(cells: set[tuple[Place, float]]) -> tuple[frozenset[Place], frozenset[float]]:
    """All places and levels where each has each; else the larger of two sets: whole places, or levels of all places."""
    places = sorted({place for place, _ in cells}, key=str)
    levels = sorted({level for _, level in cells})
    there = np.array([[(place, level) in cells for level in levels] for place in places])
    if there.all():
        return frozenset(places), frozenset(levels)
    rows, columns = there.all(axis=1), there.all(axis=0)
    by_place, by_level = int(rows.sum()) * len(levels), int(columns.sum()) * len(places)
    if max(by_place, by_level) == 0:
        return frozenset(places), frozenset(levels)
    if by_place >= by_level:
        return frozenset(p for p, whole in zip(places, rows, strict=True) if whole), frozenset(levels)
    return frozenset(places), frozenset(level for level, whole in zip(levels, columns, strict=True) if whole)
