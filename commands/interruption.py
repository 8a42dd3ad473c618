"""What every command does around its work: usable streams, signals, and 130 when it was interrupted."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from types import FrameType

import click

EXIT_INTERRUPTED = 130


def exit_code_of(work: Callable[[], int]) -> int:
    """Do the work and return its exit code; 130 when SIGINT or SIGTERM ended it."""
    _open_closed_streams()
    restore = _interrupt_on_signals()
    try:
        return work()
    except _interruptions():
        click.echo("Interrupted. What was finished stays; run the same command again to go on.", err=True)
        return EXIT_INTERRUPTED
    finally:
        restore()


def _open_closed_streams() -> None:
    """Started by cron or a service manager, standard streams can be closed.

    The next file to be opened would get their number, and what a native library prints would land in it.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # the lowest free number: this one
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: PTH123, SIM115


def _interruptions() -> tuple[type[BaseException], ...]:
    from execution.step import Interrupted

    return (Interrupted, KeyboardInterrupt)


def _interrupt_on_signals() -> Callable[[], None]:
    """Turn SIGINT and SIGTERM into ``Interrupted``; returns what puts the old handlers back.

    Only the first raises: it may take a while until all processes have ended, and an exception in the midst
    of that would leave some behind. The second kills them at once; a third raises again, should that fail.
    """
    from execution.process import kill_running
    from execution.step import Interrupted

    count = 0

    def interrupt(number: int, frame: FrameType | None) -> None:
        nonlocal count
        count += 1
        if count == 2:
            kill_running()
        else:
            raise Interrupted(signal.Signals(number).name)

    before = {number: signal.signal(number, interrupt) for number in (signal.SIGINT, signal.SIGTERM)}

    def restore() -> None:
        for number, handler in before.items():
            signal.signal(number, handler)

    return restore
