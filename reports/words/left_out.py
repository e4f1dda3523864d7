"""What no number is over, and why: items that others were not asked, tasks, answers that were not graded."""

from collections.abc import Iterator, Sequence

from tolerance.findings import Composition, DenominatorMatters, Instant, Measured, Report, Ungraded, Unshared
from tolerance.reports.words import levels, numbers, phrases

MOST = 6


def of_report(report: Report) -> list[str]:
    """Everything that the data section says of it, oddities of the table included."""
    data = report.data
    said = [*unshared(data.unshared)]
    if data.different:
        said.append(
            f"Each condition of {phrases.listed(data.different)} asked items of its own: nothing is paired there, and "
            "a difference between levels may be one between items."
        )
    if data.unlike_models:
        said.append(
            f"Models answered different items of {phrases.listed(data.unlike_models)}: a difference between models may "
            "be one between items there."
        )
    for tasks in data.alike:
        said.append(
            f"{phrases.capitalised(phrases.listed(tasks))} are taken to have the same items, for their scores agree "
            "item by item: each item counts once."
        )
    if data.n_clusters is not None:
        said.append(
            f"Items depend on each other within {numbers.count(data.n_clusters)} groups, which intervals count."
        )
    if report.instant is not None:
        said += [*compositions(report.instant.compositions), *ungraded(report.instant)]
    elif data.n_ungraded:
        said.append(f"{numbers.count(data.n_ungraded)} items were not graded and are left out.")
    return [*said, *(phrases.capitalised(remark) for remark in data.remarks)]


def of_instant(instant: Instant) -> list[str]:
    """The same of an instant answer."""
    return [*unshared(instant.unshared), *compositions(instant.compositions), *ungraded(instant)]


def unshared(found: Sequence[Unshared]) -> Iterator[str]:
    """Items that were left out, a sentence a condition."""
    for one in found[:MOST]:
        where = f"{one.task} under {one.sparsifier}{_at(one)} by {one.model}"
        if one.whole:
            yield (
                f"Left out: {where}, which answered {phrases.counted(one.n_items, 'item')} only; other conditions of "
                "the task answered many more."
            )
            continue
        unlike = ""
        if one.selection is not None:
            harder = "harder" if one.selection > 0 else "easier"
            unlike = f" They are {harder} than those that stay, by {abs(one.selection):.2f} in mean score."
        yield (
            "Left out, because not every condition has a graded answer to them: "
            f"{phrases.counted(one.n_items, 'item')} of {where}; {numbers.count(one.n_kept)} stay.{unlike}"
        )
    if len(found) > MOST:
        rest = sum(one.n_items for one in found[MOST:])
        yield f"And {numbers.count(rest)} answers of {len(found) - MOST} further conditions."


def _at(one: Unshared) -> str:
    return "" if one.level == 0 and one.scale is None else f" at {levels.level(one.level, one.scale)}"


def compositions(found: Sequence[Composition]) -> Iterator[str]:
    """Means that are not over all tasks of their type, a sentence each."""
    for one in found:
        if one.mixed:
            yield (
                f"Under {one.sparsifier}, tasks of {one.task_type} differ from level to level: its levels are not "
                "means over the same tasks."
            )
            continue
        lacking = f" only: it did not answer {phrases.listed(one.lacking)} at all its levels" if one.lacking else ""
        dropped = [levels.level(at, one.scale) for at in one.dropped]
        without = f", without {phrases.listed(dropped)}, where tasks are missing" if dropped else ""
        yield f"Under {one.sparsifier}, {one.task_type} is over {phrases.listed(one.tasks)}{lacking}{without}."


def ungraded(instant: Instant) -> Iterator[str]:
    """Answers that were not graded, and what changes if they count as wrong."""
    if not instant.ungraded:
        return
    reasons: dict[str, int] = {}
    for one in instant.ungraded:
        for reason, n in one.reasons.items():
            reasons[reason] = reasons.get(reason, 0) + n
    why = phrases.listed([f"{reason} {numbers.count(n)}" for reason, n in sorted(reasons.items())])
    yield (
        f"{numbers.count(sum(reasons.values()))} answers were not graded ({why}): they are left out, and so are the "
        "same items elsewhere."
    )
    worst = max(instant.ungraded, key=lambda one: one.n_ungraded / one.n_answers)
    yield _side_by_side(worst)
    yield from map(_matters, instant.denominator_matters)


def _side_by_side(one: Ungraded) -> str:
    shares = [numbers.accuracy(x) if x is not None else "unknown" for x in (one.accuracy_graded, one.accuracy_all)]
    at = levels.level(one.level, one.scale)
    return (
        f"Most of them, {numbers.count(one.n_ungraded)} of {numbers.count(one.n_answers)}, are {one.task_type} under "
        f"{one.sparsifier} at {at}: accuracy {shares[0]} of graded answers, {shares[1]} "
        "if the others count as wrong."
    )


def _matters(one: DenominatorMatters) -> str:
    what = "difference with dense" if one.about == "difference" else "share of dense accuracy kept"
    at = levels.level(one.level, one.scale)
    return (
        f"That decides: the {what} of {one.task_type} under {one.sparsifier} at {at} is "
        f"{_value(one.graded, one.about)} of graded answers, {_value(one.all, one.about)} of all."
    )


def _value(found: Measured, about: str) -> str:
    write = numbers.differences if about == "difference" else numbers.percents
    if found.interval is None:
        return write([found.value])[0]
    value, low, high = write([found.value, found.interval.lower, found.interval.upper])
    return f"{value} ({low} to {high})"
