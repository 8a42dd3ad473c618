"""The SHA-256 of whole model files: read once, then remembered for as long as a file stays as it was.

Step records compare weights by samples (``fingerprint.digest_of_weights``), which costs nothing. The result's
record names every weight by the hash of all of it, as the pages do from which models are fetched.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import threading
from collections.abc import Callable, Collection, Iterable
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from dataclasses import dataclass
from io import FileIO
from pathlib import Path
from typing import Any

from execution.cache_folder import cache_folder
from execution.fingerprint import files_below
from execution.record import write_json

_FILE_NAME = "weights_hashes.json"
_SCHEMA = 1
_MOST_ENTRIES = 2000
_THREADS = 4
"""Measured: two threads on two cores are twice as fast as one; hashing is the limit, not reading."""
_REPORT_SECONDS = 0.2

Report = Callable[[int, int], None]
"""(bytes done, bytes in all). It raises to cancel."""


def _silent(done: int, total: int) -> None:
    pass


@dataclass(frozen=True)
class WeightsFile:
    """One model file."""

    name: str
    """Its own name, or its path from the folder that was given, that folder included."""
    path: Path
    size: int
    sha256: str

    def as_data(self) -> dict[str, Any]:
        """For the record."""
        return {"name": self.name, "path": str(self.path), "size": self.size, "sha256": self.sha256}


def hash_weights(paths: Iterable[Path], report: Report = _silent) -> list[WeightsFile]:
    """Size and SHA-256 of model files, and of all files in folders of them, in the order of their paths.

    What the cache knows by resolved path, size and modification time is not read again, and not reported.
    Each hash is remembered as soon as it is known, so that cancelling loses little.

    Raises:
        OSError: a file cannot be read.
        BaseException: what ``report`` raised, after the reading has stopped.
    """
    names = {
        path: path.relative_to(given.parent).as_posix() for given in paths for path in files_below([given])
    }
    keys = {path: _key(path) for path in sorted(names)}
    known = _read_cache()
    hashes = {path: known[key.path]["sha256"] for path, key in keys.items() if _is_known(known, key)}

    def remember(path: Path, sha256: str) -> None:
        if _key(path) == keys[path]:  # else it was written to while it was read
            _remember(keys[path], sha256)

    hashes |= hash_files([path for path in keys if path not in hashes], report, remember)
    return [WeightsFile(names[path], path, key.size, hashes[path]) for path, key in keys.items()]


def hash_files(
    paths: Collection[Path],
    report: Report = _silent,
    found: Callable[[Path, str], None] = lambda path, sha256: None,
) -> dict[Path, str]:
    """SHA-256 of files, each read from end to end whatever the cache knows, several at a time.

    Args:
        report: called in this thread several times a second.
        found: called in this thread with each file and its hash as soon as it is known.

    Raises:
        OSError: a file cannot be read.
        BaseException: what ``report`` raised, after the reading has stopped.
    """
    if not paths:
        return {}
    hashes = {}
    reading = _Reading()
    sizes = {path: path.stat().st_size for path in paths}
    with ThreadPoolExecutor(min(_THREADS, os.cpu_count() or 1)) as pool:
        try:
            # The largest first: one that begins last would be waited for alone.
            largest_first = sorted(sizes, key=lambda path: -sizes[path])
            running = {pool.submit(reading.digest, path): path for path in largest_first}
            while running:
                for done in wait(running, _REPORT_SECONDS, FIRST_COMPLETED).done:
                    path = running.pop(done)
                    hashes[path] = done.result()
                    found(path, hashes[path])
                report(reading.bytes_done, sum(sizes.values()))
        finally:
            reading.over = True
    return hashes


class _Reading:
    """What several threads have read so far, and the word to stop."""

    def __init__(self) -> None:
        self.bytes_done = 0
        self.over = False
        self._lock = threading.Lock()

    def digest(self, path: Path) -> str:
        with path.open("rb", buffering=0) as file:
            return hashlib.file_digest(_Counted(file, self), "sha256").hexdigest()

    def count(self, size: int) -> None:
        with self._lock:
            self.bytes_done += size


class _Counted:
    """A file that counts what is read of it."""

    def __init__(self, file: FileIO, reading: _Reading) -> None:
        self._file = file
        self._reading = reading

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: bytearray, /) -> int:
        if self._reading.over:
            raise InterruptedError("the reading was cancelled")
        size = self._file.readinto(buffer) or 0
        self._reading.count(size)
        return size


# -------------------------------------------------------------------------------------------------- cache


@dataclass(frozen=True)
class _Key:
    path: str
    size: int
    mtime_ns: int


def _key(path: Path) -> _Key:
    stat = path.stat()
    return _Key(str(path.resolve()), stat.st_size, stat.st_mtime_ns)


def _is_known(known: dict[str, Any], key: _Key) -> bool:
    entry = known.get(key.path)
    return (
        isinstance(entry, dict)
        and (entry.get("size"), entry.get("mtime_ns")) == (key.size, key.mtime_ns)
        and isinstance(entry.get("sha256"), str)
    )


def _read_cache() -> dict[str, Any]:
    """Entries by resolved path, those remembered longest ago first."""
    try:
        content = json.loads((cache_folder() / _FILE_NAME).read_text(encoding="utf-8"))
        files = content["files"] if content["schema"] == _SCHEMA else {}
    except (OSError, ValueError, KeyError, TypeError):
        return {}
    return files if isinstance(files, dict) else {}


def _remember(key: _Key, sha256: str) -> None:
    files = _read_cache()  # anew: another run may have written meanwhile
    files.pop(key.path, None)
    files[key.path] = {"size": key.size, "mtime_ns": key.mtime_ns, "sha256": sha256}
    newest = dict(list(files.items())[-_MOST_ENTRIES:])
    with contextlib.suppress(OSError):  # without a cache it is slower, nothing else
        write_json(cache_folder() / _FILE_NAME, {"schema": _SCHEMA, "files": newest})
