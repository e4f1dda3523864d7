"""The command itself: version, completion, quiet, and what it reads from the environment."""

import os
import re
import subprocess
import sys
import tomllib
from importlib import metadata
from pathlib import Path

import pytest

import tolerance
from tests.report_example import normal
from tests.simulated import outcomes
from tests.test_cli import tolerance as run

ROOT = Path(__file__).parent.parent
DOCUMENT = (ROOT / "docs" / "command.md").read_text()


def with_variables(*words: str, cwd: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tolerance", *words]
    return subprocess.run(
        command, cwd=cwd, capture_output=True, text=True, check=False, env={**os.environ, **variables}
    )


@pytest.fixture(scope="module")
def logs(tmp_path_factory):
    """A folder with a log that imports, and the run of it."""
    folder = tmp_path_factory.mktemp("logs")
    outcomes(n_items=30).to_csv(folder / "log.csv", index=False)
    assert run("import", "log.csv", "--out", "run", cwd=folder).stdout.endswith(" answers -> run\n")
    return folder


def test_the_module_is_the_command(tmp_path):
    shown = run("--help", cwd=tmp_path)
    assert shown.returncode == 0
    assert "Usage: tolerance [OPTIONS] COMMAND" in shown.stdout


@pytest.mark.parametrize("option", ["--version", "-V"])
def test_the_version_is_printed(option, tmp_path):
    assert run(option, cwd=tmp_path).stdout == f"tolerance {tolerance.__version__}\n"


def test_the_version_stands_in_one_place_and_is_that_of_what_is_installed():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert "version" not in project["project"]
    assert project["tool"]["hatch"]["version"]["path"] == "tolerance/__init__.py"
    assert metadata.version(project["project"]["name"]) == tolerance.__version__


def test_a_bare_copy_of_the_package_knows_its_version(tmp_path):
    (tmp_path / "tolerance").mkdir()
    for name in ("__init__.py", "checkout.py", "errors.py", "plugins.py"):
        (tmp_path / "tolerance" / name).write_bytes((ROOT / "tolerance" / name).read_bytes())
    code = "import tolerance; print(tolerance.__version__, tolerance.__file__)"
    done = subprocess.run([sys.executable, "-S", "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout.split()[0] == tolerance.__version__
    assert done.stdout.split()[1].startswith(str(tmp_path))


@pytest.mark.parametrize(
    ("typed", "completed"),
    [
        ("tolerance co", {"collect", "compare"}),
        ("tolerance fit --marg", {"--margin"}),
        ("tolerance models ", {"fetch"}),
    ],
)
def test_the_shell_completes_commands_and_options(typed, completed, tmp_path):
    words = typed.split(" ")
    asked = {"_TOLERANCE_COMPLETE": "complete_bash", "COMP_WORDS": typed, "COMP_CWORD": str(len(words) - 1)}
    assert set(with_variables(cwd=tmp_path, **asked).stdout.split()) == completed


def test_quiet_leaves_a_command_that_writes_nothing_to_say(logs):
    done = run("import", "log.csv", "--out", "again", "--quiet", cwd=logs)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert (logs / "again" / "manifest.json").is_file()


def test_quiet_before_the_command_after_it_or_in_the_environment_leaves_the_result_alone(logs):
    loud = run("quick", "run", cwd=logs)
    assert "reading outcomes" in loud.stderr
    for done in (
        run("--quiet", "quick", "run", cwd=logs),
        run("quick", "run", "-q", cwd=logs),
        with_variables("quick", "run", cwd=logs, TOLERANCE_QUIET="1"),
    ):
        assert (done.stdout, done.stderr) == (loud.stdout, "")


def test_quiet_is_not_silent_about_errors(tmp_path):
    done = run("--quiet", "quick", "nowhere", cwd=tmp_path)
    assert done.returncode == 1
    assert done.stderr.startswith("error: nowhere: no run folder")
    assert len(done.stderr.splitlines()) == 1


def test_an_analysis_that_names_no_run_is_one_line(tmp_path):
    (tmp_path / "analysis").mkdir()
    made = normal()
    nowhere = made.provenance.model_copy(update={"sources": []})
    text = made.model_copy(update={"provenance": nowhere}).model_dump_json()
    (tmp_path / "analysis" / "report.json").write_text(text)
    done = run("compare", "top-k", "dense", cwd=tmp_path)
    assert "error: analysis: does not say which run it is of. Give --run FOLDER." in done.stderr
    assert "Traceback" not in done.stderr


def test_every_variable_that_is_read_is_documented_and_no_other():
    read = set()
    for folder in ("tolerance", "runners", "reports", "templates"):
        for path in (ROOT / folder).rglob("*.py"):
            read |= set(re.findall(r"(?<![A-Z_])TOLERANCE_[A-Z_]+", path.read_text()))
    assert read == set(re.findall(r"^\| `(TOLERANCE_\w+)` \|", DOCUMENT, re.MULTILINE))
