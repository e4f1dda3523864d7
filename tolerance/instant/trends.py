"""Trends over levels, and the level up to which enough is seen to be kept."""

from collections.abc import Iterator
from typing import Literal

import numpy as np
from scipy.special import ndtr, ndtri

from tolerance import findings
from tolerance.data.cells import halvings, sparsity
from tolerance.data.item_table import NOWHERE, ItemTable, TaskItems
from tolerance.data.manifest import digest
from tolerance.data.task_sets import TaskSet
from tolerance.instant.cells import Asked, Floats, inside
from tolerance.instant.contrasts import ItemPair
from tolerance.instant.many_items import alike, each_item
from tolerance.model.curve import crossing
from tolerance.stats import gee
from tolerance.stats.intervals import Interval
from tolerance.stats.isotonic import isotonic


def trends(answers: ItemTable, sets: list[TaskSet], asked: Asked) -> Iterator[findings.Trend]:
    """Scores against halvings of the density, dense included, for each task type and sparsifier."""
    for one in sets:
        tasks = [task for task in answers.tasks if task.task_type == one.task_type]
        parts = [part for part in (_trend_rows(task, one, answers) for task in tasks) if len(part)]
        if parts:
            yield _trend(one.task_type, one.sparsifier, parts, asked)


def _trend_rows(task: TaskItems, among: TaskSet, answers: ItemTable) -> Floats:
    """Score, halvings, configuration, cluster and how many items each is of, of a task's answers ``(answer, 5)``.

    Answers under a method and dense; of very many items one stands for all that were answered alike.
    """
    mine = [
        c
        for c, (config, condition) in enumerate(zip(task.config, task.condition, strict=True))
        if task.sparsity[c] > 0
        and answers.conditions[condition].sparsifier == among.sparsifier
        and answers.conditions[condition].level in among.levels
        and (task.name, *answers.configs[config]) in among.places
    ]
    if not mine:
        return np.empty((0, 5))
    dense = task.dense[mine]
    columns = np.unique([*mine, *dense[dense != NOWHERE]]).astype(np.int64)
    alone = task.clustered or answers.spanning
    items, often = each_item(task) if alone else alike(task, columns)
    row, place = np.nonzero(task.asked[np.ix_(items, columns)])
    item, column = items[row], columns[place]
    along = halvings(task.sparsity)[column]
    return np.column_stack([task.mean[item, column], along, task.config[column], task.cluster[item], often[row]])


def _trend(task_type: str, sparsifier: str, parts: list[Floats], asked: Asked) -> findings.Trend:
    rows = np.concatenate(parts)
    task = np.repeat(np.arange(len(parts)), [len(part) for part in parts])
    block = task * (int(rows[:, 2].max()) + 1) + rows[:, 2].astype(np.int64)
    # clusters are coded across tasks
    _, first, item = np.unique(rows[:, 3], return_index=True, return_inverse=True)
    often = rows[first, 4]
    found = gee.slope(rows[:, 0], rows[:, 1], block, item, often)
    if not isinstance(found, gee.Slope):
        n_items, n_answers = int(often.sum()), int(rows[:, 4].sum())
        nothing = {"slope": None, "p": None, "correlation": None, "left_out": len(np.unique(block))}
        return findings.Trend(
            task_type=task_type, sparsifier=sparsifier, n_items=n_items, n_answers=n_answers, reason=found, **nothing
        )
    half = ndtri(asked.tails[1]) * found.se
    interval = Interval(kind="robust", prob=asked.prob, lower=found.slope - half, upper=found.slope + half)
    return findings.Trend(
        task_type=task_type,
        sparsifier=sparsifier,
        slope=findings.Measured(value=found.slope, interval=interval),
        p=float(2 * ndtr(-abs(found.slope) / found.se)),
        correlation=found.correlation,
        n_items=found.n_items,
        n_answers=found.n_answers,
        left_out=found.left_out,
        reason=None,
    )


def observed_levels(
    answers: ItemTable, against_dense: list[ItemPair], asked: Asked
) -> Iterator[findings.ObservedLevel]:
    """One for each task type and sparsifier, in the order of their names."""
    measured = {
        (task.task_type, answers.conditions[condition].sparsifier)
        for task in answers.tasks
        for condition in task.condition[task.sparsity > 0]
    }
    for task_type, sparsifier in sorted(measured):
        mine = [pair for pair in against_dense if (pair.task_type, pair.first) == (task_type, sparsifier)]
        yield _observed_level(task_type, sparsifier, mine, asked)


def _observed_level(task_type: str, sparsifier: str, mine: list[ItemPair], asked: Asked) -> findings.ObservedLevel:
    """Where retention falls below what is asked, straight in halvings from 1 at dense to each measured level.

    Retention does not rise with sparsity: a level that keeps more than the one before is noise, and both get their mean
    (isotonic regression), so that a dip by chance is no threshold.
    """
    reason = _unanswerable(mine)
    named = {"id": f"observed-{digest([task_type, sparsifier])[:8]}", "task_type": task_type, "sparsifier": sparsifier}
    if reason is not None:
        return findings.ObservedLevel(**named, reason=reason, level=None)
    mine = sorted(mine, key=lambda pair: pair.sparsity / pair.blocks)
    at = np.array([pair.sparsity / pair.blocks for pair in mine])
    falling = isotonic(np.stack([pair.kept for pair in mine], axis=1))
    return findings.ObservedLevel(**named, reason=None, level=kept_up_to(at, falling, asked))


def kept_up_to(at: Floats, kept: Floats, asked: Asked) -> findings.Level:
    """Where shares kept ``(draw, level)`` at ascending sparsities ``(level,)`` fall below what is asked.

    The first draw is the value as observed, of which the level's median is; the others make its interval.
    """
    crossed = crossing(np.column_stack([np.ones(len(kept)), kept]), np.append(0.0, halvings(at)), asked.retention)
    # infinite crossings have no interpolated quantile: take an order statistic
    low, high = np.quantile(crossed[1:], asked.tails, method="inverted_cdf")
    value, lower, upper = (inside(float(sparsity(end)), at) for end in (crossed[0], low, high))
    return findings.Level(
        median=value,
        lower=lower,
        upper=upper,
        prob=asked.prob,
        first=float(at[0]),
        last=float(at[-1]),
        prob_below=float(np.mean(sparsity(crossed[1:]) < at[0])),
        prob_beyond=float(np.mean(~np.isfinite(crossed[1:]))),
    )


def _unanswerable(mine: list[ItemPair]) -> "findings.Reason | Literal['a task with a single item'] | None":
    if not mine:
        return "no dense baseline"
    if any(pair.at_floor for pair in mine):
        return "dense accuracy is at the guessing floor"
    return "a task with a single item" if any(pair.lonely for pair in mine) else None
