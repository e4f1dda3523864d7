"""Fixtures that several test files share, and the seed in the header."""

import os
from pathlib import Path

import pandas as pd
import pytest

# Tests never ask a hub.
os.environ.setdefault("HF_HUB_OFFLINE", "1")

from tests.simulated import outcomes
from tests.tiny_models import save_llama
from tolerance.outcomes import validate


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
