"""Every table of docs/reference-study.md, from the shipped answers alone.

    python -m benchmarks.reference.tables                          # prints them
    python -m benchmarks.reference.tables docs/reference-study.md  # writes them between their marks

No fit, nothing assumed of a curve but straight lines between measured levels; intervals are 95% over items (the same
items are drawn for all that is compared), for the weights that were trained. They say nothing of other trainings.
"""

import itertools
import json
import re
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

DATA = Path(__file__).parent / "data"
N_DRAWS = 1000
METHODS = ("keydiff", "tova", "streaming-eviction", "random-eviction", "snapkv", "key-norm")
TASKS = {
    "kv-lookup": "single-qa",
    "biographies-1": "single-qa",
    "niah-single": "retrieval",
    "niah-multi-key": "retrieval",
    "two-hop": "multi-hop",
    "biographies-2": "multi-hop",
    "biographies-3": "multi-hop",
    "variable-tracking-2": "multi-hop",
    "common-word": "aggregation",
    "frequent-words": "aggregation",
    "filtering": "aggregation",
    "counting": "aggregation",
}
SIZES, LENGTHS = (30, 20, 10), (512, 1024)
LEAST = 0.85
Key = tuple[int, int, int, str, str]  # layers, training seed, context length, task, method


def read(*plans: str, folder: Path = DATA) -> pd.DataFrame:
    """Answers of some plans, with the seed of each checkpoint's training."""
    rows = pd.concat([pd.read_parquet(folder / f"{plan}.parquet") for plan in plans], ignore_index=True)
    return rows.assign(training=rows["model"].str.extract(r"seed-(\d+)", expand=False).astype(int))


@dataclass(frozen=True)
class Curve:
    """Scores of a checkpoint on a task under a method ``(item, level)``; level 0 is dense."""

    items: tuple[str, ...]
    levels: np.ndarray
    scores: np.ndarray

    def means(self, items: tuple[str, ...] | None = None) -> np.ndarray:
        """Mean score by level: of all items first, then of draws of items ``(1 + draw, level)``."""
        chosen = self.scores if items is None else self.scores[[self.items.index(item) for item in items]]
        drawn = np.random.default_rng(0).integers(len(chosen), size=(N_DRAWS, len(chosen)))
        return np.concatenate([chosen.mean(0)[None], chosen[drawn].mean(1)])


@cache
def curves() -> dict[Key, Curve]:
    """Of everything that was answered under eviction."""
    rows = read("listing", "short")
    found = {}
    for (layers, training, length, task), some in rows.groupby(["n_layers", "training", "context_length", "task"]):
        dense = some[some["sparsifier"] == "dense"]
        for method, under in some[some["sparsifier"] != "dense"].groupby("sparsifier"):
            both = pd.concat([dense, under])
            table = both.pivot_table(index="item_id", columns="sparsity_requested", values="score").dropna()
            curve = Curve(tuple(table.index), table.columns.to_numpy(float), table.to_numpy(float))
            found[int(layers), int(training), int(length), str(task), str(method)] = curve
    return found


def halves(levels: np.ndarray, means: np.ndarray) -> np.ndarray:
    """The level at which a mean score first falls below half of dense, between levels; inf where it does not."""
    target = means[:, :1] / 2
    below = means < target
    i = below.argmax(1)
    row = np.arange(len(means))
    before, after = means[row, i - 1], means[row, i]
    with np.errstate(divide="ignore", invalid="ignore"):
        at = levels[i - 1] + (before - target[:, 0]) / (before - after) * (levels[i] - levels[i - 1])
    return np.where(below.any(1), at, np.inf)


def interval(drawn: np.ndarray) -> tuple[float, float]:
    """95%, ends among what was drawn."""
    low, high = np.quantile(drawn, [0.025, 0.975], method="nearest")
    return float(low), float(high)


def _said(curve: Curve) -> str:
    """Level at half of dense with its interval; what lies beyond the last level is more than that."""
    drawn = halves(curve.levels, curve.means())
    ends = (drawn[0], *interval(drawn[1:]))
    at, low, high = (f">{_short(curve.levels[-1])}" if np.isinf(end) else _short(end) for end in ends)
    return at if at == low == high else f"{at} [{low}, {high}]"


def _short(level: float) -> str:
    return f"{level:.2f}".removeprefix("0")


def dense() -> Iterator[str]:
    """Mean dense score in the screening."""
    rows = read("screen").query("sparsifier == 'dense'")
    table = rows.pivot_table(index="task", columns=["n_layers", "training", "context_length"], values="score")
    seeds = [(layers, seed) for layers in SIZES for seed in (0, 1, 2) if (layers, seed, 512) in table]
    yield _row("task", "type", *(f"{layers} layers, seed {seed}" for layers, seed in seeds))
    yield _row(*["---"] * (2 + len(seeds)))
    for task, kind in TASKS.items():
        cells = []
        for layers, seed in seeds:
            both = [(layers, seed, length) for length in LENGTHS if (layers, seed, length) in table]
            cells.append(" / ".join(f"{table.loc[task, key]:.2f}" for key in both))
        yield _row(task, kind, *cells)


def control() -> Iterator[str]:
    """Mean score with entries dropped at random at .95, where dense is at least LEAST, largest first."""
    rows = read("screen")
    means = rows.groupby(["task", "n_layers", "training", "context_length", "sparsifier"])["score"].mean().unstack()
    left = means[means["dense"] >= LEAST].groupby("task")["random-eviction"].agg(["min", "max"])
    yield _row("task", "least", "most")
    yield _row("---", "---", "---")
    for task, row in left.sort_values("max", ascending=False).iterrows():
        yield _row(str(task), f"{row['min']:.2f}", f"{row['max']:.2f}")


def half_levels(length: int) -> Iterator[str]:
    """Level at half of dense, by task, size and method, for seed 0."""
    yield _row("task", "layers", "dense", *METHODS)
    yield _row(*["---"] * (3 + len(METHODS)))
    for task, layers in itertools.product(TASKS, SIZES):
        found = [curves().get((layers, 0, length, task, method)) for method in METHODS]
        if all(found):
            mean = found[0].scores[:, 0].mean()
            yield _row(task, str(layers), f"{mean:.2f}", *(_said(curve) for curve in found))


def _common(a: Curve, b: Curve) -> tuple[str, ...]:
    return tuple(sorted(set(a.items) & set(b.items)))


def _difference(a: Curve, b: Curve) -> tuple[float, float, float] | None:
    """Level at half of dense of ``a`` minus that of ``b`` with its interval; beyond the last level is the last level.

    None where both are beyond.
    """
    items = _common(a, b)
    one, other = (halves(curve.levels, curve.means(items)) for curve in (a, b))
    if np.isinf(one[0]) and np.isinf(other[0]):
        return None
    drawn = np.minimum(one, a.levels[-1]) - np.minimum(other, b.levels[-1])
    return float(drawn[0]), *interval(drawn[1:])


def spread() -> Iterator[str]:
    """How much half levels differ between trainings of one size, and between sizes."""
    kinds: dict[str, list[tuple[str, tuple[float, float, float]]]] = {}
    for (a, one), (b, other) in itertools.combinations(curves().items(), 2):
        if a[2:] != b[2:] or min(one.scores[:, 0].mean(), other.scores[:, 0].mean()) < LEAST:
            continue
        if a[0] == b[0]:
            kind = f"two seeds, {a[0]} layers"
        elif a[1] == b[1] == 0:
            kind = f"{max(a[0], b[0])} and {min(a[0], b[0])} layers, seed 0"
        else:
            continue
        larger = (one, other) if a[0] >= b[0] else (other, one)
        found = _difference(*larger)
        if found is not None:
            kinds.setdefault(kind, []).append((a[4], found))
    yield _row("compared", "cells", "median of the size of the difference", "nine in ten below", "interval without 0")
    yield _row(*["---"] * 5)
    for kind in sorted(kinds, key=lambda k: (not k.startswith("two"), k)):
        found = np.array([d for _, d in kinds[kind]])
        apart = np.abs(found[:, 0])
        sure = int(((found[:, 1] > 0) | (found[:, 2] < 0)).sum())
        cells = f"{np.median(apart):.2f}", f"{np.quantile(apart, 0.9):.2f}", f"{sure} ({sure / len(found):.0%})"
        yield _row(kind, str(len(found)), *cells)


def largest() -> Iterator[str]:
    """The largest differences between two trainings of one size."""
    found = []
    for (a, one), (b, other) in itertools.combinations(curves().items(), 2):
        if a[0] == b[0] and a[2:] == b[2:]:
            difference = _difference(one, other)
            if difference is not None:
                found.append((difference, a, b, one, other))
    found.sort(key=lambda one: -abs(one[0][0]))
    yield _row("layers", "tokens", "task", "method", "seeds", "half of dense, first", "second")
    yield _row(*["---"] * 7)
    for _, a, b, one, other in found[:8]:
        yield _row(str(a[0]), str(a[2]), a[3], a[4], f"{a[1]}, {b[1]}", _said(one), _said(other))


def hops() -> Iterator[str]:
    """Biographies: half levels of one, two and three hops on the same kind of text, and how often each step falls."""
    names = [f"biographies-{n}" for n in (1, 2, 3)]
    yield _row(
        "method", "settings", "1 above 2", "interval above 0", "2 above 3", "interval above 0", "an interval below 0"
    )
    yield _row(*["---"] * 7)
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
        yield _row(method, str(n), *map(str, counts), str(against))


def _own(curve: Curve, seed: int) -> np.ndarray:
    """Means as in `Curve.means`, with draws of their own."""
    drawn = np.random.default_rng(seed + 1).integers(len(curve.items), size=(N_DRAWS, len(curve.items)))
    return np.concatenate([curve.scores.mean(0)[None], curve.scores[drawn].mean(1)])


def equal_memory(length: int) -> Iterator[str]:
    """Three times the layers at a third of the entries of each, against ten layers dense: the same bytes of cache."""
    yield _row("task", "10 layers, dense", *(f"30 layers, {method} .67" for method in METHODS))
    yield _row(*["---"] * (2 + len(METHODS)))
    small = read("listing", "short", "screen").query("n_layers == 10 and training == 0 and sparsifier == 'dense'")
    for task in TASKS:
        alone = small[(small["task"] == task) & (small["context_length"] == length)]
        cells = [f"{alone['score'].mean():.2f}"]
        measured = alone[alone["seed"] == 0].set_index("item_id")["score"]
        for method in METHODS:
            curve = curves()[30, 0, length, task, method]
            at = curve.scores[:, list(curve.levels).index(0.67)]
            cells.append(f"{at.mean():.2f}{_mark(at, curve, measured, alone)}")
        yield _row(task, *cells)


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
    yield _row(
        "method", "cells", "more share tolerated at 1,024", "less", "unsure", "entries needed at 1,024 over 512: median"
    )
    yield _row(*["---"] * 6)
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
        yield _row(method, str(len(ratios)), str(more), str(less), str(unsure), f"{np.median(ratios):.2f}")


def best() -> Iterator[str]:
    """Which method tolerates most and least, by task, over sizes, seeds and lengths."""
    yield _row("task", "settings", "most", "least")
    yield _row("---", "---", "---", "---")
    for task in TASKS:
        firsts: dict[str, int] = {}
        lasts: dict[str, int] = {}
        settings = sorted({key[:3] for key in curves() if key[3] == task})
        for setting in settings:
            areas = {method: _area(curves()[(*setting, task, method)]) for method in METHODS}
            for found, method in ((firsts, max(areas, key=areas.get)), (lasts, min(areas, key=areas.get))):
                found[method] = found.get(method, 0) + 1
        said = (", ".join(f"{m} {n}" for m, n in sorted(d.items(), key=lambda x: -x[1])) for d in (firsts, lasts))
        yield _row(task, str(len(settings)), *said)


def _area(curve: Curve) -> float:
    """Mean score over levels, up to the last."""
    return float(np.trapezoid(curve.scores.mean(0), curve.levels))


def counts() -> Iterator[str]:
    """Answers by checkpoint and plan."""
    plans = [
        plan for plan in ("screen", "listing", "short", "attention", "weights") if (DATA / f"{plan}.parquet").is_file()
    ]
    table = pd.DataFrame({plan: read(plan).groupby("model").size() for plan in plans}).fillna(0).astype(int)
    yield _row("checkpoint", *plans)
    yield _row(*["---"] * (1 + len(plans)))
    for model, row in table.sort_index(ascending=False).iterrows():
        yield _row(str(model), *(f"{n:,}" for n in row))
    yield _row("all", *(f"{n:,}" for n in table.sum()))


def _logs() -> Iterator[tuple[int, dict[str, Any]]]:
    """Training seed and line of every log."""
    for log in sorted(DATA.glob("training-*.jsonl")):
        for line in log.read_text().splitlines():
            yield int(log.stem.rpartition("-")[2]), json.loads(line)


def weights() -> Iterator[str]:
    """What was trained."""
    yield _row("checkpoint", "parameters", "sha256 of the weights")
    yield _row("---", "---", "---")
    for _, told in _logs():
        if told["event"] == "saved":
            yield _row(told["name"], f"{told['params']:,}", f"`{told['sha256'][:16]}`")


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
    yield _row("layers", "seed", "step", *shown)
    yield _row(*["---"] * (3 + len(shown)))
    for layers, seed, step in sorted(found, key=lambda key: (-key[0], key[1:])):
        exact = found[layers, seed, step]
        last = max(key[2] for key in found if key[:2] == (layers, seed))
        # a look just before the last says the same
        if step == last or last - step > 10:
            yield _row(str(layers), str(seed), f"{step:,}", *(f"{exact[task][1]:.2f}" for task in shown))


def attention() -> Iterator[str]:
    """What was answered under top-k attention before it was stopped: filtering at 512 tokens."""
    rows = read("attention")
    table = rows.pivot_table(index=["task", "training"], columns="sparsity_requested", values="score")
    yield _row("task", "seed", *(f"{level:.2f}" for level in table.columns))
    yield _row(*["---"] * (2 + len(table.columns)))
    for (task, seed), row in table.iterrows():
        yield _row(task, str(seed), *("-" if np.isnan(v) else f"{v:.2f}" for v in row))


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
}


def _row(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


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
