"""One run at a time for each step's folder and name.

The lock belongs to the open file, and the kernel takes it back when the process ends, however it ends; a lock
file that lies about means nothing. Beside it lies who holds it, for the message alone.

What holds where: on local disks always; on NFS across machines, though the lock of a machine that crashed
lives until the server gives it up; on other network file systems perhaps for the processes of one machine
only. Where files cannot be locked, or the folder cannot be written, there is no lock and the run goes on.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
from collections.abc import Iterable, Iterator
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from execution.record import HIDDEN_FOLDER
from execution.step import Step

if TYPE_CHECKING:
    from filelock import BaseFileLock

_PATIENCE_SECONDS = 0.4
"""A check that looks who holds a lock takes it for an instant, which must not stop a run."""


class FolderBusy(Exception):
    """Another run works in the folder. The message says who, and what to do."""


@contextlib.contextmanager
def locked(steps: Iterable[Step]) -> Iterator[None]:
    """Hold the locks of all these steps, so that no other run makes the same files meanwhile.

    Raises:
        FolderBusy: another run holds one of them. None is held then.
    """
    # In one order for everybody, so that of two runs one gets all that both want.
    paths = sorted({lock_path(step.folder, step.file_name) for step in steps})
    with contextlib.ExitStack() as held:
        for path in paths:
            held.enter_context(hold(path))
        yield


def holder(folder: Path, file_name: str) -> str | None:
    """Who works on the step of that name in that folder, in words; None when nobody does.

    Writes nothing. ``file_name`` is the Step's, which is its name unless it says otherwise.
    """
    path = lock_path(folder, file_name)
    if not path.exists():
        return None
    try:
        lock = _taken(path, patience=0)
    except TimeoutError:
        return _holder_in_words(path)
    if lock is not None:
        lock.release()
    return None


def lock_path(folder: Path, file_name: str) -> Path:
    """The lock file of the step of that name in that folder."""
    return folder / HIDDEN_FOLDER / f"{file_name}.lock"


@contextlib.contextmanager
def hold(path: Path) -> Iterator[None]:
    """Hold one lock file; the folder above its own is the one that is named to people.

    Raises:
        FolderBusy: another run holds it.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = _taken(path, _PATIENCE_SECONDS)
    except TimeoutError:
        raise FolderBusy(
            f"{path.parent.parent} is in use: {_holder_in_words(path)} is making the same files. "
            "Wait until it has finished, end it, or choose another folder."
        ) from None
    except OSError:  # no folder, no lock; writing into it will fail, and say so better
        lock = None
    if lock is None:
        yield
        return
    try:
        _write_holder(path)
        yield
        _holder_path(path).unlink(missing_ok=True)
    finally:
        lock.release()


def _taken(path: Path, patience: float) -> BaseFileLock | None:
    """The lock, now held; None where nothing can be locked.

    Raises:
        TimeoutError: another holds it.
    """
    from filelock import FileLock

    lock = FileLock(path, fallback_to_soft=False)
    try:
        lock.acquire(timeout=patience, poll_interval=0.05)
    except TimeoutError:
        raise
    except OSError:
        return None
    return lock


def _holder_path(path: Path) -> Path:
    # Not in the lock file itself: Windows lets nobody else read a locked file.
    return path.with_suffix(".holder")


def _write_holder(path: Path) -> None:
    now = datetime.now().astimezone().isoformat(timespec="seconds")
    content = {"pid": os.getpid(), "host": socket.gethostname(), "since": now}
    with contextlib.suppress(OSError):  # it serves a message alone
        _holder_path(path).write_text(json.dumps(content), encoding="utf-8")


def _holder_in_words(path: Path) -> str:
    try:
        told = json.loads(_holder_path(path).read_text(encoding="utf-8"))
        since = datetime.fromisoformat(told["since"])
        where = "" if told["host"] == socket.gethostname() else f" on {told['host']}"
        return f"process {int(told['pid'])}{where}, which started at {since:%H:%M on %Y-%m-%d},"
    except (OSError, ValueError, KeyError, TypeError):
        return "another run"
