"""Fixtures that several test files share, and the seed in the header."""

import os
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

# Tests never ask a hub.
os.environ.setdefault("HF_HUB_OFFLINE", "1")

from tests.simulated import outcomes
from tests.tiny_models import save_llama
from tolerance.data.outcomes import validate


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
