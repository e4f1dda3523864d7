"""The run folder: what was written is read, what was half written is not there, two plans never mix."""

import multiprocessing
import os
import signal
import time
from itertools import pairwise
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tolerance import StoreError
from tolerance.data.manifest import Manifest
from tolerance.data.run_folder import RunFolder, read_run
from tolerance.errors import SchemaError


def manifest(**plan) -> Manifest:
    return Manifest("simulated", plan or {"items": 4}, created="2026-01-01T00:00:00+00:00")


def rows(frame: pd.DataFrame) -> list[dict]:
    return frame.to_dict("records")


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=15, deadline=None)
@given(cuts=st.lists(st.integers(1, 23), max_size=4, unique=True))
def test_reading_gives_what_was_written_however_it_was_cut(tmp_path_factory, frame, table, cuts):
    folder = RunFolder.create(tmp_path_factory.mktemp("run"), manifest())
    with folder.writing():
        edges = [0, *sorted(cuts), len(frame)]
        for start, end in pairwise(edges):
            folder.write(f"{start:04d}", rows(frame.iloc[start:end]))
    pd.testing.assert_frame_equal(folder.read(), table)


def test_writing_a_block_again_gives_no_duplicates(tmp_path, frame, table):
    folder = RunFolder.create(tmp_path / "run", manifest())
    with folder.writing():
        folder.write("all", rows(frame))
        folder.write("all", rows(frame))
    assert len(read_run(tmp_path / "run")) == len(table)


def test_a_manifest_survives_the_disk(tmp_path):
    written = manifest(levels=[0, 0.5])
    RunFolder.create(tmp_path / "run", written)
    assert RunFolder.open(tmp_path / "run").manifest == written


def test_another_plan_is_refused_and_named(tmp_path):
    RunFolder.create(tmp_path / "run", manifest(items=4))
    with pytest.raises(StoreError, match="items: 4 there, 8 now"):
        RunFolder.create(tmp_path / "run", manifest(items=8))


def test_a_folder_with_other_things_is_left_alone(tmp_path):
    (tmp_path / "thesis.txt").write_text("precious")
    with pytest.raises(StoreError, match="is no run folder"):
        RunFolder.create(tmp_path, manifest())
    assert [p.name for p in tmp_path.iterdir()] == ["thesis.txt"]


def test_a_second_writer_is_refused(tmp_path):
    folder = RunFolder.create(tmp_path / "run", manifest())
    with folder.writing(), pytest.raises(StoreError, match="another process is writing"), folder.writing():
        pass


def test_what_a_killed_writer_left_does_not_lock_its_run(tmp_path, frame):
    folder = RunFolder.create(tmp_path / "run", manifest())
    context = multiprocessing.get_context("fork")
    writer = context.Process(target=_write_for_ever, args=(folder.path, frame))
    writer.start()
    deadline = time.monotonic() + 20
    while not folder.shards() and time.monotonic() < deadline:
        time.sleep(0.001)
    with pytest.raises(StoreError, match="another process is writing"), folder.writing():
        pass
    os.kill(writer.pid, signal.SIGKILL)
    writer.join()
    with folder.writing():
        folder.write("after", rows(frame))
    assert "after" in folder.blocks()


def test_a_lock_file_that_nobody_holds_does_not_block(tmp_path, frame):
    folder = RunFolder.create(tmp_path / "run", manifest())
    (folder.path / ".lock").write_text("4194305\nelsewhere\n")
    with folder.writing():
        folder.write("block", rows(frame))
    assert folder.blocks() == {"block"}


def test_an_empty_run_and_no_run_are_told_apart(tmp_path):
    RunFolder.create(tmp_path / "run", manifest())
    with pytest.raises(StoreError, match="no outcomes yet"):
        read_run(tmp_path / "run")
    with pytest.raises(StoreError, match="no run folder"):
        read_run(tmp_path / "nothing")


def test_a_truncated_shard_is_found_named_and_set_aside(tmp_path, frame):
    folder = RunFolder.create(tmp_path / "run", manifest())
    with folder.writing():
        folder.write("good", rows(frame.iloc[:4]))
        folder.write("bad", rows(frame.iloc[4:]))
        shard = tmp_path / "run" / "outcomes" / "bad.parquet"
        shard.write_bytes(shard.read_bytes()[:-40])
        with pytest.raises(StoreError, match=r"bad\.parquet cannot be read"):
            folder.read()
        (damaged,) = folder.damaged()
        aside = folder.quarantine(damaged)
    assert aside.is_file()
    assert len(folder.read()) == 4


def test_a_damaged_manifest_is_named(tmp_path):
    RunFolder.create(tmp_path / "run", manifest())
    (tmp_path / "run" / "manifest.json").write_text("{}")
    with pytest.raises(StoreError, match=r"manifest\.json: not a manifest"):
        RunFolder.open(tmp_path / "run")


def test_an_unknown_column_is_refused_before_anything_is_written(tmp_path):
    folder = RunFolder.create(tmp_path / "run", manifest())
    with folder.writing(), pytest.raises(SchemaError, match="unknown column accuracy"):
        folder.write("block", [{"accuracy": 1.0}])
    assert folder.blocks() == set()


def _write_for_ever(path: Path, frame: pd.DataFrame) -> None:
    folder = RunFolder.open(path)
    with folder.writing():
        for block in range(10_000):
            if f"{block:05d}" not in folder.blocks():
                folder.write(f"{block:05d}", rows(frame.assign(replicate=block)))


def test_killed_in_mid_write_only_whole_shards_remain(tmp_path, frame):
    folder = RunFolder.create(tmp_path / "run", manifest())
    context = multiprocessing.get_context("fork")
    for attempt in range(12):
        before = len(folder.shards())
        writer = context.Process(target=_write_for_ever, args=(folder.path, frame))
        writer.start()
        deadline = time.monotonic() + 20
        while len(folder.shards()) <= before and time.monotonic() < deadline:
            time.sleep(0.001)
        time.sleep(0.003 * attempt)
        os.kill(writer.pid, signal.SIGKILL)
        writer.join()
    assert folder.damaged() == []
    names = sorted(folder.blocks())
    assert names == [f"{block:05d}" for block in range(len(names))]
    assert len(folder.read()) == len(names) * len(frame)
