"""What the command says of an analysis that is not of today's model, run or fit, or of a package in other words."""

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.simulated import outcomes
from tolerance import analyse, fit, validate
from tolerance.cli.app import main
from tolerance.data.importers import import_run
from tolerance.data.run_folder import read_run
from tolerance.inference.settings import Settings
from tolerance.model.version import MODEL

ROOT = Path(__file__).parent.parent
QUICK = Settings(chains=2, tune=60, draws=60, pilot_tune=30, pilot_draws=30)
COMPARE = ("compare", "top-k@0.8", "dense", "--analysis", "analysis", "--run", "run", "--hold", "params")


@dataclass
class Done:
    """What a command printed and gave back."""

    code: int
    out: str
    err: str


@pytest.fixture
def tolerance(capsys, monkeypatch):
    """The command, in this process."""
    monkeypatch.setenv("COLUMNS", "400")

    def run(*arguments, where):
        monkeypatch.chdir(where)
        monkeypatch.setattr(sys, "argv", ["tolerance", *arguments])
        try:
            main()
            code = 0
        except SystemExit as left:
            code = left.code or 0
        return Done(code, *capsys.readouterr())

    return run


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A folder with a run and its analysis."""
    place = tmp_path_factory.mktemp("made")
    tasks = {"look-up": "single-qa", "chain": "multi-hop"}
    validate(outcomes(n_items=40, tasks=tasks, levels=(0.5, 0.8, 0.95))).to_csv(place / "log.csv", index=False)
    import_run(place / "log.csv", None, place / "run")
    analyse(read_run(place / "run"), folder=place / "analysis", sources=("run",))
    return place


@pytest.fixture
def copy(made, tmp_path):
    return Path(shutil.copytree(made, tmp_path / "copy"))


def another_model(folder):
    path = folder / "analysis" / "fit.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "model": "burr-1"}))


def another_run(folder):
    log = validate(outcomes(n_items=40, tasks={"look-up": "single-qa", "chain": "multi-hop"}, levels=(0.5, 0.95)))
    log.to_csv(folder / "log.csv", index=False)
    shutil.rmtree(folder / "run")
    import_run(folder / "log.csv", None, folder / "run")


def another_fit(folder):
    fit(read_run(folder / "run"), settings=QUICK, folder=folder / "analysis")


def no_draws(folder):
    (folder / "analysis" / "fit.json").unlink()


@pytest.mark.parametrize(
    ("change", "said", "printed"),
    [
        (another_model, f"another version of the model (burr-1; this is {MODEL})", "another fit than this report"),
        (another_run, "of other outcomes than the run holds", "the run holds other outcomes than this report"),
        (another_fit, "of another fit than the draws", "another fit than this report"),
        (no_draws, "the report's draws are gone", "another fit than this report"),
    ],
)
def test_a_report_has_what_stands_and_says_what_it_could_not_ask(tolerance, copy, change, said, printed):
    change(copy)
    shown = tolerance("report", "analysis", "--run", "run", "--out", "page", where=copy)
    assert shown.code == 0, shown.err
    assert said in shown.err
    assert "The page has what stands, and no new conclusions." in shown.err
    page = " ".join((copy / "page" / "report.html").read_text().split())
    assert "Nothing new was concluded at equal everything" in page
    assert printed in page
    assert json.loads((copy / "page" / "report.json").read_text())["conclusions"] == []
    refused = tolerance(*COMPARE, where=copy)
    assert refused.code == 1
    assert said in refused.err
    assert len(refused.err.strip().splitlines()) <= 2
    plots = tolerance("report", "analysis", "--run", "run", "--out", "page", "--plots", where=copy)
    assert plots.code == 1
    assert said in plots.err


def test_what_could_not_be_asked_once_is_asked_when_the_draws_are_back(tolerance, copy):
    kept = (copy / "analysis" / "fit.json").read_text()
    another_model(copy)
    assert tolerance("report", "analysis", "--run", "run", where=copy).code == 0
    (copy / "analysis" / "fit.json").write_text(kept)
    assert tolerance("report", "analysis", "--run", "run", where=copy).code == 0
    assert "Nothing new was concluded" not in (copy / "analysis" / "report.html").read_text()


def test_another_run_is_fitted_into_an_analysis_only_by_force(tolerance, copy):
    another_run(copy)
    refused = tolerance("fit", "run", "--out", "analysis", where=copy)
    assert refused.code == 1
    assert "holds an analysis of another run" in refused.err
    assert "--force" in refused.err


def test_a_docstring_that_changed_changes_nothing(made, tmp_path):
    package = tmp_path / "package"
    for name in ("tolerance", "runners", "reports", "templates"):
        shutil.copytree(ROOT / name, package / name, symlinks=True, ignore=shutil.ignore_patterns("__pycache__"))
    for path in [*(package / "tolerance" / "model").glob("*.py"), *(package / "tolerance" / "inference").glob("*.py")]:
        path.write_text(path.read_text().replace('"""', '"""Said in other words. ', 1) + "\n# and a comment\n")
    where = Path(shutil.copytree(made, tmp_path / "copy"))
    environment = {**os.environ, "PYTHONPATH": str(package)}
    for arguments in (("report", "analysis", "--run", "run", "--out", "page"), COMPARE):
        command = [sys.executable, "-m", "tolerance", *arguments]
        done = subprocess.run(command, cwd=where, capture_output=True, text=True, check=False, env=environment)
        assert done.returncode == 0, done.stderr
    assert json.loads((where / "page" / "report.json").read_text())["conclusions"]
