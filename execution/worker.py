"""Jobs for an engine that is a library: they run in a worker, a process of the engine's own interpreter.

A worker stays for the next job of its key, so that its model stays loaded. It runs under the supervisor as
every command does, and the messages are described in ``in_worker/worker_harness.py``, which it imports.
"""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import queue
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from execution.log import last_lines
from execution.step import GPU_MEMORY, HOST_MEMORY, Progress, StepFailed, StepRun
from execution.worker_process import Message, WorkerProcess

HARNESS: Final = Path(__file__).parent / "in_worker" / "worker_harness.py"
"""Belongs to the code of every Step that a worker does. The folder is its own: on the engine's import path
the modules beside this one could be taken for the engine's."""

CANCEL_SECONDS: Final = 5.0
"""A cancelled job has this long to end by itself; then the worker is ended, and the next loads anew."""
_GOES_ON_AFTER: Final = ("request", "cancelled")
"""Kinds of errors that leave the worker as it was. After others a GPU may answer nothing but errors."""


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
    ``run.log``, and its progress to ``run``. A key's worker does one job at a time, for one thread.

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


class _Worker(WorkerProcess):
    """A worker and the job that it works at."""

    def __init__(self, argv: Sequence[str], environment: Mapping[str, str]) -> None:
        super().__init__(argv, {**_environment(), **environment})
        self.made_of = (tuple(argv), dict(environment))
        self.ready = True
        """It can take a job: it works at none, and nothing has broken it."""
        self._count = 0

    def do(self, job: str, run: StepRun, stall_seconds: float | None) -> dict[str, Any]:
        """Do one job, given as JSON. Not ``ready`` afterwards means that the worker must be closed."""
        self.ready = False
        self._count += 1
        number = str(self._count)
        with self.output.going_to(run.log):
            try:
                self.send(f'{{"id": "{number}", "job": {job}}}')
                answer = self._follow(number, run, stall_seconds)
                self.ready = _leaves_ready(answer)
            except StepFailed:
                raise
            except BaseException:
                self.ready = self._cancel(number)
                raise
            finally:
                self.catch_up()
            return self._result(answer, run.log)

    def _follow(self, number: str, run: StepRun, stall_seconds: float | None) -> Message:
        """Report what comes until the job's last answer, and return that."""
        heard = time.monotonic()
        while True:
            try:
                answer = self.next_answer()
            except queue.Empty:
                if stall_seconds is not None and time.monotonic() - heard > stall_seconds:
                    self.kill()
                    self.wait()
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
        self.send(json.dumps({"cancel": number}))
        until = time.monotonic() + CANCEL_SECONDS
        while time.monotonic() < until:
            with contextlib.suppress(queue.Empty):
                answer = self.next_answer()
                if answer is None:
                    return False
                if answer.get("id") == number and answer["event"] in ("done", "error"):
                    return _leaves_ready(answer)
        return False

    def _result(self, answer: Message, log: Path | None) -> dict[str, Any]:
        if answer["event"] == "done":
            result = answer.get("result")
            if isinstance(result, dict):
                return result
            self.ready = False
            raise self._failure(f"its worker answered {str(result)[:100]!r}, which is no result", log)
        kind = answer.get("kind")
        told = [str(answer[name]) for name in ("message", "remedy") if answer.get(name)]
        what = " ".join(told) or "its worker gave no reason"
        if kind in (GPU_MEMORY, HOST_MEMORY):
            raise StepFailed(what, cause=kind)
        if kind in _GOES_ON_AFTER:
            raise StepFailed(what)
        raise self._failure(what, log)

    def _died(self, log: Path | None) -> StepFailed:
        code = self.wait()
        if code == 128 + 9:
            what = "its worker was killed, as systems do when memory is short"
            return self._failure(what, log, cause=HOST_MEMORY)
        how = f"signal {code - 128}" if code > 128 else f"exit code {code}"
        return self._failure(f"its worker ended with {how}", log)

    def _failure(self, what: str, log: Path | None, *, cause: str | None = None) -> StepFailed:
        lines = [what if what.endswith(".") else f"{what}.", *last_lines(self.output.end())]
        if log is not None:
            lines.append(f"Whole output: {log}")
        return StepFailed("\n".join(lines), cause=cause)


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


def _environment() -> dict[str, str]:
    path = os.environ.get("PYTHONPATH")
    return {
        "PYTHONPATH": os.pathsep.join([str(HARNESS.parent), *([path] if path else [])]),
        "PYTHONSAFEPATH": "1",  # as -P, which Python 3.10 does not know
        "PYTHONUNBUFFERED": "1",
        "PYTHONIOENCODING": "utf-8:backslashreplace",
        "PYTHONFAULTHANDLER": "1",  # a crash in a library leaves its place in the log
    }


def _leaves_ready(answer: Message) -> bool:
    return answer["event"] == "done" or answer.get("kind") in _GOES_ON_AFTER


def _progress(answer: Message) -> Progress | None:
    """What an answer tells of the position; None for one of a kind that we do not know."""
    match answer["event"]:
        case "stage":
            return Progress(str(answer.get("name", "")))
        case "progress":
            fraction = answer.get("fraction")
            if not isinstance(fraction, int | float) or fraction != fraction:  # which is true of NaN alone
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
