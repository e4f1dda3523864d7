"""Claims of an order of task types, setting by setting."""

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from tolerance import findings
from tolerance.auditing.parts import HeldClaim, part_verdict
from tolerance.errors import DesignError


def _settings(held: HeldClaim) -> list[tuple[str, str, NDArray[np.int64]]]:
    """Model, name and cells of each method by model and level that has two or more of the claimed types."""
    mine = held.cells.assign(
        level=held.cells["kv_tokens"].fillna(-1).where(held.cells["sparsity"].isna(), held.cells["sparsity"])
    )
    several = mine.groupby(["method", "model"])["level"].transform("nunique") > 1
    found = []
    for key, where in mine.groupby(["model", "method", "level"], sort=True).indices.items():
        model, method, level = np.array(key, dtype=object)
        at = np.array([i for i in where if held.cells["task_type"].iloc[i] in held.claim.claimed.order])
        if len({held.cells["task_type"].iloc[i] for i in at}) > 1:
            name = f"{method}@{level:g}" if several.iloc[at[0]] else str(method)
            found.append((str(model), f"{name}, {model}", at))
    return found


def settings(held: HeldClaim) -> list[findings.AuditPart]:
    """For each setting, whether the claimed types keep in the claimed order."""
    of_each = _settings(held)
    if not of_each:
        raise DesignError(f"{held.claim.id}: no method and model has two of {', '.join(held.claim.claimed.order)}.")
    made = []
    for _, name, at in of_each:
        names, draws = held.kept("task_type", at)
        printed = _printed(held, at)
        there = [one for one in held.claim.claimed.order if one in names]
        pairs = list(pairwise(there))
        right = [printed[a] >= printed[b] for a, b in pairs]
        needed = held.required(len(of_each))
        known = not np.isnan(draws).any()
        row = {one: draws[names.index(one)] for one in there}
        holds = float(np.mean(np.all([row[a] >= row[b] for a, b in pairs], axis=0))) if known else None
        made.append(
            findings.AuditPart(
                name=name,
                n_cells=len(at),
                n_items=held.n_items(at),
                value=float(np.mean(right)),
                interval=None,
                prob_holds=holds,
                required=needed,
                printed=all(right),
                verdict=part_verdict(holds, None if holds is None else 1 - holds, all(right), needed, levels=False),
            )
        )
    return made


def _printed(held: HeldClaim, at: NDArray[np.int64]) -> dict[str, float]:
    mine = held.cells.iloc[at].groupby("task_type")[["score", "dense"]].mean()
    return {str(name): float(row["score"] / max(row["dense"], 1e-9)) for name, row in mine.iterrows()}


def lowest(held: HeldClaim) -> dict[str, dict[str, int]]:
    """How many settings of each model have which task type last, as printed."""
    found: dict[str, dict[str, int]] = {}
    for model, _, at in _settings(held):
        printed = _printed(held, at)
        last = min(printed, key=lambda name: printed[name])
        counts = found.setdefault(model, {})
        counts[last] = counts.get(last, 0) + 1
    return found
