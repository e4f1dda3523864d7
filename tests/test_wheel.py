"""The wheel holds what is tracked, under one top-level name."""

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def names(tmp_path_factory):
    hatchling = pytest.importorskip("hatchling")
    assert hatchling
    out = tmp_path_factory.mktemp("wheel")
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(out)],
        cwd=ROOT,
        check=True,
        capture_output=True,
    )
    (wheel,) = out.glob("*.whl")
    return {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}


def test_the_wheel_installs_one_top_level_name(names):
    assert {name.split("/")[0] for name in names} == {"tolerance"}


def test_the_wheel_holds_exactly_the_tracked_files(names):
    listed = subprocess.run(["git", "ls-files", "-s"], cwd=ROOT, check=True, capture_output=True, text=True).stdout
    entries = [line.split(maxsplit=3) for line in listed.splitlines()]
    tracked = {path for mode, _, _, path in entries if mode != "120000"}
    expected = {path for path in tracked if path.startswith("tolerance/")}
    expected |= {f"tolerance/{path}" for path in tracked if path.split("/")[0] in ("runners", "reports", "templates")}
    assert names == expected


def test_the_small_model_ships_and_stays_small(names):
    weights = ROOT / "runners" / "tiny" / "model" / "model.safetensors"
    assert "tolerance/runners/tiny/model/model.safetensors" in names
    assert weights.stat().st_size <= 8_000_000
