"""Example reports built by hand, one per state that a page must show. The numbers are invented."""

from math import log2
from typing import Any

from tolerance import findings
from tolerance.stats.intervals import Estimate, Interval

LEVELS = (0.0, 0.5, 0.67, 0.8, 0.9, 0.95)
GRID = 41
ITEMS = 192
# task type -> (task, dense accuracy, chance); method -> half-life in halvings, per task type
TASKS = {
    "retrieval": ("kv-lookup", 0.97, 0.0),
    "multi-hop": ("two-hop", 0.88, 0.25),
    "aggregation": ("common-word", 0.92, 0.0),
}
DEPTH = {
    "top-k": {"retrieval": 3.9, "multi-hop": 2.1, "aggregation": 3.0},
    "streaming": {"retrieval": 1.9, "multi-hop": 1.5, "aggregation": 3.1},
}
FAILED: findings.Reason = "fit failed its checks"
NO_DENSE: findings.Reason = "no dense baseline"
AT_FLOOR: findings.Reason = "dense accuracy is at the guessing floor"


def normal() -> findings.Report:
    """Three task types under two methods, everything answered, one method comparison undecided."""
    thresholds = [
        threshold("retrieval", "top-k", level(0.912, 0.901, 0.923)),
        threshold("multi-hop", "top-k", level(0.664, 0.601, 0.712)),
        threshold("aggregation", "top-k", level(0.818, 0.784, 0.846)),
        threshold("retrieval", "streaming", level(0.622, 0.571, 0.668)),
        threshold("multi-hop", "streaming", level(0.531, None, 0.598, below=0.12)),
        threshold("aggregation", "streaming", level(0.826, 0.795, 0.853)),
    ]
    whole = report(thresholds=thresholds, comparisons=comparisons())
    return whole.model_copy(update={"contrasts": contrasts(), "orderings": [ordering()], "budgets": budgets()})


def censored() -> findings.Report:
    """One threshold beyond the measured range, one below it, and an order that lies outside it."""
    thresholds = [
        threshold("retrieval", "top-k", level(None, 0.933, None, beyond=0.83)),
        threshold("multi-hop", "top-k", level(None, None, 0.572, below=0.91)),
        threshold("retrieval", "streaming", level(None, None, None, beyond=0.99)),
        threshold("multi-hop", "streaming", level(None, None, None, below=0.99)),
    ]
    found = [
        compared("task types", "top-k", "retrieval", "multi-hop", 1.0, 0.0, "first"),
        compared("task types", "streaming", "retrieval", "multi-hop", 1.0, 0.0, "first"),
        compared("methods", "retrieval", "top-k", "streaming", 0.0, 0.18, "undecided"),
        compared("methods", "multi-hop", "top-k", "streaming", 0.03, 0.01, "out of range"),
    ]
    return report(thresholds=thresholds, comparisons=found)


def failed() -> findings.Report:
    """The fit failed two checks: nothing is concluded."""
    thresholds = [threshold(t, m, None, status="withheld", reason=FAILED) for m in DEPTH for t in TASKS]
    found = [c.model_copy(update=_no_answer("withheld", FAILED)) for c in comparisons()]
    return report(
        thresholds=thresholds, comparisons=found, checks=checks(rhat=1.0873, divergent=0.0312), fit_passed=False
    )


def without_dense() -> findings.Report:
    """No dense baseline: accuracy by level alone."""
    thresholds = [threshold(t, m, None, status="unanswerable", reason=NO_DENSE) for m in DEPTH for t in TASKS]
    found = [c.model_copy(update=_no_answer("unanswerable", NO_DENSE)) for c in comparisons()]
    return report(thresholds=thresholds, comparisons=found, has_dense=False)


def at_floor() -> findings.Report:
    """One task type answered, one whose dense accuracy is at the guessing floor."""
    thresholds = [
        threshold("retrieval", "top-k", level(0.912, 0.901, 0.923)),
        threshold("multi-hop", "top-k", None, status="unanswerable", reason=AT_FLOOR),
    ]
    one = compared("task types", "top-k", "retrieval", "multi-hop", 0.5, 0.5, "undecided")
    return report(thresholds=thresholds, comparisons=[one.model_copy(update=_no_answer("unanswerable", AT_FLOOR))])


def hostile() -> findings.Report:
    """Names that are markup, in every place where a name can stand."""
    text = normal().model_dump_json()
    for name in ("retrieval", "top-k", "kv-lookup", "tiny-model", "causal-pairs"):
        text = text.replace(
            f'"{name}"', f'"</script><script>alert(`{name}`)</script>&amp;\'"'.replace("'\"", "'") + '"'
        )
    return findings.Report.model_validate_json(text)


def many_methods() -> findings.Report:
    """Eight methods on one task type, of two units: more than a panel holds."""
    names = [f"method-{i}" for i in range(1, 9)]
    levels = [level(0.5 + 0.05 * i, 0.48 + 0.05 * i, 0.52 + 0.05 * i) for i in range(1, 9)]
    thresholds = [threshold("retrieval", name, at) for name, at in zip(names, levels, strict=True)]
    thresholds[0] = thresholds[0].model_copy(update={"unit": "kv-entries"})
    found = [compared("methods", "retrieval", names[0], other, 0.01, 0.99, "second") for other in names[1:]]
    return report(thresholds=thresholds, comparisons=found)


def by_axis() -> findings.Report:
    """Two methods held equal on every axis: one conclusion turns with the axis, and more than a matrix shows first."""
    return normal().model_copy(update={"conclusions": [conclusions()]})


def by_axis_failed() -> findings.Report:
    """The same of a fit that failed, as the comparison states it."""
    made = [conclusion(f"type-{i}", dict.fromkeys(AXES_EXAMPLE, "withheld"), "withheld") for i in range(3)]
    withheld = conclusions().model_copy(update={"conclusions": made, "fit_passed": False, "n_flagged": 0})
    return failed().model_copy(update={"conclusions": [withheld.model_copy(update={"prob_all_flips": None})]})


EXAMPLES = (normal, censored, failed, without_dense, at_floor, hostile, many_methods, by_axis, by_axis_failed)
AXES_EXAMPLE = (
    *("compute", "parameters", "active parameters", "context length"),
    *("KV bytes", "KV tokens", "generated tokens", "sparsity fraction"),
)


def conclusions() -> findings.Conclusions:
    flip = {"compute": "better", "KV bytes": "worse", "KV tokens": "undecided", "context length": "no overlap"}
    made = [
        conclusion("retrieval", {}, "robust"),
        conclusion("multi-hop", flip, "axis-dependent"),
        conclusion("aggregation", {"KV bytes": "undecided", "compute": "equivalent"}, "fragile"),
        *(conclusion(f"type-{i}", {"KV bytes": "undecided"}, "fragile") for i in range(6)),
        conclusion("summary", dict.fromkeys(AXES_EXAMPLE[1:], "no overlap"), "untestable"),
    ]
    return findings.Conclusions(
        treatment="top-k",
        reference="streaming",
        equivalence=0.02,
        decision_prob=0.95,
        direction_prob=0.975,
        interval_prob=0.9,
        fit_passed=True,
        conclusions=made,
        n_flagged=1,
        prob_all_flips=0.97,
    )


def conclusion(task_type: str, verdicts: dict[str, Any], label: Any) -> findings.Conclusion:
    return findings.Conclusion(
        id=f"conclusion-{task_type}",
        treatment="top-k",
        reference="streaming",
        factor=["sparsifier"],
        task_type=task_type,
        tasks=["kv-lookup"],
        quantity="accuracy",
        axes=[at_equal(axis, verdicts.get(axis, "better")) for axis in AXES_EXAMPLE]
        + [at_equal("decode compute", "unavailable")],
        label=label,
        prob_flip=0.97 if label == "axis-dependent" else None,
        naive=0.04,
    )


def at_equal(axis: Any, verdict: Any) -> findings.AtEqual:
    middle = {"better": 0.061, "worse": -0.048, "equivalent": 0.004, "undecided": 0.015}.get(verdict)
    low, high, unit = {
        "compute": (1.48e9, 1.73e9, "FLOPs per item"),
        "KV bytes": (8192.0, 65536.0, "bytes per item"),
        "sparsity fraction": (0.5, 0.95, "of causal-pairs"),
    }.get(axis, (256.0, 256.0, "tokens"))
    reason = {
        "no overlap": "treatment at 256, reference at 512 to 1024",
        "unavailable": "nothing was decoded",
        "withheld": FAILED,
    }.get(verdict)
    answered = middle is not None
    return findings.AtEqual(
        axis=axis,
        unit=unit,
        accounting="measured",
        source="measured",
        verdict=verdict,
        reason=reason,
        low=low if answered else None,
        high=high if answered else None,
        n_strata=2,
        n_outside=0,
        interpolated=axis == "compute",
        difference=Estimate(value=middle, interval=eti(middle - 0.031, middle + 0.027)) if middle is not None else None,
        prob_positive=0.5 + 5 * middle if middle is not None else None,
        prob_equivalent=0.1 if answered else None,
        along=None,
        crossover=None,
        check=None,
    )


def report(
    *,
    thresholds: list[findings.Threshold],
    comparisons: list[findings.Comparison],
    checks: list[findings.Check] | None = None,
    fit_passed: bool = True,
    has_dense: bool = True,
) -> findings.Report:
    types = list(dict.fromkeys(t.task_type for t in thresholds))
    methods = list(dict.fromkeys(t.sparsifier for t in thresholds))
    return findings.Report(
        id="7f3a91c2",
        fit_passed=fit_passed,
        retention=0.95,
        interval_prob=0.90,
        decision_prob=0.95,
        direction_prob=0.975,
        data=data(types, methods, has_dense=has_dense),
        held_constant=held_constant(),
        curves=[curve(t, fit_passed=fit_passed, has_dense=has_dense) for t in thresholds],
        thresholds=thresholds,
        comparisons=comparisons,
        checks=checks or globals()["checks"](),
        predicted=predicted(thresholds),
        sensitivities=[sensitivity(t, fit_passed=fit_passed) for t in thresholds],
        shapes=[shape(thresholds[0], "plateau", 0.8, 0.9), shape(thresholds[-1], "flat", 0.5, 0.95)]
        if fit_passed
        else [],
        left_out=left_out(fit_passed=fit_passed),
        attempts=attempts(fit_passed=fit_passed),
        families=families(),
        caveats=["one model", "one context length", *([] if has_dense else ["no dense baseline"]), "items independent"],
        provenance=provenance(),
        instant=instant(types, methods, has_dense=has_dense),
        disagreements=[disagreement(types[0], methods[0])] if fit_passed and has_dense else [],
    )


def instant(types: list[str], methods: list[str], *, has_dense: bool) -> findings.Instant:
    """The instant answer of the same invented data: every level keeps a bit less than the one before."""
    pairs = [(t, m, i, s) for t in types for m in methods for i, s in enumerate(LEVELS[1:])] if has_dense else []
    return findings.Instant(
        retention=0.95,
        interval_prob=0.9,
        resamples=2000,
        seed=0,
        n_answers=ITEMS * len(types) * (1 + len(methods) * (len(LEVELS) - 1)),
        n_unpaired=0 if has_dense else ITEMS * len(types) * len(methods) * (len(LEVELS) - 1),
        cells=[],
        contrasts=[paired(t, m, "dense", s, -0.03 * i) for t, m, i, s in pairs]
        + [paired(t, methods[0], methods[-1], LEVELS[1], 0.05) for t in types[: len(methods) - 1]],
        trends=[trend(t, m) for t in types for m in methods],
        tolerated=[
            findings.ObservedLevel(
                id=f"observed-{t}-{m}",
                task_type=t,
                sparsifier=m,
                reason=None if has_dense else NO_DENSE,
                level=level(0.713, 0.655, 0.741) if has_dense else None,
            )
            for t in types
            for m in methods
        ],
    )


def paired(task_type: str, first: str, second: str, at: float, difference: float) -> findings.Paired:
    bounds = Interval(kind="bootstrap", prob=0.9, lower=difference - 0.03, upper=difference + 0.03)
    kept = Interval(kind="bootstrap", prob=0.9, lower=0.94 + difference, upper=1.02 + difference)
    return findings.Paired(
        id=f"paired-{task_type}-{first}-{second}-{at}",
        task_type=task_type,
        first=first,
        second=second,
        level=at,
        sparsity=at,
        n_pairs=ITEMS,
        unpaired_first=0,
        unpaired_second=0,
        n_blocks=1,
        accuracy_first=0.9 + difference,
        accuracy_second=0.9,
        difference=findings.Measured(value=difference, interval=bounds),
        retention=findings.Measured(value=0.98 + difference, interval=kept) if second == "dense" else None,
        reason=None,
        mcnemar=findings.Discordance(
            n_pairs=ITEMS, only_first=4, only_second=9, p=0.267, difference=-5 / ITEMS, interval=bounds, repeated=False
        ),
    )


def trend(task_type: str, sparsifier: str) -> findings.Trend:
    slope = findings.Measured(value=-1.42, interval=Interval(kind="robust", prob=0.9, lower=-1.66, upper=-1.18))
    return findings.Trend(
        task_type=task_type,
        sparsifier=sparsifier,
        slope=slope,
        p=1e-9,
        correlation=0.2,
        n_items=ITEMS,
        n_answers=ITEMS * len(LEVELS),
        left_out=0,
        reason=None,
    )


def disagreement(task_type: str, sparsifier: str) -> findings.Disagreement:
    return findings.Disagreement(
        id=f"disagreement-{task_type}-{sparsifier}",
        about="accuracy",
        within=sparsifier,
        subject=task_type,
        other=None,
        sparsity=0.8,
        posterior=eti(0.84, 0.88),
        posterior_probability=None,
        instant=Interval(kind="robust", prob=0.9, lower=0.74, upper=0.79),
        instant_other=None,
    )


def threshold(
    task_type: str,
    sparsifier: str,
    found: findings.Level | None,
    *,
    status: findings.Status = "ok",
    reason: findings.Reason | None = None,
) -> findings.Threshold:
    _, dense, _ = TASKS[task_type]
    shown = status == "ok" or reason == AT_FLOOR
    return findings.Threshold(
        id=f"threshold-{task_type}-{sparsifier}",
        task_type=task_type,
        sparsifier=sparsifier,
        unit="causal-pairs",
        retention=0.95,
        status=status,
        reason=reason,
        n_items=ITEMS,
        n_levels=len(LEVELS) - 1,
        dense=Estimate(value=dense, interval=eti(dense - 0.02, dense + 0.015)) if shown else None,
        level=found,
        kept=[findings.Kept(sparsity=s, probability=_kept(found, s)) for s in LEVELS[1:]] if found else [],
        exceedance=findings.Exceedance(sparsity=list(LEVELS[1:]), probability=[_kept(found, s) for s in LEVELS[1:]])
        if found
        else None,
        area=findings.Area(upto=0.95, over_halvings=_estimate(0.71), over_sparsity=_estimate(0.86)) if found else None,
    )


def level(
    median: float | None, lower: float | None, upper: float | None, *, below: float = 0.0, beyond: float = 0.0
) -> findings.Level:
    side = "none" if lower is not None else "left" if below > 0 else "right"
    return findings.Level(
        median=median,
        lower=lower,
        upper=upper,
        prob=0.9,
        first=0.5,
        last=0.95,
        prob_below=below,
        prob_beyond=beyond,
        assured=findings.Assured(value=lower, prob=0.95, censored=side),
    )


def contrasts() -> list[findings.Contrast]:
    return [
        contrast("methods", "retrieval", "top-k", "streaming", 0.21, "better"),
        contrast("methods", "multi-hop", "top-k", "streaming", 0.03, "undecided"),
        contrast("methods", "aggregation", "top-k", "streaming", -0.004, "equivalent"),
        contrast("task types", "top-k", "multi-hop", "retrieval", -0.14, "worse"),
        contrast("models", "retrieval under top-k", "tiny-model", "other", 0.0, "undecided"),
    ]


def contrast(
    of: Any, within: str, first: str, second: str, value: float | None, verdict: Any, **more: Any
) -> findings.Contrast:
    fields: dict[str, Any] = {
        "id": f"contrast-{of}-{within}-{first}-{second}".replace(" ", "-"),
        "of": of,
        "within": within,
        "first": first,
        "second": second,
        "status": "ok",
        "reason": None,
        "n_tasks": 1,
        "upto": 0.95,
        "whole": difference(value, verdict) if value is not None else None,
        "levels": [],
    }
    if value is not None:
        one = difference(value / 2, verdict)
        fields["levels"] = [findings.LevelContrast(sparsity=s, accuracy=one, retention=one) for s in (0.5, 0.9)]
    return findings.Contrast(**{**fields, **more})


def difference(value: float, verdict: Any) -> findings.Difference:
    sure = {"better": 0.98, "worse": 0.02}.get(verdict, 0.61)
    estimate = Estimate(value=value, interval=eti(value - 0.013, value + 0.017))
    equivalent = 0.96 if verdict == "equivalent" else 0.2
    return findings.Difference(estimate=estimate, prob_positive=sure, prob_equivalent=equivalent, verdict=verdict)


def ordering() -> findings.Ordering:
    def rank(place: Any, *names: str) -> findings.Rank:
        return findings.Rank(place=place, task_types=list(names))

    return findings.Ordering(
        id="ordering-top-k",
        sparsifier="top-k",
        task_types=list(TASKS),
        status="ok",
        reason=None,
        first=0.5,
        last=0.95,
        orders=[
            findings.Order(
                ranks=[rank("inside", n) for n in ("retrieval", "aggregation", "multi-hop")], probability=0.9
            ),
            findings.Order(
                ranks=[rank("beyond", "retrieval", "aggregation"), rank("below", "multi-hop")], probability=0.07
            ),
        ],
        n_others=2,
        prob_others=0.03,
        extremes=[
            findings.Extreme(task_type="retrieval", most=0.9, least=0.0),
            findings.Extreme(task_type="multi-hop", most=0.0, least=0.97),
            findings.Extreme(task_type="aggregation", most=0.03, least=0.03),
        ],
        tied_most=0.07,
        tied_least=0.0,
    )


def budgets() -> list[findings.Budget]:
    return [
        budget("retrieval", 61.0, 55.0, 70.0),
        budget("aggregation", None, None, 40.0, prob_more=0.0, prob_fewer=0.8),
        budget("multi-hop", None, None, None, prob_more=0.99, prob_fewer=0.0),
    ]


def budget(
    task_type: str,
    median: float | None,
    lower: float | None,
    upper: float | None,
    *,
    prob_more: float = 0.0,
    prob_fewer: float = 0.0,
) -> findings.Budget:
    side: Any = "none" if upper is not None else "right"
    return findings.Budget(
        id=f"budget-{task_type}",
        task_type=task_type,
        sparsifier="top-k",
        context_length=512,
        source="computed",
        status="ok",
        reason=None,
        most=256.0,
        least=25.6,
        median=median,
        lower=lower,
        upper=upper,
        prob=0.9,
        prob_more=prob_more,
        prob_fewer=prob_fewer,
        assured=findings.Assured(value=upper, prob=0.95, censored=side),
    )


def _estimate(value: float) -> Estimate:
    return Estimate(value=value, interval=eti(value - 0.03, value + 0.03))


def comparisons() -> list[findings.Comparison]:
    return [
        compared("task types", "top-k", "retrieval", "multi-hop", 1.0, 0.0, "first"),
        compared("task types", "top-k", "retrieval", "aggregation", 0.999, 0.001, "first"),
        compared("task types", "top-k", "multi-hop", "aggregation", 0.0, 1.0, "second"),
        compared("task types", "streaming", "retrieval", "multi-hop", 0.98, 0.02, "first"),
        compared("task types", "streaming", "retrieval", "aggregation", 0.0, 1.0, "second"),
        compared("task types", "streaming", "multi-hop", "aggregation", 0.0, 1.0, "second"),
        compared("methods", "retrieval", "top-k", "streaming", 1.0, 0.0, "first"),
        compared("methods", "multi-hop", "top-k", "streaming", 0.98, 0.02, "first"),
        compared("methods", "aggregation", "top-k", "streaming", 0.38, 0.62, "undecided"),
    ]


def compared(
    of: findings.Compared, within: str, first: str, second: str, p_first: float, p_second: float, verdict: Any
) -> findings.Comparison:
    return findings.Comparison(
        id=f"comparison-{within}-{first}-{second}",
        of=of,
        within=within,
        first=first,
        second=second,
        status="ok",
        reason=None,
        prob_first=p_first,
        prob_second=p_second,
        prob_neither=1 - p_first - p_second,
        verdict=verdict,
    )


def curve(found: findings.Threshold, *, fit_passed: bool, has_dense: bool) -> findings.Curve:
    task, dense, chance = TASKS[found.task_type]
    depth = DEPTH.get(found.sparsifier, DEPTH["top-k"])[found.task_type]
    levels = LEVELS if has_dense else LEVELS[1:]
    points = [(s, _accuracy(s, dense, chance, depth)) for s in levels]
    return findings.Curve(
        id=f"curve-{found.task_type}-{found.sparsifier}",
        task_type=found.task_type,
        tasks=[task],
        sparsifier=found.sparsifier,
        unit=found.unit,
        status="ok" if fit_passed else "withheld",
        reason=None if fit_passed else FAILED,
        observed=[
            findings.Observed(sparsity=s, accuracy=_wobble(a, i), interval=_wilson(_wobble(a, i)), n_items=ITEMS)
            for i, (s, a) in enumerate(points)
        ],
        band=band(levels[0], LEVELS[-1], dense, chance, depth) if fit_passed else None,
        beyond=band(LEVELS[-1], 1 - (1 - LEVELS[-1]) * 2**-findings.BEYOND, dense, chance, depth)
        if fit_passed
        else None,
        required=chance + 0.95 * (dense - chance) if found.status == "ok" else None,
    )


def band(start: float, end: float, dense: float, chance: float, depth: float) -> findings.Band:
    low, high = -log2(1 - start), -log2(1 - end)
    at = [1 - 2 ** -(low + (high - low) * i / (GRID - 1)) for i in range(GRID)]
    middle = [_accuracy(s, dense, chance, depth) for s in at]
    wide = {n: [min(1.0, max(0.0, m + w)) for m in middle] for n, w in _WIDTHS.items()}
    return findings.Band(sparsity=at, median=middle, **wide)


_WIDTHS = {"lower_50": -0.015, "upper_50": 0.015, "lower_90": -0.035, "upper_90": 0.035}


def data(types: list[str], methods: list[str], *, has_dense: bool) -> findings.Data:
    tasks = [(TASKS[t][0], t, TASKS[t][2]) for t in types]
    conditions = [("dense", 0.0)] * has_dense + [(m, s) for m in methods for s in LEVELS[1:]]
    return findings.Data(
        n_rows=ITEMS * len(tasks) * len(conditions),
        n_items=ITEMS * len(tasks),
        n_paired=ITEMS * len(tasks),
        models=["tiny-model"],
        params=[3_214_080],
        sparsifiers=methods,
        context_lengths=[256],
        has_dense=has_dense,
        tasks=[
            findings.TaskData(
                task=task,
                task_type=task_type,
                n_items=ITEMS,
                n_rows=ITEMS * len(conditions),
                chance=chance,
                unreadable=7 if task_type == "multi-hop" else 0,
                truncated=0,
            )
            for task, task_type, chance in tasks
        ],
        cells=[
            findings.CellData(task=task, sparsifier=m, sparsity=s, realised=s, n_items=ITEMS)
            for task, _, _ in tasks
            for m, s in conditions
        ],
    )


def held_constant() -> list[findings.HeldConstant]:
    return [
        axis("sparsity fraction", "varies", "fraction removed", 0.0, 0.95),
        axis("compute", "varies", "FLOPs per item", 1.48e9, 1.73e9),
        axis("parameters", "held", "parameters", 3_214_080, 3_214_080),
        axis("active parameters", "held", "parameters per token", 3_214_080, 3_214_080),
        axis("context length", "held", "tokens", 256, 256),
        axis("KV bytes", "not recorded", "bytes per item", None, None),
        axis("generated tokens", "held", "generated tokens per item", 1, 1),
    ]


def axis(name: str, state: Any, unit: str, low: float | None, high: float | None) -> findings.HeldConstant:
    return findings.HeldConstant(axis=name, state=state, unit=unit, low=low, high=high)


def checks(*, rhat: float = 1.0031, divergent: float = 0.0) -> list[findings.Check]:
    at_most, at_least = "at most", "at least"
    return [
        check("R-hat, largest", rhat, 1.01, at_most, "the chains disagree: the draws are not from one posterior"),
        check("bulk ESS, smallest", 1873.2, 400, at_least, "too few independent draws for medians"),
        check("tail ESS, smallest", 1511.9, 400, at_least, "too few independent draws for interval ends"),
        check("divergent transitions, share", divergent, 0.001, at_most, "part of the posterior may be missing"),
        check("E-BFMI, smallest", 0.91, 0.3, at_least, "heavy tails were explored too slowly"),
    ]


def check(name: str, worst: float, limit: float, sense: Any, meaning: str) -> findings.Check:
    passed = worst <= limit if sense == "at most" else worst >= limit
    return findings.Check(name=name, worst=worst, limit=limit, sense=sense, passed=passed, meaning=meaning)


def predicted(thresholds: list[findings.Threshold]) -> list[findings.Predicted]:
    """One cell that is unlike its prediction, and two of each other curve."""
    cells = [(TASKS[t.task_type][0], t.sparsifier, s) for t in thresholds for s in (0.5, 0.9)]
    return [
        findings.Predicted(
            task=task,
            sparsifier=method,
            sparsity=s,
            n_items=ITEMS,
            observed=0.31 if i == 0 else 0.71,
            lower=0.66,
            upper=0.78,
            prob=0.9,
            p=0.00002 if i == 0 else 0.4,
            unlike=i == 0,
        )
        for i, (task, method, s) in enumerate(cells)
    ]


def sensitivity(found: findings.Threshold, *, fit_passed: bool) -> findings.Sensitivity:
    scaled = [
        findings.Scaled(quantity="tolerated level", sparsity=None, prior=0.073, likelihood=0.21),
        findings.Scaled(quantity="retention", sparsity=0.5, prior=None, likelihood=None),
    ]
    return findings.Sensitivity(
        id=f"sensitivity-{found.task_type}-{found.sparsifier}",
        task_type=found.task_type,
        sparsifier=found.sparsifier,
        status="ok" if fit_passed else "withheld",
        leaning=found.leaning if fit_passed else None,
        quantities=scaled if fit_passed else [],
    )


def shape(found: findings.Threshold, kind: findings.ShapeKind, low: float, high: float) -> findings.Shape:
    return findings.Shape(
        id=f"shape-{kind}-{found.task_type}-{found.sparsifier}",
        task_type=found.task_type,
        sparsifier=found.sparsifier,
        kind=kind,
        probability=0.97,
        low=low,
        high=high,
    )


def left_out(*, fit_passed: bool) -> list[findings.LeftOut]:
    cell = findings.LeftOut(
        unit="cell",
        status="ok" if fit_passed else "withheld",
        n_units=33,
        high_k=0,
        limit_k=0.69,
        elpd=-102.86 if fit_passed else None,
        se=7.55 if fit_passed else None,
    )
    block = findings.LeftOut(unit="block", status="withheld", n_units=3, high_k=3, limit_k=0.69, elpd=None, se=None)
    return [cell, block]


def attempts(*, fit_passed: bool) -> list[findings.Attempt]:
    first = findings.Attempt(change="as asked", failed=["R-hat, largest"])
    return [first, findings.Attempt(change="2 times as long", failed=[] if fit_passed else ["R-hat, largest"])]


def families() -> list[findings.Family]:
    common = {"failed": [], "n_units": 33}
    return [
        findings.Family(
            name="Burr", change="usual", status="ok", high_k=0, elpd=-102.9, difference=0.0, se=0.0, **common
        ),
        findings.Family(
            name="Weibull", change="tail 0", status="ok", high_k=0, elpd=-107.3, difference=-4.4, se=1.9, **common
        ),
        findings.Family(
            name="stiff", change="none", status="withheld", high_k=7, elpd=None, difference=None, se=None, **common
        ),
    ]


def provenance() -> findings.Provenance:
    return findings.Provenance(
        command="tolerance fit run --out analysis",
        created="2026-11-23T21:46:00+00:00",
        data_hash="0f4c2a9be17d",
        seed=1_804_289_383,
        sampler="NUTS (nutpie), 4 chains x (1000 warm-up + 1000 draws)",
        draws=4000,
        packages={"nutpie": "0.16.1", "pymc": "5.26.0", "sparsity-tolerance": "0.1.0"},
        sources=["run"],
    )


def eti(lower: float, upper: float) -> Interval:
    return Interval(kind="eti", prob=0.9, lower=lower, upper=upper)


def _wilson(share: float) -> Interval:
    half = 1.64 * (share * (1 - share) / ITEMS + 0.0001) ** 0.5
    return Interval(kind="wilson", prob=0.9, lower=max(0.0, share - half), upper=min(1.0, share + half))


def _accuracy(sparsity: float, dense: float, chance: float, depth: float) -> float:
    halvings = -log2(1 - sparsity)
    return chance + (dense - chance) / (1 + (halvings / depth) ** 6)


def _wobble(share: float, i: int) -> float:
    """A point off its curve, as observations are."""
    return min(1.0, max(0.0, share + (0.012, -0.017, 0.009, -0.006, 0.02, -0.013)[i % 6]))


def _kept(found: findings.Level, sparsity: float) -> float:
    if found.median is None:
        return found.prob_beyond if found.censored == "right" else 0.04
    return 1.0 if sparsity < (found.lower or 0) else 0.0 if sparsity > (found.upper or 1) else 0.42


def _no_answer(status: findings.Status, reason: findings.Reason) -> dict[str, Any]:
    empty = dict.fromkeys(("prob_first", "prob_second", "prob_neither", "verdict"))
    return {"status": status, "reason": reason, **empty}


def audits() -> list[findings.Audit]:
    """A claim that holds for one task type only and one of an order, with every kind of part."""
    parts = [audit_part("retrieval", 0.97, "holds"), audit_part("multi-hop", 0.71, "fails")]
    first = findings.Audit(
        id="loss-free",
        statement="Ninety percent can be removed without loss.",
        citation="An <invented> source 2026",
        second_hand=True,
        kind="retention",
        number=0.95,
        unit="share of dense",
        tolerance=0.01,
        sense="at least",
        order=[],
        held="sparsity fraction",
        basis="published means",
        interval_prob=0.9,
        decision_prob=0.95,
        n_cells=8,
        n_without_items=2,
        n_second_hand=1,
        overall=audit_part("overall", 0.84, "undecided"),
        by_task_type=parts,
        by_task=parts,
        by_model=[],
        by_cell=[],
        by_setting=[],
        lowest={},
        axes=[
            findings.AuditAxis(axis="context length", state="depends", parts=parts),
            findings.AuditAxis(axis="compute", state="not recorded", parts=[]),
        ],
        hidden=[
            findings.Hidden(
                kind="gains and losses cancel",
                names=["retrieval", "multi-hop"],
                differences=[0.02, -0.24],
                probability=0.98,
            )
        ],
        weakest=[findings.Weakest(of="task type", name="multi-hop", value=0.71, probability=0.99)],
        reversals=[],
        assumed=[findings.AssumedItems(n_items=100, prob_holds=0.2, verdict="not identifiable")],
        verdict="supported only for",
        only_for=["retrieval"],
        against=["multi-hop"],
        note="",
    )
    lost = {
        "id": "no-loss-at-all",
        "statement": "Nothing is lost.",
        "verdict": "contradicted",
        "only_for": [],
        "overall": parts[1],
    }
    return [first, first.model_copy(update=lost)]


def audit_part(name: str, value: float, verdict: Any) -> findings.AuditPart:
    return findings.AuditPart(
        name=name,
        n_cells=4,
        n_items=400,
        value=value,
        interval=eti(value - 0.03, value + 0.02),
        prob_holds={"holds": 0.99, "fails": 0.01}.get(verdict, 0.4),
        required=0.95,
        printed=value >= 0.94,
        verdict=verdict,
    )
