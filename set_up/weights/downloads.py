"""Several files at a time, each in a thread, watched from the thread that called."""

from __future__ import annotations

import os
import queue
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from set_up.errors import SetUpError
from set_up.session import Session
from set_up.weights.hub import Hub
from set_up.weights.needed import Needed
from set_up.weights.progress import Display
from set_up.weights.transfer import FileFailed, Patience, Stopped, Transfer

THREADS: Final = 4
"""As many as both clients use."""
_LOOK_SECONDS: Final = 0.25
_LAST_WORD_SECONDS: Final = 1.0

_Outcome = tuple[Transfer, str | BaseException]


def download(
    needed: Sequence[Needed],
    hub: Hub,
    ckpt_dir: Path,
    session: Session,
    patience: Patience,
    done: Callable[[Needed, str], None],
) -> None:
    """Fetch files, the largest first.

    Args:
        done: called in this thread with each file that is in its place and its SHA-256.

    Raises:
        SetUpError: what failed. A file that the hub does not give as listed does not stop the others.
    """
    stop = threading.Event()
    transfers = [Transfer(one, hub, ckpt_dir, patience, stop) for one in needed]
    transfers.sort(key=lambda transfer: -transfer.needed.file.size)
    waiting: queue.SimpleQueue[Transfer] = queue.SimpleQueue()
    for transfer in transfers:
        waiting.put(transfer)
    ended: queue.SimpleQueue[_Outcome] = queue.SimpleQueue()
    # Daemons: a thread that waits for the network must not keep an interrupted command from ending.
    threads = [
        threading.Thread(target=_work, args=(waiting, ended, stop), daemon=True)
        for _ in range(min(THREADS, len(transfers)))
    ]
    for thread in threads:
        thread.start()
    try:
        with Display("downloading", transfers, session) as display:
            _watch(ended, len(transfers), display, done)
    finally:
        stop.set()
        deadline = time.monotonic() + _LAST_WORD_SECONDS
        for thread in threads:
            thread.join(max(0.0, deadline - time.monotonic()))


def _work(
    waiting: queue.SimpleQueue[Transfer], ended: queue.SimpleQueue[_Outcome], stop: threading.Event
) -> None:
    while not stop.is_set():
        try:
            transfer = waiting.get_nowait()
        except queue.Empty:
            return
        try:
            ended.put((transfer, transfer.run()))
        except Stopped:
            return
        except BaseException as error:  # it is raised in the thread that waits
            ended.put((transfer, error))


def _watch(
    ended: queue.SimpleQueue[_Outcome], count: int, display: Display, done: Callable[[Needed, str], None]
) -> None:
    failed: list[FileFailed] = []
    for _ in range(count):
        transfer, outcome = _next(ended, display)
        if isinstance(outcome, FileFailed):
            failed.append(outcome)
        elif isinstance(outcome, BaseException):
            raise outcome
        else:
            done(transfer.needed, outcome)
    display.show()
    if len(failed) == 1:
        raise failed[0]
    if failed:
        lines = "".join(f"{os.linesep}  {error.what}" for error in failed)
        raise SetUpError(f"{len(failed)} files could not be fetched:{lines}{os.linesep}", failed[0].remedy)


def _next(ended: queue.SimpleQueue[_Outcome], display: Display) -> _Outcome:
    while True:
        display.show()
        try:
            return ended.get(timeout=_LOOK_SECONDS)
        except queue.Empty:
            continue
