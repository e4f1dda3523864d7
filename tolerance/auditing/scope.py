"""The cells that a claim is about, each with the score of its reference."""

from collections.abc import Callable
from difflib import get_close_matches

import numpy as np
import pandas as pd

from tolerance.auditing.claims import Claim
from tolerance.auditing.evidence import Evidence
from tolerance.auditing.published_cells import DENSE_NAMES
from tolerance.errors import DesignError

# Claims of numbers that are no scores.
PRINTED = ("threshold", "association")
_Rule = Callable[[pd.DataFrame], pd.Series]


def _containing(column: str, text: str) -> _Rule:
    return lambda cells: cells[column].str.contains(text, regex=False)


def _among(column: str, names: list[str]) -> _Rule:
    return lambda cells: cells[column].isin(names)


def in_scope(claim: Claim, evidence: Evidence, *, levels: bool = True) -> Evidence:
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
                lambda c: (c["sparsity"] != 0) & ~c["method"].str.strip().str.casefold().isin(DENSE_NAMES),
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
        raise DesignError(
            f"{claim.id}: no score of the reference for any cell in scope, so nothing can be "
            "compared. Add rows of the method 'dense' for the same tasks and models, fill column dense_score, or name "
            "another reference in the claim's scope."
        )
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
            list(one.cells[columns].astype(str).itertuples(index=False, name=None)) for one in (found, other)
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
