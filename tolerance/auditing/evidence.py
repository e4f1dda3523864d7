"""What a claim is held against: cells of scores, from published tables or from answers, with draws of every cell.

Published cells carry their number of items or none. With one, a cell's mean has the spread of as many 0/1 answers: for
graded scores, which vary less, that is the most it can be. Which items two cells share is not published, so they are
independent, and intervals wider than the truth. Without a number of items a cell has no draws and no interval.
Answers are weighted by item (Bayesian bootstrap, Rubin 1981, doi:10.1214/aos/1176345338), so that cells that asked the
same items stay paired.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tolerance.auditing.published_cells import NO_SCORES, read_cells
from tolerance.comparison.conditions import CONDITION, keyed
from tolerance.data.canonical import canonical
from tolerance.data.conditions import known_context
from tolerance.data.levels import counted
from tolerance.data.manifest import digest
from tolerance.data.outcomes import DENSE, is_dense, level
from tolerance.data.prepared import prepare
from tolerance.instant.means import dense_means, mean_draws, places, sizes

Floats = NDArray[np.float64]
DRAWS = 2000
# Did the method see the question.
SEEN = {"before": 1.0, "after": 1.0, "both": 1.0, "no": 0.0}
TEXT = ("source", "table", "method", "model", "task", "task_type", "metric", "tier", "definition")
REAL = ("sparsity", "kv_tokens", "context_length", "params", "n_items", "query_visible", "score", "dense", "dense_n")


@dataclass(frozen=True)
class Evidence:
    """Cells with the columns of `TEXT` and `REAL`, one row a cell of a method; ``threshold`` marks levels.

    ``draws`` and ``dense_draws`` ``(cell, draw)`` are null where there is no number of items.
    """

    cells: pd.DataFrame
    draws: Floats
    dense_draws: Floats
    paired: bool

    def only(self, keep: "pd.Series[bool]") -> "Evidence":
        """Some of the cells."""
        at = np.flatnonzero(keep.to_numpy(dtype=bool))
        return Evidence(self.cells.iloc[at].reset_index(drop=True), self.draws[at], self.dense_draws[at], self.paired)

    def assuming(self, n: int) -> "Evidence":
        """The same with ``n`` items wherever no number is published."""
        filled = {name: self.cells[name].fillna(float(n)) for name in ("n_items", "dense_n")}
        cells = self.cells.assign(**filled)
        return Evidence(cells, *_published_draws(cells), paired=False)


def published(path: Path) -> Evidence:
    """Published cells from a CSV: see `tolerance.auditing.published_cells` for its columns.

    Raises:
        SchemaError: the file cannot be read, lacks a column, or a row holds what it may not.
    """
    table = read_cells(path)
    renamed = {
        "table_or_figure": "table",
        "kv_budget_tokens": "kv_tokens",
        "query_aware": "query_visible",
        "sparsity_definition": "definition",
        "provenance_tier": "tier",
        "dense_score": "dense",
    }
    cells = table.rename(columns=renamed).assign(params=table["params_b"] * 1e9)
    cells = cells.reindex(columns=list(dict.fromkeys(TEXT + REAL)))
    cells["threshold"] = table["score_scale"].isin(NO_SCORES)
    for name in REAL:
        cells[name] = cells[name].astype("float64")
    return Evidence(cells, *_published_draws(cells), paired=False)


def of_means(means: pd.DataFrame, *, seed: int = 0) -> Evidence:
    """Evidence from validated published means: one cell a mean, the dense mean of its place shared by all."""
    table = canonical(means).reset_index(drop=True)
    share, size = table["score"].to_numpy(dtype=np.float64), sizes(table)
    draws = mean_draws(share, size, np.random.default_rng(seed), DRAWS)
    removed = ~is_dense(table) & (level(table) > 0)
    found = dense_means(table)
    at = np.array([found.get(place, -1) for place in places(table)])
    known = at >= 0
    cells = pd.DataFrame(
        {
            "source": "published means",
            "table": "",
            "method": table["sparsifier"].where(removed, DENSE),
            "model": table["model"],
            "task": table["task"],
            "task_type": table["task_type"],
            "metric": "score",
            "tier": "published",
            "definition": table["unit"].fillna(""),
            "sparsity": table["sparsity_requested"],
            "kv_tokens": table["kv_budget_tokens"],
            "context_length": table["context_length"],
            "params": table["params"],
            "n_items": table["n_items"],
            "query_visible": table["query_position"].map(SEEN),
            "score": share,
            "dense": np.where(known, share[at], np.nan),
            "dense_n": table["n_items"].astype("float64").to_numpy()[at],
            "threshold": False,
        }
    )
    for name in REAL:
        cells[name] = cells[name].astype("float64")
    return Evidence(cells, draws, np.where(known[:, None], draws[at], np.nan), paired=False)


def _published_draws(cells: pd.DataFrame) -> tuple[Floats, Floats]:
    """Beta draws under Jeffreys' prior ``(cell, draw)``, each cell's from a seed of its own.

    One dense score that several cells are compared with is one draw for all of them.
    """
    own = [
        [*row, "own"]
        for row in cells[["source", "table", "method", "model", "task", "sparsity", "kv_tokens"]].astype(str).to_numpy()
    ]
    dense = [
        [*row, "dense"] for row in cells[["source", "model", "task", "context_length", "dense"]].astype(str).to_numpy()
    ]
    n = cells["n_items"].to_numpy(dtype=np.float64)
    score = np.where(cells["threshold"], np.nan, cells["score"])
    dense_n = cells["dense_n"].to_numpy(dtype=np.float64)
    return _betas(score, n, own), _betas(cells["dense"].to_numpy(dtype=np.float64), dense_n, dense)


def _betas(mean: Floats, n: Floats, names: list[list[str]]) -> Floats:
    out = np.full((len(mean), DRAWS), np.nan)
    for i in np.flatnonzero(np.isfinite(mean) & np.isfinite(n)):
        rng = np.random.default_rng(int(digest(names[i])[:8], 16))
        out[i] = rng.beta(mean[i] * n[i] + 0.5, (1 - mean[i]) * n[i] + 0.5, DRAWS)
    return out


def _arm(key: object) -> tuple[str, int | None, str, float]:
    assert isinstance(key, tuple)
    model, context, method, asked = key
    return str(model), known_context(context), str(method), float(asked)


def answered(outcomes: pd.DataFrame, *, seed: int = 0) -> Evidence:
    """Evidence from validated outcomes: a cell for each task, model, context, method and level.

    Of answers those count that were graded, to items that all conditions of a task share; items that depend on each
    other are drawn together.
    """
    # dense answers alone are of all their items, and what they are no evidence of is said by the scope
    nothing_sparse = bool((level(outcomes) == 0).all())
    rng, table = np.random.default_rng(seed), keyed(outcomes if nothing_sparse else prepare(outcomes).shared)
    rows: list[dict[str, object]] = []
    draws: list[Floats] = []
    places: list[tuple[str, str, int | None]] = []
    dense_at: dict[tuple[str, str, int | None], int] = {}
    for task, mine in table.groupby("task", sort=True):
        codes, items = pd.factorize(mine["cluster"].fillna("item " + mine["item_id"]), sort=True)
        weights = rng.standard_exponential((DRAWS, len(items)))
        for key, part in mine.assign(code=codes).groupby(CONDITION, sort=True, dropna=False):
            model, context, method, asked = _arm(key)
            here = weights[:, part["code"].to_numpy()]
            # half a right and half a wrong item, so that no cell is certain
            prior = rng.gamma(0.5, size=(2, DRAWS))
            share = (here @ part["score"].to_numpy(np.float64) + prior[0]) / (here.sum(1) + prior.sum(0))
            places.append((str(task), model, context))
            if method == DENSE:
                dense_at[places[-1]] = len(rows)
            budget = part["kv_budget_tokens"].astype("float64").mean()
            rows.append(
                {
                    "source": "answers",
                    "table": "",
                    "method": method,
                    "model": model,
                    "task": task,
                    "task_type": part["task_type"].iloc[0],
                    "metric": "score",
                    "tier": "answers",
                    "sparsity": np.nan if counted(part).any() else asked,
                    "kv_tokens": budget,
                    "context_length": np.nan if context is None else float(context),
                    "params": float(part["params"].astype("float64").iloc[0]),
                    "n_items": float(part["item_id"].nunique()),
                    "query_visible": SEEN.get(str(part["query_position"].iloc[0])),
                    "score": float(part["score"].mean()),
                    "threshold": False,
                }
            )
            draws.append(share)
    cells, every = pd.DataFrame(rows), np.array(draws)
    found = np.array([dense_at.get(place, -1) for place in places])
    cells["dense"] = np.where(found >= 0, cells["score"].to_numpy()[found], np.nan)
    dense = np.where((found >= 0)[:, None], every[found], np.nan)
    cells = cells.reindex(columns=[*dict.fromkeys(TEXT + REAL), "threshold"])
    for name in REAL:
        cells[name] = cells[name].astype("float64")
    return Evidence(cells, every, dense, paired=True)
