"""How fast weights are hashed, against the system's own ``sha256sum``, in one run.

The files are read once before, so that both read them from memory: on a disk that is slower than hashing,
both take the disk's time.
"""

from __future__ import annotations

import os
import shutil
import statistics
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from benchmarks.row import Row, seconds
from execution.weights_hashes import hash_files

ROUNDS = 5
FILES = 4
MEBIBYTES = 128


def rows() -> Iterator[Row]:
    """Throughput over one file and over several, as a multiple of the system's."""
    program = shutil.which("sha256sum") or shutil.which("shasum")
    if program is None:
        yield Row("hashing", "no sha256sum on this system", "", True)
        return
    words = [program] if program.endswith("sha256sum") else [program, "-a", "256"]
    with tempfile.TemporaryDirectory() as name:
        files = [Path(name) / f"{number}.safetensors" for number in range(FILES)]
        for path in files:
            path.write_bytes(os.urandom(2**20) * MEBIBYTES)
        yield _row("hashing one large file, against sha256sum", words, files[:1])
        yield _row(f"hashing {FILES} large files, against sha256sum", words, files)


def _row(what: str, words: Sequence[str], files: Sequence[Path]) -> Row:
    command = [*words, *map(str, files)]
    seconds(command)
    pairs = [(_own_seconds(files), seconds(command)) for _ in range(ROUNDS)]
    ours, theirs = (statistics.median(times) for times in zip(*pairs, strict=True))
    rate = len(files) * MEBIBYTES * 2**20 / ours / 1e9
    return Row(what, f"{theirs / ours:.2f}x ({rate:.2f} GB/s)", ">= 0.8x", theirs / ours >= 0.8)


def _own_seconds(files: Sequence[Path]) -> float:
    began = time.perf_counter()
    hash_files(files)
    return time.perf_counter() - began
