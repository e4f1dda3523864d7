"""The README's example runs, its commands exist, and it stays short."""

import re
import subprocess
import sys
from pathlib import Path

import yaml

from tolerance.runners.collect.plan import Plan

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()


def block(language: str) -> str:
    found = re.search(rf"```{language}\n(.*?)```", README, re.DOTALL)
    assert found is not None
    return found.group(1)


def test_the_python_example_runs_after_the_demo(demo):
    folder, _ = demo
    done = subprocess.run(
        [sys.executable, "-c", block("python")], cwd=folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "aggregation oracle-top-k" in done.stdout
    assert "R-hat" in done.stdout
    assert "Conclusions: Is oracle-top-k@0.9 more accurate than dense" in done.stdout
    assert "'task_type': 3, 'sparsifier': 2" in done.stdout


def test_the_python_example_needs_public_names_alone():
    assert set(re.findall(r"^from (\S+) import|^import (\S+)", block("python"), re.MULTILINE)) == {("tolerance", "")}


def test_the_plan_in_the_readme_is_a_plan():
    assert Plan.make("README", **yaml.safe_load(block("yaml"))).items == 100


def test_every_command_in_the_readme_exists():
    from tolerance.cli.app import app

    known = {command.name or command.callback.__name__ for command in app.registered_commands}
    known |= {group.name for group in app.registered_groups}
    used = set(re.findall(r"uv run (?:--extra \w+ )?tolerance (\w+)", README))
    assert used <= known
    assert used == known


def test_every_link_leads_somewhere():
    for target in re.findall(r"\]\(([^)#]+)\)", README):
        assert target.startswith("https://") or (ROOT / target).is_file(), target


def test_the_readme_is_short_and_names_the_test_command():
    assert len(README.splitlines()) <= 150
    assert "uv run pytest" in README
    assert "uv run pytest" in (ROOT / ".ci" / "run").read_text()
