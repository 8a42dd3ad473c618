"""How far long work on files is: bars in a terminal, else a line now and then."""

from __future__ import annotations

import time
from collections.abc import Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Protocol

from execution.words import duration
from set_up.session import Session

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

_SECONDS_BETWEEN_LINES: Final = 15.0
_SECONDS_BETWEEN_LOOKS: Final = 0.2
_SHORTEST_BAR: Final = 16 * 2**20
"""Smaller files come and go faster than one can read."""


class Watched(Protocol):
    """A file on its way, as the display sees it; a ``set_up.weights.transfer.Transfer``."""

    @property
    def needed(self) -> Any: ...
    @property
    def here(self) -> int: ...
    @property
    def waiting_for(self) -> str: ...


def in_bytes(size: float) -> str:
    """Such as "512 bytes", "34.1 MB" or "52.3 GB", in powers of ten as disks and hubs count."""
    for unit, factor in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if size >= factor:
            return f"{size / factor:.1f} {unit}"
    return f"{size:.0f} bytes"


class Bar:
    """One figure that grows to a known total."""

    def __init__(self, what: str, total: int, session: Session, begin: int = 0) -> None:
        self._what, self._total, self._session, self._begin = what, total, session, begin
        self._started = self._last_line = self._last_look = time.monotonic()
        self._progress: Progress | None = None
        self._task: TaskID | None = None

    def __enter__(self) -> Bar:
        if self._session.console.is_terminal:
            from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn
            from rich.progress import TransferSpeedColumn as Speed

            columns = (
                TextColumn("  {task.description}", markup=False),
                BarColumn(),
                DownloadColumn(),
                Speed(),
            )
            self._progress = Progress(
                *columns,
                TimeRemainingColumn(),
                console=self._session.console,
                transient=True,
                refresh_per_second=4,
            )
            self._task = self._progress.add_task(self._what, total=self._total, completed=self._begin)
            self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._progress:
            self._progress.stop()

    @property
    def progress(self) -> Progress | None:
        """The terminal's bars; None where there is no terminal."""
        return self._progress

    def show(self, done: int) -> None:
        """Called often; draws seldom."""
        now = time.monotonic()
        if self._progress and self._task is not None:
            if now - self._last_look >= _SECONDS_BETWEEN_LOOKS or done == self._total:
                self._last_look = now
                self._progress.update(self._task, completed=done)
        elif now - self._last_line >= _SECONDS_BETWEEN_LINES:
            self._last_line = now
            self._session.say(self._line(done, now - self._started))

    def _line(self, done: int, seconds: float) -> str:
        rate = max(0, done - self._begin) / seconds
        text = f"{self._what}: {in_bytes(done)} of {in_bytes(self._total)}, {in_bytes(rate)}/s"
        return text + (f", {duration((self._total - done) / rate)} left" if rate else "")


class Display:
    """Files on their way: in all, and each large one that is under way."""

    def __init__(self, what: str, transfers: Sequence[Watched], session: Session) -> None:
        self._transfers, self._session = transfers, session
        total = sum(transfer.needed.file.size for transfer in transfers)
        self._bar = Bar(what, total, session, sum(transfer.here for transfer in transfers))
        self._begin = {id(transfer): transfer.here for transfer in transfers}
        self._tasks: dict[int, TaskID] = {}
        self._said: set[tuple[str, str]] = set()
        self._last_look = 0.0

    def __enter__(self) -> Display:
        self._bar.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.__exit__(kind, error, trace)

    def show(self) -> None:
        """Called often; looks seldom."""
        now = time.monotonic()
        if now - self._last_look < _SECONDS_BETWEEN_LOOKS:
            return
        self._last_look = now
        self._bar.show(sum(transfer.here for transfer in self._transfers))
        for transfer in self._transfers:
            self._say_why_it_waits(transfer)
            self._show_one(transfer)

    def _say_why_it_waits(self, transfer: Watched) -> None:
        reason, path = transfer.waiting_for, transfer.needed.file.path
        if reason and (path, reason) not in self._said:
            self._said.add((path, reason))
            self._session.note(f"{path}: {reason}; trying again")

    def _show_one(self, transfer: Watched) -> None:
        progress, file = self._bar.progress, transfer.needed.file
        if progress is None or file.size < _SHORTEST_BAR:
            return
        key = id(transfer)
        under_way = self._begin[key] < transfer.here < file.size
        if key in self._tasks:
            progress.update(self._tasks[key], completed=transfer.here, visible=transfer.here < file.size)
        elif under_way:
            name = file.path.rpartition("/")[2]
            self._tasks[key] = progress.add_task(f"  {name[-40:]}", total=file.size, completed=transfer.here)
