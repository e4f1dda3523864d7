"""Outcomes -> fit -> checks -> findings. The one orchestrator, read from top to bottom in `analyse`."""

from collections.abc import Callable, Iterator
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tolerance import findings
from tolerance.analysis import design
from tolerance.data.cells import halvings, sparsity
from tolerance.data.manifest import digest
from tolerance.data.outcomes import is_dense, level
from tolerance.data.published import is_aggregate
from tolerance.data.run_folder import write_atomically
from tolerance.diagnostics import as_findings
from tolerance.diagnostics import checks as checking
from tolerance.diagnostics.model_comparison import compare_families
from tolerance.diagnostics.refit import Mended, mended
from tolerance.errors import DesignError, StoreError
from tolerance.estimands.contrasts import Contrasted, State
from tolerance.estimands.curves import beyond
from tolerance.estimands.kv_budgets import budgets
from tolerance.estimands.rankings import ordering
from tolerance.estimands.source import Source
from tolerance.estimands.thresholds import order, tolerated
from tolerance.estimands.type_curve import TypeCurve
from tolerance.inference.fit import Stage
from tolerance.inference.saved import Fit
from tolerance.inference.settings import Settings
from tolerance.instant.agreement import disagreements
from tolerance.instant.answer import instant_answer
from tolerance.model.curve import LEAST_ABOVE_FLOOR
from tolerance.question import Question as Question
from tolerance.stats.intervals import Estimate, lower_limit, quantiles, summarise, wilson

REPORT, FAMILIES = "report.json", "families"
BEYOND_POINTS = 7


def analyse(
    outcomes: pd.DataFrame,
    *,
    question: Question | None = None,
    settings: Settings | None = None,
    seed: int | None = None,
    without_dense: bool = False,
    families: bool = False,
    folder: Path | None = None,
    command: str = "",
    sources: tuple[str, ...] = (),
    stage: Stage | None = None,
    at_once: Callable[[findings.Instant], None] | None = None,
) -> findings.Report:
    """Fit validated outcomes, or published means, and state what they show.

    With ``folder``, draws and ``report.json`` are kept there. ``at_once`` is told the instant answer, which needs no
    fit, before sampling starts. A fit that fails its checks is repeated: longer and with smaller steps, or with more
    room to leave the family. What still fails is withheld. ``families`` also compares curve families, which takes as
    many fits.

    Raises:
        DesignError: no dense baseline (and ``without_dense`` is not set), or nothing to fit.
    """
    question, settings = question or Question(), settings or Settings()
    _require_dense(outcomes, without_dense)
    instant = _instant(outcomes, question)
    if at_once is not None and instant is not None:
        at_once(instant)
    done = mended(outcomes, settings, seed, folder, stage or (lambda _: None))
    report = _report(outcomes, done, question, command, sources)
    if instant is not None:
        report = report.model_copy(update={"instant": instant, "disagreements": disagreements(report, instant)})
    if families:
        inside = None if folder is None else folder / FAMILIES
        compared = compare_families(outcomes, settings=settings, seed=seed, folder=inside, stage=stage)
        report = report.model_copy(update={"families": compared})
    if folder is not None:
        write_atomically(folder / REPORT, (report.model_dump_json(indent=1) + "\n").encode())
    return report


def read_report(folder: Path) -> findings.Report:
    """The report that `analyse` left in an analysis folder.

    Raises:
        StoreError: there is none, or it is of another version.
    """
    path = folder / REPORT
    if not path.is_file():
        raise StoreError(f"{folder}: no analysis ({REPORT} missing). Give the --out of tolerance fit.")
    try:
        return findings.Report.model_validate_json(path.read_text())
    except ValueError as error:
        first = str(error).splitlines()[0]
        raise StoreError(f"{path}: not a report of this version ({first}). Run tolerance fit again.") from error


def _instant(outcomes: pd.DataFrame, question: Question) -> findings.Instant | None:
    """The answer that needs no fit; published means have no items to give it from."""
    if is_aggregate(outcomes):
        return None
    return instant_answer(outcomes, retention=question.retention, prob=question.interval_prob)


def _require_dense(outcomes: pd.DataFrame, without_dense: bool) -> None:
    if without_dense or is_dense(outcomes).any() or (level(outcomes) == 0).any():
        return
    lowest = level(outcomes).min()
    raise DesignError(
        f"no dense baseline: the lowest level is {lowest:g}, so the share of dense accuracy that is kept is unknown. "
        "Add answers of the dense model, or pass --without-dense to describe accuracy by level alone."
    )


def _report(
    outcomes: pd.DataFrame,
    done: Mended,
    question: Question,
    command: str,
    sources: tuple[str, ...],
) -> findings.Report:
    fitted, curves, checks = done.fit, done.curves, done.checks
    passed = checking.trustworthy(checks)
    scaled = as_findings.sensitivities(fitted, curves, passed, question.retention)
    data = design.data(outcomes)
    states = [_status(curve, passed) for curve in curves]
    contrasted = Contrasted(done.source, curves, states, question)
    ends = _common_ends(curves, states, fitted)
    return findings.Report(
        id=digest([fitted.key, asdict(question)])[:8],
        fit_passed=passed,
        retention=question.retention,
        interval_prob=question.interval_prob,
        decision_prob=question.decision_prob,
        data=data,
        held_constant=list(design.held_constant(outcomes)),
        curves=[_curve(curve, done.source, passed, question) for curve in curves],
        thresholds=[
            _threshold(curve, fitted, passed, question, ends).model_copy(update={"leaning": one.leaning})
            for curve, one in zip(curves, scaled, strict=True)
        ],
        comparisons=list(_comparisons(contrasted)),
        checks=checks,
        predicted=as_findings.predicted(fitted, checking.sampled(checks)),
        sensitivities=scaled,
        shapes=list(as_findings.shapes(curves, passed, question.decision_prob)),
        left_out=as_findings.left_out(fitted, passed),
        attempts=done.attempts,
        caveats=list(design.caveats(outcomes, data)),
        provenance=_provenance(fitted, command, sources),
        margin=question.margin,
        equivalence=question.equivalence,
        contrasts=list(contrasted.contrasts()),
        orderings=list(_orderings(curves, states, question)),
        budgets=list(budgets(contrasted.source, outcomes, curves, states, question)),
    )


def _status(curve: TypeCurve, passed: bool) -> State:
    """Whether a statement relative to dense accuracy can be made at all."""
    if not passed:
        return "withheld", "fit failed its checks"
    if not curve.has_dense:
        return "unanswerable", "no dense baseline"
    if np.mean(curve.dense - curve.floor < LEAST_ABOVE_FLOOR) > 0.05:
        return "unanswerable", "dense accuracy is at the guessing floor"
    return "ok", None


def _curve(curve: TypeCurve, source: Source, passed: bool, question: Question) -> findings.Curve:
    mine = _cells_of(curve, source.fit)
    observed = [
        findings.Observed(
            sparsity=float(group["sparsity"].mean()),
            accuracy=float(group["right"].sum() / group["n"].sum()),
            interval=wilson(float(group["right"].sum()), int(group["n"].sum()), question.interval_prob),
            n_items=int(group["n"].sum()),
        )
        for _, group in mine.groupby("sparsity_requested")
    ]
    return findings.Curve(
        id=_id("curve", curve),
        task_type=curve.task_type,
        tasks=list(curve.tasks),
        sparsifier=curve.sparsifier,
        unit=_unit(mine),
        status="ok" if passed else "withheld",
        reason=None if passed else "fit failed its checks",
        observed=observed,
        band=_within(curve) if passed else None,
        beyond=_beyond(curve, source) if passed else None,
        required=_required(curve, question) if _status(curve, passed)[0] == "ok" else None,
    )


def _within(curve: TypeCurve) -> findings.Band:
    """Accuracy on the grid; without a dense baseline nothing below the first measured level is shown."""
    shown = np.full(len(curve.grid), curve.has_dense) | (sparsity(curve.grid) >= curve.first - 1e-12)
    return _band(curve.grid[shown], curve.accuracy[:, shown])


def _beyond(curve: TypeCurve, source: Source) -> findings.Band:
    """Accuracy at a little more sparsity than was measured."""
    at = curve.grid[-1] + np.linspace(0.0, findings.BEYOND, BEYOND_POINTS)
    return _band(at, beyond(source, curve, at))


def _band(at: NDArray[np.float64], accuracy: NDArray[np.floating]) -> findings.Band:
    """Quantiles of accuracy ``(draw, point)`` at halvings ``(point,)``."""
    quantiles = np.quantile(accuracy, [0.05, 0.25, 0.5, 0.75, 0.95], axis=0)
    names = ("lower_90", "lower_50", "median", "upper_50", "upper_90")
    lists = {name: values.tolist() for name, values in zip(names, quantiles, strict=True)}
    return findings.Band(sparsity=sparsity(at).tolist(), **lists)


def _required(curve: TypeCurve, question: Question) -> float:
    return float(np.median(curve.required(question.retention, margin=question.margin)))


def _common_ends(curves: list[TypeCurve], states: list[State], fitted: Fit) -> dict[str, float]:
    """The sparsity that all curves of a unit reach, so that areas under them can be compared."""
    ends: dict[str, float] = {}
    for curve, (status, _) in zip(curves, states, strict=True):
        unit = _unit(_cells_of(curve, fitted))
        if status == "ok":
            ends[unit] = min(ends.get(unit, 1.0), curve.last)
    return ends


def _threshold(
    curve: TypeCurve, fitted: Fit, passed: bool, question: Question, ends: dict[str, float]
) -> findings.Threshold:
    status, reason = _status(curve, passed)
    mine = _cells_of(curve, fitted)
    answerable = status == "ok"
    return findings.Threshold(
        id=_id("threshold", curve),
        task_type=curve.task_type,
        sparsifier=curve.sparsifier,
        unit=_unit(mine),
        retention=question.retention,
        status=status,
        reason=reason,
        n_items=int(mine.groupby("sparsity_requested")["n"].sum().min()),
        n_levels=len(curve.distinct),
        dense=_dense(curve, question) if answerable or reason == "dense accuracy is at the guessing floor" else None,
        level=_level(curve, question) if answerable else None,
        kept=[_kept(curve, s, question) for s in curve.distinct] if answerable else [],
        margin=question.margin,
        exceedance=_exceedance(curve, question) if answerable else None,
        area=_area(curve, ends[_unit(mine)], question) if answerable else None,
    )


def _dense(curve: TypeCurve, question: Question) -> Estimate:
    return summarise(curve.dense.astype(np.float64), question.interval_prob)


def _kept(curve: TypeCurve, at: float, question: Question) -> findings.Kept:
    above = tolerated(curve, question) >= halvings(np.array(at)) - 1e-9
    return findings.Kept(sparsity=at, probability=float(np.mean(above)))


def _exceedance(curve: TypeCurve, question: Question) -> findings.Exceedance:
    """P(threshold > s) on the grid from the first to the last measured level: outside, nothing is known of where."""
    draws = np.sort(tolerated(curve, question))
    grid = curve.grid[sparsity(curve.grid) >= curve.first - 1e-12]
    above = 1 - np.searchsorted(draws, grid, side="right") / len(draws)
    return findings.Exceedance(sparsity=sparsity(grid).tolist(), probability=above.tolist())


def _area(curve: TypeCurve, upto: float, question: Question) -> findings.Area:
    return findings.Area(
        upto=upto,
        over_halvings=summarise(curve.area(upto), question.interval_prob),
        over_sparsity=summarise(curve.area(upto, over_sparsity=True), question.interval_prob),
    )


def _level(curve: TypeCurve, question: Question) -> findings.Level:
    """The tolerated level; an end outside the measured range is null, not extrapolated."""
    draws = tolerated(curve, question)
    low, median, high = (
        _inside(float(sparsity(np.array(end))), curve) for end in quantiles(draws, question.interval_prob)
    )
    return findings.Level(
        median=median,
        lower=low,
        upper=high,
        prob=question.interval_prob,
        first=curve.first,
        last=curve.last,
        prob_below=float(np.mean(sparsity(draws) < curve.first)),
        prob_beyond=float(np.mean(~np.isfinite(draws))),
        assured=_assured(draws, curve, question),
    )


def _assured(draws: NDArray[np.float64], curve: TypeCurve, question: Question) -> findings.Assured:
    """The level that is tolerated with the required probability: a lower limit, as a benchmark dose has one (BMDL)."""
    least = lower_limit(draws, question.decision_prob)
    value = _inside(float(sparsity(np.array(least))), curve)
    outside: Literal["left", "right"] = "left" if np.isfinite(least) else "right"
    return findings.Assured(value=value, prob=question.decision_prob, censored="none" if value is not None else outside)


def _inside(value: float, curve: TypeCurve) -> float | None:
    return value if curve.first <= value <= curve.last else None


def _orderings(curves: list[TypeCurve], states: list[State], question: Question) -> Iterator[findings.Ordering]:
    """One for each method under which several task types can be answered; withheld where none can."""
    for method in dict.fromkeys(curve.sparsifier for curve in curves):
        mine = [(c, s) for c, s in zip(curves, states, strict=True) if c.sparsifier == method]
        answered = [one for one in mine if one[1][0] == "ok"] or mine
        if len(answered) > 1:
            yield ordering([curve for curve, _ in answered], *answered[0][1], question)


def _comparisons(contrasted: Contrasted) -> Iterator[findings.Comparison]:
    """Task types under one method, then methods on one task type."""
    for a, b, of in contrasted.pairs():
        first, second = contrasted.curves[a], contrasted.curves[b]
        status, reason = next((s for s in (contrasted.states[a], contrasted.states[b]) if s[0] != "ok"), ("ok", None))
        matched = contrasted.matched(first, second, of) if status == "ok" else None
        if status == "ok" and matched is None:
            status, reason = "unanswerable", "no task and configuration in common"
        yield _comparison(of, (first, second), (status, reason), matched, contrasted.question)


def _comparison(
    of: "findings.Compared",
    sides: tuple[TypeCurve, TypeCurve],
    state: State,
    matched: tuple[TypeCurve, TypeCurve] | None,
    question: Question,
) -> findings.Comparison:
    status, reason = state
    a, b = sides
    within, first, second = (
        (a.sparsifier, a.task_type, b.task_type) if of == "task types" else (a.task_type, a.sparsifier, b.sparsifier)
    )
    common = {
        "id": f"comparison-{digest([of, within, first, second])[:8]}",
        "of": of,
        "within": within,
        "first": first,
        "second": second,
        "status": status,
        "reason": reason,
    }
    if matched is None:
        return findings.Comparison(**common, prob_first=None, prob_second=None, prob_neither=None, verdict=None)
    found = order(*matched, question.retention, margin=question.margin)
    verdict = "undecided"
    for name, probability in (("first", found.first), ("second", found.second), ("out of range", found.neither)):
        verdict = name if probability >= question.decision_prob else verdict
    return findings.Comparison(
        **common,
        prob_first=found.first,
        prob_second=found.second,
        prob_neither=found.neither,
        verdict=verdict,
    )


def _provenance(fitted: Fit, command: str, sources: tuple[str, ...]) -> findings.Provenance:
    settings = fitted.settings
    return findings.Provenance(
        command=command,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        data_hash=fitted.key,
        seed=fitted.seed,
        sampler=f"NUTS (nutpie), {settings.chains} chains x ({settings.tune} warm-up + {settings.draws} draws)",
        draws=settings.chains * settings.draws,
        packages=fitted.packages,
        sources=list(sources),
        priors={name: np.atleast_1d(value).tolist() for name, value in asdict(settings.priors).items()},
    )


def _cells_of(curve: TypeCurve, fitted: Fit) -> pd.DataFrame:
    """Observed cells of a curve, the dense ones of the same tasks included."""
    frame = fitted.cells.frame
    same_type = frame["task"].isin(curve.tasks)
    return frame[same_type & ((frame["sparsifier"] == curve.sparsifier) | (frame["sparsity"] == 0))]


def _unit(mine: pd.DataFrame) -> str:
    units = mine.loc[mine["sparsity"] > 0, "unit"].dropna()
    return str(units.iloc[0]) if len(units) else "not stated"


def _id(kind: str, curve: TypeCurve) -> str:
    return f"{kind}-{digest([curve.task_type, curve.sparsifier])[:8]}"
