"""Outcomes collapsed to cells: one per task, configuration, sparsifier and level. A fit costs by the cell, not the row.

A configuration is a model at a context length. A block is a task under one configuration: the same items in all its
cells. Of the items themselves a block keeps the cross-products of their scores between cells, which is all that the
likelihood needs of them. Scores that vary less than 0/1 answers with the same mean do (k of n, graded, several answers
to one item) enter with the number of 0/1 answers that would vary as much.
"""

from dataclasses import dataclass, replace
from functools import cached_property
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tolerance.data.canonical import canonical
from tolerance.data.outcomes import is_dense, level
from tolerance.data.published import is_aggregate, require_counts
from tolerance.errors import DesignError

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
# Scores of a task are never taken to vary less than a fiftieth of 0/1 answers.
LEAST_VARIANCE = 0.02
CELL = ["task", "model", "context_length", "sparsifier", "sparsity_requested"]


class CrossProducts(NamedTuple):
    """Items of one block: how many two cells share, and sums of products of their centred scores ``(cell, cell)``."""

    common: Floats
    products: Floats


@dataclass(frozen=True)
class Cells:
    """Cell arrays ``(cell,)`` and the names behind their indices; cells of the dense baseline come first.

    ``frame`` has one row a cell: the columns of `CELL`, ``task_type``, ``unit``, ``sparsity`` (mean over the cell's
    items), ``realised`` (null where it was not measured), ``right`` (sum of scores), ``n`` (answers) and ``weight``
    (the number of 0/1 answers that would vary as much). ``pairs`` holds cross-products of items by block, in the order
    of ``blocks``; it is empty where only means are known.
    """

    frame: pd.DataFrame
    tasks: tuple[str, ...]
    task_types: tuple[str, ...]
    type_of_task: tuple[int, ...]
    sparsifiers: tuple[str, ...]
    configs: tuple[tuple[str, int], ...]
    chance: tuple[float, ...]
    covariates: pd.DataFrame
    pairs: tuple[CrossProducts, ...] = ()

    @cached_property
    def right(self) -> Floats:
        """Sum of scores."""
        return self.frame["right"].to_numpy(dtype=np.float64)

    @cached_property
    def n(self) -> Floats:
        """Number of answers."""
        return self.frame["n"].to_numpy(dtype=np.float64)

    @cached_property
    def weight(self) -> Floats:
        """Number of 0/1 answers that would vary as much."""
        return self.frame["weight"].to_numpy(dtype=np.float64)

    @cached_property
    def blocks(self) -> list[Ints]:
        """Cells of each task and configuration."""
        return _grouped(self.task * len(self.configs) + self.config)

    @cached_property
    def halvings(self) -> Floats:
        """How often the density is halved: -log2(1 - sparsity)."""
        return halvings(self.frame["sparsity"].to_numpy(dtype=np.float64))

    @cached_property
    def task(self) -> Ints:
        """Index into ``tasks``."""
        return _index(self.frame["task"], self.tasks)

    @cached_property
    def config(self) -> Ints:
        """Index into ``configs``."""
        pairs = list(zip(self.frame["model"], self.frame["context_length"], strict=True))
        return np.array([self.configs.index(pair) for pair in pairs], dtype=np.int64)

    @cached_property
    def sparsifier(self) -> Ints:
        """Index into ``sparsifiers`` of the cells that are not dense ``(sparse cell,)``."""
        return _index(self.frame["sparsifier"][self.n_dense :], self.sparsifiers)

    @cached_property
    def n_dense(self) -> int:
        """How many of the first cells are dense."""
        return int((self.halvings == 0).sum())

    @property
    def levels(self) -> Floats:
        """The distinct measured sparsities above 0, ascending."""
        above = self.frame["sparsity"][self.frame["sparsity"] > 0]
        return np.unique(above.to_numpy(dtype=np.float64))

    def types(self) -> Ints:
        """Index of the task type of each task ``(task,)``."""
        return np.asarray(self.type_of_task, dtype=np.int64)


# Levels of two curves are one level if their halvings differ by less: 0.25 asked for and 0.24 realised, say.
SAME_LEVEL = 0.1


def halvings(sparsity: Floats) -> Floats:
    """-log2 of the density: 0, 1, 2 ... at sparsity 0, 0.5, 0.75 ..."""
    return np.asarray(-np.log2(1 - np.asarray(sparsity, dtype=np.float64)))


def sparsity(halved: Floats) -> Floats:
    """The inverse of `halvings`."""
    return np.asarray(1 - 2.0 ** -np.asarray(halved, dtype=np.float64))


def collapse(outcomes: pd.DataFrame) -> Cells:
    """Collapse validated outcomes, or published means, to cells; their order makes no difference.

    Raises:
        DesignError: nothing but dense answers, one task under two task types, or means of an unknown number of items.
    """
    published = is_aggregate(outcomes)
    outcomes = canonical(outcomes)  # sums of floats follow the order of what is summed
    table = outcomes.assign(sparsity=level(outcomes))
    table["context_length"] = table["context_length"].fillna(0).astype("int64")
    refuse_useless(table)
    frame = _published(table) if published else _answered(table)
    # A method asked for 0, or too coarse to remove anything, answered densely.
    frame = frame.sort_values("sparsity", key=lambda s: s > 0, kind="stable", ignore_index=True)
    tasks = frame.groupby("task", sort=True)["task_type"].first()
    task_types = tuple(sorted(set(tasks)))
    pairs = frame[["model", "context_length"]].drop_duplicates().sort_values(["model", "context_length"])
    configs = tuple((str(m), int(c)) for m, c in pairs.itertuples(index=False))
    sparse = frame["sparsity"] > 0
    counted = Cells(
        frame=frame.assign(weight=frame["n"].astype("float64")),
        tasks=tuple(tasks.index),
        task_types=task_types,
        type_of_task=tuple(task_types.index(t) for t in tasks),
        sparsifiers=tuple(sorted(set(frame["sparsifier"][sparse]))),
        configs=configs,
        chance=tuple(table.groupby("task", sort=True)["chance"].mean().fillna(0.0)),
        covariates=_covariates(table, configs),
    )
    if published:
        return counted if frame["se"].isna().all() else replace(counted, frame=frame.assign(weight=_by_error(frame)))
    products = _pairs(table, counted)
    weighted = frame.assign(weight=_weights(counted, products))
    return replace(counted, frame=weighted, pairs=products)


def _answered(table: pd.DataFrame) -> pd.DataFrame:
    """One row a cell, from answers."""
    groups = table.groupby(CELL, sort=True, observed=True)
    return groups.agg(
        task_type=("task_type", "first"),
        unit=("unit", "first"),
        sparsity=("sparsity", "mean"),
        realised=("sparsity_realised", "mean"),
        right=("score", "sum"),
        n=("score", "size"),
    ).reset_index()


def _published(table: pd.DataFrame) -> pd.DataFrame:
    """One row a cell, which is one published mean; ``se`` is its standard error where one was published."""
    require_counts(table)
    n = table["n_items"].astype("float64")
    named = table.assign(realised=table["sparsity_realised"], right=table["score"] * n, n=n)
    columns = [*CELL, "task_type", "unit", "sparsity", "realised", "right", "n", "se"]
    return named[columns].sort_values(CELL, kind="stable", ignore_index=True)


def _by_error(frame: pd.DataFrame) -> Floats:
    """0/1 answers that would vary as much as standard errors say, pooled over a task's cells that have one."""
    n, share = frame["n"].to_numpy(dtype=np.float64), (frame["right"] / frame["n"]).to_numpy(dtype=np.float64)
    errors = frame["se"].to_numpy(dtype=np.float64)
    binomial = np.where(np.isnan(errors), 0.0, share * (1 - share))
    squares = np.where(np.isnan(errors), 0.0, n * errors**2)
    keys = pd.Series(pd.factorize(frame["task"])[0])
    ratio = _sums(squares, keys) / np.maximum(_sums(binomial, keys), 1e-12)
    known = ~np.isnan(errors) & (_sums(binomial, keys) > 0)
    return np.where(known, n / np.clip(ratio, LEAST_VARIANCE, 1 / LEAST_VARIANCE), n)


def refuse_useless(table: pd.DataFrame) -> None:
    """Refuse outcomes with a column ``sparsity`` that nothing can be estimated from.

    Raises:
        DesignError: nothing but dense answers, one task under two task types, or a sparsifier with two units.
    """
    if is_dense(table).all() or not (table["sparsity"] > 0).any():
        raise DesignError(
            "every answer is dense, so there is no tolerance to estimate. Collect at least one sparse level."
        )
    kinds = table.groupby("task")["task_type"].nunique()
    if (kinds > 1).any():
        task = str(kinds.index[kinds > 1][0])
        seen = ", ".join(sorted(set(table.loc[table["task"] == task, "task_type"])))
        raise DesignError(f"task {task!r} appears under several task types ({seen}). Give each task one type.")
    units = table.loc[~is_dense(table), ["sparsifier", "unit"]].groupby("sparsifier")["unit"].nunique()
    if (units > 1).any():
        raise DesignError(
            f"sparsifier {units.index[units > 1][0]!r} mixes units of sparsity. Give each unit its own sparsifier name."
        )


def _covariates(table: pd.DataFrame, configs: tuple[tuple[str, int], ...]) -> pd.DataFrame:
    """log2 parameters and context of each configuration, centred and scaled; constant or unknown ones are left out."""
    params = table.groupby("model")["params"].first()
    raw = {
        "log2_params": [
            np.log2(float(params[m])) if pd.notna(params[m]) and params[m] > 0 else np.nan for m, _ in configs
        ],
        "log2_context": [np.log2(c) if c > 0 else np.nan for _, c in configs],
    }
    frame = pd.DataFrame(raw)
    known = [name for name in frame if frame[name].notna().all() and frame[name].nunique() > 1]
    chosen = frame[known]
    return (chosen - chosen.mean()) / chosen.std(ddof=0)


def _pairs(table: pd.DataFrame, cells: Cells) -> tuple[CrossProducts, ...]:
    """Cross-products of every block, in one pass over the answers; several answers to an item count as their mean."""
    places = {key: i for i, key in enumerate(cells.frame[CELL].itertuples(index=False, name=None))}
    groups = table.groupby(CELL, sort=False, observed=True)
    codes = groups.ngroup().to_numpy()
    names = groups.size().index
    cell_of = np.array([places[key] for key in names.to_flat_index()], dtype=np.int64)
    cell = cell_of[codes]
    item = pd.factorize(table["item_id"])[0].astype(np.int64)
    score = table["score"].to_numpy(dtype=np.float64)
    block_of = np.empty(len(cells.frame), dtype=np.int64)
    for b, group in enumerate(cells.blocks):
        block_of[group] = b
    rows = np.argsort(block_of[cell], kind="stable")
    ends = np.cumsum(np.bincount(block_of[cell], minlength=len(cells.blocks)))
    return tuple(
        _products(group, cell[mine], item[mine], score[mine])
        for group, mine in zip(cells.blocks, np.split(rows, ends[:-1]), strict=True)
    )


def _products(group: Ints, cell: Ints, item: Ints, score: Floats) -> CrossProducts:
    items, row = np.unique(item, return_inverse=True)
    flat, size = row * len(group) + np.searchsorted(group, cell), len(items) * len(group)
    asked = np.bincount(flat, minlength=size).reshape(len(items), -1)
    scores = np.bincount(flat, score, minlength=size).reshape(len(items), -1)
    there = (asked > 0).astype(np.float64)
    mean = np.where(asked > 0, scores / np.maximum(asked, 1), 0.0)
    centred = (mean - mean.sum(0) / np.maximum(there.sum(0), 1)) * there
    return CrossProducts(there.T @ there, centred.T @ centred)


def _weights(cells: Cells, pairs: tuple[CrossProducts, ...]) -> Floats:
    """0/1 answers that would vary as much: items times binomial variance over theirs, pooled over a task's cells."""
    items, squares = np.empty(len(cells.frame)), np.empty(len(cells.frame))
    for group, pair in zip(cells.blocks, pairs, strict=True):
        items[group], squares[group] = np.diag(pair.common), np.diag(pair.products)
    share = np.clip(cells.right / cells.n, 0.0, 1.0)
    binomial = items * share * (1 - share)
    # items asked once and items asked several times vary differently
    often = np.round(cells.n / items).astype(np.int64)
    keys = pd.Series(cells.task * (often.max() + 1) + often)
    ratio = _sums(squares, keys) / np.maximum(_sums(binomial, keys), 1e-12)
    # 0/1 answers have exactly the binomial variance; their ratio is 1 up to rounding
    known = _sums(binomial, keys) > 0
    return np.where(known, items / np.clip(ratio, LEAST_VARIANCE, 1.0), items)


def _sums(values: Floats, keys: "pd.Series[int]") -> Floats:
    return pd.Series(values).groupby(keys).transform("sum").to_numpy(dtype=np.float64)


def _grouped(keys: Ints) -> list[Ints]:
    order = np.argsort(keys, kind="stable")
    return np.split(order, np.flatnonzero(np.diff(keys[order])) + 1)


def _index(values: pd.Series, names: tuple[str, ...]) -> Ints:
    where = {name: i for i, name in enumerate(names)}
    return np.array([where[str(value)] for value in values], dtype=np.int64)
