"""Imports point one way, heavy libraries stay home, and importing the package costs little."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from tests.import_graph import components, files, imports

ROOT = Path(__file__).parent.parent
# A part may import what stands to the left of it. Parts between two bars know nothing of each other.
ORDER = (
    "errors | checkout plugins | question | stats | findings | data | axes | model | instant | inference | estimands | "
    "diagnostics | analysis | comparison | auditing | runners reports | testing | cli | __init__ __main__"
)
RUNNERS = "rope tiny | sparsifiers tasks | attention | models | decoding | pruning | selfcheck | collect"
REPORTS = "words withhold | svg spreadsheet | sections | export | page | pictures"
# What the two sides know of the middle.
RUNNERS_SEE = {
    *("errors", "plugins", "data", "data.outcomes", "data.vocabularies", "data.yaml_file"),
    *("data.manifest", "data.run_folder", "data.planned"),
}
REPORTS_SEE = {"errors", "plugins", "stats", "findings"}
# Which parts may name a library at all.
HOMES = {
    "torch": {"runners", "testing"},
    "transformers": {"runners"},
    "ray": {"runners"},
    "jinja2": {"reports"},
    "matplotlib": {"diagnostics"},
    "PIL": {"diagnostics"},
    "pymc": {"model"},
    "pytensor": {"model"},
    "nutpie": {"inference"},
    "numba": {"model"},
    "arviz": {"diagnostics"},
    "arviz_stats": {"diagnostics"},
    "statsmodels": {"stats"},
    "typer": {"cli"},
    "rich": {"cli"},
}


FILES = files(ROOT)
IMPORTS = {name: imports(path, FILES) - {name, "tolerance.__init__"} for name, path in FILES.items()}


def libraries(path: Path) -> set[str]:
    """Top-level names of all that a file imports."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            found.add(str(node.module).partition(".")[0])
    return found


def ring(order: str) -> dict[str, int]:
    return {part: i for i, parts in enumerate(order.split("|")) for part in parts.split()}


def upward(name: str, order: str, depth: int) -> list[str]:
    """Imports that go up, or sideways into another part of the same ring."""
    rings, mine = ring(order), name.split(".")[depth]
    assert mine in rings, f"{name} has no place in the order of layers yet"
    prefix = name.split(".")[:depth]
    parts = {one.split(".")[depth] for one in IMPORTS[name] if one.split(".")[:depth] == prefix} - {mine}
    return sorted(part for part in parts if rings[part] >= rings[mine])


@pytest.mark.parametrize("name", FILES)
def test_a_file_imports_its_own_folder_or_a_lower_layer(name):
    if name == "tolerance.__init__":
        return
    assert not upward(name, ORDER, 1)


@pytest.mark.parametrize("side", ["runners", "reports"])
def test_the_same_holds_inside_the_runner_and_the_reports(side):
    order = {"runners": RUNNERS, "reports": REPORTS}[side]
    inside = [name for name in FILES if name.startswith(f"tolerance.{side}.")]
    assert {name: up for name in inside if (up := upward(name, order, 2))} == {}


def test_no_two_files_import_each_other_by_any_way_round():
    assert components({name: found for name, found in IMPORTS.items() if name != "tolerance.__init__"}) == []


def test_the_top_level_can_be_seen_at_a_glance():
    assert len({name.split(".")[1] for name in FILES}) <= 22


@pytest.mark.parametrize("name", FILES)
def test_heavy_libraries_stay_home(name):
    part = name.split(".")[1]
    for library in libraries(FILES[name]):
        assert part in HOMES.get(library, {part}), f"{name} imports {library}"


@pytest.mark.parametrize("name", FILES)
def test_runners_and_reports_know_only_their_neighbours(name):
    side = name.split(".")[1]
    sees = {"runners": RUNNERS_SEE, "reports": REPORTS_SEE}.get(side)
    if sees is not None:
        outside = [one.removeprefix("tolerance.") for one in IMPORTS[name] if one.split(".")[1] != side]
        assert [one for one in outside if one not in sees and one.split(".")[0] not in sees - {"data"}] == []


def loaded_after(statement: str) -> set[str]:
    code = f"import sys\n{statement}\nprint(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


@pytest.mark.parametrize(
    "statement",
    [
        "import tolerance",
        "from tolerance.cli.app import app\nimport typer\ntyper.main.get_command(app).get_help",
    ],
)
def test_importing_the_package_and_the_command_loads_nothing_heavy(statement):
    heavy = {"torch", "transformers", "pymc", "pytensor", "numba", "pandas", "jinja2", "arviz", "matplotlib", "scipy"}
    assert not heavy & loaded_after(statement)


def test_the_runner_needs_no_statistics():
    statement = "import tolerance.runners.collect.collect, tolerance.runners.collect.worker, tolerance.data.run_folder"
    assert not {"pymc", "arviz", "statsmodels", "pandera", "pydantic_core", "typer"} & loaded_after(statement)


def test_plans_are_checked_without_torch():
    assert "torch" not in loaded_after("import tolerance.runners.collect.plan, tolerance.runners.collect.collect")
