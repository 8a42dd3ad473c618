"""One file on its way from a hub: resumed where it broke off, verified, and named only then.

Its bytes collect in ``.understudy/downloads`` under a name made of its path and the hub's hash. They are
hashed while they come in, and read again only by a later run that goes on with them.
"""

from __future__ import annotations

import errno
import hashlib
import os
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final

from execution.record import HIDDEN_FOLDER
from set_up.errors import SetUpError
from set_up.weights.hub import Answer, Hub, HubError, refused
from set_up.weights.hub_files import git_sha1_of
from set_up.weights.needed import Needed

RETRY_VARIABLE: Final = "UNDERSTUDY_RETRY_SECONDS"
_BUFFER: Final = 2**17
"""A kill loses what is in it."""
_READ: Final = 2**20
_SYNCED: Final = 16 * 2**20
_PROGRESS: Final = 8 * 2**20
"""An attempt that brought this much was no failure: a hub that cuts each connection is still got through."""
_AGAIN: Final = "What has arrived is kept: run the same command again to go on."


@dataclass(frozen=True, kw_only=True)
class Patience:
    """How long one file is tried for."""

    tries: int = 6
    """Attempts in a row that bring nothing."""
    first_wait: float = 1.0
    """Seconds before the second attempt; each later wait is twice as long."""
    longest_wait: float = 60.0
    longest_asked_wait: float = 600.0
    """The most that is waited when the hub itself says how long (Retry-After)."""
    corrupt: int = 2
    """How often a file that arrived with wrong bytes is fetched again."""

    @classmethod
    def usual(cls) -> Patience:
        """As above; the first wait can be set by the environment variable UNDERSTUDY_RETRY_SECONDS."""
        try:
            return cls(first_wait=max(0.0, float(os.environ[RETRY_VARIABLE])))
        except (KeyError, ValueError):
            return cls()

    def wait(self, failures: int, asked: float | None) -> float:
        """Seconds to wait after so many failures in a row."""
        if asked is not None:
            return min(asked, self.longest_asked_wait)
        return float(min(self.first_wait * 2 ** (failures - 1), self.longest_wait))


def _begin_to_sync(file: BinaryIO, begin: int, end: int) -> int:
    """Have the system write what came since ``begin`` to the disk, while more comes in; the next beginning.

    The sync at the end then has little left to wait for, and 60 GB of weights do not push other programs'
    files out of memory.
    """
    if end - begin < _SYNCED or not hasattr(os, "posix_fadvise"):  # which macOS and Windows lack
        return begin
    file.flush()
    os.posix_fadvise(file.fileno(), begin, end - begin, os.POSIX_FADV_DONTNEED)
    return end


class FileFailed(SetUpError):
    """This one file cannot be had; the others may."""


class Stopped(Exception):
    """Another thread ended the download."""


def downloads_folder(ckpt_dir: Path) -> Path:
    """Where files collect until they are whole."""
    return ckpt_dir / HIDDEN_FOLDER / "downloads"


def partial_path(ckpt_dir: Path, needed: Needed) -> Path:
    """Where the file's bytes collect. The path is in it too: two files can have one content."""
    content = needed.file.sha256 or needed.file.git_sha1 or ""
    return downloads_folder(ckpt_dir) / f"{_prefix(needed)}-{content[:16]}.partial"


def bytes_here(ckpt_dir: Path, needed: Needed) -> int:
    """How much of the file an earlier run has left."""
    try:
        size = partial_path(ckpt_dir, needed).stat().st_size
    except OSError:
        return 0
    return size if size <= needed.file.size else 0


def _prefix(needed: Needed) -> str:
    return hashlib.sha256(needed.file.path.encode()).hexdigest()[:12]


class Transfer:
    """One file's download, run in a thread of its own."""

    def __init__(
        self, needed: Needed, hub: Hub, ckpt_dir: Path, patience: Patience, stop: threading.Event
    ) -> None:
        self.needed = needed
        self.here = bytes_here(ckpt_dir, needed)
        """Bytes that are on this disk; other threads read it."""
        self.waiting_for = ""
        """Why nothing comes in at the moment; empty while something does."""
        self._hub = hub
        self._path = ckpt_dir / needed.file.path
        self._partial = partial_path(ckpt_dir, needed)
        self._patience = patience
        self._stop = stop
        self._digest = hashlib.sha256()
        self._digested = 0

    def run(self) -> str:
        """Bring the file to its place; returns its SHA-256.

        Raises:
            FileFailed: the hub does not have it, or not as it lists it.
            SetUpError: the hub cannot be reached or refuses, or the disk does.
            Stopped: another thread said so.
        """
        try:
            self._partial.parent.mkdir(parents=True, exist_ok=True)
            for _ in range(self._patience.corrupt + 1):
                self._receive_all()
                wrong = self._what_is_wrong()
                if wrong is None:
                    self._publish()
                    return self._digest.hexdigest()
                self._start_over()
        except OSError as error:
            raise self._disk_failed(error) from error
        raise FileFailed(
            f"{self.needed.file.path} arrived with wrong bytes {self._patience.corrupt + 1} times: {wrong}.",
            f"A proxy or the mirror damages it, or {self._hub.host} holds another file than it lists. "
            "Try again later, without --mirror, or from the other hub (--source).",
        )

    # ------------------------------------------------------------------------------------------ receiving

    def _receive_all(self) -> None:
        """Attempts until every byte is there."""
        failures, before = 0, self.here
        while True:
            try:
                self._receive()
                return
            except HubError as error:
                if error.status == 416:
                    self._start_over()
                elif not error.may_pass:
                    raise self._not_given(error) from error
                failures = 1 if self.here - before >= _PROGRESS else failures + 1
                before = self.here
                if failures >= self._patience.tries:
                    raise SetUpError(
                        f"{self.needed.file.path} could not be fetched from {self._hub.host} "
                        f"({failures} attempts in a row failed; the last: {error}).",
                        _AGAIN,
                    ) from error
                self._pause(self._patience.wait(failures, error.retry_after), str(error))

    def _receive(self) -> None:
        """One attempt. Raises HubError when it breaks off."""
        size = self.needed.file.size
        self._take_up()
        if self.here == size:
            return
        with self._hub.open(
            self.needed.repository, self.needed.revision, self.needed.path_in_repository, self.here
        ) as answer:
            if answer.total is not None and answer.total != size:
                raise HubError(f"the hub sends {answer.total} bytes and lists {size}")
            if answer.start != self.here:
                self._start_over()
            self._write(answer)
        if self.here < size:
            raise HubError(f"the connection broke off after {self.here} of {size} bytes")

    def _write(self, answer: Answer) -> None:
        with self._partial.open("ab", buffering=_BUFFER) as file:
            written = self.here
            for piece in answer.pieces:
                if self._stop.is_set():
                    raise Stopped
                file.write(piece)
                self._digest.update(piece)
                self._digested += len(piece)
                self.here += len(piece)
                self.waiting_for = ""
                written = _begin_to_sync(file, written, self.here)
                if self.here > self.needed.file.size:
                    break  # the hash will tell

    def _take_up(self) -> None:
        """Go on with what is on the disk; hash what this run has not."""
        self._partial.touch()
        size = self._partial.stat().st_size
        if size > self.needed.file.size:
            self._start_over()
            size = 0
        if size != self._digested:
            self._digest, self._digested = hashlib.sha256(), 0
            with self._partial.open("rb") as file:
                while piece := file.read(_READ):
                    if self._stop.is_set():
                        raise Stopped
                    self._digest.update(piece)
                    self._digested += len(piece)
        self.here = self._digested

    def _start_over(self) -> None:
        with self._partial.open("wb"):
            pass
        self._digest, self._digested, self.here = hashlib.sha256(), 0, 0

    def _pause(self, seconds: float, reason: str) -> None:
        self.waiting_for = reason
        if self._stop.wait(seconds):
            raise Stopped

    # ------------------------------------------------------------------------------------------- the end

    def _what_is_wrong(self) -> str | None:
        """None when the bytes are those that the hub lists."""
        file = self.needed.file
        if file.sha256:
            found, expected, kind = self._digest.hexdigest(), file.sha256, "SHA-256"
        else:
            found, expected, kind = git_sha1_of(self._partial), file.git_sha1 or "", "git's SHA-1"
        return None if found == expected else f"{kind} is {found}, the hub's is {expected}"

    def _publish(self) -> None:
        if self._path.is_dir() and not self._path.is_symlink():
            raise FileFailed(
                f"{self._path} is a folder; a file belongs there.", "Move it away, then run it again."
            )
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with self._partial.open("rb+") as file:
            os.fsync(file.fileno())
        # A link that lay here is replaced: what it led to stays as it is.
        self._partial.replace(self._path)
        for stale in self._partial.parent.glob(f"{_prefix(self.needed)}-*.partial"):
            stale.unlink(missing_ok=True)

    def _not_given(self, error: HubError) -> SetUpError:
        if error.is_refused:
            return refused(self._hub, self.needed.repository, error)
        return FileFailed(
            f"{self._hub.host} lists {self.needed.path_in_repository} of {self.needed.repository} "
            f"but does not give it out: {error}.",
            "Try again later, or take the other hub with --source.",
        )

    def _disk_failed(self, error: OSError) -> SetUpError:
        if error.errno == errno.ENOSPC:
            return SetUpError(
                f"The disk is full: {self.needed.file.path} does not fit.", f"Make room. {_AGAIN}"
            )
        return SetUpError(f"{self.needed.file.path} cannot be written: {error}.", _AGAIN)
