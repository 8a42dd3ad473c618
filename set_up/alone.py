"""One set-up at a time for each folder."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from execution.lock import FolderBusy, hold
from execution.record import HIDDEN_FOLDER
from set_up.errors import SetUpError
from set_up.session import Session


def checkout_lock(wan22_dir: Path) -> Path:
    """The lock file of a checkout's set-up. It lies beside it: a clone needs an empty place."""
    return wan22_dir.parent / HIDDEN_FOLDER / f"{wan22_dir.name}.set_up.lock"


def weights_lock(ckpt_dir: Path) -> Path:
    """The lock file of the weights' set-up."""
    return ckpt_dir / HIDDEN_FOLDER / "set_up.lock"


@contextmanager
def alone_on(lock: Path, session: Session) -> Iterator[None]:
    """Hold a lock file; a dry run takes none.

    Raises:
        SetUpError: another set-up holds it; who, and since when.
    """
    if session.dry_run:
        yield
        return
    try:
        with hold(lock):
            yield
    except FolderBusy as busy:
        raise SetUpError(str(busy)) from busy
