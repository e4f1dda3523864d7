"""What a fit says of itself -> words and rows: attempts, predictions, priors, shapes, left-out cells, families."""

from dataclasses import dataclass
from typing import assert_never

from tolerance.findings import Attempt, Family, LeftOut, Predicted, Report, Sensitivity, Shape
from tolerance.reports.words import levels, numbers, thresholds
from tolerance.reports.words.glyphs import State, state
from tolerance.reports.words.phrases import capitalised, listed, percent

# So many cells are shown, those that are unlike their prediction always.
CELLS_SHOWN = 10
FELT = 0.05


@dataclass(frozen=True)
class PredictedRow:
    """Cells of a prediction."""

    task: str
    method: str
    level: str
    items: str
    observed: str
    interval: str
    p: str
    state: State


@dataclass(frozen=True)
class SensitivityRow:
    """Cells of a curve's sensitivities; ``quantities`` has name, prior's and likelihood's of each."""

    id: str
    task_type: str
    method: str
    state: State
    sentence: str
    quantities: list[tuple[str, str, str]]


@dataclass(frozen=True)
class ShapeRow:
    """What is unusual about a curve."""

    id: str
    sentence: str


@dataclass(frozen=True)
class FamilyRow:
    """Cells of a curve family; ``difference`` is empty where it is withheld, with the reason instead."""

    name: str
    change: str
    state: State
    difference: str
    reason: str


def attempts(report: Report) -> list[str]:
    """Every fit that was tried, in order, and what came of it."""
    return [f"{capitalised(one.change)}: {_came_of(one)}." for one in report.attempts]


def _came_of(found: Attempt) -> str:
    return f"failed {listed(found.failed)}" if found.failed else "passed every check"


def predicted(report: Report) -> list[PredictedRow]:
    """The cells that are the most unlike what is predicted for new answers."""
    unlike = [one for one in report.predicted if one.unlike]
    rest = [one for one in report.predicted if not one.unlike]
    return [_predicted(one, report) for one in [*unlike, *rest[: max(0, CELLS_SHOWN - len(unlike))]]]


def predictions(report: Report) -> str:
    """How many cells are unlike their prediction, and which tasks they are of."""
    unlike = list(dict.fromkeys(one.task for one in report.predicted if one.unlike))
    counted = f"{numbers.count(len(report.predicted))} cells (task, method and level)"
    if not unlike:
        return f"None of {counted} is unlike what the fitted curves predict for new answers."
    n = sum(one.unlike for one in report.predicted)
    return f"{n} of {counted} are unlike what the fitted curves predict for new answers: those of {listed(unlike)}."


def _predicted(found: Predicted, report: Report) -> PredictedRow:
    observed = numbers.accuracy(found.observed)
    interval = "withheld"
    if found.lower is not None and found.upper is not None:
        observed, low, high = numbers.accuracies([found.observed, found.lower, found.upper])
        interval = f"{low} to {high}"
    return PredictedRow(
        task=found.task,
        method=found.sparsifier,
        level=levels.cell(found.sparsity, found.scale, report),
        items=numbers.count(found.n_items),
        observed=observed,
        interval=interval,
        p=numbers.probability(found.p),
        state=state("unlike" if found.unlike else "as predicted"),
    )


def sensitivities(report: Report) -> list[SensitivityRow]:
    """Every curve, with how far its numbers follow the prior and the answers."""
    return [_sensitivity(one) for one in report.sensitivities]


def _sensitivity(found: Sensitivity) -> SensitivityRow:
    told = found.status == "ok"
    word = (found.leaning or "not felt") if told else "withheld"
    return SensitivityRow(
        id=found.id,
        task_type=found.task_type,
        method=found.sparsifier,
        state=state(word),
        sentence=capitalised(thresholds.leaning(found.leaning) or "the answers decide") + "."
        if told
        else "The fit failed its checks.",
        quantities=[
            (
                capitalised(one.quantity) if one.sparsity is None else f"At {levels.level(one.sparsity, found.scale)}",
                _felt(one.prior),
                _felt(one.likelihood),
            )
            for one in (found.quantities if told else [])
        ],
    )


def _felt(value: float | None) -> str:
    return "the same in every draw" if value is None else numbers.against(value, FELT)[0]


def shapes(report: Report) -> list[ShapeRow]:
    """Every curve of an unusual shape, where the fit passed."""
    return [ShapeRow(one.id, shape(one)) for one in report.shapes] if report.fit_passed else []


def shape(found: Shape) -> str:
    """What is unusual about a curve, and what follows."""
    who = f"{capitalised(found.task_type)} under {found.sparsifier}"
    low, high = levels.level(found.low, found.scale), levels.level(found.high, found.scale)
    sure = f"posterior probability {numbers.probability(found.probability)}"
    match found.kind:
        case "plateau":
            return f"{who} loses accuracy, then stands nearly still from {low} to {high} ({sure})."
        case "dip":
            return f"{who} is not monotone: accuracy rises again between {low} and {high} ({sure})."
        case "better than dense":
            return f"{who} is better than dense at {low} ({sure})."
        case "cliff before the first level":
            return (
                f"{who} has lost more than half of its dense accuracy by the first level, {high} ({sure}): where, only "
                "lower levels can tell."
            )
        case "flat":
            return (
                f"{who} keeps at least 95% of its dense accuracy up to the last level, {high} ({sure}): where it "
                "breaks, only higher levels can tell."
            )
        case _:
            assert_never(found.kind)


def left_out(found: LeftOut) -> str:
    """How well left-out units are predicted, or why that is not said."""
    unit = {"cell": "a cell, given the others of its items", "block": "a task under one configuration"}[found.unit]
    counted = f"{numbers.count(found.high_k)} of {numbers.count(found.n_units)}"
    high = f"Pareto k above {numbers.against(found.limit_k, 0)[0]} for {counted}"
    if found.status != "ok" or found.elpd is None or found.se is None:
        why = high if found.high_k else "the fit failed its checks"
        return f"Expected log density of left-out answers by {unit}: withheld ({why})."
    density = f"{numbers.tenths(found.elpd)} (standard error {numbers.tenths(found.se)})"
    return f"Expected log density of left-out answers by {unit}: {density}; {high}."


def families(report: Report) -> list[FamilyRow]:
    """Curve families, the best first; withheld ones last."""
    return [_family(one) for one in report.families]


def _family(found: Family) -> FamilyRow:
    told = found.status == "ok" and found.difference is not None and found.se is not None
    earnest = f"; {numbers.count(found.refitted)} cells left out by fits of their own" if found.refitted else ""
    why = f"Pareto k too high for {numbers.count(found.high_k)} of {numbers.count(found.n_units)} left-out cells"
    return FamilyRow(
        name=found.name,
        change=found.change,
        state=state("compared" if told else "withheld"),
        difference=f"{numbers.tenths(found.difference or 0.0)} ± {numbers.tenths(found.se or 0.0)}{earnest}"
        if told
        else "",
        reason="" if told else (f"failed {listed(found.failed)}" if found.failed else why),
    )


def interval_level(report: Report) -> str:
    """The probability of the intervals of new answers."""
    return percent(report.predicted[0].prob if report.predicted else report.interval_prob)
