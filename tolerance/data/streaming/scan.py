"""One pass over a table: what batches hold besides their rows, which is all that checks and analyses ask of them."""

from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tolerance.data import levels
from tolerance.data.conditions import CONDITION, told_apart
from tolerance.data.outcomes import with_counts
from tolerance.data.streaming.coded import Codebook, Codes, Combinations, Ints
from tolerance.data.streaming.facts import Batch, Facts, Floats
from tolerance.data.streaming.items import ItemArrays
from tolerance.data.weights import COPIES

# Knuth's multiplier of 64 bits.
_MIX = np.uint64(6364136223846793005)


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
    copies: "Copies" = field(default_factory=lambda: Copies())

    def __post_init__(self) -> None:
        self._conditions = _Numbered(CONDITION)
        self._places = _Numbered((*CONDITION, "replicate")) if self.repeats else self._conditions
        self.items = ItemArrays(sums=not self.repeats)
        self.ungraded = ItemArrays(sums=False)

    def add(self, batch: Batch) -> None:
        """Take in a batch."""
        fact = self.facts.add(batch)
        self.n_rows += batch.n
        item = self.ids.codes(batch.coded["item_id"]).astype(np.int64)
        task = self.facts.keys.books["task"].codes(batch.coded["task"])
        place = self.place_of_fact[fact]
        self.copies.add(batch, task, item, self._conditions.of(self.facts.keys)[fact])
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

    @property
    def place_of_fact(self) -> Ints:
        """The place of each row of `table`: the condition that it is of."""
        return self._places.of(self.facts.keys)

    def table(self) -> pd.DataFrame:
        """The facts as validated outcomes are: levels settled, conditions told apart; see `tolerance.data.weights`."""
        table = settled(self.facts.frame())
        told = told_apart(table, levels.placed(table))
        told.attrs[COPIES] = self.copies.found()
        return told


class _Numbered:
    """The distinct rows of some columns of facts, numbered; facts may become more."""

    def __init__(self, columns: tuple[str, ...]) -> None:
        self._columns = columns
        self._known: dict[tuple[int, ...], int] = {}
        self._numbers: list[int] = []

    def of(self, keys: Combinations) -> Ints:
        """The number of each fact ``(fact,)``."""
        at = [keys.columns.index(name) for name in self._columns]
        for row in keys.rows[len(self._numbers) :]:
            self._numbers.append(self._known.setdefault(tuple(row[one] for one in at), len(self._known)))
        return np.array(self._numbers, dtype=np.int64)


class Copies:
    """Which repeats have the same answers: by number, how many, and the sum of their hashes, in whatever order."""

    def __init__(self) -> None:
        self._sums: dict[int, tuple[int, int]] = {}

    def add(self, batch: Batch, task: Codes, item: Ints, condition: Ints) -> None:
        """Take in a batch, its rows by code."""
        if "replicate" not in batch.coded:
            return
        score = batch.numbers("score")
        assert score is not None
        rows = pd.util.hash_array(np.nan_to_num(score + 0.0, nan=-1.0))
        for codes in (task, item, condition):
            rows = rows * _MIX + pd.util.hash_array(codes.astype(np.int64))
        if "answer" in batch.coded:
            answer = batch.coded["answer"]
            texts = pd.util.hash_array(np.array([*answer.values, ""], dtype=object))
            rows = rows * _MIX + texts[answer.codes]
        rows ^= rows >> np.uint64(29)
        repeat = batch.coded["replicate"]
        for code, number in enumerate(repeat.values.tolist()):
            mine = rows[repeat.codes == code] * _MIX
            n, total = self._sums.get(int(number), (0, 0))
            self._sums[int(number)] = n + len(mine), (total + int(mine.sum(dtype=np.uint64))) % 2**64

    def found(self) -> dict[int, int]:
        """Repeats that are copies of one with a lower number, and how many answers they have."""
        first: dict[tuple[int, int], int] = {}
        return {n: both[0] for n, both in sorted(self._sums.items()) if first.setdefault(both, n) != n}


def settled(facts: pd.DataFrame) -> pd.DataFrame:
    """Facts with each level in its place."""
    return with_counts(levels.settled(facts))


def _binary(batch: Batch, score: Floats) -> NDArray[np.bool_]:
    """Rows of one part, right or wrong; a 0/1 score without a number of parts is one."""
    n = batch.numbers("n")
    whole = (score == 0) | (score == 1)
    return np.asarray(whole if n is None else np.where(np.isnan(n), whole, n == 1))
