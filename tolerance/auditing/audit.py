"""A claim held against evidence: overall, by task type, task, model and axis; what its average hides; what stands.

A part holds or fails where the posterior probability says so; parts of one list share what may be wrong (Bonferroni),
so that among many tasks one does not fail by chance. A mean over parts is that of the published tables: every task by
every model counts alike, and retention is the ratio of two such means.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cached_property
from itertools import combinations, pairwise
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tolerance import findings
from tolerance.auditing.claims import Claim
from tolerance.auditing.evidence import Evidence
from tolerance.axes.table import AXES
from tolerance.errors import DesignError
from tolerance.question import Question
from tolerance.stats.decide import required
from tolerance.stats.intervals import summarise

Floats = NDArray[np.float64]
ASSUMED = (50, 200, 1000)
# Claims of numbers that are no scores.
PRINTED = ("threshold", "association")
MOST_PARTS = 80
CEILING, FLOOR = 0.98, 0.05
# What else tells published cells apart, and the column that carries it.
FACTORS = {"question visible to the method": "query_visible", "method": "method"}


def audit(claim: Claim, evidence: Evidence, question: Question | None = None) -> findings.Audit:
    """What the evidence says of a claim.

    Raises:
        DesignError: nothing in the evidence is what the claim is about, naming what of the scope finds nothing.
    """
    question = question or Question()
    found = _in_scope(claim, evidence)
    counted = found if claim.claimed.kind in PRINTED else found.only(found.cells["n_items"].notna())
    without = len(found.cells) - len(counted.cells)
    known = len(counted.cells) > 0
    held = _Held(claim, counted if known else found, question)
    lists = held.settings() if claim.claimed.kind == "order" else []
    overall = _pooled(lists, question) if claim.claimed.kind == "order" else held.part("overall", held.everything, 1)
    kinds = [] if lists else held.parts("task_type")
    tasks, models = ([], []) if lists else (held.parts("task"), held.parts("model"))
    cells = [] if lists else held.by_cell()
    verdict, only_for = _verdict(claim, overall, kinds, tasks, models, cells, lists)
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
        held=claim.axis,
        basis="answers" if evidence.paired else "published levels" if held.levels else "published means",
        interval_prob=question.interval_prob,
        decision_prob=question.decision_prob,
        n_cells=len(found.cells),
        n_without_items=without,
        n_second_hand=int((found.cells["tier"] == "secondary-transcription").sum()),
        overall=overall,
        by_task_type=kinds,
        by_task=tasks,
        by_model=models,
        by_cell=cells,
        by_setting=lists,
        lowest=held.lowest() if lists else {},
        axes=[] if lists else list(_axes(claim, evidence, question)),
        hidden=[] if lists or held.levels else list(held.hidden()),
        weakest=list(held.weakest()) if known and not held.levels and not lists else [],
        reversals=list(held.reversals()) if claim.claimed.kind == "threshold" else [],
        assumed=[] if known else [_assumed(claim, evidence, question, n) for n in ASSUMED],
        verdict=verdict,
        only_for=only_for,
        against=[one.name for one in (*kinds, *tasks, *models, *cells, *lists) if one.verdict == "fails"],
        note=claim.note,
    )


_Rule = Callable[[pd.DataFrame], pd.Series]


def _containing(column: str, text: str) -> _Rule:
    return lambda cells: cells[column].str.contains(text, regex=False)


def _among(column: str, names: list[str]) -> _Rule:
    return lambda cells: cells[column].isin(names)


def _in_scope(claim: Claim, evidence: Evidence, *, levels: bool = True) -> Evidence:
    """The cells that a claim is about; ``levels``: only at its level or budget."""
    scope, found = claim.scope, evidence
    rules: list[tuple[str, _Rule, str]] = []
    for column in ("source", "table", "definition"):
        text = getattr(scope, column)
        if text is not None:
            rules.append((f"{column} {text!r}", _containing(column, text), column))
    for field, column in (
        ("methods", "method"),
        ("models", "model"),
        ("task_types", "task_type"),
        ("tasks", "task"),
        ("metrics", "metric"),
    ):
        names = getattr(scope, field)
        if names:
            rules.append((f"{field} {', '.join(names)}", _among(column, names), column))
    if not scope.methods:
        rules.append(
            (
                "methods",
                lambda c: (c["sparsity"] != 0) & ~c["method"].str.lower().isin(("dense", "nocompression")),
                "method",
            )
        )
    if scope.not_tasks:
        rules.append(("not_tasks", lambda c: ~c["task"].isin(scope.not_tasks), "task"))
    if levels and scope.sparsity is not None:
        at, within = scope.sparsity, scope.within
        rules.append((f"sparsity {at:g}", lambda c: (c["sparsity"] - at).abs() <= within, "sparsity"))
    if levels and scope.kv_tokens is not None:
        tokens = scope.kv_tokens
        rules.append((f"kv_tokens {tokens:g}", lambda c: c["kv_tokens"] == tokens, "kv_tokens"))
    for said, rule, column in rules:
        before = found
        found = found.only(rule(found.cells).fillna(value=False))
        if found.cells.empty:
            raise DesignError(
                f"{claim.id}: scope.{said}: nothing in the evidence. {_there_is(before.cells[column], said)}"
            )
    return _referenced(claim, evidence, found)


def _there_is(values: pd.Series, said: str) -> str:
    there = sorted({f"{one:g}" if isinstance(one, float) else str(one) for one in values.dropna()})
    near = get_close_matches(said.partition(" ")[2].strip("'"), there, n=1)
    hint = f"Did you mean {near[0]}? " if near else ""
    more = f" and {len(there) - 12} more" if len(there) > 12 else ""
    return f"{hint}There is: {', '.join(there[:12]) or 'nothing recorded'}{more}."


def _referenced(claim: Claim, evidence: Evidence, found: Evidence) -> Evidence:
    """With the reference's scores in place of dense ones, where the claim names one."""
    if claim.claimed.kind in PRINTED:
        return found.only(found.cells["threshold"])
    if claim.scope.reference is not None:
        found = _against(claim, evidence, found)
    there = found.cells["dense"].notna()
    if not there.any():
        raise DesignError(f"{claim.id}: no score of the reference for any cell in scope, so nothing can be compared.")
    return found.only(there)


def _against(claim: Claim, evidence: Evidence, found: Evidence) -> Evidence:
    """The other method on the same task: by the same model, else of the same size, else as the claim names it."""
    name, scope = claim.scope.reference, claim.scope
    there = evidence.cells["method"] == name
    if not there.any():
        raise DesignError(f"{claim.id}: scope.reference: {_there_is(evidence.cells['method'], f'x {name}')}")
    if scope.reference_models:
        there &= evidence.cells["model"].isin(scope.reference_models)
    other = evidence.only(there)
    for keys in (["model"], ["params"], []):
        columns = [*keys, "task", "metric"]
        mine, theirs = (
            list(one.cells[columns].fillna(-1).itertuples(index=False, name=None)) for one in (found, other)
        )
        at = np.array([theirs.index(key) if key in theirs else -1 for key in mine])
        if (at >= 0).any():
            break
    known = at >= 0
    if not known.any():
        raise DesignError(f"{claim.id}: scope.reference: {name} has no task in common with the cells in scope.")
    dense = np.where(known, other.cells["score"].to_numpy()[at], np.nan)
    return Evidence(
        found.cells.assign(dense=dense), found.draws, np.where(known[:, None], other.draws[at], np.nan), found.paired
    )


@dataclass(frozen=True)
class _Held:
    """A claim and the cells it is held against."""

    claim: Claim
    evidence: Evidence
    question: Question

    @cached_property
    def levels(self) -> bool:
        """Whether cells are levels, which have no sampling error that is known."""
        return self.claim.claimed.kind in PRINTED

    @property
    def cells(self) -> pd.DataFrame:
        """Of the evidence."""
        return self.evidence.cells

    @property
    def everything(self) -> NDArray[np.int64]:
        """Positions of all cells."""
        return np.arange(len(self.cells))

    def parts(self, column: str) -> list[findings.AuditPart]:
        """One part for each value of a column."""
        groups = self.cells.groupby(column, sort=True).indices
        return [self.part(_named(name), np.asarray(at), len(groups)) for name, at in groups.items()]

    def by_cell(self) -> list[findings.AuditPart]:
        """One part for each task by what else there are several of: methods, models."""
        several = [column for column in ("method", "model") if self.cells[column].nunique() > 1]
        groups = self.cells.groupby(["task", *several], sort=True).indices
        if not several or not 1 < len(groups) <= MOST_PARTS:
            return []
        return [self.part(", ".join(map(str, key)), np.asarray(at), len(groups)) for key, at in _keyed(groups).items()]

    def part(self, name: str, at: NDArray[np.int64], among: int) -> findings.AuditPart:
        """The claim on some cells, one of ``among`` parts of a list."""
        value, draws = self.value(at), self.draws(at)
        needed = self.required(among)
        holds = None if draws is None else float(np.mean(self.satisfied(draws)))
        printed = bool(self.satisfied(np.array([value]))[0])
        return findings.AuditPart(
            name=name,
            n_cells=len(at),
            n_items=self.n_items(at),
            value=value,
            interval=None if draws is None else summarise(draws, self.question.interval_prob).interval,
            prob_holds=holds,
            required=needed,
            printed=printed,
            verdict=_part_verdict(holds, self.fails(draws), printed, needed, levels=self.levels),
        )

    def n_items(self, at: NDArray[np.int64]) -> int | None:
        """Items of some cells; None where one does not say."""
        n = self.cells["n_items"].iloc[at]
        return None if n.isna().any() else int(n.sum())

    def required(self, among: int) -> float:
        """The probability that each of ``among`` parts needs: a claim names its direction."""
        return required(self.question, sides=1, among=among)

    def fails(self, draws: Floats | None) -> float | None:
        """Probability that it is not as claimed; of an exact number, that it is off on one side."""
        if draws is None or self.claim.claimed.sense != "equal":
            return None if draws is None else float(1 - np.mean(self.satisfied(draws)))
        assert self.claim.claimed.number is not None
        off, tolerance = draws - self.claim.claimed.number, self.claim.claimed.tolerance
        return float(max(np.mean(off > tolerance), np.mean(off < -tolerance)))

    def satisfied(self, values: Floats) -> NDArray[np.bool_]:
        """Whether values are as claimed, within the tolerance."""
        claimed = self.claim.claimed
        assert claimed.number is not None
        above, below = values >= claimed.number - claimed.tolerance, values <= claimed.number + claimed.tolerance
        return np.asarray(
            above if claimed.sense == "at least" else below if claimed.sense == "at most" else above & below
        )

    def value(self, at: NDArray[np.int64]) -> float:
        """The claimed quantity as printed."""
        score, dense = (self.cells[name].to_numpy(dtype=np.float64)[at] for name in ("score", "dense"))
        if self.levels:
            tokens = self.claim.claimed.unit == "KV tokens"
            if self.claim.claimed.kind == "association":
                return float(np.abs(score).mean())
            return float((self.cells["kv_tokens"].to_numpy(dtype=np.float64)[at] if tokens else score).mean())
        return float(self._quantity(score[:, None], dense[:, None])[0])

    def draws(self, at: NDArray[np.int64]) -> Floats | None:
        """Draws of it; none where a cell has none."""
        score, dense = self.evidence.draws[at], self.evidence.dense_draws[at]
        if self.levels or np.isnan(score).any() or np.isnan(dense).any():
            return None
        return self._quantity(score, dense)

    def _quantity(self, score: Floats, dense: Floats) -> Floats:
        if self.claim.claimed.kind == "difference":
            return np.asarray((score - dense).mean(axis=0))
        return np.asarray(score.mean(axis=0) / np.maximum(dense.mean(axis=0), 1e-9))

    # What an average hides

    def hidden(self) -> Iterator[findings.Hidden]:
        """Gains and losses that cancel, a task that carries the verdict, tasks at the ceiling or at the floor."""
        groups = {str(name): np.asarray(at) for name, at in self.cells.groupby("task", sort=True).indices.items()}
        if len(groups) < 2:
            return
        score, dense = (self.cells[name].to_numpy(dtype=np.float64) for name in ("score", "dense"))
        gaps = {name: float((score[at] - dense[at]).mean()) for name, at in groups.items()}
        most, least = max(gaps, key=lambda n: gaps[n]), min(gaps, key=lambda n: gaps[n])
        whole = float((score - dense).mean())
        if gaps[most] > max(0.01, abs(whole)) and gaps[least] < -max(0.01, abs(whole)):
            draws = [self.evidence.draws[groups[n]] - self.evidence.dense_draws[groups[n]] for n in (most, least)]
            real = (
                None
                if any(np.isnan(d).any() for d in draws)
                else float(np.mean((draws[0].mean(axis=0) > 0) & (draws[1].mean(axis=0) < 0)))
            )
            yield findings.Hidden(
                kind="gains and losses cancel",
                names=[most, least],
                differences=[gaps[most], gaps[least]],
                probability=real,
            )
        printed = bool(self.satisfied(np.array([self.value(self.everything)]))[0])
        if printed and self.claim.claimed.sense != "equal":
            yield from self._unlike(groups, gaps)
        carrying = [
            name
            for name, at in groups.items()
            if bool(self.satisfied(np.array([self.value(np.setdiff1d(self.everything, at))]))[0]) != printed
        ]
        for name in carrying:
            yield findings.Hidden(
                kind="one task carries the mean", names=[name], differences=[gaps[name]], probability=None
            )
        means = {name: float(dense[at].mean()) for name, at in groups.items()}
        for kind, names in (
            ("at the ceiling", [n for n in groups if means[n] >= CEILING]),
            ("at the floor", [n for n in groups if means[n] <= FLOOR]),
        ):
            if names:
                yield findings.Hidden.model_validate(
                    {"kind": kind, "names": names, "differences": [gaps[n] for n in names], "probability": None}
                )

    def _unlike(self, groups: dict[str, NDArray[np.int64]], gaps: dict[str, float]) -> Iterator[findings.Hidden]:
        """Tasks that, as printed, are not as claimed where the mean is; the most different first."""
        values = {name: self.value(at) for name, at in groups.items()}
        sign = 1 if self.claim.claimed.sense == "at least" else -1
        names = [n for n in groups if not self.satisfied(np.array([values[n]]))[0]]
        names.sort(key=lambda name: sign * values[name])
        if names:
            yield findings.Hidden(
                kind="not as claimed, unlike the mean",
                names=names,
                differences=[gaps[name] for name in names],
                probability=self.fails(self.draws(groups[names[0]])),
            )

    def weakest(self) -> Iterator[findings.Weakest]:
        """By what is kept of the reference: the task type, and the task."""
        of: tuple[tuple[Literal["task type", "task"], str], ...] = (("task type", "task_type"), ("task", "task"))
        for what, column in of:
            names, draws = self.kept(column, self.everything)
            if len(names) < 2:
                continue
            share = np.bincount(draws.argmin(axis=0), minlength=len(names)) / draws.shape[1]
            i = int(share.argmax())
            yield findings.Weakest(
                of=what, name=names[i], value=float(np.median(draws[i])), probability=float(share[i])
            )

    def kept(self, by: str, at: NDArray[np.int64]) -> tuple[list[str], Floats]:
        """Retention draws ``(name, draw)`` of the parts of some cells."""
        groups = self.cells.iloc[at].groupby(by, sort=True).indices
        rows = [
            self.evidence.draws[at[mine]].mean(axis=0)
            / np.maximum(self.evidence.dense_draws[at[mine]].mean(axis=0), 1e-9)
            for mine in groups.values()
        ]
        return [str(name) for name in groups], np.array(rows)

    # Claims of an order

    @cached_property
    def _settings(self) -> list[tuple[str, str, NDArray[np.int64]]]:
        """Model, name and cells of each method by model and level that has two or more of the claimed types."""
        mine = self.cells.assign(
            level=self.cells["kv_tokens"].fillna(-1).where(self.cells["sparsity"].isna(), self.cells["sparsity"])
        )
        several = mine.groupby(["method", "model"])["level"].transform("nunique") > 1
        found = []
        for key, where in mine.groupby(["model", "method", "level"], sort=True).indices.items():
            model, method, level = np.array(key, dtype=object)
            at = np.array([i for i in where if self.cells["task_type"].iloc[i] in self.claim.claimed.order])
            if len({self.cells["task_type"].iloc[i] for i in at}) > 1:
                name = f"{method}@{level:g}" if several.iloc[at[0]] else str(method)
                found.append((str(model), f"{name}, {model}", at))
        return found

    def settings(self) -> list[findings.AuditPart]:
        """For each setting, whether the claimed types keep in the claimed order."""
        if not self._settings:
            raise DesignError(f"{self.claim.id}: no method and model has two of {', '.join(self.claim.claimed.order)}.")
        made = []
        for _, name, at in self._settings:
            names, draws = self.kept("task_type", at)
            printed = self._printed(at)
            there = [one for one in self.claim.claimed.order if one in names]
            pairs = list(pairwise(there))
            right = [printed[a] >= printed[b] for a, b in pairs]
            needed = self.required(len(self._settings))
            known = not np.isnan(draws).any()
            row = {one: draws[names.index(one)] for one in there}
            holds = float(np.mean(np.all([row[a] >= row[b] for a, b in pairs], axis=0))) if known else None
            made.append(
                findings.AuditPart(
                    name=name,
                    n_cells=len(at),
                    n_items=self.n_items(at),
                    value=float(np.mean(right)),
                    interval=None,
                    prob_holds=holds,
                    required=needed,
                    printed=all(right),
                    verdict=_part_verdict(
                        holds, None if holds is None else 1 - holds, all(right), needed, levels=False
                    ),
                )
            )
        return made

    def _printed(self, at: NDArray[np.int64]) -> dict[str, float]:
        mine = self.cells.iloc[at].groupby("task_type")[["score", "dense"]].mean()
        return {str(name): float(row["score"] / max(row["dense"], 1e-9)) for name, row in mine.iterrows()}

    def lowest(self) -> dict[str, dict[str, int]]:
        """How many settings of each model have which task type last, as printed."""
        found: dict[str, dict[str, int]] = {}
        for model, _, at in self._settings:
            printed = self._printed(at)
            last = min(printed, key=lambda name: printed[name])
            counts = found.setdefault(model, {})
            counts[last] = counts.get(last, 0) + 1
        return found

    # Claims of a level

    def reversals(self) -> Iterator[findings.Reversal]:
        """Tasks that need more as a share and less in tokens, by model and method."""
        for (model, method), mine in self.cells.groupby(["model", "method"], sort=True):
            means = mine.groupby("task")[["score", "kv_tokens"]].mean()
            share, tokens = means["score"], means["kv_tokens"]
            for a, b in combinations(share.index, 2):
                if (share[a] - share[b]) * (tokens[a] - tokens[b]) < 0:
                    yield findings.Reversal(
                        within=f"{method}, {model}",
                        first=str(a),
                        second=str(b),
                        axis="sparsity fraction",
                        other="KV tokens",
                        on_axis=[float(share[a]), float(share[b])],
                        on_other=[float(tokens[a]), float(tokens[b])],
                    )


def _keyed(groups: object) -> "dict[tuple[object, ...], NDArray[np.int64]]":
    assert isinstance(groups, dict)
    return {key if isinstance(key, tuple) else (key,): at for key, at in groups.items()}


def _named(name: object) -> str:
    return f"{name:g}" if isinstance(name, float) else str(name)


def _part_verdict(
    holds: float | None, fails: float | None, printed: bool, required: float, *, levels: bool
) -> findings.PartVerdict:
    if levels:
        return "holds" if printed else "fails"
    if holds is None or fails is None:
        return "no item counts"
    return "holds" if holds >= required else "fails" if fails >= required else "undecided"


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


def _verdict(
    claim: Claim, overall: findings.AuditPart, *lists: Sequence[findings.AuditPart]
) -> tuple[findings.AuditVerdict, list[str]]:
    """From the whole and its parts: supported if it holds and no part fails. An exact number is one of the whole."""
    if claim.claimed.sense == "equal" and claim.claimed.kind not in PRINTED and claim.claimed.kind != "order":
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
    wide = _in_scope(claim, evidence, levels=False)
    if claim.claimed.kind not in PRINTED:
        wide = wide.only(wide.cells["n_items"].notna())
    along = {one.name: one.published for one in AXES.values() if one.published} | FACTORS
    for axis, column in along.items():
        known = wide.cells[column].notna()
        if not known.any():
            yield findings.AuditAxis(axis=axis, state="not recorded", parts=[])
            continue
        here = wide if column in ("kv_tokens", "sparsity") else _in_scope(claim, evidence)
        here = here.only(here.cells[column].notna() & (here.cells["n_items"].notna() | here.cells["threshold"]))
        if here.cells.empty:
            yield findings.AuditAxis(axis=axis, state="not recorded", parts=[])
            continue
        parts = _Held(claim, here, question).parts(column)
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
