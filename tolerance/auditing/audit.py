"""A claim held against evidence: overall, by task type, task, model and axis; what its average hides; what stands.

A part holds or fails where the posterior probability says so; parts of one list share what may be wrong (Bonferroni),
so that among many tasks one does not fail by chance. A mean over parts is that of the published tables: every task by
every model counts alike (macro), and retention is the ratio of two such means; or every item does (micro), where the
claim says so. Where it does not say and the two differ, both are given.
"""

from collections.abc import Iterator, Sequence
from typing import Literal

import numpy as np

from tolerance import findings
from tolerance.auditing import orders
from tolerance.auditing.claims import Claim
from tolerance.auditing.evidence import Evidence
from tolerance.auditing.hidden import hidden, weakest
from tolerance.auditing.levels import reversals
from tolerance.auditing.parts import HeldClaim
from tolerance.auditing.scope import PRINTED, in_scope
from tolerance.axes.table import AXES
from tolerance.question import Question
from tolerance.stats.decide import required

ASSUMED = (50, 200, 1000)
# Averages over tasks and over items that lie closer are one number.
SAME_AVERAGE = 0.005
# What else tells published cells apart, and the column that carries it.
FACTORS = {"question visible to the method": "query_visible", "method": "method"}


def audit(claim: Claim, evidence: Evidence, question: Question | None = None) -> findings.Audit:
    """What the evidence says of a claim.

    Raises:
        DesignError: nothing in the evidence is what the claim is about, naming what of the scope finds nothing.
    """
    question = question or Question()
    found = in_scope(claim, evidence)
    counted = found if claim.claimed.kind in PRINTED else found.only(found.cells["n_items"].notna())
    without = len(found.cells) - len(counted.cells)
    known = len(counted.cells) > 0
    held = HeldClaim(claim, counted if known else found, question)
    lists = orders.settings(held) if claim.claimed.kind == "order" else []
    overall = _pooled(lists, question) if claim.claimed.kind == "order" else held.part("overall", held.everything, 1)
    kinds = [] if lists else held.parts("task_type")
    tasks, models = ([], []) if lists else (held.parts("task"), held.parts("model"))
    cells = [] if lists else held.by_cell()
    averages = list(_averages(held)) if known and not lists and not held.levels else []
    verdict, only_for = _verdict(claim, overall, averages, kinds, tasks, models, cells, lists)
    return findings.Audit(
        id=claim.id,
        statement=claim.statement,
        citation=" ".join(filter(None, (claim.citation.source, claim.citation.where))),
        second_hand=claim.citation.second_hand,
        kind=claim.claimed.kind,
        number=claim.claimed.number,
        unit=claim.claimed.unit,
        tolerance=claim.claimed.tolerance,
        sense=claim.claimed.sense,
        order=claim.claimed.order,
        average=claim.claimed.average,
        held=claim.axis,
        basis="answers" if evidence.paired else "published levels" if held.levels else "published means",
        interval_prob=question.interval_prob,
        decision_prob=question.decision_prob,
        n_cells=len(found.cells),
        n_without_items=without,
        n_second_hand=int((found.cells["tier"] == "secondary-transcription").sum()),
        overall=overall,
        averages=averages,
        by_task_type=kinds,
        by_task=tasks,
        by_model=models,
        by_cell=cells,
        by_setting=lists,
        lowest=orders.lowest(held) if lists else {},
        axes=[] if lists else list(_axes(claim, evidence, question)),
        hidden=[] if lists or held.levels else list(hidden(held)),
        weakest=list(weakest(held)) if known and not held.levels and not lists else [],
        reversals=list(reversals(held)) if claim.claimed.kind == "threshold" else [],
        assumed=[] if known else [_assumed(claim, evidence, question, n) for n in ASSUMED],
        verdict=verdict,
        only_for=only_for,
        against=[one.name for one in (*kinds, *tasks, *models, *cells, *lists) if one.verdict == "fails"],
        note=claim.note,
    )


def _pooled(settings: Sequence[findings.AuditPart], question: Question) -> findings.AuditPart:
    """Over settings: how many are in the claimed order, as printed; decided where all settings are the same."""
    verdicts = {part.verdict for part in settings}
    every = [part.n_items for part in settings]
    return findings.AuditPart(
        name="overall",
        n_cells=sum(part.n_cells for part in settings),
        n_items=None if None in every else sum(n for n in every if n is not None),
        value=float(np.mean([part.printed for part in settings])),
        interval=None,
        prob_holds=None,
        required=required(question, sides=1),
        printed=all(part.printed for part in settings),
        verdict=verdicts.pop() if len(verdicts) == 1 else "undecided",
    )


def _averages(held: HeldClaim) -> Iterator[findings.AuditPart]:
    """The average over tasks and that over items, where all items are counted and the two are not the same."""
    if held.cells["n_items"].isna().any():
        return
    over: tuple[Literal["tasks", "items"], ...] = ("tasks", "items")
    both = [held.averaging(one).part(f"the average over {one}", held.everything, 1) for one in over]
    if abs(both[0].value - both[1].value) > SAME_AVERAGE or both[0].verdict != both[1].verdict:
        yield from both


def _verdict(
    claim: Claim,
    overall: findings.AuditPart,
    averages: Sequence[findings.AuditPart],
    *lists: Sequence[findings.AuditPart],
) -> tuple[findings.AuditVerdict, list[str]]:
    """From the whole and its parts: supported if it holds and no part fails.

    An exact number is one of the whole, and so is one whose claim says over what it is an average. Where it does not
    say, and only one of the two averages holds, it is supported for that one.
    """
    of_whole = claim.claimed.sense == "equal" or claim.claimed.average is not None
    if not of_whole and {one.verdict for one in averages} == {"holds", "fails"}:
        return "supported only for", [one.name for one in averages if one.verdict == "holds"]
    if of_whole and claim.claimed.kind not in PRINTED and claim.claimed.kind != "order":
        alone: dict[findings.PartVerdict, findings.AuditVerdict] = {"holds": "supported", "fails": "contradicted"}
        return alone.get(overall.verdict, "not identifiable"), []
    parts = [part for one in lists for part in one]
    failing = any(part.verdict == "fails" for part in parts) or overall.verdict == "fails"
    # the first list that tells parts apart says what it is supported for
    telling = next((one for one in lists if len(one) > 1 and any(part.verdict == "holds" for part in one)), [])
    holding = [part.name for part in telling if part.verdict == "holds"]
    if overall.verdict == "holds" and not failing:
        return "supported", []
    if holding:
        return "supported only for", holding
    if failing:
        return "contradicted", []
    return "not identifiable", []


def _axes(claim: Claim, evidence: Evidence, question: Question) -> Iterator[findings.AuditAxis]:
    """The claim at every value that the evidence has, whatever level it is claimed for."""
    wide = in_scope(claim, evidence, levels=False)
    if claim.claimed.kind not in PRINTED:
        wide = wide.only(wide.cells["n_items"].notna())
    along = {one.name: one.published for one in AXES.values() if one.published} | FACTORS
    for axis, column in along.items():
        known = wide.cells[column].notna()
        if not known.any():
            yield findings.AuditAxis(axis=axis, state="not recorded", parts=[])
            continue
        here = wide if column in ("kv_tokens", "sparsity") else in_scope(claim, evidence)
        here = here.only(here.cells[column].notna() & (here.cells["n_items"].notna() | here.cells["threshold"]))
        if here.cells.empty:
            yield findings.AuditAxis(axis=axis, state="not recorded", parts=[])
            continue
        parts = HeldClaim(claim, here, question).parts(column)
        verdicts = {part.verdict for part in parts}
        state = (
            "one value"
            if len(parts) == 1
            else "depends"
            if {"holds", "fails"} <= verdicts
            else "same"
            if verdicts in ({"holds"}, {"fails"})
            else "undecided"
        )
        yield findings.AuditAxis.model_validate({"axis": axis, "state": state, "parts": parts})


def _assumed(claim: Claim, evidence: Evidence, question: Question, n: int) -> findings.AssumedItems:
    """The audit again, as if every cell had so many items."""
    found = audit(claim, evidence.assuming(n), question)
    holds = found.overall.prob_holds
    if holds is None:
        holds = float(np.mean([part.prob_holds or 0.0 for part in found.by_setting]))
    return findings.AssumedItems(n_items=n, prob_holds=holds, verdict=found.verdict)
