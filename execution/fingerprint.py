"""What a file holds, as a short text that can be compared."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

_SAMPLE_BYTES = 2**20


def describe_file(path: Path, known: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Size, modification time and SHA-256 of a file.

    The hash is taken from ``known`` (an earlier description) when size and time are still the same.
    """
    stat = path.stat()
    described: dict[str, Any] = {"path": str(path), "size": stat.st_size, "mtime_ns": stat.st_mtime_ns}
    if known and (known.get("size"), known.get("mtime_ns")) == (stat.st_size, stat.st_mtime_ns):
        described["sha256"] = known.get("sha256")
    else:
        with path.open("rb") as file:
            described["sha256"] = hashlib.file_digest(file, "sha256").hexdigest()
    return described


def digest_of_code(files: Iterable[Path]) -> str:
    """One SHA-256 over the names and the content of source files, in a fixed order."""
    digest = hashlib.sha256()
    for path in sorted(files):
        content = path.read_bytes() if path.is_file() else b"missing"
        digest.update(path.name.encode() + b"\0" + content + b"\0")
    return digest.hexdigest()


def digest_of_weights(paths: Iterable[Path]) -> str:
    """One SHA-256 over large model files: names, sizes and three samples of each.

    Reading 60 GB before every run would cost more than it tells; a file that was exchanged, cut off or
    fetched again differs in its samples. This does not replace verifying a download.
    """
    digest = hashlib.sha256()
    for path in sorted(files_below(paths)):
        size = path.stat().st_size
        digest.update(f"{path.name}\0{size}\0".encode())
        with path.open("rb") as file:
            for offset in (0, max(0, size // 2 - _SAMPLE_BYTES // 2), max(0, size - _SAMPLE_BYTES)):
                file.seek(offset)
                digest.update(file.read(_SAMPLE_BYTES))
    return digest.hexdigest()


def files_below(paths: Iterable[Path]) -> Iterator[Path]:
    """The files among the paths and in the folders among them; what is not there is left out."""
    for path in paths:
        if path.is_dir():
            yield from (entry for entry in path.rglob("*") if entry.is_file())
        elif path.exists():
            yield path
