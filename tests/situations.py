"""Kinds of runs that people have, made small, and what every command does with them: exit code and all it prints."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

import pandas as pd
import yaml
from typer.testing import CliRunner

from tests.simulated import outcomes
from tolerance.cli.app import app
from tolerance.cli.guard import guarded
from tolerance.data.importers import import_published, import_run
from tolerance.data.manifest import Manifest
from tolerance.data.run_folder import RunFolder
from tolerance.diagnostics import refit
from tolerance.inference.settings import Settings

COMMANDS = ("show", "quick", "fit", "fit, waved through", "report", "compare", "audit")
CLAIM = {
    "format": "tolerance-claim/1",
    "id": "half-is-free",
    "statement": "Half can go.",
    "citation": {"source": "a paper"},
    "claimed": {"kind": "retention", "number": 0.9, "unit": "share of dense"},
    "axis": "none stated",
    "scope": {"sparsity": 0.5},
}
MEAN_OF = ["task", "task_type", "model", "params", "context_length", "sparsifier", "unit", "sparsity_requested"]
NOW = "2026-01-01T00:00:00+00:00"


def answers(**given: object) -> pd.DataFrame:
    """Answers to two tasks of two types under two methods at three levels."""
    tasks = {"look-up": "single-qa", "chain": "multi-hop"}
    scales = {(task, method): at for method, at in (("top-k", 3.0), ("streaming", 1.2)) for task in tasks}
    return outcomes(**{"n_items": 24, "levels": (0.5, 0.8, 0.95), "tasks": tasks, "scales": scales, **given})  # type: ignore[arg-type]


def means(table: pd.DataFrame) -> pd.DataFrame:
    """The published means of answers."""
    by = [name for name in (*MEAN_OF, "chance") if name in table]
    return table.groupby(by, as_index=False, dropna=False).agg(score=("score", "mean"), n_items=("score", "size"))


def disjoint() -> pd.DataFrame:
    """Each method answered one task alone, dense both."""
    table, dense = answers(), answers()["sparsifier"] == "dense"
    kept = dense | ((table["sparsifier"] == "top-k") == (table["task"] == "look-up"))
    return table[kept]


def one_of_each() -> pd.DataFrame:
    """One task under one method."""
    return answers(tasks={"look-up": "single-qa"}, sparsifiers=("top-k",))


def _first(table: pd.DataFrame, n: int) -> pd.Series:
    """Rows of the first items of each task."""
    place = table.groupby("task")["item_id"].transform(lambda ids: pd.factorize(ids, sort=True)[0])
    return place < n


def limited() -> pd.DataFrame:
    """Sparse answers to half of the items alone, as under a smoke limit."""
    table = answers()
    return table[(table["sparsifier"] == "dense") | _first(table, 12)]


def seen_or_not() -> pd.DataFrame:
    """The same methods with the question hidden from compression and visible to it."""
    table = answers()
    sparse = table[table["sparsifier"] != "dense"]
    return pd.concat([table.assign(query_position="no"), sparse.assign(query_position="both")])


def filters() -> pd.DataFrame:
    """Two answer filters of the same generations as two tasks of one type."""
    one = answers(n_items=60, tasks={"look-up": "single-qa"})
    return pd.concat([one.assign(task=f"look-up [{name}]") for name in ("strict", "flexible")])


def not_graded() -> pd.DataFrame:
    """The last answers of the highest level ran out of time."""
    table = answers()
    out = (table["sparsity_requested"] == 0.95) & ~_first(table, 20)
    scored = {name: table[name].mask(out) for name in ("score", "k", "n") if name in table}
    return table.assign(**scored, ungraded=pd.Series("timed out", index=table.index).where(out))


def lacking() -> pd.DataFrame:
    """A second task of one type that was not asked at the highest level."""
    table = answers(tasks={"look-up": "single-qa", "name": "single-qa"})
    return table[(table["task"] == "look-up") | (table["sparsity_requested"] < 0.9)]


def other_items() -> pd.DataFrame:
    """Two models that answered different items."""
    table = answers()
    return pd.concat([table, table.assign(model="other", item_id="other-" + table["item_id"])])


def budgets() -> pd.DataFrame:
    """Levels set as token budgets, with nothing that says what share they are."""
    table = answers().drop(columns=["sparsity_realised", "unit"], errors="ignore")
    tokens = table["sparsity_requested"].map({0.5: 4096, 0.8: 2048, 0.95: 512}).astype("Int64")
    sparse = table["sparsifier"] != "dense"
    return table.assign(kv_budget_tokens=tokens, sparsity_requested=table["sparsity_requested"].mask(sparse))


def _imported(folder: Path, table: pd.DataFrame) -> None:
    file = folder.with_suffix(".csv")
    table.to_csv(file, index=False)
    (import_published if "n_items" in table else import_run)(file, None, folder)


def _unfinished(folder: Path) -> None:
    """A collection that was stopped before its highest level."""
    table = answers()
    planned, shards = [], {}
    for (task, method, level), part in table.groupby(["task", "sparsifier", "sparsity_requested"]):
        name = f"{task}-{method}-{level:g}"
        told = {"model": "simulated", "task": task, "context_length": 256, "sparsifier": method, "level": f"{level:g}"}
        planned.append({**told, "blocks": {name: len(part)}})
        if level < 0.95:
            shards[name] = part
    run = RunFolder.create(folder, Manifest("collected", {"items": 24}, created=NOW, notes={"planned": planned}))
    with run.writing():
        for name, part in shards.items():
            run.write(name, part.assign(run_id=run.manifest.run_id).to_dict("records"))


def _both(folder: Path) -> None:
    """Published means that were put beside answers."""
    _imported(folder, answers())
    other = folder.with_name("means")
    _imported(other, means(answers()))
    (folder / "published.parquet").write_bytes((other / "published.parquet").read_bytes())


def _empty(folder: Path) -> None:
    RunFolder.create(folder, Manifest("collected", {"items": 24}, created=NOW))


def _from(table: Callable[[], pd.DataFrame]) -> Callable[[Path], None]:
    return lambda folder: _imported(folder, table())


KINDS: dict[str, Callable[[Path], None]] = {
    "answers": _from(answers),
    "published means": _from(lambda: means(answers())),
    "means without a number of items": _from(lambda: means(answers()).drop(columns="n_items").assign(n_items=None)),
    "answers without dense": _from(lambda: answers(with_dense=False)),
    "means without dense": _from(lambda: means(answers(with_dense=False))),
    "methods on different tasks": _from(disjoint),
    "means of methods on different tasks": _from(lambda: means(disjoint())),
    "one task, one method": _from(one_of_each),
    "one level": _from(lambda: answers(levels=(0.5,))),
    "no floor, no context, no size": _from(lambda: answers().drop(columns=["chance", "context_length", "params"])),
    "dense alone": _from(lambda: answers(levels=(), sparsifiers=())),
    "one item a task": _from(lambda: answers(n_items=1)),
    "more dense items than sparse": _from(limited),
    "the question hidden and visible": _from(seen_or_not),
    "two filters of one generation": _from(filters),
    "items in passages": _from(lambda: answers().assign(cluster=lambda t: t["item_id"].str[-1])),
    "answers that were not graded": _from(not_graded),
    "a task without one of the levels": _from(lacking),
    "models on other items": _from(other_items),
    "levels in tokens": _from(budgets),
    "collection not finished": _unfinished,
    "answers and means in one folder": _both,
    "nothing collected yet": _empty,
}


# What every command must say of a kind, after its exit code; 1: refused, in one line.
NO_FIT = (1, "no analysis (report.json missing). Give the --out of tolerance fit.")
WHOLE: dict[str, tuple[int, str]] = {
    "show": (0, "answers of simulated"),
    "quick": (0, "Every sparse answer is compared with the dense answer to the same item."),
    "fit": (0, "Held constant: parameters, context length; varying: sparsity fraction"),
    "report": (0, "report -> page/report.html"),
    "compare": (0, "Set before looking: equivalent within 2 points"),
    "audit": (0, "Evidence: 4 cells, answers."),
}
UNPAIRED = "Published means: nothing to pair, since which items were answered alike is not known."
MEANS: dict[str, tuple[int, str]] = {
    **WHOLE,
    "show": (0, "published means of simulated"),
    "quick": (0, UNPAIRED),
    "report": (0, "Note: Published means: pairing is lost, intervals are wider"),
    "audit": (0, "published means, taken as unpaired and as variable as right-or-wrong answers, so intervals are wide"),
}
NO_DENSE: dict[str, tuple[int, str]] = {
    "fit": (1, "no dense baseline: the lowest level is 0.5, so the share of dense accuracy that is kept is unknown."),
    "fit, waved through": (0, "no threshold is given and nothing is ordered by one."),
    "report": (0, "Note: No dense baseline: no thresholds"),
    "compare": (1, "dense: no answer under 'dense'. There is: streaming, top-k."),
    "audit": (1, "no score of the reference for any cell in scope, so nothing can be compared."),
}
NOT_TOGETHER = "streaming and top-k are not compared: streaming and top-k answered no task in common"
PART = "71% of the plan is there (240 of 336 answers); missing: level 0.95."
EXPECTED: dict[str, dict[str, tuple[int, str]]] = {
    "answers": WHOLE,
    "published means": MEANS,
    "means without a number of items": {
        **MEANS,
        "quick": (0, "no interval: a task with a single item, or without a number of items"),
        "fit": (1, "14 of 14 published means have no number of items"),
        "fit, waved through": (0, "Held constant: parameters, context length; varying: sparsity fraction"),
        "report": (0, "Note: Sensitivity analysis: 100 items assumed where none were given"),
        "audit": (0, "Nothing with an interval: the printed mean is"),
    },
    "answers without dense": {**WHOLE, **NO_DENSE, "quick": (0, "nothing is compared with dense.")},
    "means without dense": {**MEANS, **NO_DENSE, "quick": (0, "no dense baseline was measured")},
    "methods on different tasks": {**WHOLE, "report": (0, NOT_TOGETHER), "audit": (0, "Evidence: 2 cells, answers.")},
    "means of methods on different tasks": {**MEANS, "report": (0, NOT_TOGETHER)},
    "one task, one method": {**WHOLE, "audit": (0, "Evidence: 1 cells, answers.")},
    "one level": WHOLE,
    "no floor, no context, no size": {
        **WHOLE,
        "quick": (0, "guessing floor unknown: chain, look-up."),
        "fit": (0, "not recorded: compute, parameters, active parameters, context length"),
        "compare": (0, "unavailable"),
    },
    "dense alone": {
        "show": WHOLE["show"],
        "quick": (1, "every answer is dense, so there is no tolerance to estimate. Collect at least one sparse level."),
        "fit": (1, "every answer is dense, so there is no tolerance to estimate. Collect at least one sparse level."),
        "report": NO_FIT,
        "compare": NO_FIT,
        "audit": (1, "scope.methods: nothing in the evidence. There is: dense."),
    },
    "one item a task": {**WHOLE, "quick": (0, "a task has a single item")},
    "more dense items than sparse": {
        **WHOLE,
        "quick": (
            0,
            "Left out, because not every condition has a graded answer to them: 12 items of chain under dense",
        ),
        "fit": (0, "12 items of look-up under dense by simulated; 12 stay."),
    },
    "the question hidden and visible": {
        **WHOLE,
        "show": (0, "top-k (question both)"),
        "quick": (0, "top-k (question both) - top-k (question no)"),
        "fit": (0, "Under streaming (question both), single-qa tolerates"),
        "compare": (
            1,
            "no answer under 'top-k'. There is: dense, streaming (question both), streaming (question no), ",
        ),
        "audit": (0, "Evidence: 8 cells, answers."),
    },
    "two filters of one generation": {
        **WHOLE,
        "quick": (0, "single-qa │ top-k │ 80% │ 51% (39% to 64%) │ 30 lost, 3 gained"),
    },
    "items in passages": {**WHOLE, "quick": (0, "paired bootstrap intervals over items")},
    "answers that were not graded": {
        **WHOLE,
        "quick": (
            0,
            "16 answers were not graded (timed out 16): they are left out, and so are the same items elsewhere.",
        ),
        "fit": (
            0,
            "16 answers were not graded (timed out 16): they are left out, and so are the same items elsewhere.",
        ),
    },
    "a task without one of the levels": {
        **WHOLE,
        "quick": (0, "Under top-k, single-qa is over look-up and name, without 95%, where tasks are missing."),
        "fit": (0, "Under top-k, single-qa is over look-up and name, without 95%, where tasks are missing."),
    },
    "models on other items": {**WHOLE, "show": (0, "answers of other, simulated"), "audit": (0, "Evidence: 8 cells")},
    "levels in tokens": {
        **WHOLE,
        "show": (0, "streaming │ 4,096 tokens"),
        "fit": (0, "needs more than 4,096 tokens"),
        "compare": (1, "no answer at this level. Levels asked for: 4096 tokens, 2048 tokens, 512 tokens."),
        "audit": (1, "scope.sparsity 0.5: nothing in the evidence."),
    },
    "collection not finished": {
        **dict.fromkeys(("show", "quick", "fit", "compare", "audit"), (0, PART)),
        "report": (0, "Note: Collection not finished: 71% of the plan"),
    },
    "answers and means in one folder": {
        **dict.fromkeys(("show", "quick", "fit", "audit"), (1, "answers and means are imported into a folder each.")),
        **dict.fromkeys(("report", "compare"), NO_FIT),
    },
    "nothing collected yet": {
        **dict.fromkeys(("show", "quick", "fit", "audit"), (1, "the run holds no outcomes yet. Run collect (again)")),
        **dict.fromkeys(("report", "compare"), NO_FIT),
    },
}

# What is asked besides, of a kind that is refused without it.
WAVED_THROUGH = {
    "answers without dense": ["--without-dense"],
    "means without dense": ["--without-dense"],
    "means without a number of items": ["--assume-items", "100"],
}


@contextmanager
def short_fits() -> Iterator[None]:
    """One short attempt whose checks are taken as passed: what is tried here is words, not sampling."""
    plain = Settings.__init__

    def short(self: Settings, **given: Any) -> None:
        plain(self, **{"chains": 2, "tune": 150, "draws": 100, **given})

    with (
        mock.patch.object(Settings, "__init__", short),
        mock.patch.object(refit._Try, "next", return_value=None),
        mock.patch("tolerance.diagnostics.checks.trustworthy", return_value=True),
    ):
        yield


def tried(words: list[str]) -> tuple[int, str]:
    """Exit code and all that a command prints, in this process; errors pass through the last door."""
    runner, code = CliRunner(env={"COLUMNS": "400", "TERM": "dumb"}), 0

    def run() -> None:
        nonlocal code
        found = runner.invoke(app, words, catch_exceptions=True)
        code, said[0] = found.exit_code, found.output
        if found.exception is not None and not isinstance(found.exception, SystemExit):
            raise found.exception

    said = [""]
    error = runner.isolation()
    with error as streams:
        failed = guarded(run)
        told = streams[2].getvalue().decode() if hasattr(streams[2], "getvalue") else streams[0].getvalue().decode()
    return failed or code, said[0] + told


def every_command(kind: str, folder: Path) -> Iterator[tuple[str, int, str]]:
    """Each command on a run of a kind, in the order of `COMMANDS`."""
    os.makedirs(folder, exist_ok=True)
    run, analysis, claim = folder / "run", folder / "analysis", folder / "claim.yaml"
    KINDS[kind](run)
    claim.write_text(yaml.safe_dump(CLAIM))
    words = {
        "show": ["show", str(run)],
        "quick": ["quick", str(run)],
        "fit": ["fit", str(run), "--out", str(analysis), "--cores", "1"],
        "report": ["report", str(analysis), "--out", str(folder / "page")],
        "compare": ["compare", "top-k@0.5", "dense", "--analysis", str(analysis), "--hold", "compute,context"],
        "audit": ["audit", str(claim), "--evidence", str(run)],
    }
    if kind in WAVED_THROUGH:
        words["fit, waved through"] = [*words["fit"], *WAVED_THROUGH[kind]]
    with short_fits():
        for command in COMMANDS:
            if command in words:
                code, text = tried(words[command])
                yield command, code, " ".join(text.replace(f"{folder}/", "").split())


DOC = Path(__file__).parent.parent / "docs" / "situations.md"
HEAD = """# What each command says, by what a run holds

Every cell is a part of what the command prints, word for word, or of the line with which it refuses (*refused*).
`tests/test_situations.py` runs all of them on small runs of each kind; `python -m tests.situations` writes this page.
The commands are `show RUN`, `quick RUN`, `fit RUN`, `report ANALYSIS`, `compare top-k@0.5 dense`, and `audit CLAIM
--evidence RUN` with a claim about the level 0.5.
"""


def page() -> str:
    """docs/situations.md: one section a kind."""
    lines = [HEAD]
    for kind, said in EXPECTED.items():
        lines += [f"## {kind[0].upper()}{kind[1:]}", "", "| command | says |", "|---|---|"]
        for command in COMMANDS:
            if command in said:
                code, words = said[command]
                asked = (
                    f"{command.partition(',')[0]} {' '.join(WAVED_THROUGH[kind])}" if "waved" in command else command
                )
                lines.append(f"| `{asked}` | {'*refused*: ' if code else ''}{words} |")
        lines.append("")
    return "\n".join(lines)


if __name__ == "__main__":
    DOC.write_text(page())
