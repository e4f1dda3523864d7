"""Outcomes collapsed to cells: one per task, configuration, sparsifier and level. A fit costs by the cell, not the row.

A configuration is a model at a context length. A block is a task at one context length: the same items in all its
cells, whatever the model. Of the items themselves a block keeps the cross-products of their scores between cells, which
is all that the likelihood needs of them. Scores that vary less than 0/1 answers with the same mean do (k of n, graded,
several answers to one item), or whose means vary more (items in clusters), enter with the number of 0/1 answers that
would vary as much.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import NamedTuple

import numpy as np
import pandas as pd

from tolerance.data.canonical import canonical
from tolerance.data.conditions import CELL, CONFIG, known_context
from tolerance.data.item_table import DIGITS, Flags, Floats, Ints, ItemTable, TaskItems, by_item, refuse_useless
from tolerance.data.levels import scales
from tolerance.data.outcomes import level
from tolerance.data.published import is_aggregate, require_counts
from tolerance.data.same_items import same_items
from tolerance.findings import Scale

# Scores of a task are never taken to vary less than a fiftieth of 0/1 answers.
LEAST_VARIANCE = 0.02
# The likelihood costs by the square of a block.
MOST_IN_BLOCK = 240


class CrossProducts(NamedTuple):
    """Items of one block: how many two cells share, and sums of products of their centred scores ``(cell, cell)``.

    ``squares`` ``(cell,)`` are the sums of squares that their means vary by: those of clusters where items depend on
    each other, whose correlations ``products`` then have, on the scale of items.
    """

    common: Floats
    products: Floats
    squares: Floats


@dataclass(frozen=True)
class Cells:
    """Cell arrays ``(cell,)`` and the names behind their indices; cells of the dense baseline come first.

    ``frame`` has one row a cell: the columns of `CELL`, ``task_type``, ``unit``, ``sparsity`` (mean over the cell's
    items), ``realised`` (null where it was not measured), ``right`` (sum of scores), ``n`` (answers), ``items`` (each
    once) and ``weight`` (the number of 0/1 answers that would vary as much). ``pairs`` holds cross-products of items by
    block, in the order of ``blocks``; it is empty where only means are known. ``scales`` has the scale of each method
    whose levels are no fractions. ``unlike`` are tasks, by context, of which models answered different items.
    """

    frame: pd.DataFrame
    tasks: tuple[str, ...]
    task_types: tuple[str, ...]
    type_of_task: tuple[int, ...]
    sparsifiers: tuple[str, ...]
    configs: tuple[tuple[str, int | None], ...]
    chance: tuple[float, ...]
    covariates: pd.DataFrame
    pairs: tuple[CrossProducts, ...] = ()
    unlike: frozenset[tuple[str, int | None]] = frozenset()
    scales: Mapping[str, Scale] = field(default_factory=dict)

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
        """Cells that may ask the same items: of each task and context length, all models together.

        Where that would be more than `MOST_IN_BLOCK` cells, of each task and configuration.
        """
        contexts = {context: i for i, context in enumerate(dict.fromkeys(context for _, context in self.configs))}
        context = np.array([contexts[config[1]] for config in self.configs])[self.config]
        together = self.task * len(contexts) + context
        if np.bincount(together).max() > MOST_IN_BLOCK:
            return _grouped(self.task * len(self.configs) + self.config)
        return _grouped(together)

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
        pairs = zip(self.frame["model"], map(known_context, self.frame["context_length"]), strict=True)
        where = {config: c for c, config in enumerate(self.configs)}
        return np.array([where[pair] for pair in pairs], dtype=np.int64)

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

    Of answers the items count that all conditions of a task share: see `tolerance.data.same_items`.

    Raises:
        DesignError: nothing but dense answers, one task under two task types, or means of an unknown number of items.
    """
    return of_means(outcomes) if is_aggregate(outcomes) else of_items(same_items(by_item(outcomes)).table)


def of_items(table: ItemTable) -> Cells:
    """Cells of answers by item."""
    rows = [row for task in table.tasks for row in _answered(task, table)]
    made = pd.DataFrame(rows).astype({"context_length": "Int64"})
    # in the order of what they are; a method asked for 0, or too coarse to remove anything, answered densely
    order = made.sort_values(CELL, kind="stable").sort_values("sparsity", key=lambda s: s > 0, kind="stable").index
    frame = made.loc[order].reset_index(drop=True)
    counted = _counted(frame, [task.chance for task in table.tasks], table.params)
    sizes = [len(task.config) for task in table.tasks]
    owner = np.repeat(np.arange(len(sizes)), sizes)[order]
    column = np.concatenate([np.arange(size) for size in sizes])[order]
    pairs = tuple(_products(table.tasks[owner[group[0]]], column[group]) for group in counted.blocks)
    # no cell says more than right-or-wrong parts of its answers would
    weights = np.minimum(_weights(counted, pairs, _clustered(table)), frame["parts"].to_numpy(dtype=np.float64))
    if table.spanning:
        weights = weights / _shared_effect(table)[counted.task]
    frame = frame.drop(columns="parts").assign(weight=weights)
    return replace(counted, frame=frame, pairs=pairs, unlike=frozenset(_unlike(table)), scales=table.scales)


def _unlike(table: ItemTable) -> Iterator[tuple[str, int | None]]:
    """Tasks, by context, of which configurations answered different items."""
    for task in table.tasks:
        seen: dict[int | None, set[bytes]] = {}
        for columns, items in task.blocks():
            seen.setdefault(table.configs[task.config[columns[0]]].context, set()).add(items.tobytes())
        yield from ((task.name, context) for context, sets in seen.items() if len(sets) > 1)


def _clustered(table: ItemTable) -> Flags:
    return np.array([task.clustered for task in table.tasks])


def of_means(means: pd.DataFrame) -> Cells:
    """Cells of published means.

    Raises:
        DesignError: see `collapse`.
    """
    means = canonical(means)  # sums of floats follow the order of what is summed
    table = means.assign(sparsity=level(means), context_length=means["context_length"].astype("Int64"))
    refuse_useless(table)
    frame = _published(table).sort_values("sparsity", key=lambda s: s > 0, kind="stable", ignore_index=True)
    sizes = {str(model): float(n) for model, n in table.groupby("model")["params"].first().items() if pd.notna(n)}
    counted = _counted(frame, list(table.groupby("task", sort=True)["chance"].mean()), sizes)
    counted = replace(counted, scales=scales(means))
    return counted if frame["se"].isna().all() else replace(counted, frame=frame.assign(weight=_by_error(frame)))


def _counted(frame: pd.DataFrame, chance: Sequence[float], sizes: Mapping[str, float]) -> Cells:
    """Cells in which every answer counts as one; ``chance`` by task, null where unknown, which counts as 0."""
    tasks = frame.groupby("task", sort=True)["task_type"].first()
    task_types = tuple(sorted(set(tasks)))
    pairs = frame[CONFIG].drop_duplicates().sort_values(CONFIG, na_position="first")
    configs = tuple((str(model), known_context(context)) for model, context in pairs.itertuples(index=False))
    return Cells(
        frame=frame.assign(weight=frame["n"].astype("float64")),
        tasks=tuple(tasks.index),
        task_types=task_types,
        type_of_task=tuple(task_types.index(t) for t in tasks),
        sparsifiers=tuple(sorted(set(frame["sparsifier"][frame["sparsity"] > 0]))),
        configs=configs,
        chance=tuple(float(np.nan_to_num(floor)) for floor in chance),
        covariates=_covariates(sizes, configs),
    )


def _answered(task: TaskItems, table: ItemTable) -> Iterator[dict[str, object]]:
    """One row a column of a task."""
    right = np.round((task.mean * task.count).sum(axis=0), DIGITS)
    answers, items = task.count.sum(axis=0), task.asked.sum(axis=0)
    for c, (config, condition) in enumerate(zip(task.config, task.condition, strict=True)):
        (model, context), (sparsifier, requested) = table.configs[config], table.conditions[condition]
        yield {
            "task": task.name,
            "model": model,
            "context_length": context,
            "sparsifier": sparsifier,
            "sparsity_requested": requested,
            "task_type": task.task_type,
            "unit": table.units.get(sparsifier),
            "sparsity": task.sparsity[c],
            "realised": task.realised[c],
            "right": right[c],
            "n": answers[c],
            "items": items[c],
            "parts": task.parts[c],
        }


def _published(table: pd.DataFrame) -> pd.DataFrame:
    """One row a cell, which is one published mean; ``se`` is its standard error where one was published."""
    require_counts(table)
    n = table["n_items"].astype("float64")
    named = table.assign(realised=table["sparsity_realised"], right=table["score"] * n, n=n, items=n)
    columns = [*CELL, "task_type", "unit", "sparsity", "realised", "right", "n", "items", "se"]
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


def _covariates(sizes: Mapping[str, float], configs: Sequence[tuple[str, int | None]]) -> pd.DataFrame:
    """log2 parameters and context of each configuration, centred and scaled; constant or unknown ones are left out."""
    raw = {
        "log2_params": [np.log2(sizes[model]) if sizes.get(model, 0) > 0 else np.nan for model, _ in configs],
        "log2_context": [np.log2(context) if context else np.nan for _, context in configs],
    }
    frame = pd.DataFrame(raw)
    known = [name for name in frame if frame[name].notna().all() and frame[name].nunique() > 1]
    chosen = frame[known]
    return (chosen - chosen.mean()) / chosen.std(ddof=0)


def _products(task: TaskItems, columns: Ints) -> CrossProducts:
    """Cross-products of some columns of a task; several answers to an item count as their mean, clusters as one sum."""
    there = task.asked[:, columns].astype(np.float64)
    items = there.any(axis=1)
    there, mean = there[items], task.mean[np.ix_(items, columns)]
    centred = (mean - mean.sum(0) / np.maximum(there.sum(0), 1)) * there
    products = centred.T @ centred
    own = np.diag(products).copy()
    if not task.clustered:
        return CrossProducts(there.T @ there, products, own)
    codes, cluster = np.unique(task.cluster[items], return_inverse=True)
    sums = np.zeros((len(codes), len(columns)))
    np.add.at(sums, cluster, centred)
    together = sums.T @ sums
    squares = np.diag(together) * len(codes) / max(len(codes) - 1, 1)
    with np.errstate(invalid="ignore", divide="ignore"):
        scale = np.nan_to_num(np.sqrt(own / np.diag(together)), posinf=0.0)
    return CrossProducts(there.T @ there, together * np.outer(scale, scale), squares)


def _weights(cells: Cells, pairs: tuple[CrossProducts, ...], clustered: Flags) -> Floats:
    """0/1 answers that would vary as much: items times binomial variance over theirs, pooled over a task's cells."""
    items, squares = np.empty(len(cells.frame)), np.empty(len(cells.frame))
    for group, pair in zip(cells.blocks, pairs, strict=True):
        items[group], squares[group] = np.diag(pair.common), pair.squares
    share = np.clip(cells.right / cells.n, 0.0, 1.0)
    binomial = items * share * (1 - share)
    # items asked once and items asked several times vary differently
    often = np.round(cells.n / items).astype(np.int64)
    keys = pd.Series(cells.task * (often.max() + 1) + often)
    ratio = _sums(squares, keys) / np.maximum(_sums(binomial, keys), 1e-12)
    # 0/1 answers have exactly the binomial variance; their ratio is 1 up to rounding, and more for clusters alone
    most = np.where(clustered[cells.task], 1 / LEAST_VARIANCE, 1.0)
    known = _sums(binomial, keys) > 0
    return np.where(known, items / np.clip(ratio, LEAST_VARIANCE, most), items)


def _shared_effect(table: ItemTable) -> Floats:
    """How much more the mean over the tasks of a type varies because tasks share their clusters ``(task,)``.

    The variance of the sum over tasks of residual means, with clusters summed over tasks, over the sum of the tasks'
    own; over all conditions that the tasks have in common.
    """
    effect = np.ones(len(table.tasks))
    n_clusters = int(max(task.cluster.max() for task in table.tasks)) + 1
    types = np.array([task.task_type for task in table.tasks])
    for kind in np.unique(types):
        mine = np.flatnonzero(types == kind)
        together = apart = 0.0
        keys = [set(zip(table.tasks[t].config, table.tasks[t].condition, strict=True)) for t in mine]
        for key in sorted(set.intersection(*keys)):
            whole = np.zeros(n_clusters)
            for t in mine:
                sums = _cluster_sums(table.tasks[t], key, n_clusters)
                whole += sums
                apart += float(sums @ sums)
            together += float(whole @ whole)
        if apart > 0:
            effect[mine] = max(together / apart, 1.0)
    return effect


def _cluster_sums(task: TaskItems, key: tuple[int, int], n_clusters: int) -> Floats:
    """What each cluster moves the mean of one column by ``(cluster,)``."""
    (c,) = np.flatnonzero((task.config == key[0]) & (task.condition == key[1]))
    there = task.asked[:, c]
    residual = (task.mean[there, c] - task.mean[there, c].mean()) / max(int(there.sum()), 1)
    return np.bincount(task.cluster[there], residual, minlength=n_clusters)


def _sums(values: Floats, keys: "pd.Series[int]") -> Floats:
    return pd.Series(values).groupby(keys).transform("sum").to_numpy(dtype=np.float64)


def _grouped(keys: Ints) -> list[Ints]:
    order = np.argsort(keys, kind="stable")
    return np.split(order, np.flatnonzero(np.diff(keys[order])) + 1)


def _index(values: pd.Series, names: tuple[str, ...]) -> Ints:
    where = {name: i for i, name in enumerate(names)}
    return np.array([where[str(value)] for value in values], dtype=np.int64)
