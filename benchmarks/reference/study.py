"""From run folders to few Parquet files.

    python -m benchmarks.reference.study pack WORK OUT
    python -m benchmarks.reference.study join OUT FOLDER FOLDER...

`pack` writes one sorted file for each plan (screen, listing, short, attention, weights) of all checkpoints, the
manifests in one JSON file and the logs of training; it may be called while sweeps go on. `join` puts together what was
packed on several machines. Dense answers of a plan are in its own file. `tables.py` reads what they wrote.
"""

import json
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

ORDER = ["model", "context_length", "task", "sparsifier", "sparsity_requested", "item_id"]


def pack(work: str, out: str) -> None:
    """All finished shards of each plan in one file."""
    shards: dict[str, list[Path]] = {}
    manifests = {}
    for manifest in sorted(Path(work).glob("runs/*/*/*/manifest.json")):
        run = manifest.parent
        shards.setdefault(run.name, []).extend(sorted((run / "outcomes").glob("*.parquet")))
        # models are told by their folders' names, as in the answers
        text = manifest.read_text().replace(f"{Path(work) / 'models'}/", "")
        manifests["/".join(run.parts[-3:])] = json.loads(text)
    _write(Path(out), shards, manifests, list(Path(work).glob("models/training-*.jsonl")))


def join(out: str, *folders: str) -> None:
    """What `pack` wrote in several folders, in one."""
    files: dict[str, list[Path]] = {}
    manifests = {}
    for folder in map(Path, folders):
        for file in sorted(folder.glob("*.parquet")):
            files.setdefault(file.stem, []).append(file)
        manifests |= json.loads((folder / "manifests.json").read_text())
    _write(Path(out), files, manifests, [log for folder in folders for log in Path(folder).glob("training-*.jsonl")])


def _write(into: Path, files: dict[str, list[Path]], manifests: dict[str, object], logs: Sequence[Path]) -> None:
    into.mkdir(parents=True, exist_ok=True)
    for plan, parts in files.items():
        if parts:
            whole = _once(pa.concat_tables([pq.read_table(part) for part in parts]))
            whole = whole.sort_by([(column, "ascending") for column in ORDER])
            pq.write_table(whole, into / f"{plan}.parquet", compression="zstd", compression_level=19)
            print(f"{plan}: {whole.num_rows:,} answers, {(into / f'{plan}.parquet').stat().st_size:,} bytes")
    (into / "manifests.json").write_text(json.dumps(manifests, indent=1) + "\n")
    for log in logs:
        shutil.copy(log, into / log.name)


def _once(whole: pa.Table) -> pa.Table:
    """One answer to an item under a condition: a checkpoint may be screened in several folders."""
    again = whole.select(ORDER).to_pandas().duplicated()
    return whole.filter(pa.array(~again.to_numpy()))


if __name__ == "__main__":
    {"pack": pack, "join": join}[sys.argv[1]](*sys.argv[2:])
