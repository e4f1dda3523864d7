"""Answers that were not graded: how many, and what would change if they counted as wrong."""

from collections.abc import Iterator, Sequence

import numpy as np

from tolerance import findings
from tolerance.data import weights
from tolerance.data.item_table import ItemTable
from tolerance.data.prepared import Prepared
from tolerance.stats.intervals import Interval


def ungraded(prepared: Prepared) -> Iterator[findings.Ungraded]:
    """One for each task type and condition with answers that were not graded."""
    if not prepared.ungraded:
        return
    graded, whole = _accuracies(prepared.items), _accuracies(prepared.as_wrong.items)
    keys = ["task_type", "sparsifier", "sparsity_requested"]
    for (kind, method, level), rows in prepared.outcomes.groupby(keys, sort=True):
        reasons = {str(reason): weights.total(mine) for reason, mine in rows.groupby("ungraded", sort=True)}
        if reasons:
            key = str(kind), str(method), float(str(level))
            yield findings.Ungraded(
                task_type=key[0],
                sparsifier=key[1],
                level=key[2],
                n_answers=weights.total(rows),
                n_ungraded=sum(reasons.values()),
                reasons=reasons,
                accuracy_graded=graded.get(key),
                accuracy_all=whole.get(key),
            )


def _accuracies(answers: ItemTable) -> dict[tuple[str, str, float], float]:
    """Mean accuracy over the tasks, models and contexts of each task type and condition."""
    found: dict[tuple[str, str, float], list[float]] = {}
    for task in answers.tasks:
        means = task.mean.sum(axis=0) / task.asked.sum(axis=0)
        for condition, mean in zip(task.condition, means, strict=True):
            found.setdefault((task.task_type, *answers.conditions[condition]), []).append(float(mean))
    return {key: float(np.mean(means)) for key, means in found.items()}


def denominator_matters(
    graded: Sequence[findings.Paired], whole: Sequence[findings.Paired], retention: float
) -> Iterator[findings.DenominatorMatters]:
    """Contrasts with dense that say one thing over graded answers and another over all."""
    others = {one.id: one for one in whole}
    for one in graded:
        other = others.get(one.id)
        if one.second != "dense" or other is None:
            continue
        named = {"task_type": one.task_type, "sparsifier": one.first, "level": one.level}
        if _side(one.difference, 0.0) != _side(other.difference, 0.0):
            yield findings.DenominatorMatters(**named, about="difference", graded=one.difference, all=other.difference)
        if one.retention and other.retention and _side(one.retention, retention) != _side(other.retention, retention):
            yield findings.DenominatorMatters(**named, about="retention", graded=one.retention, all=other.retention)


def _side(found: findings.Measured, line: float) -> str:
    """Where an interval lies."""
    interval: Interval | None = found.interval
    if interval is None:
        return "unknown"
    return "below" if interval.upper < line else "above" if interval.lower > line else "across"
