"""Every table of docs/reference-study.md, from the shipped answers alone.

    python -m benchmarks.reference.tables                          # prints them
    python -m benchmarks.reference.tables docs/reference-study.md  # writes them between their marks

How a curve is read and what intervals mean: `curves.py`. Where several trainings are compared: `seeds.py`.
"""

import itertools
import json
import re
import sys
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from benchmarks.reference import seeds
from benchmarks.reference.curves import (
    DATA,
    LEAST,
    LENGTHS,
    METHODS,
    N_DRAWS,
    SIZES,
    TASKS,
    Curve,
    Key,
    curves,
    halves,
    interval,
    read,
    row,
    said,
)


def dense() -> Iterator[str]:
    """Mean dense score in the screening; with a star that of the study's own items, where it was not screened."""
    alone = [read(*plans).query("sparsifier == 'dense'") for plans in (("screen",), ("listing", "short"))]
    columns = ["n_layers", "training", "context_length"]
    screened, asked = (rows.pivot_table(index="task", columns=columns, values="score") for rows in alone)
    trained = sorted({key[:2] for key in asked.columns}, key=lambda key: (-key[0], key[1]))
    yield row("task", "type", *(f"{layers} layers, seed {seed}" for layers, seed in trained))
    yield row(*["---"] * (2 + len(trained)))
    for task, kind in TASKS.items():
        cells = []
        for key in trained:
            found = [_either(screened, asked, task, (*key, length)) for length in LENGTHS]
            cells.append(" / ".join(cell for cell in found if cell))
        yield row(task, kind, *cells)


def _either(screened: pd.DataFrame, asked: pd.DataFrame, task: str, key: tuple[int, int, int]) -> str:
    for table, mark in ((screened, ""), (asked, "*")):
        if key in table and not np.isnan(table.loc[task, key]):
            return f"{table.loc[task, key]:.2f}{mark}"
    return ""


def control() -> Iterator[str]:
    """Mean score with entries dropped at random at .95, where dense is at least LEAST, largest first."""
    rows = read("screen")
    means = rows.groupby(["task", "n_layers", "training", "context_length", "sparsifier"])["score"].mean().unstack()
    left = means[means["dense"] >= LEAST].groupby("task")["random-eviction"].agg(["min", "max"])
    yield row("task", "least", "most")
    yield row("---", "---", "---")
    for task, ends in left.sort_values("max", ascending=False).iterrows():
        yield row(str(task), f"{ends['min']:.2f}", f"{ends['max']:.2f}")


def half_levels(length: int) -> Iterator[str]:
    """Level at half of dense, by task, size and method, for seed 0."""
    yield row("task", "layers", "dense", *METHODS)
    yield row(*["---"] * (3 + len(METHODS)))
    for task, layers in itertools.product(TASKS, SIZES):
        found = [curves().get((layers, 0, length, task, method)) for method in METHODS]
        if all(found):
            mean = found[0].scores[:, 0].mean()
            yield row(task, str(layers), f"{mean:.2f}", *(said(curve) for curve in found))


def _common(a: Curve, b: Curve) -> tuple[str, ...]:
    return tuple(sorted(set(a.items) & set(b.items)))


@cache
def _difference(a: Key, b: Key) -> tuple[float, float, float] | None:
    """Level at half of dense of ``a`` minus that of ``b`` with its interval; beyond the last level is the last level.

    None where both are beyond.
    """
    first, second = curves()[a], curves()[b]
    items = _common(first, second)
    one, other = (halves(curve.levels, curve.means(items)) for curve in (first, second))
    if np.isinf(one[0]) and np.isinf(other[0]):
        return None
    drawn = np.minimum(one, first.levels[-1]) - np.minimum(other, second.levels[-1])
    return float(drawn[0]), *interval(drawn[1:])


def spread() -> Iterator[str]:
    """How much half levels differ between trainings of one size, and between sizes."""
    kinds: dict[str, list[tuple[str, tuple[float, float, float]]]] = {}
    for (a, one), (b, other) in itertools.combinations(curves().items(), 2):
        if a[2:] != b[2:] or min(one.scores[:, 0].mean(), other.scores[:, 0].mean()) < LEAST:
            continue
        if a[0] == b[0]:
            kind = f"two seeds, {a[0]} layers"
        elif a[1] == b[1]:
            kind = f"{max(a[0], b[0])} and {min(a[0], b[0])} layers, seed {a[1]}"
        else:
            continue
        found = _difference(a, b)
        if found is not None:
            kinds.setdefault(kind, []).append((a[4], found))
    yield row("compared", "cells", "median of the size of the difference", "nine in ten below", "interval without 0")
    yield row(*["---"] * 5)
    for kind in sorted(kinds, key=lambda k: (not k.startswith("two"), k)):
        found = np.array([d for _, d in kinds[kind]])
        apart = np.abs(found[:, 0])
        sure = int(((found[:, 1] > 0) | (found[:, 2] < 0)).sum())
        cells = f"{np.median(apart):.2f}", f"{np.quantile(apart, 0.9):.2f}", f"{sure} ({sure / len(found):.0%})"
        yield row(kind, str(len(found)), *cells)


def largest() -> Iterator[str]:
    """The largest differences between two trainings of one size."""
    found = []
    for (a, one), (b, other) in itertools.combinations(curves().items(), 2):
        if a[0] == b[0] and a[2:] == b[2:]:
            difference = _difference(a, b)
            if difference is not None:
                found.append((difference, a, b, one, other))
    found.sort(key=lambda one: -abs(one[0][0]))
    yield row("layers", "tokens", "task", "method", "seeds", "half of dense, first", "second")
    yield row(*["---"] * 7)
    for _, a, b, one, other in found[:8]:
        yield row(str(a[0]), str(a[2]), a[3], a[4], f"{a[1]}, {b[1]}", said(one), said(other))


def hops() -> Iterator[str]:
    """Biographies: half levels of one, two and three hops on the same kind of text, and how often each step falls."""
    names = [f"biographies-{n}" for n in (1, 2, 3)]
    yield row(
        "method", "settings", "1 above 2", "interval above 0", "2 above 3", "interval above 0", "an interval below 0"
    )
    yield row(*["---"] * 7)
    for method in METHODS:
        counts, n, against = [0, 0, 0, 0], 0, 0
        for layers, seed, length in sorted({key[:3] for key in curves()}):
            some = [curves().get((layers, seed, length, name, method)) for name in names]
            if not all(some):
                continue
            n += 1
            for step in (0, 1):
                # other questions on other texts: items are not paired
                one, other = (halves(c.levels, _own(c, i)) for i, c in enumerate(some[step : step + 2]))
                drawn = np.minimum(one, 0.95) - np.minimum(other, 0.95)
                low, high = interval(drawn[1:])
                counts[2 * step] += drawn[0] > 0
                counts[2 * step + 1] += low > 0
                against += high < 0
        yield row(method, str(n), *map(str, counts), str(against))


def _own(curve: Curve, seed: int) -> np.ndarray:
    """Means as in `Curve.means`, with draws of their own."""
    drawn = np.random.default_rng(seed + 1).integers(len(curve.items), size=(N_DRAWS, len(curve.items)))
    return np.concatenate([curve.scores.mean(0)[None], curve.scores[drawn].mean(1)])


def equal_memory(length: int) -> Iterator[str]:
    """Three times the layers at a third of the entries of each, against ten layers dense: the same bytes of cache."""
    yield row("task", "10 layers, dense", *(f"30 layers, {method} .67" for method in METHODS))
    yield row(*["---"] * (2 + len(METHODS)))
    small = read("listing", "short", "screen").query("n_layers == 10 and training == 0 and sparsifier == 'dense'")
    for task in TASKS:
        alone = small[(small["task"] == task) & (small["context_length"] == length)]
        cells = [f"{alone['score'].mean():.2f}"]
        measured = alone[alone["seed"] == 0].set_index("item_id")["score"]
        for method in METHODS:
            curve = curves()[30, 0, length, task, method]
            at = curve.scores[:, list(curve.levels).index(0.67)]
            cells.append(f"{at.mean():.2f}{_mark(at, curve, measured, alone)}")
        yield row(task, *cells)


def _mark(at: np.ndarray, curve: Curve, measured: pd.Series, screened: pd.DataFrame) -> str:
    """Plus or minus where the 95% interval of the difference is without 0; paired where the items are the same."""
    rng = np.random.default_rng(0)
    if len(measured) == len(curve.items):
        apart = at - measured.loc[list(curve.items)].to_numpy()
        drawn = apart[rng.integers(len(apart), size=(N_DRAWS, len(apart)))].mean(1)
    else:
        other = screened["score"].to_numpy()
        drawn = at[rng.integers(len(at), size=(N_DRAWS, len(at)))].mean(1)
        drawn = drawn - other[rng.integers(len(other), size=(N_DRAWS, len(other)))].mean(1)
    low, high = interval(drawn)
    return " +" if low > 0 else " -" if high < 0 else " ="


def lengths() -> Iterator[str]:
    """Does a longer context tolerate more: as a share, and as entries left at half of dense."""
    yield row(
        "method", "cells", "more share tolerated at 1,024", "less", "unsure", "entries needed at 1,024 over 512: median"
    )
    yield row(*["---"] * 6)
    for method in METHODS:
        more = less = unsure = 0
        ratios = []
        for (layers, seed, length, task, name), curve in curves().items():
            other = curves().get((layers, seed, 1024, task, name))
            if length != 512 or name != method or other is None or curve.scores[:, 0].mean() < LEAST:
                continue
            short, long = halves(curve.levels, _own(curve, 0)), halves(other.levels, _own(other, 1))
            if np.isinf(short[0]) or np.isinf(long[0]):
                continue
            low, high = interval(np.minimum(long, 0.95)[1:] - np.minimum(short, 0.95)[1:])
            more, less, unsure = more + (low > 0), less + (high < 0), unsure + (low <= 0 <= high)
            ratios.append(2 * (1 - long[0]) / (1 - short[0]))
        yield row(method, str(len(ratios)), str(more), str(less), str(unsure), f"{np.median(ratios):.2f}")


def best() -> Iterator[str]:
    """Which method tolerates most and least, by task, over sizes, seeds and lengths."""
    yield row("task", "settings", "most", "least")
    yield row("---", "---", "---", "---")
    for task in TASKS:
        firsts: dict[str, int] = {}
        lasts: dict[str, int] = {}
        settings = sorted({key[:3] for key in curves() if key[3] == task})
        for setting in settings:
            areas = {method: _area(curves()[(*setting, task, method)]) for method in METHODS}
            for found, method in ((firsts, max(areas, key=areas.get)), (lasts, min(areas, key=areas.get))):
                found[method] = found.get(method, 0) + 1
        said = (", ".join(f"{m} {n}" for m, n in sorted(d.items(), key=lambda x: -x[1])) for d in (firsts, lasts))
        yield row(task, str(len(settings)), *said)


def _area(curve: Curve) -> float:
    """Mean score over levels, up to the last."""
    return float(np.trapezoid(curve.scores.mean(0), curve.levels))


def counts() -> Iterator[str]:
    """Answers by checkpoint and plan."""
    plans = [
        plan for plan in ("screen", "listing", "short", "attention", "weights") if (DATA / f"{plan}.parquet").is_file()
    ]
    table = pd.DataFrame({plan: read(plan).groupby("model").size() for plan in plans}).fillna(0).astype(int)
    yield row("checkpoint", *plans)
    yield row(*["---"] * (1 + len(plans)))
    for model, numbers in table.sort_index(ascending=False).iterrows():
        yield row(str(model), *(f"{n:,}" for n in numbers))
    yield row("all", *(f"{n:,}" for n in table.sum()))


def _logs() -> Iterator[tuple[int, dict[str, Any]]]:
    """Training seed and line of every log."""
    for log in sorted(DATA.glob("training-*.jsonl")):
        for line in log.read_text().splitlines():
            yield int(log.stem.rpartition("-")[2]), json.loads(line)


def weights() -> Iterator[str]:
    """What was trained."""
    yield row("checkpoint", "parameters", "sha256 of the weights")
    yield row("---", "---", "---")
    for _, told in _logs():
        if told["event"] == "saved":
            yield row(told["name"], f"{told['params']:,}", f"`{told['sha256'][:16]}`")


def learning() -> Iterator[str]:
    """Share of 32 (seed 2: 16) held-out items answered word for word at 1,024 tokens, while training."""
    shown = (
        "kv-lookup",
        "biographies-3",
        "variable-tracking-2",
        "common-word",
        "frequent-words",
        "filtering",
        "counting",
    )
    found = {
        (told["layers"], seed, told["step"]): told["exact"] for seed, told in _logs() if told["event"] == "held-out"
    }
    yield row("layers", "seed", "step", *shown)
    yield row(*["---"] * (3 + len(shown)))
    for layers, seed, step in sorted(found, key=lambda key: (-key[0], key[1:])):
        exact = found[layers, seed, step]
        last = max(key[2] for key in found if key[:2] == (layers, seed))
        # a look just before the last says the same
        if step == last or last - step > 10:
            yield row(str(layers), str(seed), f"{step:,}", *(f"{exact[task][1]:.2f}" for task in shown))


def attention() -> Iterator[str]:
    """What was answered under top-k attention before it was stopped: filtering at 512 tokens."""
    rows = read("attention")
    table = rows.pivot_table(index=["task", "training"], columns="sparsity_requested", values="score")
    yield row("task", "seed", *(f"{level:.2f}" for level in table.columns))
    yield row(*["---"] * (2 + len(table.columns)))
    for (task, seed), means in table.iterrows():
        yield row(task, str(seed), *("-" if np.isnan(v) else f"{v:.2f}" for v in means))


TABLES: dict[str, Callable[[], Iterator[str]]] = {
    "weights": weights,
    "learning": learning,
    "counts": counts,
    "dense": dense,
    "control": control,
    "half-512": lambda: half_levels(512),
    "half-1024": lambda: half_levels(1024),
    "hops": hops,
    "best": best,
    "equal-memory": lambda: equal_memory(1024),
    "spread": spread,
    "largest": largest,
    "lengths": lengths,
    "attention": attention,
    **seeds.TABLES,
}


def written(text: str) -> str:
    """A document with its tables made anew, each behind its mark ``<!-- table: name -->``."""

    def table(found: re.Match[str]) -> str:
        return "\n".join([found[1], "", *TABLES[found[2]](), "", found[4]])

    return re.sub(r"(<!-- table: ([\w-]+) -->)(.*?)(<!-- end -->)", table, text, flags=re.DOTALL)


def main() -> None:
    for path in map(Path, sys.argv[1:]):
        path.write_text(written(path.read_text()))
    for name, table in TABLES.items() if not sys.argv[1:] else ():
        print(f"\n{name}\n", *table(), sep="\n")


if __name__ == "__main__":
    main()
