"""From the screening to the study's plan, and from a run folder to one Parquet file.

    python benchmarks/smollm2/study.py select SCREEN_RUN benchmarks/smollm2/grid.yaml > study.yaml
    python benchmarks/smollm2/study.py pack RUN FOLDER
    python benchmarks/smollm2/study.py tables benchmarks/smollm2 ANALYSIS/report.json

`select` adds to a plan the tasks at the lengths whose mean dense score in the screening is at least ``LEAST``; the
study asks other items (another seed), so a cell that was lucky in the screening is not for that lucky in it.

`pack` writes ``outcomes.parquet``, which ``tolerance import`` takes, and ``manifest.json``. Needs pandas and pyarrow.

`tables` prints the tables of docs/smollm2.md: what was screened, accuracy by level, what the fit says.
"""

import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq
import yaml

LEAST = 0.6
ORDER = ["task", "context_length", "sparsifier", "sparsity_requested", "item_id"]


def select(run: str, grid: str) -> None:
    """Print the plan; the screening's table goes to the other stream."""
    rows = pd.read_parquet(Path(run) / "outcomes", columns=["task", "context_length", "sparsifier", "score", "chance"])
    named = rows.assign(sparsifier=rows["sparsifier"].where(rows["sparsifier"] == "dense", "control"))
    table = named.pivot_table(index=["task", "context_length"], columns="sparsifier", values="score", aggfunc="mean")
    table["chance"] = rows.groupby(["task", "context_length"])["chance"].mean()
    table["taken"] = table["dense"] >= LEAST
    print(table.round(3).to_string(), file=sys.stderr)
    taken = table[table["taken"]].reset_index()
    if taken.empty:
        sys.exit(f"error: no task is answered at {LEAST} dense. There is nothing to study.")
    asked = json.loads((Path(run) / "manifest.json").read_text())["plan"]["tasks"]
    lengths = {task: sorted(map(int, own)) for task, own in taken.groupby("task")["context_length"]}
    names = [next(iter(task)) if isinstance(task, dict) else task for task in asked]
    tasks = [{task: {"context_lengths": lengths[task]}} for task in names if task in lengths]
    plan = {"tasks": tasks, **yaml.safe_load(Path(grid).read_text())}
    n = rows.loc[rows["sparsifier"] == "dense"].groupby(["task", "context_length"]).size().min()
    print(f"# grid.yaml with the tasks and lengths that {n} screening items each were answered at >= {LEAST:g}, dense")
    print(yaml.safe_dump(plan, sort_keys=False, default_flow_style=None, width=110), end="")


def pack(run: str, out: str) -> None:
    """One file of all shards, sorted, so that equal values stand together."""
    folder, into = Path(run), Path(out)
    into.mkdir(parents=True, exist_ok=True)
    whole = pq.read_table(folder / "outcomes").sort_by([(column, "ascending") for column in ORDER])
    pq.write_table(whole, into / "outcomes.parquet", compression="zstd", compression_level=19)
    shutil.copy(folder / "manifest.json", into / "manifest.json")
    print(f"{whole.num_rows:,} answers, {(into / 'outcomes.parquet').stat().st_size:,} bytes")


def tables(folder: str, report: str) -> None:
    """Markdown: what was answered, and what the fit says of it."""
    accuracies(folder)
    thresholds(report)


def accuracies(folder: str) -> None:
    """What was screened, and accuracy by level, from the answers alone."""
    screen = pd.read_parquet(Path(folder) / "screen.parquet").query("sparsifier == 'dense'")
    _print(screen.pivot_table(index="task", columns="context_length", values="score", sort=False))
    rows = pd.read_parquet(Path(folder) / "outcomes.parquet").assign(correct=lambda t: t["correct"].astype(float))
    for _, some in rows.groupby("task", sort=False):
        _print(some.pivot_table(index=["task", "sparsifier"], columns="sparsity_requested", values="correct"))
    half = rows[(rows["sparsity_requested"] == 0.5) & (rows["task"] == "niah-single")]
    _print(half.pivot_table(index="sparsifier", columns="context_length", values="correct"))
    single = rows[rows["task"] == "niah-single"]
    _print(_begun(single))
    _print(_worded(single))


def thresholds(report: str) -> None:
    """What is tolerated. An end of an interval outside the measured levels is the first or last of them."""
    found = json.loads(Path(report).read_text())
    budgets = {(b["sparsifier"], b["context_length"]): b for b in found["budgets"]}
    lengths = sorted({length for _, length in budgets})
    print("|", " | ".join(["method", "tolerated", *(f"{length:,}" for length in lengths)]), "|")
    for threshold in found["thresholds"]:
        method = threshold["sparsifier"]
        if threshold["status"] != "ok":
            print(f"| {method} | withheld: {threshold['reason']} |")
            continue
        level, prob = threshold["level"], (1 - threshold["level"]["prob"]) / 2
        below, beyond = level["prob_below"], level["prob_beyond"]
        said = _between(level, f"{level['first']:.0%}", f"{level['last']:.0%}", below, beyond, prob, "{:.0%}".format)
        tokens = []
        for b in (budgets[method, length] for length in lengths):
            ends = f"{b['least']:,.0f}", f"{b['most']:,.0f}"
            tokens.append(_between(b, *ends, b["prob_fewer"], b["prob_more"], prob, "{:,.0f}".format))
        print("|", " | ".join([method, said, *tokens]), "|")


def _begun(rows: pd.DataFrame) -> pd.DataFrame:
    """Of the wrong answers, the share that begins with the first three digits of the code; dense ones are all right."""
    codes = rows["answer"].str.extract(r"is (\d{3})", expand=False).fillna("")
    dense = rows["sparsifier"] == "dense"
    assert rows.loc[dense, "correct"].all()
    right = rows["item_id"].map(dict(zip(rows.loc[dense, "item_id"], codes[dense], strict=True)))
    wrong = rows.assign(begun=(codes == right).astype(float))[rows["correct"] == 0]
    return wrong.pivot_table(index="sparsifier", columns="sparsity_requested", values="begun")


def _worded(rows: pd.DataFrame) -> pd.DataFrame:
    """Right answers by method: how many are the bare code, and how many the very text of the dense answer."""
    right = rows[rows["correct"] == 1]
    dense = right[right["sparsifier"] == "dense"].set_index("item_id")["answer"]
    bare, alike = right["answer"].str.fullmatch(r"\d+"), right["answer"] == right["item_id"].map(dense)
    counts = right.assign(right=1, bare=bare, alike=alike).groupby("sparsifier")[["right", "bare", "alike"]].sum()
    return pd.concat([counts, counts.sum().to_frame("all").T]).rename_axis("sparsifier").astype(int).astype(str)


def _between(found: dict, low: str, high: str, below: float, beyond: float, prob: float, number: Callable) -> str:
    """Median and interval; one-sided where an end lies outside the measured range, a bare bound where all does."""
    if below > 1 - prob or beyond > 1 - prob:
        return f"less than {low}" if below > beyond else f"more than {high}"
    median = "" if found["median"] is None else number(found["median"])
    if found["lower"] is None or found["upper"] is None:
        end = f"{number(found['upper'])} or less" if found["lower"] is None else f"{number(found['lower'])} or more"
        return f"{median} ({end})" if median else end
    return f"{median} ({number(found['lower'])} to {number(found['upper'])})"


def _print(table: pd.DataFrame) -> None:
    """As Markdown."""
    table = table.reset_index()
    print("|", " | ".join(map(str, table.columns)), "|")
    for row in table.itertuples(index=False):
        cells = (value if isinstance(value, str) else "-" if pd.isna(value) else f"{value:.2f}" for value in row)
        print("|", " | ".join(cells), "|")
    print()


if __name__ == "__main__":
    {"select": select, "pack": pack, "tables": tables}[sys.argv[1]](*sys.argv[2:])
