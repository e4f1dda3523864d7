"""From run folders to few Parquet files, and from those to the tables of docs/reference-study.md.

    python -m benchmarks.reference.study pack WORK OUT
    python -m benchmarks.reference.study tables [FOLDER]

`pack` writes one sorted file for each plan (screen, listing, short, attention, weights) of all checkpoints, the
manifests in one JSON file and the logs of training; it may be called while sweeps go on. Dense answers of a plan are
in its own file. `tables` needs nothing but what `pack` wrote.
"""

import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

HERE = Path(__file__).parent
EVICTION = ("listing", "short")
ORDER = ["model", "context_length", "task", "sparsifier", "sparsity_requested", "item_id"]
N_RESAMPLES = 400


def pack(work: str, out: str) -> None:
    """All finished shards of each plan in one file."""
    into = Path(out)
    into.mkdir(parents=True, exist_ok=True)
    runs: dict[str, list[Path]] = {}
    manifests = {}
    for manifest in sorted(Path(work).glob("runs/*/*/*/manifest.json")):
        run = manifest.parent
        runs.setdefault(run.name, []).append(run)
        manifests["/".join(run.parts[-3:])] = json.loads(manifest.read_text())
    for plan, folders in runs.items():
        shards = [shard for folder in folders for shard in sorted((folder / "outcomes").glob("*.parquet"))]
        if shards:
            whole = pa.concat_tables([pq.read_table(shard) for shard in shards])
            whole = _once(whole).sort_by([(column, "ascending") for column in ORDER])
            pq.write_table(whole, into / f"{plan}.parquet", compression="zstd", compression_level=12)
            print(f"{plan}: {whole.num_rows:,} answers, {(into / f'{plan}.parquet').stat().st_size:,} bytes")
    (into / "manifests.json").write_text(json.dumps(manifests, indent=1) + "\n")
    for log in Path(work).glob("models/training-*.jsonl"):
        shutil.copy(log, into / log.name)


def _once(whole: pa.Table) -> pa.Table:
    """One answer to an item under a condition: a checkpoint is screened in several folders."""
    frame = whole.select([*ORDER, "params"]).to_pandas()
    first = ~frame.duplicated(ORDER)
    return whole.filter(pa.array(first.to_numpy()))


def answers(folder: Path, plans: tuple[str, ...]) -> pd.DataFrame:
    """The rows of some plans, with seed and layers of each checkpoint."""
    frames = [pd.read_parquet(folder / f"{plan}.parquet") for plan in plans if (folder / f"{plan}.parquet").is_file()]
    rows = pd.concat(frames, ignore_index=True)
    return rows.assign(training=rows["model"].str.extract(r"seed-(\d+)", expand=False).astype(int))


def dense(folder: Path) -> pd.DataFrame:
    """Mean dense score of the screening, task x (layers, seed, length)."""
    rows = answers(folder, ("screen",)).query("sparsifier == 'dense'")
    columns = ["n_layers", "training", "context_length"]
    return rows.pivot_table(index="task", columns=columns, values="score", sort=False).sort_index(axis=1)


def scores(rows: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """Levels, and the scores ``(item, level)`` of the items that were answered at all of them."""
    table = rows.pivot_table(index="item_id", columns="sparsity_requested", values="score").dropna()
    return table.columns.to_numpy(float), table.to_numpy(float)


def half(levels: np.ndarray, means: np.ndarray) -> float:
    """The level at which the mean score first falls to half of dense, linear between levels; inf if it does not."""
    below = np.flatnonzero(means < means[0] / 2)
    if not len(below):
        return np.inf
    i = int(below[0])
    return float(np.interp(means[0] / 2, [means[i], means[i - 1]], [levels[i], levels[i - 1]]))


def halves(rows: pd.DataFrame, *, seed: int = 0) -> pd.DataFrame:
    """`half` with a 95% interval over items, by checkpoint, length, task and method."""
    rng = np.random.default_rng(seed)
    found = []
    keys = ["n_layers", "training", "context_length", "task"]
    for key, some in rows.groupby(keys, sort=False):
        baseline = some[some["sparsifier"] == "dense"]
        for method, under in some[some["sparsifier"] != "dense"].groupby("sparsifier"):
            levels, table = scores(pd.concat([baseline, under]))
            if not len(table):
                continue
            drawn = [half(levels, table[rng.integers(len(table), size=len(table))].mean(0)) for _ in range(N_RESAMPLES)]
            low, high = np.quantile(drawn, [0.025, 0.975], method="nearest")
            at = half(levels, table.mean(0))
            told = {"dense": table[:, 0].mean(), "half": at, "low": low, "high": high}
            found.append(
                dict(zip(keys, key, strict=True)) | {"sparsifier": method, "n": len(table), "last": levels[-1], **told}
            )
    return pd.DataFrame(found)


def _said(row: pd.Series) -> str:
    ends = [f"> {row['last']:.2f}" if np.isinf(row[c]) else f"{row[c]:.2f}" for c in ("half", "low", "high")]
    return ends[0] if ends[0] == ends[1] == ends[2] else f"{ends[0]} [{ends[1]}, {ends[2]}]"


def tables(folder: str = str(HERE)) -> None:
    """Markdown."""
    where = Path(folder)
    print("Dense, screening\n")
    _print(dense(where))
    for title, plans in (("Eviction", EVICTION), ("Attention", ("attention",)), ("Weights", ("weights",))):
        if not any((where / f"{plan}.parquet").is_file() for plan in plans):
            continue
        found = halves(answers(where, plans))
        for length, some in found.groupby("context_length"):
            print(f"{title}, {length} tokens: level at half of dense\n")
            said = some.assign(said=some.apply(_said, axis=1))
            index = ["task", "n_layers", "training", "dense"]
            _print(said.pivot(index=index, columns="sparsifier", values="said"))


def _print(table: pd.DataFrame) -> None:
    """As Markdown."""
    table = table.reset_index()
    names = [" ".join(str(part) for part in c if part != "") if isinstance(c, tuple) else str(c) for c in table.columns]
    print("|", " | ".join(names), "|")
    print("|", " | ".join("---" for _ in names), "|")
    for row in table.itertuples(index=False):
        cells = [f"{v:.2f}" if isinstance(v, float) and not np.isnan(v) else "-" if pd.isna(v) else str(v) for v in row]
        print("|", " | ".join(cells), "|")
    print()


if __name__ == "__main__":
    {"pack": pack, "tables": tables}[sys.argv[1]](*sys.argv[2:])
