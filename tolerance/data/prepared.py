"""Outcomes with what everything asks of them, each made once: cells, items, and the hashes that they are known by."""

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd

from tolerance.data import levels, weights
from tolerance.data.canonical import canonical, table_hash
from tolerance.data.cells import Cells, of_items, of_means
from tolerance.data.item_table import ItemTable, by_item
from tolerance.data.published import is_aggregate
from tolerance.data.run_folder import RunFolder
from tolerance.data.same_items import SameItems, same_items, shared_rows
from tolerance.data.streaming.run import LargeRun, is_large
from tolerance.findings import Scale


@dataclass(frozen=True)
class Prepared:
    """Validated outcomes, or published means, and what follows from them.

    Of a large run ``outcomes`` are its facts: see `tolerance.data.weights`.

    A fit, an analysis and the instant answer take one in place of the outcomes.
    """

    outcomes: pd.DataFrame
    large: LargeRun | None = None

    @cached_property
    def published(self) -> bool:
        """Whether these are published means, which have no items."""
        return is_aggregate(self.outcomes)

    @cached_property
    def scales(self) -> dict[str, Scale]:
        """The scale of each method whose levels are no fractions."""
        return levels.scales(self.outcomes)

    @cached_property
    def cells(self) -> Cells:
        """See `tolerance.data.cells.collapse`."""
        return of_means(self.outcomes) if self.published else of_items(self.items)

    @cached_property
    def all_items(self) -> ItemTable:
        """See `tolerance.data.item_table.by_item`."""
        return by_item(self.outcomes) if self.large is None else self.large.items

    @cached_property
    def same(self) -> SameItems:
        """See `tolerance.data.same_items`."""
        return same_items(self.all_items)

    @property
    def items(self) -> ItemTable:
        """Answers to the items that all conditions of a task share."""
        return self.same.table

    @cached_property
    def shared(self) -> pd.DataFrame:
        """The graded answers to those items; published means as they are."""
        if self.large is not None:
            return self.large.shared(self.same)
        return self.outcomes if self.published else shared_rows(self.outcomes, self.same)

    @cached_property
    def n_items(self) -> Mapping[str, int]:
        """How many items of each task were asked."""
        if self.large is not None:
            return self.large.n_items
        return {str(task): int(n) for task, n in self.outcomes.groupby("task")["item_id"].nunique().items()}

    @cached_property
    def n_answers(self) -> int:
        """How many answers there are."""
        return weights.total(self.outcomes)

    @cached_property
    def ungraded(self) -> int:
        """How many answers were not graded."""
        return 0 if self.published else weights.total(self.outcomes, self.outcomes["score"].isna())

    @cached_property
    def as_wrong(self) -> "Prepared":
        """The same answers, those that were not graded as wrong ones."""
        if self.large is not None:
            return Prepared(self.large.as_wrong.facts, self.large.as_wrong)
        nothing = self.outcomes["score"].isna()
        zero = {name: self.outcomes[name].mask(nothing, value) for name, value in (("score", 0.0), ("k", 0), ("n", 1))}
        return Prepared(self.outcomes.assign(**zero))

    @cached_property
    def content(self) -> str:
        """What the fit is known by: see `content_hash`."""
        return content_hash(self.cells)

    @cached_property
    def table(self) -> str:
        """What the whole table is known by: see `tolerance.data.canonical.table_hash`."""
        return table_hash(self.outcomes) if self.large is None else self.large.content


Outcomes = pd.DataFrame | Prepared


def prepare(outcomes: Outcomes, *, in_order: bool = False) -> Prepared:
    """Outcomes, prepared; ``in_order``: with rows in the order of what they hold."""
    if isinstance(outcomes, Prepared):
        return outcomes
    outcomes = levels.placed(outcomes)
    return Prepared(canonical(outcomes) if in_order else outcomes)


def read_prepared(path: str | os.PathLike[str]) -> Outcomes:
    """The validated outcomes of a run folder; of a large run what analyses start from, without its rows.

    Raises:
        StoreError, SchemaError: see `tolerance.data.run_folder.read_run`.
        DesignError: nothing can be estimated from a large run.
    """
    folder = RunFolder.open(Path(path))
    if not is_large(folder):
        return folder.read()
    large = LargeRun.read(folder)
    return Prepared(large.facts, large)


def content_hash(cells: Cells) -> str:
    """SHA-256 of what enters the likelihood, written out so that no library's way of hashing enters too."""
    frame = cells.frame
    texts = [json.dumps([list(map(str, frame[name])) for name in ("task", "model", "sparsifier", "task_type")])]
    texts.append(json.dumps([cells.tasks, cells.sparsifiers, cells.configs, cells.chance, list(cells.covariates)]))
    numbers = ("context_length", "sparsity", "right", "n", "weight")
    arrays = [frame[name].to_numpy(dtype=np.float64, na_value=np.nan) for name in numbers] + [
        cells.covariates.to_numpy(np.float64)
    ]
    arrays += [part for pair in cells.pairs for part in (pair.products, pair.common)]
    whole = b"".join(np.ascontiguousarray(one + 0.0).tobytes() for one in arrays)  # -0.0 is 0.0
    return hashlib.sha256("\n".join(texts).encode() + whole).hexdigest()
