"""Imports point one way, heavy libraries stay home, and importing the package costs little."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
# A module may import its own ring or a lower one.
RING = {
    "errors": 0,
    "outcomes": 0,
    "aggregates": 0,
    "question": 0,
    "manifest": 0,
    "store": 0,
    "intervals": 0,
    "elementary": 0,
    "curves": 1,
    "priors": 1,
    "cells": 1,
    "importers": 1,
    "summary": 1,
    "findings": 1,
    "items": 2,
    "pairs": 1,
    "axes": 1,
    "claims": 2,
    "evidence": 3,
    "audit": 4,
    "sides": 2,
    "conclusions": 3,
    "compare": 4,
    "gee": 1,
    "parameters": 2,
    "blocks": 2,
    "density": 2,
    "positions": 2,
    "preconditioning": 2,
    "sampling": 2,
    "pointwise": 2,
    "model": 2,
    "inference": 2,
    "estimands": 3,
    "contrasts": 3,
    "orderings": 3,
    "budgets": 3,
    "predictive": 3,
    "sensitivity": 3,
    "leaving": 3,
    "shapes": 3,
    "checks": 3,
    "remedies": 4,
    "families": 4,
    "trust": 4,
    "diagnostics": 4,
    "design": 3,
    "instant": 3,
    "agreement": 3,
    "analysis": 4,
    "runners": 5,
    "reports": 5,
    "cli": 6,
    "__init__": 6,
}
# Which parts may name a library at all.
HOMES = {
    "torch": {"runners"},
    "transformers": {"runners"},
    "ray": {"runners"},
    "jinja2": {"reports"},
    "matplotlib": {"diagnostics"},
    "PIL": {"diagnostics"},
    "pymc": {"model"},
    "pytensor": {"model"},
    "nutpie": {"sampling"},
    "numba": {"density", "elementary"},
    "arviz": {"checks", "diagnostics", "leaving", "sensitivity"},
    "statsmodels": {"intervals"},
    "typer": {"cli"},
    "rich": {"cli"},
}
RUNNERS_SEE = {"errors", "outcomes", "manifest", "store", "runners"}
REPORTS_SEE = {"errors", "intervals", "findings", "reports"}


def files():
    tops = list((ROOT / "tolerance").glob("*.py"))
    return [*tops, *(ROOT / "runners").rglob("*.py"), *(ROOT / "reports").rglob("*.py")]


def part(path: Path) -> str:
    top = path.relative_to(ROOT).parts[0]
    return path.stem if top == "tolerance" else top


def imported(path: Path) -> set[str]:
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            names |= {f"{node.module}.{alias.name}" for alias in node.names} | {node.module}
    return names


def ours(path: Path) -> set[str]:
    """Parts of ours that a file imports."""
    seen = {name.split(".")[1] for name in imported(path) if name.startswith("tolerance.")}
    return seen & set(RING)


@pytest.mark.parametrize("path", files(), ids=lambda p: str(p.relative_to(ROOT)))
def test_a_file_imports_its_own_ring_or_a_lower_one(path):
    assert part(path) in RING, f"{path.name} has no ring yet: add it to RING"
    for other in ours(path):
        assert RING[other] <= RING[part(path)], f"{part(path)} imports {other}"


@pytest.mark.parametrize("path", files(), ids=lambda p: str(p.relative_to(ROOT)))
def test_heavy_libraries_stay_home(path):
    for name in imported(path):
        library = name.split(".")[0]
        assert part(path) in HOMES.get(library, {part(path)}), f"{part(path)} imports {library}"


@pytest.mark.parametrize("path", files(), ids=lambda p: str(p.relative_to(ROOT)))
def test_runners_and_reports_know_only_their_neighbours(path):
    allowed = {"runners": RUNNERS_SEE, "reports": REPORTS_SEE}.get(part(path))
    if allowed is not None:
        assert ours(path) <= allowed


def loaded_after(statement: str) -> set[str]:
    code = f"import sys\n{statement}\nprint(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


@pytest.mark.parametrize(
    "statement",
    [
        "import tolerance",
        "from tolerance.cli import app\nimport typer\ntyper.main.get_command(app).get_help",
    ],
)
def test_importing_the_package_and_the_command_loads_nothing_heavy(statement):
    heavy = {"torch", "transformers", "pymc", "pytensor", "numba", "pandas", "jinja2", "arviz", "matplotlib", "scipy"}
    assert not heavy & loaded_after(statement)


def test_the_runner_needs_no_statistics():
    statement = "import tolerance.runners.collect, tolerance.runners.worker, tolerance.store"
    assert not {"pymc", "arviz", "statsmodels", "pandera", "pydantic_core", "typer"} & loaded_after(statement)


def test_plans_are_checked_without_torch():
    assert "torch" not in loaded_after("import tolerance.runners.plan, tolerance.runners.collect")
