"""Audits -> title, answer and rows of the page of claims checked."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import get_args

from tolerance.findings import Audit, AuditPart, AuditVerdict
from tolerance.reports.words import audit_sentences, numbers, phrases
from tolerance.reports.words.chips import Chip
from tolerance.reports.words.glyphs import State, state
from tolerance.reports.words.sentences import Lead

NAMED = 4


@dataclass(frozen=True)
class Part:
    """One part of the evidence: what it rests on, the value with its interval, and whether the claim holds."""

    name: str
    evidence: str
    value: str
    probability: str
    said: State


@dataclass(frozen=True)
class PartTable:
    """A list of parts under a title."""

    title: str
    parts: list[Part]


@dataclass(frozen=True)
class Row:
    """A claim with its verdict, what it claims in numbers, its parts, its axes and what else the evidence says."""

    id: str
    statement: str
    citation: str
    claimed: str
    said: State
    only_for: str
    overall: Part
    axes: dict[str, State]
    depends: bool
    tables: list[PartTable]
    sentences: list[str]
    supports: str


def values(found: Sequence[Audit]) -> dict[str, object]:
    """Everything that the page of audits names."""
    rows = [row(one) for one in found]
    return {
        "title": title(found),
        "leads": leads(found),
        "facts": facts(found),
        "warnings": warnings(found),
        "contents": [("claims", "Claims checked"), *((one.id, one.id) for one in rows), ("rules", "Rules")],
        "id": f"{len(found)} {'claim' if len(found) == 1 else 'claims'}",
        "rows": rows,
        "axes": axes(found),
        "unasked": state("not recorded"),
    }


def title(found: Sequence[Audit]) -> str:
    """The question that the audit answers."""
    if len(found) == 1:
        return f"Does it hold? {found[0].statement}"
    return f"Do these {numbers.count(len(found))} claims hold?"


def leads(found: Sequence[Audit]) -> list[Lead]:
    """The verdict with its number, or how many claims have which verdict and the worst of them."""
    if len(found) == 1:
        one = found[0]
        return [
            Lead(_verdict(one), one.id),
            Lead(f"What the evidence supports: {audit_sentences.rewritten(one)}", one.id),
        ]
    counts = {word: sum(one.verdict == word for one in found) for word in get_args(AuditVerdict)}
    each = [f"{n} {word if word != 'supported only for' else 'supported in part'}" for word, n in counts.items() if n]
    first = Lead(f"Of {numbers.count(len(found))} claims, {phrases.listed(each)}.", "claims")
    worst = next((one for one in found if one.verdict == "contradicted"), None)
    return [first] if worst is None else [first, Lead(_verdict(worst), worst.id)]


def _verdict(found: Audit) -> str:
    only = f" {_few(found.only_for)}" if found.only_for else ""
    whole = found.overall
    value = part(found, whole).value
    return (
        f"{found.id} is {found.verdict}{only}. Claimed: {audit_sentences.claimed(found)}. Evidence, overall: {value}."
    )


def _few(names: Sequence[str]) -> str:
    """At most so many names: the tables have all."""
    shown = names if len(names) <= NAMED else [*names[: NAMED - 1], f"{len(names) - NAMED + 1} more"]
    return phrases.listed(shown) if shown else ""


def facts(found: Sequence[Audit]) -> list[Chip]:
    """What the audits rest on."""
    bases = list(dict.fromkeys(one.basis for one in found))
    said = [f"{numbers.count(sum(one.n_cells for one in found))} cells", phrases.listed(bases)]
    said.append(f"{phrases.percent(found[0].interval_prob)} credible intervals")
    return [Chip(text) for text in said]


def warnings(found: Sequence[Audit]) -> list[Chip]:
    """What a reader must know before quoting a verdict."""
    without = sum(one.n_without_items for one in found)
    second = sum(one.second_hand or one.n_second_hand > 0 for one in found)
    depends = sum(any(axis.state == "depends" for axis in one.axes) for one in found)
    unasked = sum(any(axis.state == "not recorded" for axis in one.axes) for one in found)
    said = [
        (depends, f"⇅ {_claims(depends)} {'depends' if depends == 1 else 'depend'} on the axis"),
        (without, f"{numbers.count(without)} cells without a number of items: no interval"),
        (second, f"{_claims(second)} {'rests' if second == 1 else 'rest'} on numbers read second-hand"),
        (unasked, f"{_claims(unasked)} with an axis that was not recorded"),
    ]
    return [Chip(text, "claims") for told, text in said if told]


def _claims(n: int) -> str:
    return f"{numbers.count(n)} {'claim' if n == 1 else 'claims'}"


def row(found: Audit) -> Row:
    """One claim."""
    along = [(f"along {axis.axis}", axis.parts) for axis in found.axes]
    return Row(
        id=found.id,
        statement=found.statement,
        citation=found.citation,
        claimed=audit_sentences.claimed(found),
        said=state(found.verdict),
        only_for=_few(found.only_for),
        overall=part(found, found.overall),
        axes={axis.axis: state(axis.state) for axis in found.axes},
        depends=any(axis.state == "depends" for axis in found.axes),
        tables=[
            PartTable(phrases.capitalised(name), [part(found, one) for one in parts])
            for name, parts in (*audit_sentences.lists(found), *along)
            if len(parts) > 1
        ],
        # verdict, claim and what is supported stand in places of their own
        sentences=list(audit_sentences.sentences(found))[2:-1],
        supports=audit_sentences.rewritten(found),
    )


def axes(found: Sequence[Audit]) -> list[str]:
    """The axes along which at least one claim was asked."""
    return list(dict.fromkeys(axis.axis for one in found for axis in one.axes))


def part(found: Audit, one: AuditPart) -> Part:
    """One part of the evidence, in words."""
    name, evidence, value, probability, verdict = audit_sentences.part(found, one)
    return Part(name, evidence, value, probability, state(verdict))
