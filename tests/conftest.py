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

# Tests of more than two seconds on two cores, and whole files ("*") that run many models, data sets or commands.
# `-m "not slow"` leaves them out, the gate runs them.
SLOW: dict[str, set[str]] = {
    "test_cli.py": {"*"},
    "test_command.py": {"*"},
    "test_conclusions.py": {"*"},
    "test_diagnostics.py": {"*"},
    "test_plugin_package.py": {"*"},
    "test_runner_plugins.py": {"*"},
    "test_saved.py": {"*"},
    "test_situations.py": {"*"},
    "test_saved_command.py": {"*"},
    "test_testing.py": {"*"},
    "test_trust.py": {"*"},
    "test_wheel.py": {"*"},
    "test_direction.py": {"*"},
    "test_ends.py": {"*"},
    "test_engines.py": {"*"},
    "test_kvpress.py": {"*"},
    "test_runner_activations.py": {"*"},
    "test_runner_attention.py": {"*"},
    "test_runner_blocks.py": {"*"},
    "test_runner_collect.py": {"*"},
    "test_runner_faults.py": {"*"},
    "test_runner_levels.py": {"*"},
    "test_runner_weights.py": {"*"},
    "test_selfcheck_precision.py": {"*"},
    "test_weight_hashes.py": {"*"},
    "test_analysis.py": {
        "test_a_fit_that_fails_is_withheld_everywhere",
        "test_a_fit_that_had_to_be_repeated_is_not_repeated_again",
        "test_the_fit_passes_its_own_checks",
        "test_what_everything_asks_of_the_outcomes_is_made_once",
        "test_without_a_dense_baseline_accuracy_is_said_and_retention_is_not",
    },
    "test_audit.py": {
        "test_published_cells_contradict_what_they_are_known_to",
        "test_the_order_of_cells_does_not_matter",
    },
    "test_density.py": {
        "test_the_density_is_that_of_the_pymc_model",
    },
    "test_layers.py": {
        "test_the_runner_needs_no_statistics",
    },
    "test_platforms.py": {
        "test_runs_are_written_fitted_and_compared_without_fcntl_and_without_links",
    },
    "test_readme.py": {
        "test_the_python_example_runs_after_the_demo",
    },
    "test_reference_study.py": {
        "test_the_document_says_what_the_answers_say",
    },
}


def pytest_configure(config: pytest.Config) -> None:
    """One seed for all random tests of a run, so that a failure can be had again."""
    if config.getoption("--hypothesis-seed") is None:
        config.option.hypothesis_seed = str(secrets.randbelow(2**32))
    hypothesis.core.global_force_seed = int(config.option.hypothesis_seed)
    # how long an example takes depends on what else the machine does
    hypothesis.settings.register_profile("untimed", deadline=None)
    hypothesis.settings.load_profile("untimed")


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
