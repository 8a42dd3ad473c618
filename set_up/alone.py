"""One set-up at a time for each folder."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from execution.lock import FolderBusy, hold
from execution.record import HIDDEN_FOLDER
from set_up.errors import SetUpError
from set_up.session import Session


@contextmanager
def alone_on(folder: Path, session: Session) -> Iterator[None]:
    """Hold the lock of a folder's set-up; a dry run takes none. The lock lies beside the folder.

    Raises:
        SetUpError: another set-up holds it; who, and since when.
    """
    if session.dry_run:
        yield
        return
    try:
        with hold(folder.parent / HIDDEN_FOLDER / f"{folder.name}.set_up.lock"):
            yield
    except FolderBusy as busy:
        raise SetUpError(str(busy)) from busy
