"""What an average over tasks hides, and what keeps least."""

from collections.abc import Iterator
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from tolerance import findings
from tolerance.auditing.parts import HeldClaim

CEILING, FLOOR = 0.98, 0.05


def hidden(held: HeldClaim) -> Iterator[findings.Hidden]:
    """Gains and losses that cancel, a task that carries the verdict, tasks at the ceiling or at the floor."""
    groups = {str(name): np.asarray(at) for name, at in held.cells.groupby("task", sort=True).indices.items()}
    if len(groups) < 2:
        return
    score, dense = (held.cells[name].to_numpy(dtype=np.float64) for name in ("score", "dense"))
    gaps = {name: float((score[at] - dense[at]).mean()) for name, at in groups.items()}
    most, least = max(gaps, key=lambda n: gaps[n]), min(gaps, key=lambda n: gaps[n])
    whole = float((score - dense).mean())
    if gaps[most] > max(0.01, abs(whole)) and gaps[least] < -max(0.01, abs(whole)):
        draws = [held.evidence.draws[groups[n]] - held.evidence.dense_draws[groups[n]] for n in (most, least)]
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
    printed = bool(held.satisfied(np.array([held.value(held.everything)]))[0])
    if printed and held.claim.claimed.sense != "equal":
        yield from _unlike(held, groups, gaps)
    carrying = [
        name
        for name, at in groups.items()
        if bool(held.satisfied(np.array([held.value(np.setdiff1d(held.everything, at))]))[0]) != printed
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


def _unlike(held: HeldClaim, groups: dict[str, NDArray[np.int64]], gaps: dict[str, float]) -> Iterator[findings.Hidden]:
    """Tasks that, as printed, are not as claimed where the mean is; the most different first."""
    values = {name: held.value(at) for name, at in groups.items()}
    sign = 1 if held.claim.claimed.sense == "at least" else -1
    names = [n for n in groups if not held.satisfied(np.array([values[n]]))[0]]
    names.sort(key=lambda name: sign * values[name])
    if names:
        yield findings.Hidden(
            kind="not as claimed, unlike the mean",
            names=names,
            differences=[gaps[name] for name in names],
            probability=held.fails(held.draws(groups[names[0]])),
        )


def weakest(held: HeldClaim) -> Iterator[findings.Weakest]:
    """By what is kept of the reference: the task type, and the task."""
    of: tuple[tuple[Literal["task type", "task"], str], ...] = (("task type", "task_type"), ("task", "task"))
    for what, column in of:
        names, draws = held.kept(column, held.everything)
        if len(names) < 2:
            continue
        share = np.bincount(draws.argmin(axis=0), minlength=len(names)) / draws.shape[1]
        i = int(share.argmax())
        yield findings.Weakest(of=what, name=names[i], value=float(np.median(draws[i])), probability=float(share[i]))
