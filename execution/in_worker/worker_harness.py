"""What an engine's worker imports to be one. It runs in the engine's own interpreter: Python 3.10 or newer.

    from worker_harness import Tell, WorkerError, serve

    def handle(job: dict[str, Any], tell: Tell) -> dict[str, Any]:
        ...

    if __name__ == "__main__":
        serve(handle)

The standard library alone, and nothing of ours: this folder is the only one of ours on the worker's path.
Jobs come in on standard input and answers go out on standard output, one line of JSON each:

    in      {"id": "1", "job": {...}}
            {"cancel": "1"}
    out     {"id": "1", "event": "stage", "name": "loading"}
            {"id": "1", "event": "progress", "phase": "denoising", "fraction": 0.5, "detail": "step 10 of 20"}
            {"id": "1", "event": "saved", "path": "/where/it/is.mp4"}
            {"id": "1", "event": "done", "result": {...}}
            {"id": "1", "event": "error", "kind": "gpu-memory", "message": "...", "remedy": "..."}

``serve`` takes both streams for itself, and what anything else prints goes to standard error, the step's log.
The process ends when standard input is closed, in the middle of anything, so that it never outlives who
started it.
"""

from __future__ import annotations

import json
import os
import queue
import sys
import threading
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

GPU_MEMORY, HOST_MEMORY, REQUEST, CANCELLED, OTHER = (
    "gpu-memory",
    "host-memory",
    "request",
    "cancelled",
    "other",
)
"""Kinds of errors. After ``REQUEST`` and ``CANCELLED`` the worker goes on; after the others it is ended."""

LONGEST_ANSWER = 4 * 1024 * 1024
"""Bytes. Large data goes into files."""
_LONGEST_MESSAGE = 2000

_GPU_WORDS = (
    "CUDA out of memory",
    "HIP out of memory",
    "MPS backend out of memory",
    "CUBLAS_STATUS_ALLOC_FAILED",
)
_HOST_WORDS = ("DefaultCPUAllocator", "Cannot allocate memory")
"""What torch says in a plain RuntimeError."""


class WorkerError(Exception):
    """A job failed for a cause that the worker understands.

    Args:
        kind: ``"gpu-memory"``, ``"host-memory"``, ``"request"`` (the job asks for what cannot be) or
            ``"other"``.
        message: the cause, a sentence for people.
        remedy: what they can do about it.
    """

    def __init__(self, kind: str, message: str, remedy: str = "") -> None:
        super().__init__(message)
        self.kind, self.message, self.remedy = kind, message, remedy


class Cancelled(WorkerError):
    """The handler stopped because ``Tell.cancelled`` was set, and is fit for the next job."""

    def __init__(self) -> None:
        super().__init__(CANCELLED, "The job was cancelled.")


class Tell:
    """What a handler tells about its job while it works. Any thread may call it."""

    def __init__(self, say: Callable[..., None], is_cancelled: Callable[[], bool]) -> None:
        self._say, self._is_cancelled = say, is_cancelled

    def stage(self, name: str) -> None:
        """What is done from now on, such as ``"loading"``."""
        self._say("stage", name=name)

    def progress(self, phase: str, fraction: float | None = None, detail: str = "") -> None:
        """How far the phase is, 0 to 1 or None, and in words: ``"window 2 of 3, step 7 of 20"``."""
        self._say(
            "progress", phase=phase, fraction=None if fraction is None else float(fraction), detail=detail
        )

    def saved(self, path: str | os.PathLike[str]) -> None:
        """A file was written to the end."""
        self._say("saved", path=os.fspath(path))

    @property
    def cancelled(self) -> bool:
        """The job shall stop. Look at every step; raise ``Cancelled`` once all is fit for the next job."""
        return self._is_cancelled()


Handler = Callable[[dict[str, Any], Tell], dict[str, Any]]


def serve(handle: Handler) -> None:
    """Answer jobs until standard input is closed. Never returns.

    The handler runs in the main thread, one job at a time, and answers plain data. What it keeps in global
    variables, such as a loaded model, is there for the next job.
    """
    jobs, answers = _take_streams()
    _Server(answers).run(jobs, handle)


class _Server:
    def __init__(self, answers: int) -> None:
        self._answers = answers
        self._writing = threading.Lock()
        self._waiting: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
        self._cancelled: set[str] = set()

    def run(self, jobs: int, handle: Handler) -> None:
        self._write(b"\n")  # ends the line that somebody may have begun
        threading.Thread(target=self._read, args=[jobs], daemon=True).start()
        while True:
            message = self._waiting.get()
            self._do(str(message["id"]), message["job"], handle)

    def _read(self, jobs: int) -> None:
        with os.fdopen(jobs, "rb") as lines:
            for line in lines:
                message = json.loads(line)
                if "cancel" in message:
                    self._cancelled.add(str(message["cancel"]))
                else:
                    self._waiting.put(message)
        os._exit(0)  # nobody waits for an answer any more

    def _do(self, number: str, job: dict[str, Any], handle: Handler) -> None:
        def say(event: str, **words: Any) -> None:
            self._say({"id": number, "event": event, **words})

        try:
            result = handle(job, Tell(say, lambda: number in self._cancelled))
            say("done", result=result)
        except Exception as error:
            known = _understood(error)
            if not isinstance(error, WorkerError):
                traceback.print_exc()
            say("error", kind=known.kind, message=known.message[:_LONGEST_MESSAGE], remedy=known.remedy)

    def _say(self, message: dict[str, Any]) -> None:
        line = json.dumps(message).encode("ascii") + b"\n"
        if len(line) > LONGEST_ANSWER:
            raise ValueError(f"an answer of {len(line)} bytes is too long; large data goes into files")
        self._write(line)

    def _write(self, line: bytes) -> None:
        with self._writing:
            try:
                while line:
                    line = line[os.write(self._answers, line) :]
            except OSError:
                os._exit(1)  # nobody listens


def _take_streams() -> tuple[int, int]:
    """Descriptors of the jobs and the answers, which nobody else reads or writes from now on."""
    sys.stdout.flush()
    jobs, answers = os.dup(0), os.dup(1)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    os.dup2(2, 1)
    return jobs, answers


def _understood(error: BaseException) -> WorkerError:
    """The error as it is told: by its type's name or its words, since torch may not even be installed."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, WorkerError):
            return cause
        names = {kind.__name__ for kind in type(cause).__mro__}
        text = str(cause)
        if "OutOfMemoryError" in names or any(words in text for words in _GPU_WORDS):
            return WorkerError(GPU_MEMORY, f"The GPU's memory is full: {_first_line(text)}")
        if "MemoryError" in names or any(words in text for words in _HOST_WORDS):
            return WorkerError(HOST_MEMORY, f"The machine's memory is full: {_first_line(text)}".rstrip(": "))
        cause = cause.__cause__
    frames = traceback.extract_tb(error.__traceback__)
    place = f" ({Path(frames[-1].filename).name}, line {frames[-1].lineno})" if frames else ""
    return WorkerError(OTHER, f"{type(error).__name__}: {error}{place}")


def _first_line(text: str) -> str:
    return next((line for line in text.splitlines() if line.strip()), "")[:300]
