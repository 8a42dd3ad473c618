"""Jobs for an engine that is a library: they run in a worker, a process of the engine's own interpreter.

A worker stays for the next job of its key, so that its model stays loaded. It runs under the supervisor as
every command does, and the messages are described in ``in_worker/worker_harness.py``, which it imports.
"""

from __future__ import annotations

import atexit
import contextlib
import json
import math
import os
import queue
import select
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any, Final

from execution.log import last_lines
from execution.process import ProcessTree
from execution.step import GPU_MEMORY, HOST_MEMORY, Progress, StepFailed, StepRun

HARNESS: Final = Path(__file__).parent / "in_worker" / "worker_harness.py"
"""Belongs to the code of every Step that a worker does. The folder is its own: on the engine's import path
the modules beside this one could be taken for the engine's."""

CANCEL_SECONDS: Final = 5.0
"""A cancelled job has this long to end by itself; then the worker is ended, and the next loads anew."""
_GRACE_SECONDS: Final = 5.0
_WAKE_SECONDS: Final = 0.2
_LONGEST_LINE: Final = 4 * 1024 * 1024
_TAIL_BYTES: Final = 64 * 1024
_GOES_ON_AFTER: Final = ("request", "cancelled")
"""Kinds of errors that leave the worker as it was. After others a GPU may answer nothing but errors."""

_Message = dict[str, Any]


def run_in_worker(
    key: str,
    argv: Sequence[str],
    job: Mapping[str, Any],
    run: StepRun,
    *,
    environment: Mapping[str, str] | None = None,
    stall_seconds: float | None = None,
) -> dict[str, Any]:
    """Have the worker of this key do a job, and return what it answers.

    It is started if there is none yet, or one with another command or environment. What it prints goes to
    ``run.log``, and its progress to ``run``.

    Args:
        key: whose worker: the engine, and the GPU if there are several.
        argv: the engine's interpreter and its worker.py.
        job: plain data, for JSON.
        environment: variables for the worker besides our own, such as CUDA_VISIBLE_DEVICES.
        stall_seconds: a worker that tells nothing for this long is killed. None: it may take any time.

    Raises:
        StepFailed: the job failed; its ``cause`` is GPU_MEMORY or HOST_MEMORY where memory was short.
        Interrupted, KeyboardInterrupt: whatever ``run`` or a signal handler raises to cancel. The worker has
            stopped working at the job then.
    """
    text = json.dumps(dict(job))  # before anything starts
    worker = _worker_for(key, tuple(argv), dict(environment or {}))
    try:
        return worker.do(text, run, stall_seconds)
    finally:
        if not worker.ready:
            _forget(worker)


def close_workers() -> None:
    """End all workers, and wait until they and all that they started have ended."""
    with _lock:
        workers = list(_workers.values())
        _workers.clear()
    for worker in workers:
        worker.end()
    for worker in workers:
        worker.close()


class _Worker(ProcessTree):
    """A worker, and whatever it said that nobody has read yet."""

    def __init__(self, argv: Sequence[str], environment: Mapping[str, str]) -> None:
        path = os.environ.get("PYTHONPATH")
        ours = {
            "PYTHONPATH": os.pathsep.join([str(HARNESS.parent), *([path] if path else [])]),
            "PYTHONSAFEPATH": "1",  # as -P, which Python 3.10 does not know
            "PYTHONUNBUFFERED": "1",
            "PYTHONIOENCODING": "utf-8:backslashreplace",
            "PYTHONFAULTHANDLER": "1",  # a crash in a library leaves its place in the log
        }
        super().__init__(
            argv, cwd=None, env={**ours, **environment}, grace_seconds=_GRACE_SECONDS, relay=True
        )
        self.made_of = (tuple(argv), dict(environment))
        self.ready = True
        """It can take a job: it lives, works at none, and nothing has broken it."""
        self._count = 0
        self._answers: queue.SimpleQueue[_Message | None] = queue.SimpleQueue()
        self._output = _Output()
        self._readers = [
            threading.Thread(target=read, name="worker", daemon=True)
            for read in (self._read_answers, self._read_output)
        ]
        for reader in self._readers:
            reader.start()

    @property
    def lives(self) -> bool:
        return self._process.poll() is None

    def do(self, job: str, run: StepRun, stall_seconds: float | None) -> dict[str, Any]:
        """Do one job, given as JSON. Not ``ready`` afterwards means that the worker must be closed."""
        self.ready = False
        self._count += 1
        number = str(self._count)
        with self._output.going_to(run.log):
            try:
                self._send(f'{{"id": "{number}", "job": {job}}}')
                answer = self._follow(number, run, stall_seconds)
            except StepFailed:
                raise
            except BaseException:
                self.ready = self._cancel(number)
                raise
            finally:
                self._catch_up()
            self.ready = _leaves_ready(answer)
            return self._result(answer, run)

    def close(self) -> None:
        """End it if it still runs, and wait for it."""
        try:
            self.end()
            self._wait()
            for reader in self._readers:
                reader.join()
        finally:
            self._close()

    def _send(self, line: str) -> None:
        """Does not wait for the worker: the supervisor takes any amount."""
        pipe = self._process.stdin
        assert pipe is not None  # noqa: S101  Popen made it
        with contextlib.suppress(OSError):  # it has ended; the end of its answers tells
            pipe.write(line.encode("ascii") + b"\n")
            pipe.flush()

    def _follow(self, number: str, run: StepRun, stall_seconds: float | None) -> _Message:
        """Report what comes until the job's last answer, and return that."""
        heard = time.monotonic()
        while True:
            try:
                answer = self._answers.get(timeout=_WAKE_SECONDS)
            except queue.Empty:
                if stall_seconds is not None and time.monotonic() - heard > stall_seconds:
                    self.kill()
                    self._wait()
                    what = f"its worker told nothing for {stall_seconds:g} seconds, and was ended"
                    raise self._failure(what, run.log) from None
                continue
            if answer is None:
                raise self._died(run.log)
            if answer.get("id") != number:
                continue  # of a job that was cancelled
            heard = time.monotonic()
            if answer["event"] in ("done", "error"):
                return answer
            if progress := _progress(answer):
                _report(progress, run)

    def _cancel(self, number: str) -> bool:
        """Tell the worker to stop the job; True when it did so in time and can go on."""
        self._send(json.dumps({"cancel": number}))
        until = time.monotonic() + CANCEL_SECONDS
        while time.monotonic() < until:
            with contextlib.suppress(queue.Empty):
                answer = self._answers.get(timeout=_WAKE_SECONDS)
                if answer is None:
                    return False
                if answer.get("id") == number and answer["event"] in ("done", "error"):
                    return _leaves_ready(answer)
        return False

    def _result(self, answer: _Message, run: StepRun) -> dict[str, Any]:
        if answer["event"] == "done":
            result = answer.get("result")
            if isinstance(result, dict):
                return result
            self.ready = False
            raise self._failure(f"its worker answered {str(result)[:100]!r}, which is no result", run.log)
        kind = answer.get("kind")
        told = [str(answer[name]) for name in ("message", "remedy") if answer.get(name)]
        what = " ".join(told) or "its worker gave no reason"
        cause = kind if kind in (GPU_MEMORY, HOST_MEMORY) else None
        if kind == "other":
            raise self._failure(what, run.log)
        raise StepFailed(what, cause=cause)

    def _died(self, log: Path | None) -> StepFailed:
        code = self._wait()
        for reader in self._readers:
            reader.join()
        if code == 128 + 9:
            what = "its worker was killed, as systems do when memory is short"
            return self._failure(what, log, cause=HOST_MEMORY)
        how = f"signal {code - 128}" if code > 128 else f"exit code {code}"
        return self._failure(f"its worker ended with {how}", log)

    def _failure(self, what: str, log: Path | None, *, cause: str | None = None) -> StepFailed:
        self._catch_up()
        lines = [what if what.endswith(".") else f"{what}.", *last_lines(self._output.text())]
        if log is not None:
            lines.append(f"Whole output: {log}")
        return StepFailed("\n".join(lines), cause=cause)

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
                    self._output.add(line + b"\n")
        self._output.add(rest)
        self._answers.put(None)

    def _read_output(self) -> None:
        pipe = self._stderr()
        if sys.platform == "win32":  # which cannot wait for a pipe
            while piece := os.read(pipe.fileno(), 65536):
                self._output.add(piece)
            return
        while True:
            select.select([pipe], [], [], _WAKE_SECONDS)
            if not self._catch_up():
                return

    def _catch_up(self) -> bool:
        """Take what the worker has printed by now; False when no more can come."""
        if sys.platform == "win32":
            return True
        pipe = self._stderr()
        with self._output.reading:
            while select.select([pipe], [], [], 0)[0]:
                piece = os.read(pipe.fileno(), 65536)
                if not piece:
                    return False
                self._output.add(piece)
        return True

    def _stderr(self) -> IO[bytes]:
        pipe = self._process.stderr
        assert pipe is not None  # noqa: S101  Popen made it
        return pipe


class _Output:
    """What a worker prints: to the log of the job in work, and its end to be quoted."""

    def __init__(self) -> None:
        self.reading = threading.Lock()
        """Held from reading a piece until it is added, so that who waits for it knows that it is."""
        self._adding = threading.Lock()
        self._tail = b""
        self._log: IO[bytes] | None = None

    @contextlib.contextmanager
    def going_to(self, log: Path | None) -> Iterator[None]:
        """Append to this log, from now to the end of the block."""
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

    def text(self) -> str:
        """The end of what was printed during the job."""
        with self._adding:
            return self._tail.decode("utf-8", "replace")


_lock = threading.Lock()
_workers: dict[str, _Worker] = {}


def _worker_for(key: str, argv: tuple[str, ...], environment: dict[str, str]) -> _Worker:
    with _lock:
        worker = _workers.get(key)
        if worker is not None and not (worker.lives and worker.made_of == (argv, environment)):
            del _workers[key]
            worker.close()
            worker = None
        if worker is None:
            atexit.unregister(close_workers)
            atexit.register(close_workers)
            worker = _workers[key] = _Worker(argv, environment)
        return worker


def _forget(worker: _Worker) -> None:
    with _lock:
        for key in [key for key, known in _workers.items() if known is worker]:
            del _workers[key]
    worker.close()


def _answer_in(line: bytes) -> _Message | None:
    """The answer in a line, or None: anything can come."""
    try:
        message = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return message if isinstance(message, dict) and isinstance(message.get("event"), str) else None


def _leaves_ready(answer: _Message) -> bool:
    return answer["event"] == "done" or answer.get("kind") in _GOES_ON_AFTER


def _progress(answer: _Message) -> Progress | None:
    """What an answer tells of the position; None for one of a kind that we do not know."""
    match answer["event"]:
        case "stage":
            return Progress(str(answer.get("name", "")))
        case "progress":
            fraction = answer.get("fraction")
            if not isinstance(fraction, int | float) or not math.isfinite(fraction):
                fraction = None
            phase, detail = str(answer.get("phase", "")), str(answer.get("detail", ""))
            return Progress(phase, None if fraction is None else min(max(fraction, 0.0), 1.0), detail)
        case "saved":
            return Progress("saving", None, Path(str(answer.get("path", ""))).name)
        case _:
            return None


def _report(progress: Progress, run: StepRun) -> None:
    if run.progressed is not None:
        run.progressed(progress)
    elif progress.fraction is None:
        run.report(progress.phase, 0, 0)
    else:
        run.report(progress.phase, round(progress.fraction * 1000), 1000)
