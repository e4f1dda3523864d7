"""A package of somebody else, installed: its sparsifier, task, importer and axis answer to their names."""

import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.tiny_models import save_llama
from tolerance import read_run

PACKAGE = Path(__file__).parent / "plugin"
OWNER = "tolerance-sample-plugin 0.3.1"
LOG = [
    {"model": "lm", "method": "window"},
    *({"doc": f"q{i}", "set": "sums", "acc": float(i % 2), "pct": pct} for i in range(3) for pct in (0, 50)),
]


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """A folder into which the package's wheel is installed: module and metadata."""
    pytest.importorskip("hatchling", reason="wheels are built with hatchling")
    source, wheels, target = (tmp_path_factory.mktemp(name) for name in ("source", "wheels", "target"))
    shutil.copytree(PACKAGE, source, dirs_exist_ok=True)
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(wheels)]
    subprocess.run(build, cwd=source, check=True, capture_output=True)
    (wheel,) = wheels.glob("*.whl")
    zipfile.ZipFile(wheel).extractall(target)
    return target


@pytest.fixture(scope="module")
def run_in(site):
    """Runs Python where the package is installed; what it printed."""

    def run(folder, *arguments):
        paths = os.pathsep.join([str(site), *filter(None, [os.environ.get("PYTHONPATH")])])
        done = subprocess.run(
            [sys.executable, *map(str, arguments)],
            cwd=folder,
            env={**os.environ, "PYTHONPATH": paths},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    return run


@pytest.fixture(scope="module")
def plan(tmp_path_factory):
    folder = tmp_path_factory.mktemp("plan")
    plan = {
        "models": [str(save_llama(folder / "model", num_hidden_layers=1))],
        "tasks": ["few-keys"],
        "sparsifiers": [{"value-norm": {"power": 2}}],
        "levels": [0, 0.5],
        "context_lengths": [64],
        "items": 4,
        "batch_size": 2,
    }
    (folder / "plan.yaml").write_text(json.dumps(plan))
    return folder / "plan.yaml"


def answered(folder):
    table, noted = read_run(folder), json.loads((folder / "manifest.json").read_text())["plan"]
    assert len(table) == 8
    assert set(table["sparsifier"]) == {"dense", "value-norm"}
    assert set(table["task"]) == {"few-keys"}
    assert not table["flops_selection"].isna().any()
    assert noted["plugins"] == {"sparsifier value-norm": OWNER, "task few-keys": OWNER}


def test_it_passes_the_published_checks_and_nothing_of_it_is_imported_before(run_in, tmp_path):
    (tmp_path / "log.harness").write_text("\n".join(map(json.dumps, LOG)))
    code = """
import sys
from tolerance.data.importers import IMPORTERS
from tolerance.runners.sparsifiers import SPARSIFIERS
from tolerance.runners.tasks import TASKS
from tolerance.testing import check_importer, check_sparsifier, check_task
assert {"value-norm", "few-keys", "harness"} <= {*SPARSIFIERS, *TASKS, *IMPORTERS}
assert not [name for name in sys.modules if name.startswith("tolerance_sample_plugin")]
check_sparsifier(SPARSIFIERS["value-norm"])
check_task(TASKS["few-keys"])
check_importer(IMPORTERS["harness"], "log.harness")
print(SPARSIFIERS.source("value-norm"), IMPORTERS.source("harness"), sep=", ")
"""
    assert run_in(tmp_path, "-c", code).strip() == f"{OWNER}, {OWNER}"


def test_collect_takes_its_sparsifier_and_task_by_name(run_in, plan, tmp_path):
    run_in(tmp_path, "-m", "tolerance", "collect", plan, "--out", "run", "--device", "cpu")
    answered(tmp_path / "run")


@pytest.mark.slow
def test_ray_workers_find_them(run_in, plan, tmp_path):
    pytest.importorskip("ray", reason="the extra 'ray' is not installed")
    run_in(tmp_path, "-m", "tolerance", "collect", plan, "--out", "run", "--device", "cpu", "--engine", "ray")
    answered(tmp_path / "run")


@pytest.mark.parametrize("named", [[], ["--format", "harness"]])
def test_import_reads_its_format(run_in, tmp_path, named):
    (tmp_path / "log.harness").write_text("\n".join(map(json.dumps, LOG)))
    run_in(tmp_path, "-m", "tolerance", "import", "log.harness", *named, "--out", "run")
    table = read_run(tmp_path / "run")
    assert sorted(set(zip(table["sparsifier"], table["sparsity_requested"], strict=True))) == [
        ("dense", 0.0),
        ("window", 0.5),
    ]
    noted = json.loads((tmp_path / "run" / "manifest.json").read_text())["plan"]
    assert (noted["format"], noted["plugins"]) == ("harness", {"harness": OWNER})


def test_its_axis_is_one_of_the_axes(run_in):
    code = """
from tests.simulated import outcomes
from tolerance.axes.table import AXES, by_key
from tolerance.data.outcomes import validate
(depth,) = by_key("depth")
told = depth.account(validate(outcomes(n_items=2).assign(n_layers=7)))
print(AXES.source("depth"), told.axis, told.unit, set(told.values))
"""
    root = Path(__file__).parent.parent
    assert run_in(root, "-c", code).strip() == f"{OWNER} depth layers {{7.0}}"


def test_its_section_stands_on_the_page_where_it_says(run_in):
    code = """
from tests.report_example import normal
from tolerance.reports.page import render
from tolerance.reports.sections import SECTIONS
page = render(normal().model_copy(update={"extra": {"energy": {"top-k": 0.42}}}))
print(SECTIONS.source("energy"), page.index('id="data"') < page.index('id="energy"'), "0.42" in page)
"""
    root = Path(__file__).parent.parent
    assert run_in(root, "-c", code).strip() == f"{OWNER} True True"
