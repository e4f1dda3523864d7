"""Outcomes with what everything asks of them, each made once: cells, items, and the hashes that they are known by."""

import hashlib
import json
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd

from tolerance.data import levels
from tolerance.data.canonical import canonical, table_hash
from tolerance.data.cells import Cells, of_items, of_means
from tolerance.data.item_table import ItemTable, by_item
from tolerance.data.published import is_aggregate
from tolerance.data.same_items import SameItems, same_items, shared_rows
from tolerance.findings import Scale


@dataclass(frozen=True)
class Prepared:
    """Validated outcomes, or published means, and what follows from them.

    A fit, an analysis and the instant answer take one in place of the outcomes.
    """

    outcomes: pd.DataFrame

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
        return by_item(self.outcomes)

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
        return self.outcomes if self.published else shared_rows(self.outcomes, self.same)

    @cached_property
    def ungraded(self) -> int:
        """How many answers were not graded."""
        return 0 if self.published else int(self.outcomes["score"].isna().sum())

    @cached_property
    def as_wrong(self) -> "Prepared":
        """The same answers, those that were not graded as wrong ones."""
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
        return table_hash(self.outcomes)


Outcomes = pd.DataFrame | Prepared


def prepare(outcomes: Outcomes, *, in_order: bool = False) -> Prepared:
    """Outcomes, prepared; ``in_order``: with rows in the order of what they hold."""
    if isinstance(outcomes, Prepared):
        return outcomes
    outcomes = levels.placed(outcomes)
    return Prepared(canonical(outcomes) if in_order else outcomes)


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
