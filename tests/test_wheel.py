"""The wheel holds what is tracked under one top-level name; the source archive gives the same and runs its tests."""

import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
LINKED = ("runners", "reports", "templates")


def built(target: str, out: Path, where: Path = ROOT) -> Path:
    """A wheel or an sdist of what stands at a place."""
    pytest.importorskip("hatchling")
    command = [sys.executable, "-m", "hatchling", "build", "-t", target, "-d", str(out)]
    subprocess.run(command, cwd=where, check=True, capture_output=True)
    (made,) = out.iterdir()
    return made


def tracked() -> dict[str, str]:
    """Path -> mode of what git tracks; skips where there is no repository, as in an unpacked source archive."""
    if not (ROOT / ".git").exists():
        pytest.skip("no repository here")
    listed = subprocess.run(["git", "ls-files", "-s"], cwd=ROOT, check=True, capture_output=True, text=True).stdout
    entries = [line.split(maxsplit=3) for line in listed.splitlines()]
    return {path: mode for mode, _, _, path in entries}


def files(wheel: Path) -> set[str]:
    return {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    return built("wheel", tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory):
    """The folder of an unpacked source archive."""
    archive = built("sdist", tmp_path_factory.mktemp("sdist"))
    place = tmp_path_factory.mktemp("unpacked")
    with tarfile.open(archive) as tar:
        tar.extractall(place, filter="data")
    (inside,) = place.iterdir()
    return inside


def test_the_wheel_installs_one_top_level_name(wheel):
    assert {name.split("/")[0] for name in files(wheel)} == {"tolerance"}


def test_the_wheel_holds_exactly_the_tracked_files(wheel):
    plain = {path for path, mode in tracked().items() if mode != "120000"}
    expected = {path for path in plain if path.startswith("tolerance/")}
    expected |= {f"tolerance/{path}" for path in plain if path.split("/")[0] in LINKED}
    assert files(wheel) == expected


def test_mappings_claims_and_templates_ship(wheel):
    for folder in ("data/mappings", "data/types", "auditing/library", "templates"):
        here = {path.name for path in (ROOT / "tolerance" / folder).iterdir() if path.is_file()}
        assert here
        assert {f"tolerance/{folder}/{name}" for name in here} <= files(wheel)


def test_the_small_model_ships_and_stays_small(wheel):
    weights = ROOT / "runners" / "tiny" / "model" / "model.safetensors"
    assert "tolerance/runners/tiny/model/model.safetensors" in files(wheel)
    assert weights.stat().st_size <= 8_000_000


def test_the_source_archive_holds_what_is_tracked_and_no_link(unpacked):
    assert not [path for path in unpacked.rglob("*") if path.is_symlink() and path.name not in LINKED]
    held = {str(path.relative_to(unpacked)) for path in unpacked.rglob("*") if path.is_file()}
    plain = {path for path, mode in tracked().items() if mode != "120000"}
    assert plain <= held


def test_the_source_archive_gives_the_same_wheel(wheel, unpacked, tmp_path):
    assert files(built("wheel", tmp_path, unpacked)) == files(wheel)


def run(*command: str, where: Path) -> subprocess.CompletedProcess[str]:
    """A command of the package that stands at a place, which its own tests are run from too."""
    return subprocess.run(
        [sys.executable, *command], cwd=where, capture_output=True, text=True, check=False, timeout=300
    )


@pytest.mark.slow
def test_an_unpacked_source_archive_says_how_to_go_on_and_its_tests_run(unpacked):
    said = run("-m", "tolerance", "report", "nowhere", where=unpacked)
    assert "source archives hold no links. Install it: pip install ." in said.stderr.replace("\n", " ")
    tests = ["tests/test_runner_lines.py"]
    done = run("-m", "pytest", "-q", "-p", "no:cacheprovider", *tests, where=unpacked)
    assert done.returncode == 0, done.stdout[-3000:]
    inside = run("-c", "import tolerance.runners; print(tolerance.runners.__file__)", where=unpacked)
    assert inside.stdout.strip() == str(unpacked / "tolerance" / "runners" / "__init__.py")


def test_a_checkout_without_symbolic_links_names_the_mend_which_mends_it(tmp_path):
    tracked()
    clone = tmp_path / "clone"
    subprocess.run(["git", "clone", "-q", "-c", "core.symlinks=false", str(ROOT), str(clone)], check=True)
    for command in (("-m", "tolerance", "demo", "--items", "8"), ("-c", "import tolerance.reports.page")):
        said = run(*command, where=clone)
        assert said.returncode == 1
        text = " ".join(said.stderr.split())
        assert "made without symbolic links. Run: git config core.symlinks true; git checkout -- tolerance." in text
        assert "No module named" not in text
    mend = "git config core.symlinks true; git checkout -- tolerance"
    subprocess.run(mend, shell=True, cwd=clone, check=True, capture_output=True)
    assert run("-c", "import tolerance.reports.page, tolerance.runners", where=clone).returncode == 0
