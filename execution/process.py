"""Start a command under the supervisor, keep all of its output, and read it line by line."""

from __future__ import annotations

import contextlib
import os
import re
import select
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

TERMINATION_GRACE_SECONDS = 35.0
"""torchrun gives its ranks a fixed 30 seconds after SIGTERM; killing it sooner leaves them on the GPUs."""

_SUPERVISOR = Path(__file__).with_name("supervisor.py")
_LINE_ENDS = re.compile(rb"[\r\n]+")
_LONGEST_LINE = 64 * 1024

_WAKE_SECONDS = 0.2
"""A signal can land in a library's thread; the main thread, which runs the handlers, sees it on waking."""

_running: set[ProcessTree] = set()


def kill_running() -> None:
    """Kill every command that still runs, with its whole tree, at once. For a signal handler."""
    for process in list(_running):
        process.kill()


class ProcessTree:
    """A command that runs under the supervisor, with all that it starts.

    Args:
        relay: what is written to its standard input reaches the command, and its standard error comes apart
            from its standard output. Otherwise the command reads nothing, and both come together.
    """

    def __init__(
        self,
        argv: Sequence[str],
        *,
        cwd: Path | None,
        env: Mapping[str, str],
        grace_seconds: float,
        relay: bool = False,
    ) -> None:
        options = ["--relay"] if relay else []
        self._process = subprocess.Popen(
            # -P: nothing is imported by accident. Not -I: psutil may be installed for this user alone.
            [sys.executable, "-P", str(_SUPERVISOR), str(grace_seconds), *options, *argv],
            cwd=cwd,
            env={**os.environ, **env},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE if relay else subprocess.STDOUT,
            start_new_session=True,
        )
        _running.add(self)

    @property
    def process_id(self) -> int:
        """The supervisor's: the root of the command's tree."""
        return self._process.pid

    def end(self) -> None:
        """Ask the whole tree to end; what has not ended after the grace is killed. Returns at once."""
        if self._process.poll() is not None:
            return
        if sys.platform == "win32" and self._process.stdin is not None:
            self._process.stdin.close()  # terminating would end the supervisor alone and spare the tree
        else:
            self._process.terminate()

    def kill(self) -> None:
        """Kill the whole tree. Returns at once."""
        if sys.platform == "win32":
            self.end()  # the one way there is, and it does not wait
        elif self._process.poll() is None:
            self._process.send_signal(signal.SIGQUIT)

    def _wait(self) -> int:
        while True:
            with contextlib.suppress(subprocess.TimeoutExpired):
                return self._process.wait(timeout=_WAKE_SECONDS)

    def _close(self) -> None:
        """Forget the tree, which has ended."""
        _running.discard(self)
        for stream in (self._process.stdin, self._process.stdout, self._process.stderr):
            with contextlib.suppress(OSError):  # what was not yet written to it cannot be any more
                if stream is not None:
                    stream.close()


class SupervisedProcess(ProcessTree):
    """A running command with its whole tree. Use as a context manager: leaving it ends what still runs."""

    def __init__(
        self,
        argv: Sequence[str],
        *,
        cwd: Path | None,
        env: Mapping[str, str],
        log: Path,
        grace_seconds: float = TERMINATION_GRACE_SECONDS,
    ) -> None:
        self._log = log
        super().__init__(argv, cwd=cwd, env=env, grace_seconds=grace_seconds)

    def follow(self, read_line: Callable[[str], None]) -> int:
        """Copy the output to the log, byte for byte, hand each line on as text, and return the exit code.

        Lines end at carriage returns too (progress bars). What is not UTF-8 is replaced, never refused.
        """
        stream = self._process.stdout
        if stream is None:
            raise ValueError("the process was started without a pipe")
        rest = b""
        with self._log.open("wb", buffering=0) as log:
            while piece := _read(stream.fileno()):
                log.write(piece)
                *lines, rest = _LINE_ENDS.split(rest + piece)
                rest = rest[-_LONGEST_LINE:]
                for line in lines:
                    read_line(line.decode("utf-8", "replace"))
        if rest:
            read_line(rest.decode("utf-8", "replace"))
        return self._wait()

    def __enter__(self) -> SupervisedProcess:
        return self

    def __exit__(self, *exc_info: object) -> None:
        """End the tree if it still runs, and wait for it."""
        try:
            if self._process.poll() is None:
                self.end()
                self._drain()
                self._wait()
        finally:
            self._close()

    def _drain(self) -> None:
        """Keep the pipe empty while the tree ends, so that nobody blocks on writing its last words."""
        stream = self._process.stdout
        if stream is None:
            return
        with self._log.open("ab", buffering=0) as log:
            while piece := _read(stream.fileno()):
                log.write(piece)


def _read(descriptor: int) -> bytes:
    """The next piece of a pipe, empty at its end. Never sleeps for long at a stretch."""
    if sys.platform != "win32":  # which cannot wait for a pipe
        while not select.select([descriptor], [], [], _WAKE_SECONDS)[0]:
            pass
    return os.read(descriptor, 65536)
