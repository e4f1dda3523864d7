"""An audit -> rows and sentences, the claim that the evidence supports among them."""

from collections.abc import Iterator

from tolerance.findings import Audit, AuditPart
from tolerance.reports.words import numbers, phrases

HEADS = ["on", "evidence", "value", "probability", "claim"]
SENSE = {"at least": "at least ", "at most": "at most ", "equal": ""}


def claimed(found: Audit) -> str:
    """The claim in numbers, with its tolerance and what it held constant."""
    if found.kind == "order":
        said = f"order of tolerance: {', then '.join(found.order)}"
    else:
        assert found.number is not None
        said = f"{SENSE[found.sense]}{value(found, found.number)} {_unit(found)}"
        if found.average is not None:
            said += f" on average over {found.average}"
        if found.tolerance:
            said += f", give or take {tolerance(found)}"
    return f"{said}; held constant: {found.held}"


def _unit(found: Audit) -> str:
    return {"accuracy": "points against the reference", "share of dense": "of the reference's score"}.get(
        found.unit or "", found.unit or ""
    )


def tolerance(found: Audit) -> str:
    """The tolerance as the value is written."""
    if found.unit in ("KV tokens", "correlation"):
        return f"{found.tolerance:g}"
    points = f"{numbers.points(found.tolerance)}"
    return f"{points} points"


def value(found: Audit, number: float) -> str:
    """A number of the claim's kind."""
    if found.kind == "difference":
        return f"{100 * number:+.1f}"
    if found.unit == "KV tokens":
        return numbers.quantity(number)
    return f"{number:.2f}" if found.unit == "correlation" else f"{100 * number:.1f}%"


def part(found: Audit, one: AuditPart) -> list[str]:
    """One row, in the order of `HEADS`."""
    seen = value(found, one.value) if found.kind != "order" else f"{100 * one.value:.0f}% of pairs in order"
    if one.interval is not None:
        ends = f"{value(found, one.interval.lower)} to {value(found, one.interval.upper)}"
        seen += f" ({phrases.percent(one.interval.prob)} credible {ends})"
    items = "items not stated" if one.n_items is None else f"{numbers.count(one.n_items)} items"
    chance = "-" if one.prob_holds is None else numbers.probability(one.prob_holds)
    return [one.name, f"{one.n_cells} cells, {items}", seen, chance, one.verdict]


def lists(found: Audit) -> Iterator[tuple[str, list[AuditPart]]]:
    """Titles and parts of an audit's lists, those along axes apart."""
    yield "by what is averaged", found.averages
    yield "by task type", found.by_task_type
    yield "by task", found.by_task
    yield "by model", found.by_model
    yield "by task, method or model", found.by_cell
    yield "by method and model", found.by_setting


def tables(found: Audit) -> Iterator[tuple[str, list[list[str]]]]:
    """Titles and rows, lists of a single part left out."""
    yield "overall", [part(found, found.overall)]
    for title, parts in lists(found):
        if len(parts) > 1:
            yield title, [part(found, one) for one in parts]
    for axis in found.axes:
        if len(axis.parts) > 1:
            yield f"along {axis.axis}: {axis.state}", [part(found, one) for one in axis.parts]


def sentences(found: Audit) -> Iterator[str]:
    """Verdict first, then what the average hides, what the evidence is, and what it does support."""
    said: str = found.verdict
    if found.only_for:
        said += f" {phrases.listed(_few(found.only_for))}"
    elif found.verdict == "contradicted" and found.overall.verdict != "fails" and found.against:
        said += f" by {phrases.listed(_few(found.against))}"
    yield f"{found.id}: {said}."
    yield f"Claim ({found.citation}): {found.statement} In numbers: {claimed(found)}."
    if found.second_hand:
        yield "Its numbers were read second-hand, in notes on the source."
    yield _evidence(found)
    if found.averages:
        yield _averages(found)
    yield from _hidden(found)
    for weak in found.weakest:
        yield (
            f"Weakest {weak.of}: {weak.name}, with {100 * weak.value:.0f}% of the reference kept (it is the weakest "
            f"with probability {numbers.probability(weak.probability)})."
        )
    for model, counts in found.lowest.items():
        each = sorted(counts.items(), key=lambda pair: -pair[1])
        listed = phrases.listed([f"{kind} in {count}" for kind, count in each])
        yield f"Keeps least, as printed, of {sum(counts.values())} settings of {model}: {listed}."
    if found.by_setting:
        yield _orders(found)
    for one in found.reversals:
        yield (
            f"{one.within}: {one.first} needs {100 * one.on_axis[0]:.0f}% and {one.second} {100 * one.on_axis[1]:.0f}% "
            f"of the cache, but {numbers.quantity(one.on_other[0])} and {numbers.quantity(one.on_other[1])} tokens: "
            "the order turns with the axis."
        )
    depends = [axis.axis for axis in found.axes if axis.state == "depends"]
    unknown = [axis.axis for axis in found.axes if axis.state == "not recorded"]
    if depends:
        yield f"The answer depends on {phrases.listed(depends)}."
    if unknown:
        yield f"Not recorded in this evidence, so not asked: {phrases.listed(unknown)}."
    for assumed in found.assumed:
        said = "supported for some parts only" if assumed.verdict == "supported only for" else assumed.verdict
        yield (
            f"Sensitivity, not evidence: with {numbers.count(assumed.n_items)} items a cell it would be {said} "
            f"(holds with probability {numbers.probability(assumed.prob_holds)})."
        )
    if found.note:
        yield f"Note: {found.note}"
    yield f"What the evidence supports: {rewritten(found)}"


def _averages(found: Audit) -> str:
    """The two averages of one claim, and which of them it is about."""
    each = [f"{value(found, one.value)} over {one.name.rpartition(' ')[2]} ({one.verdict})" for one in found.averages]
    which = "does not say which it means" if found.average is None else f"is about the one over {found.average}"
    return f"On average {' and '.join(each)}: the claim {which}."


def _few(names: list[str]) -> list[str]:
    return names if len(names) <= 6 else [*names[:5], f"{len(names) - 5} more"]


def _evidence(found: Audit) -> str:
    said = f"Evidence: {found.n_cells} cells, {found.basis}"
    if found.basis == "published means":
        said += ", taken as unpaired and as variable as right-or-wrong answers, so intervals are wide"
    if found.basis == "published levels":
        said += ", whose sampling error is not known: verdicts are of the numbers as printed"
    if found.n_without_items:
        said += f"; {found.n_without_items} came without a number of items and were not counted"
    if found.n_second_hand:
        said += f"; {found.n_second_hand} were copied second-hand"
    required = phrases.percent(found.decision_prob)
    return f"{said}. A part holds or fails with probability {required}, shared by the parts of a list."


def _hidden(found: Audit) -> Iterator[str]:
    carrying: list[str] = []
    for one in found.hidden:
        if one.kind == "gains and losses cancel":
            real = "" if one.probability is None else f" (both real: {numbers.probability(one.probability)})"
            gain, loss = (f"{name} {100 * gap:+.1f}" for name, gap in zip(one.names, one.differences, strict=True))
            yield f"The mean hides that gains and losses cancel: {gain} and {loss} points{real}."
        elif one.kind == "not as claimed, unlike the mean":
            each = [f"{name} {100 * gap:+.1f}" for name, gap in zip(one.names, one.differences, strict=True)]
            sure = (
                ""
                if one.probability is None
                else f" (the first surely so with probability {numbers.probability(one.probability)})"
            )
            yield f"The mean is as claimed, as printed, but not {phrases.listed(_few(each))} points{sure}."
        elif one.kind == "one task carries the mean":
            carrying += one.names
        else:
            yield f"The mean is diluted by tasks {one.kind}: {phrases.listed(_few(one.names))}."
    if carrying:
        yield f"As printed, the answer turns without {' or without '.join(_few(carrying))}."


def _orders(found: Audit) -> str:
    parts = found.by_setting
    verdicts = [one.verdict for one in parts]
    return (
        f"Of {len(parts)} settings, {sum(one.printed for one in parts)} are in the claimed order as printed; decided "
        f"are {verdicts.count('holds')} that hold and {verdicts.count('fails')} that do not."
    )


def rewritten(found: Audit) -> str:
    """The claim that stands, in one sentence with numbers."""
    if found.kind == "order":
        counts: dict[str, int] = {}
        for by_model in found.lowest.values():
            for kind, count in by_model.items():
                counts[kind] = counts.get(kind, 0) + count
        total = sum(counts.values())
        last = max(counts, key=lambda kind: counts[kind])
        return (
            f"Here {last} keeps least in {counts[last]} of {total} settings, and the order "
            f"{', then '.join(found.order)} is found in {sum(one.printed for one in found.by_setting)} of them."
        )
    whole = found.overall
    if found.basis == "published levels":
        parts = found.by_task if len(found.by_task) > 1 else [whole]
        every = [*parts, *found.by_model, *found.by_cell]
        low, high = min(every, key=_value), max(every, key=_value)
        cells = f"{value(found, whole.value)} on average over {whole.n_cells} published numbers"
        return f"{cells}, from {value(found, low.value)} ({low.name}) to {value(found, high.value)} ({high.name})."
    if whole.verdict == "no item counts":
        return f"Nothing with an interval: the printed mean is {value(found, whole.value)}, without item counts."
    assert whole.interval is not None
    said = (
        f"{value(found, whole.value)} {_unit(found)} on average ({phrases.percent(whole.interval.prob)} credible "
        f"{value(found, whole.interval.lower)} to {value(found, whole.interval.upper)}, {whole.n_cells} cells)"
    )
    parts = found.by_task_type if len(found.by_task_type) > 1 else found.by_task
    if len(parts) > 1:
        low, high = min(parts, key=_value), max(parts, key=_value)
        said += f", between {value(found, low.value)} ({low.name}) and {value(found, high.value)} ({high.name})"
    failing = [one.name for one in (*found.by_task_type, *found.by_task) if one.verdict == "fails"]
    if failing and found.sense != "equal":
        said += f"; not as claimed for {phrases.listed(_few(list(dict.fromkeys(failing))))}"
    return f"{said}."


def _value(one: AuditPart) -> float:
    return one.value
