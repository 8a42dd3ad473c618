"""Run one command and leave no process of it behind. Started by ``execution.process``, never imported.

    python -I supervisor.py GRACE_SECONDS command argument ...

It stands between the orchestrator and the command, so that the command's whole tree ends with either:

* standard input is a pipe that the orchestrator holds open: when the orchestrator dies, however it dies, the
  pipe closes and the tree is ended;
* SIGTERM ends the tree gently: every process is asked, and killed after GRACE_SECONDS. torchrun puts its
  ranks into sessions of their own and gives them 30 seconds, hence the tree walk and a grace above that;
* a second SIGTERM kills at once.

On Linux it adopts orphans of the tree (sub-reaper), so that a process whose parent died is still found.
Exit code: the command's own; 128 + n when signal n ended it.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import threading
import time
from types import FrameType

_PR_SET_CHILD_SUBREAPER = 36
_SWEEP_GRACE_SECONDS = 3.0


class Supervisor:
    """One command and the ways to end it."""

    def __init__(self, grace_seconds: float) -> None:
        self.grace_seconds = grace_seconds
        self.requests = 0
        self.kill_at: float | None = None

    def end(self) -> None:
        """Ask the tree to end; asked again, kill it. Called by the signal handler, in the main thread."""
        self.requests += 1
        if self.requests == 1:
            self.kill_at = time.monotonic() + self.grace_seconds
            killer = threading.Timer(self.grace_seconds, _signal_tree, [_KILL])
            killer.daemon = True
            killer.start()
            _signal_tree(signal.SIGTERM)
        else:
            self.kill_at = time.monotonic()
            _signal_tree(_KILL)

    def run(self, command: list[str]) -> int:
        """Run the command to its end, or to the end of its tree; returns its exit code."""
        # A session of its own: a signal to its group cannot reach us, and ours cannot reach it unasked.
        child = subprocess.Popen(command, stdin=subprocess.DEVNULL, start_new_session=True)
        if self.requests:  # asked before there was anything to end
            _signal_tree(signal.SIGTERM)
        code = child.wait()
        self._sweep()
        return code if code >= 0 else 128 - code

    def _sweep(self) -> None:
        """End what the command left running."""
        deadline = self.kill_at if self.kill_at is not None else time.monotonic() + _SWEEP_GRACE_SECONDS
        asked = False
        while _signal_tree(None if asked else signal.SIGTERM):
            asked = True
            if time.monotonic() >= deadline:
                _signal_tree(_KILL)
            time.sleep(0.02)


_KILL = signal.SIGTERM if sys.platform == "win32" else signal.SIGKILL  # Windows has one way to end


def _signal_tree(number: signal.Signals | None) -> int:
    """Send a signal to every living descendant; returns how many there are."""
    import psutil

    count = 0
    for process in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):
            if process.status() == psutil.STATUS_ZOMBIE:
                continue
            count += 1
            if number is not None:
                process.send_signal(number)
    return count


def _adopt_orphans() -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def main() -> int:
    """Run ``sys.argv[2:]`` under supervision."""
    _adopt_orphans()
    supervisor = Supervisor(float(sys.argv[1]))

    def on_signal(number: int, frame: FrameType | None) -> None:
        supervisor.end()

    def on_orphaned() -> None:
        while os.read(0, 1):
            pass
        # Through a signal, so that the main thread alone ends the tree.
        os.kill(os.getpid(), signal.SIGTERM)

    signal.signal(signal.SIGTERM, on_signal)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=on_orphaned, daemon=True).start()
    try:
        return supervisor.run(sys.argv[2:])
    except OSError as error:
        print(f"{sys.argv[2]} cannot be started: {error.strerror}", file=sys.stderr)
        return 127


if __name__ == "__main__":
    sys.exit(main())
