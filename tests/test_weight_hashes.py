"""Weights are hashed once, and anew whenever they may have changed."""

import hashlib
import os
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.tiny_models import save_llama
from tolerance.runners.models import hashes
from tolerance.runners.models.load import load


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """An empty cache in which small and fresh files are noted too."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(hashes, "LARGE", 0)
    monkeypatch.setattr(hashes, "TICK", 0)
    return tmp_path / "cache" / "tolerance" / "hashes"


@pytest.fixture
def hashed(monkeypatch):
    """The files that were read through."""
    read, ours = [], hashes._hashed
    monkeypatch.setattr(hashes, "_hashed", lambda file: read.append(file.name) or ours(file))
    return read


@pytest.fixture
def file(tmp_path):
    made = tmp_path / "model.safetensors"
    made.write_bytes(b"weights")
    return made


def sha(content):
    return hashlib.sha256(content).digest()


def test_a_second_start_does_not_hash_again_and_names_the_same_revision(cache, hashed, tmp_path):
    folder = str(save_llama(tmp_path / "model"))
    first = load(folder, device="cpu").revision
    assert hashed == ["model.safetensors"]
    assert load(folder, device="cpu").revision == first
    assert hashed == ["model.safetensors"]


def test_other_content_of_the_same_size_and_time_is_noticed(cache, hashed, file):
    assert hashes.of(file) == sha(b"weights")
    before = file.stat()
    time.sleep(0.05)  # a tick of the file system's clock, which the cache waits for when it is not told otherwise
    file.write_bytes(b"WEIGHTS")
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert hashes.of(file) == sha(b"WEIGHTS")
    assert len(hashed) == 2


def test_a_file_put_in_its_place_is_noticed(cache, file, tmp_path):
    assert hashes.of(file) == sha(b"weights")
    other = tmp_path / "other"
    other.write_bytes(b"WEIGHTS")
    other.replace(file)
    assert hashes.of(file) == sha(b"WEIGHTS")


def test_what_changed_just_now_is_not_noted(cache, hashed, file, monkeypatch):
    monkeypatch.setattr(hashes, "TICK", 3600 * 10**9)
    assert hashes.of(file) == hashes.of(file) == sha(b"weights")
    assert len(hashed) == 2


@pytest.mark.parametrize("spoilt", ["", "{", "[]", '{"sha256": "00"}', '{"sha256": 3}'])
def test_a_spoilt_note_is_done_without(cache, hashed, file, spoilt):
    hashes.of(file)
    (note,) = cache.iterdir()
    note.write_text(spoilt)
    assert hashes.of(file) == sha(b"weights")
    assert len(hashed) == 2


def test_a_cache_that_cannot_be_written_is_done_without(cache, file):
    cache.parent.mkdir(parents=True)
    cache.write_text("a file where the folder would be")
    assert hashes.of(file) == sha(b"weights")


def test_several_at_once_leave_one_whole_note(cache, hashed, file):
    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(hashes.of, [file] * 32)) == {sha(b"weights")}
    assert [note.suffix for note in cache.iterdir()] == [".json"]
    hashed.clear()
    assert hashes.of(file) == sha(b"weights")
    assert not hashed
