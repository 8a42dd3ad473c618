"""One file as a hub lists it."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_PIECE: Final = 2**20


@dataclass(frozen=True, kw_only=True)
class HubFile:
    """A file that is needed, with what the hub itself says of its content: one of the two hashes."""

    path: str
    """Inside the checkpoint folder, with forward slashes."""
    size: int
    """Bytes."""
    sha256: str | None = None
    """Hexadecimal; of large files on Hugging Face, of all files on ModelScope."""
    git_sha1: str | None = None
    """git's name for the content, by which Hugging Face lists small files: see ``git_sha1_of``."""


def git_sha1_of(path: Path) -> str:
    """The SHA-1 by which git names a file's content: of ``blob <size>``, a zero byte, and the content.

    Raises:
        OSError: it cannot be read.
    """
    digest = hashlib.sha1(f"blob {path.stat().st_size}\0".encode(), usedforsecurity=False)
    with path.open("rb") as stream:
        while piece := stream.read(_PIECE):
            digest.update(piece)
    return digest.hexdigest()
