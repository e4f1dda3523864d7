"""Two arms compared at equal everything: every conclusion about them, one axis after the other."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tolerance import findings
from tolerance.analysis.saved import fit_of, read_report
from tolerance.axes.model_shape import Shapes
from tolerance.axes.table import AXES, Accounted, Axis
from tolerance.comparison.arms import Arm, rows
from tolerance.comparison.both_arms import BothArms, is_open
from tolerance.comparison.cross_check import cross_check
from tolerance.comparison.posterior import Fitted, Posterior
from tolerance.comparison.strata import Strata, UnanswerableError
from tolerance.comparison.verdicts import Held, at_equal, joint, label
from tolerance.data.canonical import canonical
from tolerance.data.levels import as_set
from tolerance.data.manifest import digest
from tolerance.data.prepared import Outcomes, Prepared, prepare
from tolerance.data.published import assume_items
from tolerance.question import Question
from tolerance.stats.decide import required
from tolerance.stats.intervals import summarise


@dataclass(frozen=True)
class Rules:
    """What is asked, set before looking: margins, quantity, axes, and what estimates of cost may use."""

    question: Question = field(default_factory=Question)
    quantity: findings.Quantity = "accuracy"
    axes: tuple[Axis, ...] = field(default_factory=lambda: tuple(AXES.values()))
    shapes: Shapes = field(default_factory=dict)
    seed: int = 0


def compare(
    outcomes: Outcomes,
    posterior: Posterior | None,
    treatment: Arm,
    reference: Arm,
    rules: Rules | None = None,
) -> findings.Conclusions:
    """Every conclusion about two arms, by task type and over all of them; without a posterior all are withheld.

    Where one arm leaves its level open and the other does not, each level of the open one is a treatment of its own.

    Raises:
        DesignError: an arm has no answers, both share answers, or they have no task in common.
    """
    rules = rules or Rules()
    prepared = prepare(outcomes)
    asked, shared = prepared.outcomes, prepared.shared  # nobody is judged by items that the other was never asked
    made = []
    for one, other in _expanded(shared, treatment, reference):
        arms = BothArms.of(shared, one, other, () if prepared.published else prepared.same.unlike)
        came = arms if shared is asked else BothArms.of(asked, one, other)
        made += [_concluded(arms, came.naive(kind), kind, posterior, rules) for kind in arms.kinds]
    flips = [flip for _, flip in made if flip is not None]
    return findings.Conclusions(
        treatment=treatment.name,
        reference=reference.name,
        equivalence=rules.question.equivalence,
        decision_prob=rules.question.decision_prob,
        direction_prob=required(rules.question),
        interval_prob=rules.question.interval_prob,
        fit_passed=posterior is not None,
        conclusions=[conclusion for conclusion, _ in made],
        n_flagged=len(flips),
        prob_all_flips=joint(flips),
    )


def compare_saved(
    outcomes: Outcomes, folder: Path, pairs: Sequence[tuple[Arm, Arm]], rules: Rules | None = None
) -> list[findings.Conclusions]:
    """`compare` each two arms from the analysis that `analysis.analyse` left in a folder, under its question.

    Raises:
        OtherFitError: an analysis of other outcomes, of another version of the model, or of two fits.
        StoreError: no analysis there.
        DesignError: see `compare`.
    """
    report = read_report(folder)
    question = Question(
        retention=report.retention,
        interval_prob=report.interval_prob,
        decision_prob=report.decision_prob,
        margin=report.margin,
        equivalence=(rules or Rules()).question.equivalence,
    )
    if not isinstance(outcomes, Prepared):
        outcomes = canonical(outcomes)
        if report.data.assumed_items is not None:
            outcomes = assume_items(outcomes, report.data.assumed_items)
    fitted = fit_of(report, outcomes, folder)
    posterior = Fitted(fitted) if report.fit_passed else None
    rules = replace(rules or Rules(), question=question)
    found = [compare(outcomes, posterior, treatment, reference, rules) for treatment, reference in pairs]
    return [one.model_copy(update={"provenance": report.provenance}) for one in found]


def _expanded(outcomes: pd.DataFrame, a: Arm, b: Arm) -> Iterator[tuple[Arm, Arm]]:
    """One arm of open level against one of fixed level (dense is) becomes a comparison for each level."""
    open_a, open_b = is_open(a), is_open(b)
    if open_a == open_b:
        yield a, b
        return
    arm = a if open_a else b
    mine = rows(outcomes, arm)
    for _, at in sorted(set(zip(mine["sparsity_requested"], as_set(mine), strict=True))):
        fixed = replace(arm, level=float(at))
        yield (fixed, b) if open_a else (a, fixed)


def _concluded(
    arms: BothArms, naive: float, kind: str, posterior: Posterior | None, rules: Rules
) -> tuple[findings.Conclusion, NDArray[np.bool_] | None]:
    found = [_one_axis(arms, kind, axis, posterior, rules) for axis in rules.axes]
    said, flip = label([held for held, _ in found], rules.question)
    said = "withheld" if posterior is None else said
    a, b = arms.each
    conclusion = findings.Conclusion(
        id=f"conclusion-{digest([a.name, b.name, kind, rules.quantity])[:8]}",
        treatment=a.name,
        reference=b.name,
        factor=arms.factor,
        task_type=kind,
        tasks=arms.tasks(kind),
        quantity=rules.quantity,
        axes=[finding for _, finding in found],
        label=said,
        prob_flip=None if flip is None else float(np.mean(flip)),
        naive=naive if posterior is not None else None,
    )
    return conclusion, flip if said == "axis-dependent" else None


def _one_axis(
    arms: BothArms, kind: str, axis: Axis, posterior: Posterior | None, rules: Rules
) -> tuple[Held, findings.AtEqual]:
    accounted = axis.account(arms.both, rules.shapes)
    check = None
    if posterior is None:
        held = Held("withheld", "fit failed its checks")
    elif accounted.values is None:
        held = Held("unavailable", accounted.reason)
    else:
        built = Strata(arms, kind, axis, accounted, posterior, rules.quantity)
        seed = int(digest([rules.seed, kind, *(arm.name for arm in arms.each)])[:8], 16)
        try:
            groups, strata = built.strata()
            held = at_equal(axis, strata, rules.question, seed=seed)
            if held.draws is not None and rules.quantity == "accuracy":
                check = cross_check(arms, built, groups, held, rules.question)
        except UnanswerableError as reason:
            held = Held("unanswerable", str(reason))
    return held, _finding(axis, accounted, held, check, rules.question)


def _finding(
    axis: Axis, accounted: Accounted, held: Held, check: findings.CrossCheck | None, question: Question
) -> findings.AtEqual:
    draws = held.draws
    return findings.AtEqual(
        axis=axis.name,
        unit=axis.unit,
        accounting=accounted.accounting,
        source=accounted.source,
        verdict=held.verdict,
        reason=held.reason,
        low=held.low,
        high=held.high,
        n_strata=held.n_strata,
        n_outside=held.n_outside,
        interpolated=held.interpolated,
        difference=None if draws is None else summarise(draws, question.interval_prob),
        prob_positive=None if held.decision is None else held.decision.prob_positive,
        prob_equivalent=None if held.decision is None else held.decision.prob_equivalent,
        along=held.along,
        crossover=held.crossover,
        check=check,
    )
