"""The sha256 of a weights file, taken once: known again in the user's cache by path, size and times of change.

Where anything of it differs, or the file changed just now, it is hashed anew. Processes share the cache: a note is
written whole or not at all, and a cache that cannot be read or written is done without.
"""

import hashlib
import json
import os
import tempfile
import time
from contextlib import suppress
from pathlib import Path

# Less than this is hashed in a fraction of a second.
LARGE = 64 * 2**20
# A file may change again within the tick of its file system's clock, which can be as long as this, in ns.
TICK = 2 * 10**9


def of(file: Path) -> bytes:
    """The digest of a file, from the cache where that is sure to be its own."""
    before = _stamp(file)
    if before["size"] < LARGE:
        return _hashed(file)
    note = _folder() / f"{hashlib.sha256(str(file.resolve()).encode()).hexdigest()[:32]}.json"
    if (known := _read(note, before)) is not None:
        return known
    digest = _hashed(file)
    now = time.time_ns()
    if _stamp(file) == before and max(before["changed"], before["modified"]) < now - TICK:
        _write(note, {**before, "sha256": digest.hex()})
    return digest


def _folder() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "tolerance" / "hashes"


def _stamp(file: Path) -> dict[str, int]:
    """What a write changes; the time of change (not of modification) cannot be set by hand."""
    said = file.stat()
    return {
        "size": said.st_size,
        "modified": said.st_mtime_ns,
        "changed": said.st_ctime_ns,
        "inode": said.st_ino,
        "device": said.st_dev,
    }


def _hashed(file: Path) -> bytes:
    with file.open("rb") as weights:
        return hashlib.file_digest(weights, "sha256").digest()


def _read(note: Path, stamp: dict[str, int]) -> bytes | None:
    try:
        said = json.loads(note.read_text())
        digest = bytes.fromhex(said.pop("sha256"))
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None
    return digest if said == stamp and len(digest) == hashlib.sha256().digest_size else None


def _write(note: Path, said: dict[str, int | str]) -> None:
    with suppress(OSError):
        note.parent.mkdir(parents=True, exist_ok=True)
        handle, half = tempfile.mkstemp(dir=note.parent, suffix=".tmp")
        with os.fdopen(handle, "w") as file:
            json.dump(said, file)
        Path(half).replace(note)
