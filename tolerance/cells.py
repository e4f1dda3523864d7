"""Outcomes collapsed to cells: one per task, configuration, sparsifier and level. A fit costs by the cell, not the row.

A configuration is a model at a context length. Graded and k-of-n scores enter as the sum of scores over items: their
variance is at most that of 0/1 answers with the same mean, so intervals are, if anything, too wide.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tolerance.errors import DesignError
from tolerance.outcomes import is_dense, level

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
CELL = ["task", "model", "context_length", "sparsifier", "sparsity_requested"]


@dataclass(frozen=True)
class Cells:
    """Cell arrays ``(cell,)`` and the names behind their indices; cells of the dense baseline come first.

    ``frame`` has one row a cell: the columns of `CELL`, ``task_type``, ``unit``, ``sparsity`` (mean over the cell's
    items), ``realised`` (null where it was not measured), ``right`` (sum of scores) and ``n`` (answers).
    """

    frame: pd.DataFrame
    tasks: tuple[str, ...]
    task_types: tuple[str, ...]
    type_of_task: tuple[int, ...]
    sparsifiers: tuple[str, ...]
    configs: tuple[tuple[str, int], ...]
    chance: tuple[float, ...]
    covariates: pd.DataFrame

    @cached_property
    def right(self) -> Floats:
        """Sum of scores."""
        return self.frame["right"].to_numpy(dtype=np.float64)

    @cached_property
    def n(self) -> Floats:
        """Number of answers."""
        return self.frame["n"].to_numpy(dtype=np.float64)

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


def halvings(sparsity: Floats) -> Floats:
    """-log2 of the density: 0, 1, 2 ... at sparsity 0, 0.5, 0.75 ..."""
    return np.asarray(-np.log2(1 - np.asarray(sparsity, dtype=np.float64)))


def sparsity(halved: Floats) -> Floats:
    """The inverse of `halvings`."""
    return np.asarray(1 - 2.0 ** -np.asarray(halved, dtype=np.float64))


def collapse(outcomes: pd.DataFrame) -> Cells:
    """Collapse validated outcomes to cells.

    Raises:
        DesignError: nothing but dense answers, or one task under two task types.
    """
    table = outcomes.assign(sparsity=level(outcomes))
    table["context_length"] = table["context_length"].fillna(0).astype("int64")
    _refuse_useless(table)
    groups = table.groupby(CELL, sort=True, observed=True)
    frame = groups.agg(
        task_type=("task_type", "first"),
        unit=("unit", "first"),
        sparsity=("sparsity", "mean"),
        realised=("sparsity_realised", "mean"),
        right=("score", "sum"),
        n=("score", "size"),
    ).reset_index()
    # A method asked for 0, or too coarse to remove anything, answered densely.
    frame = frame.sort_values("sparsity", key=lambda s: s > 0, kind="stable", ignore_index=True)
    tasks = frame.groupby("task", sort=True)["task_type"].first()
    task_types = tuple(sorted(set(tasks)))
    pairs = frame[["model", "context_length"]].drop_duplicates().sort_values(["model", "context_length"])
    configs = tuple((str(m), int(c)) for m, c in pairs.itertuples(index=False))
    sparse = frame["sparsity"] > 0
    return Cells(
        frame=frame,
        tasks=tuple(tasks.index),
        task_types=task_types,
        type_of_task=tuple(task_types.index(t) for t in tasks),
        sparsifiers=tuple(sorted(set(frame["sparsifier"][sparse]))),
        configs=configs,
        chance=tuple(table.groupby("task", sort=True)["chance"].mean().fillna(0.0)),
        covariates=_covariates(table, configs),
    )


def _refuse_useless(table: pd.DataFrame) -> None:
    if is_dense(table).all() or not (table["sparsity"] > 0).any():
        raise DesignError(
            "every answer is dense, so there is no tolerance to estimate. Collect at least one sparse level."
        )
    kinds = table.groupby("task")["task_type"].nunique()
    if (kinds > 1).any():
        task = str(kinds.index[kinds > 1][0])
        seen = ", ".join(sorted(set(table.loc[table["task"] == task, "task_type"])))
        raise DesignError(f"task {task!r} appears under several task types ({seen}). Give each task one type.")
    units = table.loc[~is_dense(table)].groupby("sparsifier")["unit"].nunique()
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


def _index(values: pd.Series, names: tuple[str, ...]) -> Ints:
    where = {name: i for i, name in enumerate(names)}
    return np.array([where[str(value)] for value in values], dtype=np.int64)
