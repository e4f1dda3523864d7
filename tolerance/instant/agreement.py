"""Where the posterior and the instant answer disagree materially: one rule for each thing that both say.

* accuracy of a task type at a measured level: the intervals lie apart by more than `MARGIN`. Levels at which tasks are
  missing are left out: there the two average over different tasks.
* whether the required share of dense accuracy is kept up to a level: the posterior decides it, and the paired intervals
  of retention decide the opposite by more than `MARGIN`.
* which of two methods or task types tolerates more: the posterior decides it, and the observed tolerated levels lie the
  other way round, apart by more than `MARGIN`.

That tolerated levels differ *between* two measured levels is no disagreement: there one follows a curve, the other a
straight line, and nothing was measured. A fit that is withheld says nothing to disagree with.
"""

from collections.abc import Iterator

import numpy as np

from tolerance import findings
from tolerance.data.manifest import digest
from tolerance.data.outcomes import DENSE
from tolerance.stats.intervals import Interval

# In accuracy, in share of dense accuracy, in sparsity.
MARGIN = 0.01


def disagreements(report: findings.Report, instant: findings.Instant) -> list[findings.Disagreement]:
    """Every material disagreement of a report's posterior with the instant answer to the same outcomes."""
    if not report.fit_passed:
        return []
    if report.margin is not None:
        # the instant answer knows the share that is kept, not points lost
        return list(_accuracies(report, instant))
    return [*_accuracies(report, instant), *_kept(report, instant), *_orders(report, instant)]


def _apart(a: Interval, b: Interval) -> bool:
    return a.lower > b.upper + MARGIN or b.lower > a.upper + MARGIN


def _accuracies(report: findings.Report, instant: findings.Instant) -> Iterator[findings.Disagreement]:
    for curve in report.curves:
        cells = [
            cell
            for cell in instant.cells
            if (cell.task_type, cell.task, cell.sparsifier) == (curve.task_type, None, curve.sparsifier)
        ]
        complete = max((cell.n_blocks for cell in cells), default=0)
        for cell in cells:
            seen = cell.robust or cell.wilson
            if curve.band is None or seen is None or cell.n_blocks < complete or cell.sparsity == 0:
                continue
            lower, upper = (np.interp(cell.sparsity, curve.band.sparsity, end) for end in _ends(curve.band))
            fitted = Interval(kind="eti", prob=0.90, lower=float(lower), upper=float(upper))
            if _apart(fitted, seen):
                where = (curve.sparsifier, curve.task_type, None, cell.sparsity)
                yield _disagreement("accuracy", *where, posterior=fitted, instant=seen)


def _ends(band: findings.Band) -> tuple[list[float], list[float]]:
    return band.lower_90, band.upper_90


def _kept(report: findings.Report, instant: findings.Instant) -> Iterator[findings.Disagreement]:
    """Both speak of all levels up to one: kept if kept at each, not kept if not kept at any."""
    for threshold in report.thresholds:
        found = [
            (contrast.sparsity, contrast.retention.interval)
            for contrast in instant.contrasts
            if (contrast.task_type, contrast.first, contrast.second)
            == (threshold.task_type, threshold.sparsifier, DENSE)
            and contrast.retention is not None
            and contrast.retention.interval is not None
        ]
        for kept in threshold.kept:
            upto = [interval for sparsity, interval in found if sparsity <= kept.sparsity + 1e-6]
            if not upto:
                continue
            # To the first measured level that is not lower: up to one in between, nothing says that all is kept.
            reach = min((sparsity for sparsity, _ in found if sparsity >= kept.sparsity - 1e-6), default=0.0)
            through = [interval for sparsity, interval in found if sparsity <= reach]
            lowest = min(upto, key=lambda interval: interval.upper)
            least = min(through or upto, key=lambda interval: interval.lower)
            says_lost = lowest.upper < report.retention - MARGIN
            says_kept = bool(through) and least.lower > report.retention + MARGIN
            if (says_lost and kept.probability >= report.decision_prob) or (
                says_kept and kept.probability <= 1 - report.decision_prob
            ):
                where = (threshold.sparsifier, threshold.task_type, None, kept.sparsity)
                seen = lowest if says_lost else least
                yield _disagreement("kept", *where, probability=kept.probability, instant=seen)


def _orders(report: findings.Report, instant: findings.Instant) -> Iterator[findings.Disagreement]:
    levels = {
        (found.task_type, found.sparsifier): _as_interval(found.level)
        for found in instant.tolerated
        if found.level is not None
    }
    for comparison in report.comparisons:
        if comparison.verdict not in ("first", "second"):
            continue
        names = [comparison.first, comparison.second]
        names = names if comparison.verdict == "first" else names[::-1]
        keys = [
            (name, comparison.within) if comparison.of == "task types" else (comparison.within, name) for name in names
        ]
        winner, loser = (levels.get(key) for key in keys)
        if winner is not None and loser is not None and winner.upper + MARGIN < loser.lower:
            probability = comparison.prob_first if comparison.verdict == "first" else comparison.prob_second
            where = (comparison.within, names[0], names[1], None)
            yield _disagreement("order", *where, probability=probability, instant=winner, other_interval=loser)


def _as_interval(level: findings.Level) -> Interval:
    """The interval of an observed tolerated level; an end outside the measured range reaches to 0 or 1."""
    surely = 1 - (1 - level.prob) / 2
    lower = level.last if level.prob_beyond >= surely else level.lower or 0.0
    upper = level.first if level.prob_below >= surely else 1.0 if level.upper is None else level.upper
    return Interval(kind="bootstrap", prob=level.prob, lower=lower, upper=upper)


def _disagreement(
    about: str,
    within: str,
    subject: str,
    other: str | None,
    sparsity: float | None,
    *,
    instant: Interval,
    posterior: Interval | None = None,
    probability: float | None = None,
    other_interval: Interval | None = None,
) -> findings.Disagreement:
    return findings.Disagreement.model_validate(
        {
            "id": f"disagreement-{digest([about, within, subject, other, sparsity])[:8]}",
            "about": about,
            "within": within,
            "subject": subject,
            "other": other,
            "sparsity": sparsity,
            "posterior": posterior,
            "posterior_probability": probability,
            "instant": instant,
            "instant_other": other_interval,
        }
    )
