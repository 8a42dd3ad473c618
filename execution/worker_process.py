"""The process of a worker, seen from ours: start it, send to it, take all that comes back, end it."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import select
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any, Final

from execution.process import ProcessTree

WAKE_SECONDS: Final = 0.2
"""A waiting call never sleeps longer: signal handlers run when the main thread wakes."""
_GRACE_SECONDS: Final = 5.0
_LONGEST_LINE: Final = 4 * 1024 * 1024
_TAIL_BYTES: Final = 64 * 1024

Message = dict[str, Any]


class WorkerProcess(ProcessTree):
    """A running worker. Two threads take what it says, so that it never waits for us.

    Args:
        argv: the engine's interpreter and its worker.py.
        environment: variables besides our own.
    """

    def __init__(self, argv: Sequence[str], environment: Mapping[str, str]) -> None:
        super().__init__(argv, cwd=None, env=environment, grace_seconds=_GRACE_SECONDS, relay=True)
        self.output = Output()
        self._answers: queue.SimpleQueue[Message | None] = queue.SimpleQueue()
        self._readers = [
            threading.Thread(target=read, name="worker", daemon=True)
            for read in (self._read_answers, self._read_output)
        ]
        for reader in self._readers:
            reader.start()

    @property
    def lives(self) -> bool:
        """It has not ended."""
        return self._process.poll() is None

    def send(self, line: str) -> None:
        """Send a line of ASCII. It does not wait for the worker: the supervisor takes any amount."""
        pipe = self._process.stdin
        assert pipe is not None  # noqa: S101  Popen made it
        with contextlib.suppress(OSError):  # it has ended; the end of its answers tells
            pipe.write(line.encode("ascii") + b"\n")
            pipe.flush()

    def next_answer(self) -> Message | None:
        """The next answer, or None after the last.

        Raises:
            queue.Empty: there is none yet.
        """
        return self._answers.get(timeout=WAKE_SECONDS)

    def wait(self) -> int:
        """Wait until it has ended and all that it said is read; returns its exit code (128 + n: signal n)."""
        code = self._wait()
        for reader in self._readers:
            reader.join()
        return code

    def close(self) -> None:
        """End it if it still runs, and wait for it."""
        try:
            self.end()
            self.wait()
        finally:
            self._close()

    def catch_up(self) -> bool:
        """Take what it has printed by now; False when no more can come."""
        if sys.platform == "win32":  # which cannot look into a pipe
            return True
        pipe = self._stderr()
        with self.output.reading:
            while select.select([pipe], [], [], 0)[0]:
                piece = os.read(pipe.fileno(), 65536)
                if not piece:
                    return False
                self.output.add(piece)
        return True

    def _read_answers(self) -> None:
        """Queue the answers as they come, and None after the last. What is no answer is output."""
        pipe = self._process.stdout
        assert pipe is not None  # noqa: S101  Popen made it
        rest = b""
        while piece := os.read(pipe.fileno(), 65536):
            *lines, rest = (rest + piece).split(b"\n")
            if len(rest) > _LONGEST_LINE:
                lines, rest = [*lines, rest], b""
            for line in lines:
                answer = _answer_in(line)
                if answer is not None:
                    self._answers.put(answer)
                elif line.strip():
                    self.output.add(line + b"\n")
        self.output.add(rest)
        self._answers.put(None)

    def _read_output(self) -> None:
        pipe = self._stderr()
        if sys.platform == "win32":
            while piece := os.read(pipe.fileno(), 65536):
                self.output.add(piece)
            return
        more = True
        while more:
            select.select([pipe], [], [], WAKE_SECONDS)
            more = self.catch_up()

    def _stderr(self) -> IO[bytes]:
        pipe = self._process.stderr
        assert pipe is not None  # noqa: S101  Popen made it
        return pipe


class Output:
    """What a worker prints: to the log of the job in work, and its end to be quoted."""

    def __init__(self) -> None:
        self.reading = threading.Lock()
        """Held from reading a piece until it is added, so that who waits for it knows that it is."""
        self._adding = threading.Lock()
        self._tail = b""
        self._log: IO[bytes] | None = None

    @contextlib.contextmanager
    def going_to(self, log: Path | None) -> Iterator[None]:
        """Append to this log, from now to the end of the block, and quote from now on."""
        with contextlib.ExitStack() as stack:
            file = None if log is None else stack.enter_context(log.open("ab", buffering=0))
            with self._adding:
                self._tail, self._log = b"", file
            try:
                yield
            finally:
                with self._adding:
                    self._log = None

    def add(self, piece: bytes) -> None:
        """Never fails: a full disk must not stop the worker."""
        with self._adding:
            self._tail = (self._tail + piece)[-_TAIL_BYTES:]
            if self._log is not None:
                with contextlib.suppress(OSError):
                    self._log.write(piece)

    def end(self) -> str:
        """The end of what was printed during the job."""
        with self._adding:
            return self._tail.decode("utf-8", "replace")


def _answer_in(line: bytes) -> Message | None:
    """The answer in a line, or None: anything can come."""
    try:
        message = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return message if isinstance(message, dict) and isinstance(message.get("event"), str) else None
