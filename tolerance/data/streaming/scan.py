"""One pass over a table: what batches hold besides their rows, which is all that checks and analyses ask of them."""

from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from tolerance.data import levels
from tolerance.data.conditions import CONDITION, told_apart
from tolerance.data.outcomes import with_counts
from tolerance.data.streaming.coded import Codebook, Ints
from tolerance.data.streaming.facts import Batch, Facts, Floats
from tolerance.data.streaming.items import ItemArrays


@dataclass
class Scan:
    """Facts and items of the batches so far.

    ``repeats``: repeats are places of their own, and no scores are kept, as a search for second answers needs it.
    ``as_wrong``: answers that were not graded count as wrong.
    """

    repeats: bool = False
    as_wrong: bool = False
    facts: Facts = field(default_factory=Facts)
    ids: Codebook = field(default_factory=Codebook)
    clusters: Codebook = field(default_factory=Codebook)
    many: set[int] = field(default_factory=set)
    n_rows: int = 0
    _place: list[int] = field(default_factory=list)
    _places: dict[tuple[int, ...], int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.items = ItemArrays(sums=not self.repeats)
        self.ungraded = ItemArrays(sums=False)

    def add(self, batch: Batch) -> None:
        """Take in a batch."""
        fact = self.facts.add(batch)
        self.n_rows += batch.n
        item = self.ids.codes(batch.coded["item_id"]).astype(np.int64)
        task = self.facts.keys.books["task"].codes(batch.coded["task"])
        place = self._of_facts()[fact]
        cluster = self.clusters.codes(batch.coded["cluster"]).astype(np.int64) if "cluster" in batch.coded else None
        if self.repeats:
            self.items.add(task, item, place)
            return
        score = batch.numbers("score")
        assert score is not None
        graded = ~np.isnan(score)
        if self.as_wrong:
            score, graded = np.nan_to_num(score), np.ones(batch.n, dtype=bool)
        self.many.update(np.unique(task[graded & ~_binary(batch, score)]).tolist())
        if graded.all():
            self.items.add(task, item, place, score, cluster)
            return
        some = None if cluster is None else cluster[graded]
        self.items.add(task[graded], item[graded], place[graded], score[graded], some)
        self.ungraded.add(task[~graded], item[~graded], np.zeros(int((~graded).sum()), dtype=np.int64))

    def _of_facts(self) -> Ints:
        """The place of each fact ``(fact,)``: the condition that it is of."""
        keys = self.facts.keys
        columns = [keys.columns.index(name) for name in (*CONDITION, *(("replicate",) if self.repeats else ()))]
        for row in keys.rows[len(self._place) :]:
            key = tuple(row[at] for at in columns)
            self._place.append(self._places.setdefault(key, len(self._places)))
        return np.array(self._place, dtype=np.int64)

    @property
    def place_of_fact(self) -> Ints:
        """The place of each row of `table`."""
        return self._of_facts()

    def table(self) -> pd.DataFrame:
        """The facts as validated outcomes are: levels settled, conditions told apart; see `tolerance.data.weights`."""
        table = settled(self.facts.frame())
        return told_apart(table, levels.placed(table))


def settled(facts: pd.DataFrame) -> pd.DataFrame:
    """Facts with each level in its place."""
    return with_counts(levels.settled(facts))


def _binary(batch: Batch, score: Floats) -> np.ndarray:
    """Rows of one part, right or wrong; a 0/1 score without a number of parts is one."""
    n = batch.numbers("n")
    whole = (score == 0) | (score == 1)
    return whole if n is None else np.where(np.isnan(n), whole, n == 1)


def graded_items(scan: Scan) -> Ints:
    """Codes of the items with a graded answer, in the order of their ids."""
    seen = np.zeros(len(scan.ids.values), dtype=bool)
    for arrays in scan.items.tasks.values():
        seen[arrays.items] = True
    codes = np.flatnonzero(seen)
    return codes[np.argsort(np.array(scan.ids.values, dtype=object)[codes], kind="stable")]
