"""Outcomes with what everything asks of them, each made once: cells, items, and the hashes that they are known by."""

import hashlib
import json
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd

from tolerance.data.canonical import canonical, table_hash
from tolerance.data.cells import Cells, collapse
from tolerance.data.item_table import ItemTable, by_item
from tolerance.data.published import is_aggregate


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
    def cells(self) -> Cells:
        """See `tolerance.data.cells.collapse`."""
        return collapse(self.outcomes)

    @cached_property
    def items(self) -> ItemTable:
        """See `tolerance.data.item_table.by_item`."""
        return by_item(self.outcomes)

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
    return Prepared(canonical(outcomes) if in_order else outcomes)


def content_hash(cells: Cells) -> str:
    """SHA-256 of what enters the likelihood, written out so that no library's way of hashing enters too."""
    frame = cells.frame
    texts = [json.dumps([list(map(str, frame[name])) for name in ("task", "model", "sparsifier", "task_type")])]
    texts.append(json.dumps([cells.tasks, cells.sparsifiers, cells.configs, cells.chance, list(cells.covariates)]))
    numbers = ("context_length", "sparsity", "right", "n", "weight")
    arrays = [frame[name].to_numpy(dtype=np.float64) for name in numbers] + [cells.covariates.to_numpy(np.float64)]
    arrays += [part for pair in cells.pairs for part in (pair.products, pair.common)]
    whole = b"".join(np.ascontiguousarray(one + 0.0).tobytes() for one in arrays)  # -0.0 is 0.0
    return hashlib.sha256("\n".join(texts).encode() + whole).hexdigest()
