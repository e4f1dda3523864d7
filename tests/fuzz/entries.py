"""The doors: a valid input of each, its mutations, and what reads it as the commands do."""

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pandas as pd

from tests.fuzz.mutations import Rng, bytes_mutated, csv_mutated, json_mutated, parquet_mutated, pick, yaml_mutated
from tests.report_example import normal
from tests.simulated import outcomes
from tests.situations import CLAIM, MEAN_OF, means
from tolerance import audit, findings, instant_answer
from tolerance.analysis.saved import REPORT, read_report
from tolerance.auditing.evidence import answered, published
from tolerance.axes.model_shape import read_shapes
from tolerance.data.importers import import_means, import_run, import_table
from tolerance.data.manifest import Manifest
from tolerance.data.outcomes import validate
from tolerance.data.published import validate_aggregates
from tolerance.data.run_folder import RunFolder, read_run
from tolerance.errors import ToleranceError
from tolerance.reports import page, spreadsheet
from tolerance.reports.export import markdown
from tolerance.reports.pictures import figures
from tolerance.runners.collect.blocks import blocks
from tolerance.runners.collect.plan import Plan
from tolerance.runners.tasks import from_file

NOW = "2026-01-01T00:00:00+00:00"


@dataclass(frozen=True)
class Entry:
    """``make`` writes a mutated input into an empty folder and returns its path; ``read`` takes it as a command would.

    Where ``same`` is given, an input that is read must give this value: what is sealed changes not unseen.
    """

    make: Callable[[Rng, Path], Path]
    read: Callable[[Path], Any]
    same: Callable[[], Any] | None = None


@cache
def log() -> pd.DataFrame:
    """A small log with most of the columns that logs have."""
    table = outcomes(n_items=3, levels=(0.5, 0.9), sparsifiers=("top-k",), tasks={"a": "single-qa", "b": "multi-hop"})
    more = {"revision": "r1", "phase": "both", "sparsity_kind": "attention", "query_position": "before", "seed": 1}
    more |= {"flops_attention": 1e9, "prompt_tokens": 200, "seconds": 0.5, "truncated": False, "answer": "42"}
    dense = table["sparsifier"] == "dense"
    return table.assign(**more, correct=table["score"] == 1, kv_budget_tokens=None).assign(
        phase=dense.map({True: "none", False: "both"}), sparsity_kind=dense.map({True: "none", False: "attention"})
    )


@cache
def table_of_means() -> pd.DataFrame:
    """Published means, with standard errors."""
    return means(outcomes(n_items=40, levels=(0.5, 0.9), seed=1)).assign(se=0.05)


@cache
def cells() -> pd.DataFrame:
    """Published cells as an audit takes them."""
    table = outcomes(n_items=40, levels=(0.5, 0.9), sparsifiers=("top-k",), seed=1)
    made = table.groupby(MEAN_OF, as_index=False).agg(score=("score", "mean"), n_items=("score", "size"))
    named = made.rename(columns={"sparsifier": "method", "sparsity_requested": "sparsity"}).drop(
        columns=["params", "unit"]
    )
    more = {"source": "p", "table_or_figure": "T1", "metric": "acc", "score_scale": "0-1", "params_b": 8.0}
    more |= {"dense_score": None, "kv_budget_tokens": 128, "query_aware": 1, "sparsity_definition": "pairs"}
    return named.assign(**more, provenance_tier="primary")


MAPPING = {
    "columns": {"item_id": "question", "score": "acc"},
    "values": {"sparsifier": {"FullKV": "dense"}},
    "scale": {"score": 0.01},
    "complement": ["sparsity_requested"],
    "constants": {"model": "lm", "task_type": "other"},
    "where": {"split": ["test", 1]},
    "ignore": ["note"],
}
PLAN = {
    "models": ["tiny"],
    "tasks": ["kv-lookup", {"two-hop": {"context_lengths": [64]}}],
    "sparsifiers": ["top-k", {"streaming": {"sinks": 4}}, "snapkv"],
    "levels": [0, 0.5, 0.9],
    "kv_budgets": [32],
    "context_lengths": [64],
    "items": 8,
    "seed": 1,
    "phase": "both",
    "dtype": "float32",
    "batch_size": 4,
    "max_new_tokens": 8,
}
SHAPES = {
    "lm": {"num_hidden_layers": 2, "num_attention_heads": 4, "hidden_size": 64, "vocab_size": 100, "head_dim": 16}
}
QUESTION = {
    "prompt": "Who?",
    "answer": ["Ann"],
    "task": "who",
    "task_type": "other",
    "grader": "contains",
    "chance": 0.1,
}
QUESTION |= {"scope": 3, "dispersion": 0.5, "context_length": 100, "max_new_tokens": 5, "id": "q"}


def _written(name: str, mutated: Callable[[Rng], bytes]) -> Callable[[Rng, Path], Path]:
    def make(rng: Rng, folder: Path) -> Path:
        path = folder / name
        path.write_bytes(mutated(rng))
        return path

    return make


def _answers(path: Path) -> findings.Instant:
    return instant_answer(import_table(path), resamples=20)


def _means(path: Path) -> findings.Instant:
    return instant_answer(import_means(path), resamples=20)


@cache
def _their_log() -> bytes:
    theirs = {"item_id": "question", "score": "acc", "sparsity_requested": "sparsity_requested"}
    made = log()[["item_id", "task", "sparsifier", "sparsity_requested", "score"]].rename(columns=theirs)
    made = made.assign(split="test", note="x", acc=100 * made["acc"], sparsity_requested=1 - made["sparsity_requested"])
    return made.replace({"sparsifier": {"dense": "FullKV"}}).to_csv(index=False).encode()


def _mapped(path: Path) -> pd.DataFrame:
    table = path.with_name("log.csv")
    table.write_bytes(_their_log())
    return import_table(table, path)


@cache
def _evidence() -> Any:
    return answered(validate(log()))


def _questions(rng: Rng) -> bytes:
    rows = [{**QUESTION, "id": f"q{i}"} for i in range(3)]
    return b"\n".join(json_mutated(rng, row) if rng.random() < 0.5 else json.dumps(row).encode() for row in rows)


@cache
def _folder(origin: str) -> dict[str, bytes]:
    """A run folder as its files."""
    import tempfile

    with tempfile.TemporaryDirectory() as place:
        path = Path(place) / "run"
        run = RunFolder.create(path, Manifest(origin, {"items": 3}, created=NOW, packages={}, machine={}))  # type: ignore[arg-type]
        with run.writing():
            if origin == "published":
                run.write_published(validate_aggregates(table_of_means()))
            else:
                halves = validate(log().assign(run_id=run.manifest.run_id))
                run.write_frame("first", halves.iloc[:9])
                run.write_frame("second", halves.iloc[9:])
        files = [file for file in path.rglob("*") if file.is_file() and file.name != ".lock"]
        return {str(file.relative_to(path)): file.read_bytes() for file in files}


def _damaged(origin: str) -> Callable[[Rng, Path], Path]:
    def make(rng: Rng, folder: Path) -> Path:
        files = dict(_folder(origin))
        for name in {pick(rng, sorted(files)) for _ in range(2)}:
            is_text = name.endswith(".json") and rng.random() < 0.7
            files[name] = json_mutated(rng, json.loads(files[name])) if is_text else bytes_mutated(rng, files[name])
        for name, content in files.items():
            (folder / "run" / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / "run" / name).write_bytes(content)
        return folder / "run"

    return make


def _undamaged(origin: str) -> Callable[[], pd.DataFrame]:
    table = validate_aggregates(table_of_means()) if origin == "published" else None
    return lambda: table if table is not None else validate(log()).drop(columns="run_id")


def _read_folder(path: Path) -> pd.DataFrame:
    return read_run(path).drop(columns="run_id", errors="ignore")


def _report(path: Path) -> None:
    found = read_report(path)
    page.render(found)
    markdown.summary(found)
    spreadsheet.table(found)
    list(figures.svgs(found))


def _report_made(rng: Rng, folder: Path) -> Path:
    (folder / REPORT).write_bytes(json_mutated(rng, _report_tree()))
    return folder


@cache
def _report_tree() -> Any:
    return json.loads(normal().model_dump_json())


ENTRIES: dict[str, Entry] = {
    "csv": Entry(_written("log.csv", lambda rng: csv_mutated(rng, log())), _answers),
    "parquet": Entry(_written("log.parquet", lambda rng: parquet_mutated(rng, log())), _answers),
    "means": Entry(_written("means.csv", lambda rng: csv_mutated(rng, table_of_means())), _means),
    "mapping": Entry(_written("mapping.yaml", lambda rng: yaml_mutated(rng, MAPPING)), _mapped),
    "evidence": Entry(
        _written("cells.csv", lambda rng: csv_mutated(rng, cells())), lambda path: audit(_claim(), published(path))
    ),
    "claim": Entry(
        _written("claim.yaml", lambda rng: yaml_mutated(rng, CLAIM)), lambda path: audit(str(path), _evidence())
    ),
    "plan": Entry(
        _written("plan.yaml", lambda rng: yaml_mutated(rng, PLAN)), lambda path: blocks(Plan.from_yaml(path))
    ),
    "shapes": Entry(_written("shapes.yaml", lambda rng: yaml_mutated(rng, SHAPES)), read_shapes),
    "report": Entry(_report_made, _report),
    "run": Entry(_damaged("simulated"), _read_folder, _undamaged("simulated")),
    "published": Entry(_damaged("published"), _read_folder, _undamaged("published")),
    "questions": Entry(_written("questions.jsonl", _questions), lambda path: from_file.read(str(path))),
}


@cache
def _claim() -> Any:
    from tolerance.auditing.claims import Claim

    return Claim.model_validate(CLAIM)


def tried(entry: Entry, rng: Rng, folder: Path) -> tuple[str, str]:
    """What became of one mutated input: accepted, refused, traceback or changed; and in what words."""
    for old in folder.iterdir():
        shutil.rmtree(old) if old.is_dir() else old.unlink()
    path = entry.make(rng, folder)
    try:
        found = entry.read(path)
    except ToleranceError as error:
        return "refused", str(error)
    except Exception as error:
        return "traceback", f"{type(error).__name__}: {error}"
    if entry.same is not None and not found.equals(entry.same()):
        return "changed", "other rows were read without a word"
    return "accepted", ""


__all__ = ["ENTRIES", "Entry", "import_run", "tried"]
