"""Run one command and leave no process of it behind. Started by ``execution.process``, never imported.

    python -P supervisor.py GRACE_SECONDS [--relay] command argument ...

It stands between the orchestrator and the command, so that the command's whole tree ends with either:

* standard input is a pipe that the orchestrator holds open: when the orchestrator dies, however it dies, the
  pipe closes and the tree is ended. With --relay what comes through it goes on to the command;
* SIGTERM ends the tree gently: every process is asked, and killed after GRACE_SECONDS. torchrun puts its
  ranks into sessions of their own and gives them 30 seconds, hence the tree walk and a grace above that;
* SIGQUIT kills it at once. (Not a second SIGTERM: two that arrive together are one.)

On Linux it adopts orphans of the tree (sub-reaper), so that a process whose parent died is still found.
Exit code: the command's own; 128 + n when signal n ended it.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator

import psutil

_PR_SET_CHILD_SUBREAPER = 36
_SWEEP_GRACE_SECONDS = 3.0


class Supervisor:
    """One command and its tree.

    Everything that happens is a message to the main thread: a signal handler that walked the process tree
    itself could be interrupted by the next one half-way.
    """

    def __init__(self, grace_seconds: float) -> None:
        self.grace_seconds = grace_seconds
        self.messages: queue.SimpleQueue[str | int] = queue.SimpleQueue()
        self.pieces: queue.SimpleQueue[bytes] = queue.SimpleQueue()

    def run(self, command: list[str], *, relay: bool) -> int:
        """Run the command to its end, or to the end of its tree; returns its exit code."""
        # A session of its own: a signal to its group cannot reach us, and ours cannot reach it unasked.
        stdin = subprocess.PIPE if relay else subprocess.DEVNULL
        child = subprocess.Popen(command, stdin=stdin, start_new_session=True)
        with _signals_for_the_main_thread_only():
            threading.Thread(target=lambda: self.messages.put(child.wait()), daemon=True).start()
            threading.Thread(target=self._watch_orchestrator, daemon=True).start()
            if child.stdin is not None:
                threading.Thread(target=self._relay, args=[child.stdin.fileno()], daemon=True).start()
        kill_at: float | None = None
        while True:
            message = self._next(kill_at)
            if isinstance(message, int):
                self._sweep(kill_at)
                return message if message >= 0 else 128 - message
            if message == _END and kill_at is None:
                kill_at = time.monotonic() + self.grace_seconds
                _signal_tree(signal.SIGTERM)
            elif message == _KILL_NOW:
                kill_at = time.monotonic()
                _signal_tree(_KILL)

    def _next(self, kill_at: float | None) -> str | int:
        """The next message; past ``kill_at`` the order to kill, again and again until the command is gone."""
        while True:
            # Never for long at a stretch: a signal that comes just before the wait begins does not end it.
            try:
                return self.messages.get(timeout=_WAKE_SECONDS)
            except queue.Empty:
                if kill_at is not None and time.monotonic() >= kill_at:
                    return _KILL_NOW

    def _watch_orchestrator(self) -> None:
        while piece := os.read(0, 65536):
            self.pieces.put(piece)
        self.messages.put(_END)

    def _relay(self, pipe: int) -> None:
        """Hand on what comes. Apart from the watch: a command that does not read must not stop that."""
        with contextlib.suppress(OSError):  # the command has ended
            while piece := self.pieces.get():
                while piece:
                    piece = piece[os.write(pipe, piece) :]

    def _sweep(self, kill_at: float | None) -> None:
        """End what the command left running."""
        deadline = time.monotonic() + _SWEEP_GRACE_SECONDS if kill_at is None else kill_at
        number: signal.Signals | None = signal.SIGTERM
        while _signal_tree(_KILL if time.monotonic() >= deadline else number):
            number = None
            try:
                if self.messages.get(timeout=0.02) == _KILL_NOW:
                    deadline = time.monotonic()
            except queue.Empty:
                pass


_END, _KILL_NOW = "end", "kill"
_WAKE_SECONDS = 0.1
_KILL = signal.SIGTERM if sys.platform == "win32" else signal.SIGKILL  # Windows has one way to end


def _signal_tree(number: signal.Signals | None) -> int:
    """Send a signal to every living descendant; returns how many there are."""
    count = 0
    for process in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):
            if process.status() == psutil.STATUS_ZOMBIE:
                continue
            count += 1
            if number is not None:
                process.send_signal(number)
    return count


@contextlib.contextmanager
def _signals_for_the_main_thread_only() -> Iterator[None]:
    """Threads started inside never receive a signal.

    One that arrived in another thread would not wake the main thread, which alone runs the handlers.
    """
    if sys.platform == "win32":
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGQUIT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _adopt_orphans() -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def main() -> int:
    """Run the command under supervision."""
    relay = sys.argv[2] == "--relay"
    command = sys.argv[3 if relay else 2 :]
    _adopt_orphans()
    supervisor = Supervisor(float(sys.argv[1]))
    signal.signal(signal.SIGTERM, lambda number, frame: supervisor.messages.put(_END))
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if sys.platform != "win32":
        signal.signal(signal.SIGQUIT, lambda number, frame: supervisor.messages.put(_KILL_NOW))
    try:
        return supervisor.run(command, relay=relay)
    except OSError as error:
        print(f"{command[0]} cannot be started: {error.strerror}", file=sys.stderr)
        return 127


if __name__ == "__main__":
    sys.exit(main())
