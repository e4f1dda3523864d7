"""What `two_gpus.py` ran, compared and said: two-gpus.json, two-gpus.parquet and the tables of docs/grids.md."""

import heapq
import json
import re
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pandas as pd

from tolerance.runners.collect.engines import Waiting

HERE = Path(__file__).parent
KEY = ["model", "task", "context_length", "sparsifier", "sparsity_requested", "item_id"]
COMPARED = ("answer", "score", "sparsity_realised")
KEPT = [*KEY, "score", "answer", "sparsity_realised", "generated_tokens", "truncated"]
# GPUs that are asked about, and how many times as many items a larger plan has.
GPUS, TIMES = (1, 2, 3, 8), (1, 10, 100)


# --- packing --------------------------------------------------------------------------------------------------------


def pack(work: Path, out: Path) -> None:
    """Compare the answers, condense the times, and keep both."""
    stages = [json.loads(line) for line in (work / "stages.jsonl").read_text().splitlines()]
    runs = {p.parent.name: rows(p.parent) for p in sorted(work.glob("*/manifest.json"))}
    one = runs["one"].set_index(KEY)
    told = {
        "answers": len(one),
        "stages": stages,
        "against_one": {name: difference(one, run.set_index(KEY)) for name, run in runs.items() if name != "one"},
        "times": {p.stem: condensed(p) for p in sorted(work.glob("*.jsonl")) if p.stem != "stages"},
        "alone": alone(work / "one.jsonl"),
        "gpus": used(work / "gpus.csv", stages),
        "packages": json.loads((work / "one" / "manifest.json").read_text())["packages"],
    }
    (out / "two-gpus.json").write_text(json.dumps(told, indent=1) + "\n")
    table = runs["one"][KEPT].sort_values(KEY, ignore_index=True)
    table.to_parquet(out / "two-gpus.parquet", compression="zstd", index=False)


def rows(run: Path) -> pd.DataFrame:
    """All answers of a run, from its finished blocks."""
    return pd.concat([pd.read_parquet(shard) for shard in sorted((run / "outcomes").glob("*.parquet"))])


def difference(one: pd.DataFrame, other: pd.DataFrame) -> dict[str, Any]:
    """How many rows of two runs are there in both, twice, and differ; and by how much the score of a cell does."""
    both = one.index.intersection(other.index)
    a, b = one.loc[both], other[~other.index.duplicated()].loc[both]
    found: dict[str, Any] = {
        "rows": len(other),
        "missing": len(one.index.difference(other.index)),
        "twice": int(other.index.duplicated().sum()),
    }
    for column in COMPARED:
        found[f"{column}_differs"] = int((a[column].to_numpy() != b[column].to_numpy()).sum())
    cells = [level for level in KEY if level != "item_id"]
    apart = (a["score"] - b["score"]).groupby(level=cells).mean().abs()
    return {**found, "largest_difference_of_a_cell": round(float(apart.max()), 4), "cells": len(apart)}


def check(run: Path) -> None:
    """Compare a run collected anywhere with the answers that ship, on the rows that it has."""
    here = rows(run).set_index(KEY)
    there = pd.read_parquet(HERE / "two-gpus.parquet").set_index(KEY)
    found = difference(there.loc[there.index.intersection(here.index)], here)
    print(json.dumps(found, indent=1))


def events(path: Path) -> list[dict[str, Any]]:
    """What a driver noted."""
    return [json.loads(line) for line in path.read_text().splitlines()]


def condensed(path: Path) -> dict[str, Any]:
    """Of a driver: when it began to write, when the last rows came in, and when it ended (None where it did not)."""
    driver = events(path)
    progress = [told for told in driver if told["event"] == "progress"]
    ends = [told["at"] for told in driver if told["event"] == "end"]
    return {
        "ready": progress[0]["at"] if progress else None,
        "last_row": progress[-1]["at"] if progress else None,
        "ended": ends[0] if ends else None,
        "answered": progress[-1]["done"] - progress[0]["done"] if progress else 0,
        "writing": round(sum(told["seconds"] for told in driver if told["event"] == "written"), 3),
    }


def alone(path: Path) -> dict[str, Any]:
    """Where the time of the one process went: loading each model, answering each group of blocks, writing.

    A group is told by its items being made, and ends with the last of its rows.
    """
    driver = events(path)
    loads = [told for told in driver if told["event"] == "loaded"]
    began = loads[0]["at"] - loads[0]["seconds"]
    groups: dict[str, list[float]] = {told["model"]: [] for told in loads}
    writing = dict.fromkeys(groups, 0.0)
    making = dict.fromkeys(groups, 0.0)
    model, at = loads[0]["model"], 0.0
    for told in driver:
        if told["event"] == "loaded":
            model, at = told["model"], told["at"]
        elif told["event"] == "items made":
            making[model] += told["seconds"]
            groups[model].append(0.0)
        elif told["event"] == "written":
            writing[model] += told["seconds"]
            groups[model][-1] += told["at"] - at - told["seconds"]
            at = told["at"]
    return {
        "until_loading": round(began, 3),
        "loading": [told["seconds"] for told in loads],
        "groups": [[round(seconds, 3) for seconds in groups[told["model"]]] for told in loads],
        "making_items": round(sum(making.values()), 3),
        "writing": round(sum(writing.values()), 3),
    }


def used(path: Path, stages: list[dict[str, Any]]) -> dict[str, list[dict[str, float]]]:
    """Use of each GPU by stage: mean, the share of samples with any, the most memory in GiB."""
    if not path.is_file():
        return {}
    names = ["at", "gpu", "use", "mib"]
    samples = pd.read_csv(path, names=names, skipinitialspace=True, parse_dates=["at"])
    seconds = samples["at"].astype("datetime64[ns]").astype("int64") / 1e9
    found = {}
    for stage in stages:
        some = samples[(seconds >= stage["begun"]) & (seconds <= stage["ended"])]
        found[stage["stage"]] = [
            {
                "gpu": int(gpu),
                "mean_use": round(float(its["use"].mean()), 1),
                "busy": round(float((its["use"] > 0).mean()), 3),
                "use_when_busy": round(float(its.loc[its["use"] > 0, "use"].mean()), 1),
                "gib": round(float(its["mib"].max()) / 1024, 1),
            }
            for gpu, its in some.groupby("gpu")
        ]
    return found


# --- what more GPUs would bring -------------------------------------------------------------------------------------


def wall(told: dict[str, Any], gpus: int, times: int = 1) -> float:
    """Seconds until the last row with so many GPUs, by the parts that one process took, dealt out as `RayCore` does.

    Every worker loads while Ray's driver gets ready; another model it loads when it goes over to it. ``times`` as many
    groups of each model. One process writes, beside the answering.
    """
    part, ready = told["alone"], told["times"]["two"]["ready"]
    loading = dict(enumerate(part["loading"]))
    waiting: Any = Waiting([])
    waiting.groups = {model: deque([[s] for s in groups * times]) for model, groups in enumerate(part["groups"])}
    for worker in range(gpus):
        waiting.place(worker)
    holds = dict(waiting.holds)
    free = [(ready + loading[holds[worker]] - loading[holds[0]], worker) for worker in holds]
    heapq.heapify(free)
    last = 0.0
    while free:
        at, worker = heapq.heappop(free)
        last = max(last, at)
        group = waiting.take(worker)
        if group:
            model = waiting.holds[worker]
            at += group[0] + (0 if holds[worker] == model else loading[model])
            holds[worker] = model
            heapq.heappush(free, (at, worker))
    return max(last, ready + part["writing"] * times)


def by_gpus(told: dict[str, Any]) -> Iterator[str]:
    """Estimated seconds with more GPUs, and how many times as fast as with one; for larger plans too."""
    yield row("answers", *(f"{n} GPU{'s' * (n > 1)}" for n in GPUS))
    yield row(*["---"] * (1 + len(GPUS)))
    for times in TIMES:
        seconds = [wall(told, n, times) for n in GPUS]
        cells = [f"{s:,.0f} s ({seconds[0] / s:.1f})" for s in seconds]
        yield row(f"{told['answers'] * times:,}", *cells)


def speeds(told: dict[str, Any]) -> Iterator[str]:
    """Wall time and answers a second of each collection that nothing disturbed."""
    yield row("collected by", "start and first loading, s", "all, s", "answers a second", "after the start")
    yield row(*["---"] * 5)
    names = {
        "one": "one process, one GPU",
        "null": "the same on the other GPU, half the batch",
        "two": "Ray, two workers, two GPUs",
        "two-before": "Ray as it was",
        "four": "Ray, four workers, two GPUs",
    }
    for stage, name in names.items():
        if stage in told["times"]:
            t = told["times"][stage]
            rate = told["answers"] / t["last_row"], told["answers"] / (t["last_row"] - t["ready"])
            yield row(name, f"{t['ready']:.0f}", f"{t['last_row']:.0f}", f"{rate[0]:.0f}", f"{rate[1]:.0f}")


def same(told: dict[str, Any]) -> Iterator[str]:
    """Rows of every collection against those of the one process."""
    yield row(
        "against one process", "rows", "missing", "twice", "answers differ", "scores differ", "shares kept differ"
    )
    yield row(*["---"] * 7)
    names = {
        "two": "Ray, two workers",
        "two-before": "Ray as it was",
        "faults": "Ray as it was, with faults",
        "four": "Ray, four workers",
        "null": "other GPU, half the batch",
    }
    for stage, name in names.items():
        if stage in told["against_one"]:
            d = told["against_one"][stage]
            apart = [f"{d[f'{column}_differs']:,}" for column in COMPARED]
            yield row(name, f"{d['rows']:,}", str(d["missing"]), str(d["twice"]), *apart)


def use(told: dict[str, Any]) -> Iterator[str]:
    """Use of each GPU, sampled twice a second from the start of a driver to its end."""
    yield row("stage", "GPU", "mean use", "samples in use", "mean use in these", "memory, GiB")
    yield row(*["---"] * 6)
    for stage, gpus in told["gpus"].items():
        for g in gpus:
            shares = f"{g['mean_use']:.0f}%", f"{g['busy']:.0%}", f"{g['use_when_busy']:.0f}%"
            yield row(stage, str(g["gpu"]), *shares, f"{g['gib']:.0f}")


def faults(told: dict[str, Any]) -> Iterator[str]:
    """What was broken, and what was there before and afterwards."""
    (stage,) = [one for one in told["stages"] if one["stage"] == "faults"]
    second, total = stage["second_driver"], stage["blocks_in_all"]
    third = told["times"]["faults-third"]
    yield row("what happened", "blocks written until then", "what followed")
    yield row("---", "---", "---")
    yield row(
        "a worker killed in mid-block", f"{stage['blocks_when_worker_died']} of {total}", "another start answered it"
    )
    yield row("a second driver", "", f"refused after {second['seconds']:.1f} s")
    yield row("the driver killed", f"{stage['blocks_when_driver_died']} of {total}", "Ray and its workers went")
    again = f"{stage['written_again']} blocks written again, {third['answered']:,} answers were left to ask"
    yield row("the driver started again", f"{stage['blocks']} of {total} at its end", again)


def large(told: dict[str, Any]) -> Iterator[str]:
    """The two drivers of the reference study that ran at once, with four workers on each GPU."""
    yield row(
        "driver", "workers", "answers", "start and first loading, s", "all, s", "answers a second after the start"
    )
    yield row(*["---"] * 6)
    for name, what, workers in (("study", "tasks with short answers", 6), ("study-listing", "lists", 2)):
        t = told["times"][name]
        rate = t["answered"] / (t["last_row"] - t["ready"])
        yield row(what, str(workers), f"{t['answered']:,}", f"{t['ready']:.0f}", f"{t['last_row']:.0f}", f"{rate:,.0f}")


def parts(told: dict[str, Any]) -> Iterator[str]:
    """Where the one process' time went."""
    part = told["alone"]
    answering = [sum(groups) for groups in part["groups"]]
    loads = ", ".join(f"{s:.1f}" for s in part["loading"])
    yield row("part", "seconds", "with n GPUs")
    yield row("---", "---", "---")
    yield row("starting Python, reading plan and packages", f"{part['until_loading']:.1f}", "the same, and Ray's start")
    yield row("loading and checking each model", loads, "each GPU, each model")
    yield row("answering, by model", ", ".join(f"{s:.1f}" for s in answering), "divides, in groups")
    yield row("of which making items", f"{part['making_items']:.2f}", "divides")
    yield row("writing", f"{part['writing']:.2f}", "beside the answering, by one process")


def row(*cells: str) -> str:
    """A line of a table."""
    return f"| {' | '.join(cells)} |"


TABLES: dict[str, Callable[[dict[str, Any]], Iterator[str]]] = {
    "speeds": speeds,
    "same": same,
    "use": use,
    "faults": faults,
    "large": large,
    "parts": parts,
    "by-gpus": by_gpus,
}


def written(text: str, told: dict[str, Any]) -> str:
    """A document with its tables made anew, each behind its mark ``<!-- table: name -->``."""

    def table(found: re.Match[str]) -> str:
        return "\n".join([found[1], "", *TABLES[found[2]](told), "", found[4]])

    return re.sub(r"(<!-- table: ([\w-]+) -->)(.*?)(<!-- end -->)", table, text, flags=re.DOTALL)


def tables(*paths: Path) -> None:
    """Write a document's tables, or print all."""
    told = json.loads((HERE / "two-gpus.json").read_text())
    for path in paths:
        path.write_text(written(path.read_text(), told))
    for name, table in TABLES.items() if not paths else ():
        print(f"\n{name}\n", *table(told), sep="\n")
