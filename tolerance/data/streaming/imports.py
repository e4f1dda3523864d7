"""A large table into a run folder, a batch at a time: nothing stands there until the whole has passed."""

import contextlib
import shutil
from collections.abc import Iterator
from pathlib import Path

import pandas as pd

from tolerance.data import levels
from tolerance.data.column_mapping import Mapping, columns_used, unused
from tolerance.data.outcomes import BY_NAME, validate
from tolerance.data.run_folder import IMPORTED, SHARDS, locked, storing, write_atomically
from tolerance.data.sealed_parquet import sealed
from tolerance.data.streaming.facts import Facts
from tolerance.data.streaming.files import ROWS, DriftError, batches
from tolerance.data.streaming.scan import Scan
from tolerance.data.streaming.shards import as_table
from tolerance.data.streaming.typed_batch import Reader
from tolerance.data.streaming.whole_table import BudgetsError, refuse_whole
from tolerance.errors import SchemaError


class Staged:
    """Shards beside a run folder, and what they hold: ``facts`` as `weights` has them, and columns not used."""

    def __init__(self, folder: Path, scan: Scan, left: list[str]) -> None:
        self.n_rows = scan.n_rows
        self.left = left
        self.facts = levels.placed(scan.table()).sort_index()
        self.shards = sorted(folder.glob("*.parquet"))

    def move_to(self, folder: Path) -> None:
        """Into the run folder, whose writer calls it, in the place of those of an earlier import."""
        with storing(folder / SHARDS):
            for earlier in (folder / SHARDS).glob(f"{IMPORTED}*.parquet"):
                earlier.unlink()
            for shard in self.shards:
                shard.replace(folder / SHARDS / shard.name)


@contextlib.contextmanager
def staged(path: Path, mapping: Mapping, out: Path, run_id: str) -> Iterator[Staged]:
    """A table read, checked and written beside ``out``; what is not moved away is removed.

    Raises:
        SchemaError: see `tolerance.data.importers.import_table`.
        StoreError: the disk is full, or another process imports there.
    """
    beside = out.with_name(f".{out.name}.importing")
    made = [folder for folder in beside.parents if not folder.exists()]
    with storing(beside):
        beside.mkdir(parents=True, exist_ok=True)
    with locked(beside):
        try:
            yield _read(path, mapping, beside, run_id)
        finally:
            shutil.rmtree(beside, ignore_errors=True)
            with contextlib.suppress(OSError):  # those that hold something by now stay
                for folder in made:
                    folder.rmdir()


def _read(path: Path, mapping: Mapping, beside: Path, run_id: str) -> Staged:
    as_text: set[str] = set()
    budgets = False
    while True:
        for shard in beside.glob("*.parquet"):
            shard.unlink()
        try:
            scan, left = _scanned(path, mapping, beside, run_id, as_text, budgets=budgets)
            refuse_whole(scan, sorted(beside.glob("*.parquet")), str(path))
            return Staged(beside, scan, left)
        except DriftError as drift:
            as_text |= drift.columns
        except BudgetsError:
            budgets = True


def _scanned(
    path: Path, mapping: Mapping, beside: Path, run_id: str, as_text: set[str], *, budgets: bool
) -> tuple[Scan, list[str]]:
    scan = Scan(repeats=True, facts=Facts(budgets=budgets))
    reader, left, names = None, list[str](), list[str]()
    for _, columns in batches(path, as_text, ROWS):
        if reader is None:
            names = list(columns)
            reader = Reader(path, mapping, columns_used(names, mapping, path, BY_NAME))
            left = unused(names, mapping, BY_NAME)
        chosen = reader.chosen(columns)
        if not len(next(iter(chosen.values()))):
            continue
        batch = reader.batch(chosen, scan.n_rows)
        table = as_table(batch, {"run_id": run_id})
        write_atomically(beside / f"{shard_name(scan)}.parquet", sealed(table))
        scan.add(batch)
    if not scan.n_rows:
        if mapping.where and names:
            raise SchemaError(f"{path}: no row has {mapping.where} as the mapping asks under 'where'.")
        validate(pd.DataFrame(columns=names), source=str(path))
    return scan, left


def shard_name(scan: Scan) -> str:
    """Shards by the number of their first row, so that their names are in the order of the rows."""
    return f"{IMPORTED}-{scan.n_rows:012d}"
