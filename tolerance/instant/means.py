"""The instant answer to published means: what they show without a model, nothing being paired.

Each mean is a share with the Beta posterior of Jeffreys' prior, from its number of items or, where a standard error was
published, from the number of 0/1 answers that would have it. A dense mean that several methods are compared with is
one draw for all of them; everything else is independent, which is what the loss of pairing costs.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import combinations

import numpy as np
import pandas as pd

from tolerance import findings
from tolerance.data.canonical import canonical
from tolerance.data.cells import LEAST_VARIANCE
from tolerance.data.conditions import CELL
from tolerance.data.item_table import refuse_useless
from tolerance.data.manifest import digest
from tolerance.data.outcomes import DENSE, is_dense, level
from tolerance.instant.cells import Asked, Floats
from tolerance.instant.contrasts import MOST_METHODS
from tolerance.instant.trends import kept_up_to
from tolerance.model.curve import LEAST_ABOVE_FLOOR
from tolerance.stats.intervals import Interval
from tolerance.stats.paired_proportions import wilson_limits

# What a method is told by; what is left of a key says where it was asked.
_METHOD = ("sparsifier", "sparsity_requested")
# What a dense mean and those that are compared with it have in common.
_WHERE = ("task", "model", "context_length")
NO_ITEMS = "no number of items was published"


def sizes(means: pd.DataFrame) -> Floats:
    """0/1 answers that would vary as much as each mean ``(mean,)``; null where neither items nor an error are known."""
    n, error = (means[name].to_numpy(dtype=np.float64, na_value=np.nan) for name in ("n_items", "se"))
    share = means["score"].to_numpy(dtype=np.float64)
    spread = share * (1 - share)
    with np.errstate(divide="ignore", invalid="ignore"):
        told = np.where((error > 0) & (spread > 0), spread / error**2, np.nan)
    # scores never vary less than a fiftieth of 0/1 answers, nor more than fifty times as much
    bounded = np.where(np.isnan(n), told, np.clip(told, n * LEAST_VARIANCE, n / LEAST_VARIANCE))
    return np.where(np.isnan(told), n, bounded)


def mean_draws(share: Floats, n: Floats, rng: np.random.Generator, draws: int) -> Floats:
    """Posterior draws of each mean ``(mean, draw)``; null where its size is."""
    out = np.full((len(share), draws), np.nan)
    for i in np.flatnonzero(~np.isnan(n)):
        out[i] = rng.beta(share[i] * n[i] + 0.5, (1 - share[i]) * n[i] + 0.5, draws)
    return out


@dataclass
class _Unpaired:
    """Two conditions of a task type: positions of their means, one pair for each task and place that both have."""

    first: list[int] = field(default_factory=list)
    second: list[int] = field(default_factory=list)


class _Means:
    """Means in the order of what they hold, and their draws, the first of which is the mean itself."""

    def __init__(self, table: pd.DataFrame, asked: Asked) -> None:
        self.table = canonical(table).reset_index(drop=True)
        self.asked = asked
        self.level = level(self.table).to_numpy(dtype=np.float64)
        self.size = sizes(self.table)
        share = self.table["score"].to_numpy(dtype=np.float64)
        drawn = mean_draws(share, self.size, np.random.default_rng(asked.seed), asked.resamples)
        self.draws = np.concatenate([share[:, None], drawn], axis=1)
        self.floor = self.table["chance"].fillna(0.0).to_numpy(dtype=np.float64)
        self.types = self.table["task_type"].astype(str).tolist()
        self.methods = self.table["sparsifier"].astype(str).tolist()
        self.requested = self.table["sparsity_requested"].to_numpy(dtype=np.float64)
        self.sparse = self.level > 0


def places(means: pd.DataFrame, columns: Iterable[str] = _WHERE) -> list[tuple[str, ...]]:
    """Where each mean was asked: task, model, revision and context; or what it has in other columns."""
    return list(means[list(columns)].astype(str).itertuples(index=False, name=None))


def dense_means(means: pd.DataFrame) -> dict[tuple[str, ...], int]:
    """Row of the dense mean at each place: the dense model's own, else a method's at level 0."""
    found: dict[tuple[str, ...], int] = {}
    own, sparse = is_dense(means).to_numpy(), (level(means) > 0).to_numpy()
    for i, place in enumerate(places(means)):
        if not sparse[i] and (place not in found or (own[i] and not own[found[place]])):
            found[place] = i
    return found


def instant_of_means(means: pd.DataFrame, asked: Asked) -> findings.Instant:
    """What published means show without a model; the order of their rows does not matter.

    Raises:
        DesignError: every mean is dense, one task has two types, or one method two units.
    """
    refuse_useless(means.assign(sparsity=level(means)))
    found = _Means(means, asked)
    pairs = {**_against_dense(found), **_of_methods(found)}
    contrasts = [_contrast(found, key, pair) for key, pair in pairs.items()]
    n = found.table["n_items"]
    return findings.Instant(
        retention=asked.retention,
        interval_prob=asked.prob,
        resamples=asked.resamples,
        seed=asked.seed,
        n_answers=int(n.sum()),
        n_unpaired=int(n[found.sparse].sum()),
        n_means=len(found.table),
        cells=list(_cells(found)),
        contrasts=contrasts,
        trends=[],
        tolerated=list(_tolerated(found, pairs)),
    )


_Key = tuple[str, str, str, float]


def _against_dense(found: _Means) -> dict[_Key, _Unpaired]:
    dense, pairs = dense_means(found.table), defaultdict[_Key, _Unpaired](_Unpaired)
    for i, key in enumerate(places(found.table)):
        if found.sparse[i] and key in dense:
            pair = pairs[found.types[i], found.methods[i], DENSE, float(found.requested[i])]
            pair.first.append(i)
            pair.second.append(dense[key])
    return dict(sorted(pairs.items()))


def _of_methods(found: _Means) -> dict[_Key, _Unpaired]:
    """Two methods asked for one level of one unit, at the places that both have."""
    units = found.table["unit"].astype(str).tolist()
    together: dict[tuple[object, ...], list[int]] = defaultdict(list)
    for i, key in enumerate(places(found.table, ["task_type", *(name for name in CELL if name not in _METHOD)])):
        if found.sparse[i]:
            together[key, float(found.requested[i]), units[i]].append(i)
    pairs = defaultdict[_Key, _Unpaired](_Unpaired)
    for there in together.values():
        if len(there) <= MOST_METHODS:
            for a, b in combinations(sorted(there, key=lambda i: found.methods[i]), 2):
                pair = pairs[found.types[a], found.methods[a], found.methods[b], float(found.requested[a])]
                pair.first.append(a)
                pair.second.append(b)
    return dict(sorted(pairs.items()))


def _sides(found: _Means, pair: _Unpaired) -> tuple[Floats, Floats, float]:
    """Means of both sides over places ``(draw,)``, and of the guessing floor."""
    first, second = (found.draws[side].mean(axis=0) for side in (pair.first, pair.second))
    return first, second, float(found.floor[pair.first].mean())


def _kept(found: _Means, pair: _Unpaired) -> Floats | None:
    """Share of dense above the floor that is kept ``(draw,)``; None where dense may be at the floor."""
    first, second, floor = _sides(found, pair)
    above = second - floor
    with np.errstate(invalid="ignore"):
        low = above[0] < LEAST_ABOVE_FLOOR or np.mean(above[1:] < LEAST_ABOVE_FLOOR) > 0.05
    return None if low else np.asarray((first - floor) / np.maximum(above, 1e-9))


def _measured(drawn: Floats, asked: Asked) -> findings.Measured:
    """The value and its interval, if it has one."""
    if np.isnan(drawn[1:]).any():
        return findings.Measured(value=float(drawn[0]), interval=None)
    value, (low, high) = float(drawn[0]), np.quantile(drawn[1:], asked.tails).tolist()
    # a mean of 0 or 1 is an end of its interval (Brown, Cai & DasGupta 2001, doi:10.1214/ss/1009213286)
    interval = Interval(kind="eti", prob=asked.prob, lower=min(low, value), upper=max(high, value))
    return findings.Measured(value=value, interval=interval)


def _contrast(found: _Means, key: _Key, pair: _Unpaired) -> findings.Paired:
    task_type, first, second, at = key
    one, other, _ = _sides(found, pair)
    kept = _kept(found, pair) if second == DENSE else None
    return findings.Paired(
        id=f"unpaired-{digest(list(key))[:8]}",
        task_type=task_type,
        first=first,
        second=second,
        level=at,
        sparsity=float(found.level[pair.first].mean()),
        n_pairs=0,
        unpaired_first=_count(found, pair.first),
        unpaired_second=_count(found, pair.second),
        n_blocks=len(pair.first),
        accuracy_first=float(one[0]),
        accuracy_second=float(other[0]),
        difference=_measured(one - other, found.asked),
        retention=None if kept is None else _measured(kept, found.asked),
        reason="dense accuracy is at the guessing floor" if second == DENSE and kept is None else None,
        mcnemar=None,
    )


def _count(found: _Means, at: list[int]) -> int | None:
    """Items behind some means; None where one does not say."""
    n = found.table["n_items"].iloc[at]
    return None if n.isna().any() else int(n.sum())


def _cells(found: _Means) -> Iterator[findings.ObservedCell]:
    """Task types first, then tasks, each by method and level."""
    groups: dict[tuple[str, str | None, str, float], list[int]] = defaultdict(list)
    tasks = found.table["task"].astype(str).tolist()
    for i, kind in enumerate(found.types):
        for task in (None, tasks[i]):
            groups[kind, task, found.methods[i], float(found.requested[i])].append(i)
    for key in sorted(groups, key=lambda key: (key[1] is not None, key[0], key[1] or "", key[2], key[3])):
        at = groups[key]
        share, n = float(found.draws[at, 0].mean()), _count(found, at)
        yield findings.ObservedCell(
            task_type=key[0],
            task=key[1],
            sparsifier=key[2],
            level=key[3],
            sparsity=float(found.level[at].mean()),
            n_items=n,
            n_answers=n,
            n_blocks=len(at),
            accuracy=share,
            wilson=_wilson(share, found.size[at], found.asked.prob),
            robust=None,
        )


def _wilson(share: float, size: Floats, prob: float) -> Interval | None:
    """Of a mean over means, as variable as so many 0/1 answers (Kish 1965)."""
    if np.isnan(size).any():
        return None
    low, high = wilson_limits(np.array([share]), np.array([len(size) ** 2 / np.sum(1 / size)]), prob)
    return Interval(kind="wilson", prob=prob, lower=float(low[0]), upper=float(high[0]))


def _tolerated(found: _Means, pairs: dict[_Key, _Unpaired]) -> Iterator[findings.ObservedLevel]:
    """One for each task type and method: where the share kept first falls below what is asked, straight in halvings."""
    asked = found.asked
    curves = {(found.types[i], found.methods[i]) for i in np.flatnonzero(found.sparse)}
    for task_type, method in sorted(curves):
        named = {"id": f"observed-{digest([task_type, method])[:8]}", "task_type": task_type, "sparsifier": method}
        mine = [pair for key, pair in pairs.items() if key[:3] == (task_type, method, DENSE)]
        reason, kept = _shares(found, mine)
        if reason is not None:
            yield findings.ObservedLevel.model_validate({**named, "reason": reason, "level": None})
            continue
        at = np.array([found.level[pair.first].mean() for pair in mine])
        order = np.argsort(at, kind="stable")
        told = kept_up_to(at[order], np.stack([kept[i] for i in order], axis=1), asked)
        yield findings.ObservedLevel.model_validate({**named, "reason": None, "level": told})


def _shares(found: _Means, mine: list[_Unpaired]) -> tuple[str | None, list[Floats]]:
    """The shares kept at each level, or why there is no tolerated level."""
    kept = [_kept(found, pair) for pair in mine]
    known = [one for one in kept if one is not None]
    if not mine:
        return "no dense baseline", []
    if len(known) < len(kept):
        return "dense accuracy is at the guessing floor", []
    if any(np.isnan(one).any() for one in known):
        return NO_ITEMS, []
    return None, known
