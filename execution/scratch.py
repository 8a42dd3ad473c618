"""Scratch folders: where a step writes until its outputs are known to be whole.

They lie inside the step's own folder, so that giving a file its final name is a rename on one file system.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
from collections.abc import Iterator
from pathlib import Path

from execution.record import HIDDEN_FOLDER

_PREFIX = "scratch"


@contextlib.contextmanager
def scratch_folder(folder: Path, name: str) -> Iterator[Path]:
    """A new empty folder inside ``folder``, removed on leaving, whatever happens.

    What a killed run of this machine left there is removed first.
    """
    hidden = folder / HIDDEN_FOLDER
    hidden.mkdir(parents=True, exist_ok=True)
    _remove_abandoned(hidden)
    scratch = hidden / f"{_PREFIX}@{socket.gethostname()}@{os.getpid()}@{name}"
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir()
    try:
        yield scratch
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _remove_abandoned(hidden: Path) -> None:
    for path in hidden.glob(f"{_PREFIX}@{socket.gethostname()}@*"):
        owner = path.name.split("@")[2]
        if owner.isdigit() and int(owner) != os.getpid() and not _is_alive(int(owner)):
            shutil.rmtree(path, ignore_errors=True)


def _is_alive(process_id: int) -> bool:
    import psutil

    return psutil.pid_exists(process_id)
