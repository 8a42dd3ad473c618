"""Whether the disks have room for upstream's environment, before gigabytes are fetched."""

from __future__ import annotations

import contextlib
import os
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from engines.machine import free_space
from set_up.errors import SetUpError
from set_up.session import Session

_GB: Final = 10**9


@dataclass(frozen=True)
class _Size:
    """Bytes of an environment, and of what is downloaded for it."""

    installed: int
    downloaded: int


@dataclass
class _Disk:
    """What a disk has and what it must take."""

    free: int
    needed: int = 0
    places: list[str] = field(default_factory=list)


# Measured on Linux with Python 3.11 and torch 2.8.0 for CUDA 12.8: 8.7 GB on the disk, 4.4 GB of wheels. For
# CPUs: that less the CUDA libraries and the larger torch, rounded up.
_CUDA: Final = _Size(installed=9 * _GB, downloaded=int(4.5 * _GB))
_CPU: Final = _Size(installed=3 * _GB, downloaded=int(0.8 * _GB))


def check_space(environment: Path, *, cpu: bool, session: Session) -> None:
    """Compare what is needed with what is free, for each disk.

    pip keeps every wheel in the folder for temporary files until all are installed, and a copy in its cache,
    whose place is taken for that of the home folder.

    Raises:
        SetUpError: too little, with the folders in question.
    """
    size = _CPU if cpu else _CUDA
    session.say(f"about {_in_gb(size.downloaded)} to download, {_in_gb(size.installed)} when installed")
    disks: dict[int, _Disk] = {}
    for folder, needed, what in (
        (environment, max(0, size.installed - _size_of(environment)), "the environment"),
        (Path(tempfile.gettempdir()), size.downloaded, "temporary files"),
        (Path.home(), size.downloaded, "pip's cache"),
    ):
        with contextlib.suppress(OSError):  # it does not tell
            number, free = free_space(folder)
            if what == "pip's cache" and number not in disks:
                continue  # pip does without where that is full
            disk = disks.setdefault(number, _Disk(free))
            disk.needed += needed
            disk.places.append(f"{folder} ({what})")
    for disk in disks.values():
        if disk.free < disk.needed:
            raise SetUpError(
                f"Too little room on the disk of {', '.join(disk.places)}: {_in_gb(disk.free)} are free, "
                f"{_in_gb(disk.needed)} are needed.",
                "Make room, or use another disk: --wan22_dir for the environment, the environment variable "
                "TMPDIR (Windows: TEMP) for temporary files, PIP_CACHE_DIR for pip's cache.",
            )


def _size_of(folder: Path) -> int:
    """Bytes that are there already."""
    total = 0
    for parent, _, names in os.walk(folder):
        for name in names:
            with contextlib.suppress(OSError):
                total += os.lstat(os.path.join(parent, name)).st_size  # noqa: PTH118  tens of thousands of them
    return total


def _in_gb(size: int) -> str:
    return f"{size / _GB:.1f} GB"
