"""Fixtures that several test files share, and the seed in the header."""

import os
import secrets
import subprocess
import sys
from pathlib import Path

import hypothesis
import pandas as pd
import pytest

# Tests never ask a hub.
os.environ.setdefault("HF_HUB_OFFLINE", "1")

from tests.simulated import outcomes
from tests.tiny_models import save_llama
from tolerance.data.outcomes import validate

# Tests of more than about five seconds on two cores, by file. `-m "not slow"` leaves them out, the gate runs them.
SLOW: dict[str, set[str]] = {}


def pytest_configure(config: pytest.Config) -> None:
    """One seed for all random tests of a run, so that a failure can be had again."""
    if config.getoption("--hypothesis-seed") is None:
        config.option.hypothesis_seed = str(secrets.randbelow(2**32))
    hypothesis.core.global_force_seed = int(config.option.hypothesis_seed)


def pytest_report_header(config: pytest.Config) -> str:
    """The seed, in the header of every run."""
    return f"seed of random tests: --hypothesis-seed={config.option.hypothesis_seed}"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the slow tests, and refuse a list that names one which is not there."""
    there: dict[str, set[str]] = {}
    for item in items:
        name = getattr(item, "originalname", None) or item.name
        there.setdefault(item.path.name, set()).add(name)
        if name in SLOW.get(item.path.name, ()) or SLOW.get(item.path.name) == {"*"}:
            item.add_marker(pytest.mark.slow)
    whole = [file for file in SLOW if file in there and SLOW[file] != {"*"} and len(there[file]) > len(SLOW[file])]
    gone = {f"{file}::{name}" for file in whole for name in SLOW[file] - there[file]}
    if gone and not any("::" in argument for argument in sys.argv):
        raise pytest.UsageError(f"SLOW in tests/conftest.py names tests that are not there: {', '.join(sorted(gone))}")


@pytest.fixture
def frame() -> pd.DataFrame:
    """A small valid table: 2 tasks x dense and one method at 2 levels x 4 items."""
    return outcomes(n_items=4, levels=(0.5, 0.9), sparsifiers=("top-k",), tasks={"a": "single-qa", "b": "multi-hop"})


@pytest.fixture
def table(frame: pd.DataFrame) -> pd.DataFrame:
    return validate(frame)


@pytest.fixture(scope="session")
def llama(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a random Llama of two layers that speaks the words dialect."""
    return save_llama(tmp_path_factory.mktemp("llama"))


@pytest.fixture(scope="session")
def demo(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A folder in which ``tolerance demo`` was run with few items, and what it printed."""
    folder = tmp_path_factory.mktemp("demo")
    command = [sys.executable, "-m", "tolerance", "demo", "--items", "16"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return folder, done.stdout
