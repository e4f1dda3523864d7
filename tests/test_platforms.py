"""Data and analysis where POSIX locks and symbolic links are absent."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
WITHOUT = """
import os, sys, warnings
sys.modules["fcntl"] = None
def refused(*_, **__): raise OSError(95, "no symbolic links here")
os.symlink = refused
warnings.filterwarnings("ignore", "only soft file lock is available")
"""
ANALYSE = """
from pathlib import Path
import pytest
from tests.simulated import outcomes
from tolerance import StoreError, analyse, read_report, validate
from tolerance.comparison.compare import compare_saved
from tolerance.comparison.arms import Arm
from tolerance.data.importers import import_run
from tolerance.data.run_folder import RunFolder, read_run

validate(outcomes(n_items=40, levels=(0.5, 0.95), tasks={"a": "single-qa"})).to_csv("log.csv", index=False)
folder, _ = import_run("log.csv", None, Path("run"))
with folder.writing(), pytest.raises(StoreError, match="another process is writing"), folder.writing():
    pass
rows = read_run("run")
analyse(rows, folder=Path("analysis"))
analyse(rows, folder=Path("analysis"))
(found,) = compare_saved(rows, Path("analysis"), [(Arm("top-k"), Arm("streaming"))])
print(read_report(Path("analysis")).provenance.fit, len(found.conclusions))
"""


def test_no_file_of_ours_names_fcntl():
    assert not [path for top in ("tolerance", "runners", "reports") for path in (ROOT / top).rglob("*.py")
                if "fcntl" in path.read_text()]  # fmt: skip


@pytest.mark.slow
def test_runs_are_written_fitted_and_compared_without_fcntl_and_without_links(tmp_path):
    command = [sys.executable, "-c", f"{WITHOUT}\nsys.path.insert(0, {str(ROOT)!r})\n{ANALYSE}"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split()[0] != "None"
