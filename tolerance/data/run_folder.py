"""The run folder: a manifest and Parquet shards, one shard per block of items.

A shard appears whole or not at all (written beside, flushed, renamed), and its name is the block's: a run that was
killed goes on with the blocks that are not there, and nothing can be written twice. One process writes at a time. A run
knows what belongs to it: shards of other runs and shards that no plan names are refused.
"""

import contextlib
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from filelock import FileLock, Timeout

from tolerance.data import planned as plans
from tolerance.data import published
from tolerance.data.manifest import Manifest
from tolerance.data.outcomes import COLUMNS, NAMES, Kind, validate
from tolerance.data.published import validate_aggregates
from tolerance.data.sealed_parquet import read_sealed, sealed
from tolerance.errors import SchemaError, StoreError

MANIFEST = "manifest.json"
SHARDS = "outcomes"
QUARANTINE = "quarantine"
PUBLISHED = "published.parquet"
LOCK = ".lock"
_ARROW: dict[Kind, pa.DataType] = {"text": pa.string(), "real": pa.float64(), "integer": pa.int64(), "flag": pa.bool_()}
ARROW_SCHEMA = pa.schema([pa.field(c.name, _ARROW[c.kind], nullable=not c.required or c.may_be_empty) for c in COLUMNS])
PUBLISHED_SCHEMA = pa.schema([pa.field(c.name, _ARROW[c.kind], nullable=not c.required) for c in published.COLUMNS])
# The shard of an imported run; a large one has several, numbered by their first rows, and their number in its notes.
IMPORTED = "imported"
PARTS = "shards"


@dataclass(frozen=True)
class RunFolder:
    """One run on disk."""

    path: Path
    manifest: Manifest

    @classmethod
    def create(cls, path: Path, manifest: Manifest) -> "RunFolder":
        """Start a run, or go on with the one that is there if it has the same plan.

        Raises:
            StoreError: the folder holds something else, or a run of another plan.
        """
        there = cls.find(path, manifest)
        if there is not None:
            return there
        with storing(path):
            path.mkdir(parents=True, exist_ok=True)
        with locked(path):
            # another run may have started here since
            there = cls.find(path, manifest)
            if there is not None:
                return there
            write_atomically(path / MANIFEST, manifest.to_json().encode())
        return cls(path, manifest)

    @classmethod
    def find(cls, path: Path, manifest: Manifest) -> "RunFolder | None":
        """The run of this plan that is there; None where one can be started. Writes nothing.

        Raises:
            StoreError: the folder holds something else, or a run of another plan.
        """
        if (path / MANIFEST).exists():
            there = cls.open(path)
            _same_plan(path, there.manifest, manifest)
            return there
        # A writer that was killed before its manifest stood leaves half of one.
        if path.exists() and (not path.is_dir() or {p.name for p in path.iterdir()} - {f".{MANIFEST}.tmp", LOCK}):
            raise StoreError(f"{path}: exists and is no run folder. Give a new or empty folder; nothing was written.")
        return None

    @classmethod
    def open(cls, path: Path) -> "RunFolder":
        """Open an existing run.

        Raises:
            StoreError: there is no run, or its manifest cannot be read.
        """
        if not (path / MANIFEST).is_file():
            raise StoreError(f"{path}: no run folder ({MANIFEST} missing). Give the --out of a collect or import.")
        try:
            return cls(path, Manifest.from_json((path / MANIFEST).read_text(encoding="utf-8")))
        except (ValueError, RecursionError) as error:
            said = "nested too deeply" if isinstance(error, RecursionError) else str(error)
            raise StoreError(f"{path / MANIFEST}: {said}. Restore it, or collect into a new folder.") from error
        except OSError as error:
            raise StoreError(f"{path / MANIFEST}: cannot be read ({error.strerror}). Make it readable.") from error

    @contextlib.contextmanager
    def writing(self) -> Iterator[None]:
        """Hold the folder for writing; leftovers of a killed writer are cleared first.

        Raises:
            StoreError: another process is writing.
        """
        with locked(self.path):
            with storing(self.path / SHARDS):
                (self.path / SHARDS).mkdir(exist_ok=True)
                for leftover in (self.path / SHARDS).glob(".*.tmp"):
                    leftover.unlink()
            yield

    def shards(self) -> list[Path]:
        """The finished shards, in the order of their names."""
        return sorted((self.path / SHARDS).glob("*.parquet"))

    def blocks(self) -> set[str]:
        """Names of the blocks that are safely on disk."""
        return {shard.stem for shard in self.shards()}

    def damaged(self) -> list[Path]:
        """Shards that cannot be read as they were written (cut short by a full disk, a bit flipped on it)."""
        return [shard for shard in self.shards() if read_sealed(shard, ARROW_SCHEMA) is None]

    def coverage(self) -> plans.Coverage | None:
        """How much of the plan is there; None where the manifest does not list what was planned."""
        planned = self.manifest.planned
        return plans.coverage(planned, self.blocks()) if planned else None

    def quarantine(self, shard: Path) -> Path:
        """Move a damaged shard out of the run, so that its block is collected again; nothing is deleted.

        Raises:
            StoreError: the disk is full.
        """
        aside = self.path / QUARANTINE
        with storing(aside):
            aside.mkdir(exist_ok=True)
            return shard.rename(aside / shard.name)

    def noted(self, notes: Mapping[str, Any]) -> "RunFolder":
        """The run with notes added to its manifest, on disk too. Call inside `writing`."""
        manifest = replace(self.manifest, notes={**self.manifest.notes, **notes})
        write_atomically(self.path / MANIFEST, manifest.to_json().encode())
        return replace(self, manifest=manifest)

    def write(self, block: str, rows: Sequence[Mapping[str, Any]]) -> None:
        """Write one block of outcomes as one shard, whole or not at all. Call inside `writing`.

        Raises:
            SchemaError: a row has an unknown column or a value of the wrong type.
        """
        unknown = {name for row in rows for name in row} - set(NAMES)
        if unknown:
            raise SchemaError(f"block {block}: unknown column {', '.join(sorted(unknown))}")
        try:
            table = pa.Table.from_pylist([dict(row) for row in rows], schema=ARROW_SCHEMA)
        except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
            raise SchemaError(f"block {block}: {error}") from error
        self._write_shard(block, table)

    def write_frame(self, block: str, table: pd.DataFrame) -> None:
        """Write a validated frame as one shard."""
        self._write_shard(block, pa.Table.from_pandas(table, schema=ARROW_SCHEMA, preserve_index=False))

    def _write_shard(self, block: str, table: pa.Table) -> None:
        write_atomically(self.path / SHARDS / f"{block}.parquet", sealed(table))

    def write_published(self, table: pd.DataFrame) -> None:
        """Write validated published means, whole or not at all. Call inside `writing`."""
        rows = pa.Table.from_pandas(table, schema=PUBLISHED_SCHEMA, preserve_index=False)
        write_atomically(self.path / PUBLISHED, sealed(rows))

    def read(self) -> pd.DataFrame:
        """All outcomes, validated; for a run of published means, those.

        ``attrs`` of the table say what is missing, where the run is a part of its plan.

        Raises:
            StoreError: no outcomes yet, a damaged shard, or one that does not belong to this run.
            SchemaError: outcomes that do not pass validation.
        """
        self._refuse_both_kinds()
        if self.manifest.origin == "published":
            return self._read_published()
        shards = self.shards()
        if not shards:
            raise StoreError(f"{self.path}: the run holds no outcomes yet. Run collect (again) to fill it.")
        self.refuse_unplanned(shards)
        tables = [read_sealed(shard, ARROW_SCHEMA) for shard in shards]
        broken = [shard.name for shard, table in zip(shards, tables, strict=True) if table is None]
        if broken:
            raise StoreError(
                f"{self.path}: shard {broken[0]} cannot be read ({len(broken)} such). Run collect again: damaged "
                "shards are set aside and their items answered anew."
            )
        whole = [table for table in tables if table is not None]
        self._refuse_strangers(shards, whole)
        outcomes = validate(pa.concat_tables(whole).to_pandas(types_mapper=_PANDAS.get), source=str(self.path))
        found = self.coverage()
        if found is not None and not found.complete:
            outcomes.attrs[plans.LACKS] = {"planned": found.planned, "missing": list(found.missing)}
        return outcomes

    def _read_published(self) -> pd.DataFrame:
        table = read_sealed(self.path / PUBLISHED, PUBLISHED_SCHEMA)
        if table is None:
            there = "cannot be read as it was written" if (self.path / PUBLISHED).is_file() else "is not there"
            raise StoreError(f"{self.path / PUBLISHED}: {there}. Import the means again, into a new folder.")
        return validate_aggregates(table.to_pandas(types_mapper=_PANDAS.get), source=str(self.path))

    def _refuse_both_kinds(self) -> None:
        """Answers and published means are two runs."""
        stray = self.shards() if self.manifest.origin == "published" else [self.path / PUBLISHED]
        if stray and stray[0].exists():
            held = "published means" if self.manifest.origin == "published" else f"{self.manifest.origin} answers"
            raise StoreError(
                f"{self.path}: is a run of {held}, and {stray[0].name} beside them is not of it. Move that file out; "
                "answers and means are imported into a folder each."
            )

    def refuse_unplanned(self, shards: Sequence[Path]) -> None:
        """A shard that is none of the plan's blocks came from elsewhere.

        Raises:
            StoreError: naming the first, or how many shards of an import are missing.
        """
        planned = plans.names(self.manifest.planned)
        known = self._imported(shards) if self.manifest.origin == "imported" else planned
        unknown = [shard.name for shard in shards if known and shard.stem not in known]
        if unknown:
            raise StoreError(
                f"{self.path}: shard {unknown[0]} is in no plan of this run ({len(unknown)} such). Move it out of "
                f"{SHARDS}/, into the run that it belongs to."
            )

    def _imported(self, shards: Sequence[Path]) -> set[str]:
        """Names of the shards of an import, none of which may be missing."""
        parts = self.manifest.notes.get(PARTS)
        if parts is None:
            return {IMPORTED}
        there = {shard.stem for shard in shards if shard.stem.startswith(f"{IMPORTED}-")}
        if len(there) != parts:
            raise StoreError(f"{self.path}: {len(there)} of {parts} shards are there. Import the table again.")
        return there

    def _refuse_strangers(self, shards: Sequence[Path], tables: Sequence[pa.Table]) -> None:
        """Rows say which run they belong to."""
        for shard, table in zip(shards, tables, strict=True):
            self.refuse_strange(shard, pc.unique(table["run_id"]).to_pylist())

    def refuse_strange(self, shard: Path, runs: Sequence[str | None]) -> None:
        """Refuse a shard whose rows are of another of these ``runs``.

        Raises:
            StoreError: naming that run.
        """
        others = [one for one in runs if one not in (None, self.manifest.run_id)]
        if others:
            raise StoreError(
                f"{self.path}: shard {shard.name} holds answers of run {others[0]}, and this is run "
                f"{self.manifest.run_id}. Move it out of {SHARDS}/, into the run that it belongs to; then run "
                "collect again if answers are missing."
            )


@contextlib.contextmanager
def locked(path: Path, *, again: bool = False) -> Iterator[None]:
    """Hold a folder against other writers; the system lets go of it when a writer dies.

    ``again``: whoever holds it in this thread already may hold it once more.

    Raises:
        StoreError: another process is writing, or nothing can be written there.
    """
    lock = FileLock(path / LOCK, timeout=0, is_singleton=again)
    try:
        lock.acquire()
    except Timeout as error:
        raise StoreError(f"{path}: another process is writing here. Wait for it or use another folder.") from error
    except OSError as error:
        raise StoreError(f"{path}: cannot be written ({error.strerror}). Make room, or use another folder.") from error
    try:
        yield
    finally:
        lock.release()


def read_run(path: str | os.PathLike[str]) -> pd.DataFrame:
    """The validated outcomes of a run folder, or its published means.

    Raises:
        StoreError: no run, no outcomes yet, or a damaged shard.
        SchemaError: outcomes that do not pass validation.
    """
    return RunFolder.open(Path(path)).read()


_PANDAS = {pa.int64(): pd.Int64Dtype(), pa.bool_(): pd.BooleanDtype()}


def write_atomically(path: Path, content: bytes) -> None:
    """Beside, flushed, renamed; then the folder is flushed, so that the rename survives a power cut."""
    beside = path.with_name(f".{path.name}.tmp")
    with storing(path):
        try:
            with beside.open("wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            beside.replace(path)
            flush_folder(path.parent)
        except OSError:
            with contextlib.suppress(OSError):
                beside.unlink(missing_ok=True)
            raise


def flush_folder(path: Path) -> None:
    """Have what was renamed or removed in a folder survive a power cut, where the system lets folders be opened."""
    if os.name == "nt":
        return
    folder = os.open(path, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


@contextlib.contextmanager
def storing(path: Path) -> Iterator[None]:
    """What the system refuses is said of a path."""
    try:
        yield
    except OSError as error:
        raise StoreError(f"{path}: cannot be written ({error.strerror}). What was finished before is safe.") from error


def _same_plan(path: Path, there: Manifest, wanted: Manifest) -> None:
    if there.run_id == wanted.run_id and there.origin == wanted.origin:
        return
    keys = sorted(set(there.plan) | set(wanted.plan))
    differing = [key for key in keys if there.plan.get(key) != wanted.plan.get(key)] or ["origin"]
    seen = ", ".join(f"{key}: {there.plan.get(key)!r} there, {wanted.plan.get(key)!r} now" for key in differing)
    raise StoreError(f"{path}: holds a run of another plan ({seen}). Use another folder; nothing was written.")
