"""A claim on parts of its cells: whether each holds, and what an average over them hides."""

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tolerance import findings
from tolerance.auditing.claims import Claim
from tolerance.auditing.evidence import Evidence
from tolerance.auditing.scope import PRINTED
from tolerance.errors import DesignError
from tolerance.question import Question
from tolerance.stats.decide import required
from tolerance.stats.intervals import Interval, summarise

Floats = NDArray[np.float64]
MOST_PARTS = 80


@dataclass(frozen=True)
class HeldClaim:
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

    @cached_property
    def weights(self) -> Floats:
        """What each cell counts in an average ``(cell,)``: alike, or its items where those are averaged."""
        if self.claim.claimed.average != "items":
            return np.ones(len(self.cells))
        n = self.cells["n_items"].to_numpy(dtype=np.float64)
        if np.isnan(n).any():
            raise DesignError(
                f"{self.claim.id}: claims an average over items, and the evidence does not say how many a cell has. "
                "Fill n_items, or claim 'average: tasks'."
            )
        return n

    def averaging(self, over: Literal["tasks", "items"]) -> "HeldClaim":
        """The same claim as one about an average over tasks, or over items."""
        claimed = self.claim.claimed.model_copy(update={"average": over})
        return replace(self, claim=self.claim.model_copy(update={"claimed": claimed}))

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
            interval=None if draws is None else _around(value, summarise(draws, self.question.interval_prob).interval),
            prob_holds=holds,
            required=needed,
            printed=printed,
            verdict=part_verdict(holds, self.fails(draws), printed, needed, levels=self.levels),
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
        return float(self._quantity(score[:, None], dense[:, None], self.weights[at])[0])

    def draws(self, at: NDArray[np.int64]) -> Floats | None:
        """Draws of it; none where a cell has none."""
        score, dense = self.evidence.draws[at], self.evidence.dense_draws[at]
        if self.levels or np.isnan(score).any() or np.isnan(dense).any():
            return None
        return self._quantity(score, dense, self.weights[at])

    def _quantity(self, score: Floats, dense: Floats, weights: Floats) -> Floats:
        score, dense = (np.average(values, axis=0, weights=weights) for values in (score, dense))
        if self.claim.claimed.kind == "difference":
            return np.asarray(score - dense)
        return np.asarray(score / np.maximum(dense, 1e-9))

    def kept(self, by: str, at: NDArray[np.int64]) -> tuple[list[str], Floats]:
        """Retention draws ``(name, draw)`` of the parts of some cells."""
        groups = self.cells.iloc[at].groupby(by, sort=True).indices
        rows = [
            self.evidence.draws[at[mine]].mean(axis=0)
            / np.maximum(self.evidence.dense_draws[at[mine]].mean(axis=0), 1e-9)
            for mine in groups.values()
        ]
        return [str(name) for name in groups], np.array(rows)


def _around(value: float, found: Interval) -> Interval:
    """An interval that holds what was printed: a share of 0 or 1 is an end of its own."""
    return found.model_copy(update={"lower": min(found.lower, value), "upper": max(found.upper, value)})


def _keyed(groups: object) -> "dict[tuple[object, ...], NDArray[np.int64]]":
    assert isinstance(groups, dict)
    return {key if isinstance(key, tuple) else (key,): at for key, at in groups.items()}


def _named(name: object) -> str:
    return f"{name:g}" if isinstance(name, float) else str(name)


def part_verdict(
    holds: float | None, fails: float | None, printed: bool, required: float, *, levels: bool
) -> findings.PartVerdict:
    """As printed for levels, which have no sampling error; for the rest, what is probable enough."""
    if levels:
        return "holds" if printed else "fails"
    if holds is None or fails is None:
        return "no item counts"
    return "holds" if holds >= required else "fails" if fails >= required else "undecided"
