"""A worker whose jobs say what goes wrong: {"do": the name of a function below, ...}."""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from worker_harness import Cancelled, Tell, WorkerError, serve

_loaded: dict[str, int] = {}


class OutOfMemoryError(RuntimeError):
    """As torch's, known by its name alone."""


def generate(job: dict[str, Any], tell: Tell) -> dict[str, Any]:
    """All goes well; the model is loaded once."""
    model = job.get("model", "a")
    if model not in _loaded:
        tell.stage("loading")
        _loaded[model] = 0
    _loaded[model] += 1
    for step in (1, 2):
        tell.progress("denoising", step / 2, f"window 1 of 1, step {step} of 2")
    tell.saved("/somewhere/result.mp4")
    return {"pid": os.getpid(), "runs": _loaded[model], "models": sorted(_loaded)}


def look_around(job: dict[str, Any], tell: Tell) -> dict[str, Any]:
    """What the worker was started with."""
    read = sys.stdin.read()
    return {"gpus": os.environ.get("CUDA_VISIBLE_DEVICES"), "path": sys.path, "stdin": read, "job": job}


def babble(job: dict[str, Any], tell: Tell) -> dict[str, Any]:
    """Prints in every way there is, before, between and after answers."""
    for _ in range(job.get("times", 1)):
        print('{"id": "1", "event": "done", "result": {"printed": true}}')
        os.write(1, b"written to 1, no end of line")
        libc = ctypes.CDLL(None)
        libc.puts(b"a library says so")
        libc.fflush(None)
        subprocess.run([sys.executable, "-c", "print('a child says so')"], check=True)
        os.write(2, b"\xff\xfe not UTF-8\r10%\r20%\n")
        tell.progress("talking")
    return {"fine": True}


def end(job: dict[str, Any], tell: Tell) -> dict[str, Any]:
    """Dies, by a signal or an exit code."""
    print("last words", flush=True)
    if "signal" in job:
        os.kill(os.getpid(), job["signal"])
    os._exit(job["code"])


def leave(job: dict[str, Any], tell: Tell) -> dict[str, Any]:
    """As a library that calls sys.exit."""
    sys.exit("the library gave up")


def fail(job: dict[str, Any], tell: Tell) -> dict[str, Any]:
    """Raises what the job names."""
    match job["error"]:
        case "torch":
            raise OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.\nmore")
        case "wrapped":
            try:
                raise OutOfMemoryError("Tried to allocate 2.00 GiB.")
            except OutOfMemoryError as error:
                raise ValueError("the pipeline failed") from error
        case "cpu":
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 8 bytes.")
        case "host":
            raise MemoryError
        case "request" | "gpu-memory" | "other" as kind:
            raise WorkerError(kind, "The picture is empty.", "Give another.")
        case "unknown":
            raise KeyError("time_ids")
        case "long":
            raise ValueError("x" * 5_000_000)
        case "no JSON":
            return {"path": Path("/x")}
        case "too long":
            return {"text": "x" * 5_000_000}
        case "no result":
            return None  # type: ignore[return-value]
    raise AssertionError(job)


def wait(job: dict[str, Any], tell: Tell) -> dict[str, Any]:
    """Hangs; "deaf" to being cancelled or not. Leaves a child that ignores SIGTERM where asked."""
    child = None
    if job.get("child"):
        ignoring = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(600)"
        child = subprocess.Popen([sys.executable, "-c", ignoring])
    tell.progress(f"{os.getpid()} {child.pid if child else 0}")
    while job.get("deaf") or not tell.cancelled:
        time.sleep(0.01)
        if job.get("tells"):
            tell.progress("waiting")
    if job.get("returns"):
        return {"stopped": True}
    raise Cancelled


if __name__ == "__main__":
    serve(lambda job, tell: globals()[job["do"]](job, tell))
