"""Saved fits are known again, never mixed, never lost late: report, draws and run belong together, or it is said."""

import json
import multiprocessing
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.simulated import outcomes
from tolerance import StoreError, analyse, validate
from tolerance.analysis.saved import fit_of, read_report
from tolerance.errors import OtherFitError
from tolerance.inference.fit import fit
from tolerance.inference.folder import opened
from tolerance.inference.saved import read_fit
from tolerance.inference.settings import Settings

ROOT = Path(__file__).parent.parent
TASKS = {"look-up": "single-qa", "chain": "multi-hop"}
QUICK = Settings(chains=2, tune=60, draws=60, pilot_tune=30, pilot_draws=30)


@pytest.fixture(scope="module")
def table():
    return validate(outcomes(n_items=40, tasks=TASKS, levels=(0.5, 0.8, 0.95)).assign(run_id="mine"))


@pytest.fixture(scope="module")
def analysed(table, tmp_path_factory):
    """A folder of an analysis of the table."""
    folder = tmp_path_factory.mktemp("saved") / "analysis"
    analyse(table, folder=folder)
    return folder


@pytest.fixture
def copy(analysed, tmp_path):
    return Path(shutil.copytree(analysed, tmp_path / "analysis"))


@pytest.fixture
def small_disk(tmp_path):
    """A disk of 64 kB, where one can be mounted."""
    place = tmp_path / "disk"
    place.mkdir()
    mounted = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(place)]
    if subprocess.run(mounted, capture_output=True, check=False).returncode:
        pytest.skip("no small tmpfs can be mounted here")
    yield place
    subprocess.run(["umount", str(place)], check=True)


def facts(folder: Path, **changed) -> None:
    """Change what is said of the draws in a folder."""
    path = folder / "fit.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changed}))


def numbers(folder: Path) -> dict:
    """The report on disk but for the moment at which it was made."""
    report = json.loads((folder / "report.json").read_text())
    del report["provenance"]["created"]
    return report


def test_shuffled_rows_give_the_same_report(table, analysed, tmp_path):
    analyse(table.sample(frac=1, random_state=2)[list(table.columns[::-1])], folder=tmp_path / "other")
    assert numbers(tmp_path / "other") == numbers(analysed)


def test_cores_make_no_other_fit_and_no_other_draw(table, tmp_path):
    one = fit(table, settings=replace(QUICK, cores=1), folder=tmp_path / "a")
    two = fit(table, settings=replace(QUICK, cores=2))
    assert one.key == two.key
    for name in ("loc", "accuracy", "departure"):
        np.testing.assert_array_equal(one.variable(name), two.variable(name))
    stages = []
    fit(table, settings=replace(QUICK, cores=3), folder=tmp_path / "a", stage=stages.append)
    assert stages == []


def test_other_outcomes_and_another_model_are_told_apart(table, copy):
    other = table.assign(score=1.0, k=1)
    with pytest.raises(OtherFitError, match="of other outcomes than the run holds") as error:
        read_fit(other, copy)
    assert error.value.reason == "other outcomes"
    facts(copy, model="burr-1")
    with pytest.raises(OtherFitError, match=r"another version of the model \(burr-1; this is burr-") as error:
        read_fit(table, copy)
    assert error.value.reason == "another model"


def test_a_fit_of_before_models_had_versions_is_told_as_an_early_one(table, copy):
    (copy / "fit.json").write_text(json.dumps({"key": "0", "seed": 1, "settings": {}, "packages": {}}))
    with pytest.raises(OtherFitError, match=r"another version of the model \(an early one"):
        read_fit(table, copy)


def test_a_report_beside_the_draws_of_a_later_fit_is_noticed(table, copy):
    fit(table, settings=QUICK, folder=copy)  # killed before its report
    report = read_report(copy)
    with pytest.raises(OtherFitError, match=r"another fit than the draws.*other settings or another seed") as error:
        fit_of(report, table, copy)
    assert error.value.reason == "two fits"


def test_a_report_of_other_costs_than_the_run_has_now_is_noticed(table, copy):
    with pytest.raises(OtherFitError, match="report is of other outcomes"):
        fit_of(read_report(copy), table.assign(kv_bytes_read=1.0), copy)


def test_draws_of_another_fit_under_old_facts_are_noticed(table, copy, tmp_path):
    fit(table, settings=QUICK, folder=tmp_path / "other")
    shutil.rmtree(copy / "draws.zarr")
    shutil.copytree(tmp_path / "other" / "draws.zarr", copy / "draws.zarr")
    with pytest.raises(StoreError, match=r"draws\.zarr is of another fit than fit\.json"):
        read_fit(table, copy)


@pytest.mark.slow
def test_a_save_that_is_killed_anywhere_leaves_the_old_fit_the_new_one_or_none(tmp_path):
    driver = [sys.executable, "-W", "ignore", "-m", "tests.killed_saves", str(tmp_path)]
    done = subprocess.run(driver, cwd=ROOT, capture_output=True, text=True, check=True, timeout=500)
    kills = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(kills) > 20
    assert {kill["mended"] for kill in kills} == {True}
    assert {tuple(kill["left_old"]) for kill in kills} == {(), (True,), (False,)}


def test_folders_of_other_things_are_refused_before_sampling(table, tmp_path):
    (tmp_path / "thesis.txt").write_text("precious")
    stages = []
    with pytest.raises(StoreError, match="is no analysis folder"):
        analyse(table, folder=tmp_path, stage=stages.append)
    with pytest.raises(StoreError, match="is no analysis folder"):
        fit(table, folder=tmp_path / "thesis.txt", stage=stages.append)
    assert stages == []
    assert [one.name for one in tmp_path.iterdir()] == ["thesis.txt"]


def test_another_run_is_refused_unless_forced(table, copy):
    other = table.assign(run_id="theirs")
    stages, before = [], numbers(copy)
    with pytest.raises(StoreError, match=r"another run \(mine there, theirs now\).*--force"):
        analyse(other, folder=copy, stage=stages.append)
    assert stages == []
    assert numbers(copy) == before
    fit(other, settings=QUICK, folder=copy, force=True)
    with pytest.raises(StoreError, match=r"another run \(theirs there, mine now\)"):
        fit(table, folder=copy)


def test_a_run_that_grew_is_fitted_into_its_folder(table, copy):
    stages = []
    fit(table[table["sparsity_requested"] < 0.9], settings=QUICK, folder=copy, stage=stages.append)
    assert "sampling" in stages


@pytest.mark.parametrize("left", [".draws.zarr.tmp", "draws.zarr"])
def test_what_an_earlier_version_left_when_it_was_killed_is_ours(table, tmp_path, left):
    (tmp_path / "a" / left).mkdir(parents=True)
    (tmp_path / "a" / "report.json").write_text("{}")
    fit(table, settings=QUICK, folder=tmp_path / "a")
    assert read_fit(table, tmp_path / "a").settings.draws == QUICK.draws


def _hold(folder, table, held, let_go):
    with opened(folder, table):
        held.set()
        let_go.wait(60)


def test_a_folder_that_another_process_writes_is_refused_before_sampling(table, tmp_path):
    context = multiprocessing.get_context("spawn")
    held, let_go = context.Event(), context.Event()
    holder = context.Process(target=_hold, args=(tmp_path / "a", table, held, let_go))
    holder.start()
    assert held.wait(120)
    stages = []
    with pytest.raises(StoreError, match="another process is writing here"):
        analyse(table, folder=tmp_path / "a", stage=stages.append)
    let_go.set()
    holder.join()
    assert stages == []


def test_a_disk_without_room_is_told_before_sampling(table, small_disk):
    stages = []
    with pytest.raises(StoreError, match=r"cannot keep the draws.*nothing was sampled"):
        fit(table, folder=small_disk / "a", stage=stages.append)
    assert stages == []


def test_a_disk_that_cannot_be_written_is_told_before_sampling(table, small_disk):
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    stages = []
    with pytest.raises(StoreError, match=r"cannot be written \(Read-only file system\)"):
        analyse(table, folder=small_disk / "a", stage=stages.append)
    assert stages == []


def test_a_folder_under_a_file_is_told_before_sampling(table, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="cannot be written"):
        fit(table, folder=tmp_path / "file" / "a")


def test_a_disk_that_fills_while_draws_are_saved_is_one_line_and_can_be_gone_on_from(table, tmp_path, monkeypatch):
    def full(*_, **__):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("xarray.DataTree.to_zarr", full)
        with pytest.raises(StoreError, match=r"draws\.zarr: cannot be written \(No space left on device\)"):
            fit(table, settings=QUICK, folder=tmp_path / "a")
    assert fit(table, settings=QUICK, folder=tmp_path / "a").settings == QUICK
