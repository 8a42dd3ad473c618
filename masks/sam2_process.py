"""The process in which SAM 2 runs, seen from ours: starting it, talking to it, ending it."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import queue
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Final

from masks.errors import MaskError

WORKER: Final = Path(__file__).with_name("sam2_worker.py")
"""Its documentation is that of the messages."""
Message = tuple[dict[str, Any], bytes]

_HEARTBEAT: Final = 0.5
"""Seconds after which a waiting call looks whether it should stop."""
_MODULES: Final = ("torch", "sam2", "numpy", "PIL")
"""What the worker imports."""
_PATIENCE: Final = 20.0
"""Seconds until an interpreter counts as one that does not answer."""
_LAST_LINES: Final = 3
_KINDS: Final = {
    "memory": (
        "mask.sam2-memory",
        "Use a smaller SAM 2 checkpoint or --segmenter classic, or free memory that others hold.",
    ),
    "old": (
        "mask.sam2-old",
        "Install the current one: SAM2_BUILD_CUDA=0 {python} -m pip install --no-deps --no-build-isolation "
        "sam2==1.1.0",
    ),
    "checkpoint": ("mask.checkpoint-not-sam2", "Give a checkpoint as Meta published it."),
    "other": (
        "mask.sam2-failed",
        "See that torch and sam2 of {python} work, or use --segmenter classic.",
    ),
}
"""Code and remedy for each kind of failure that the worker tells apart."""


def find_python(wan22_python: Path) -> Path | None:
    """The interpreter that can run SAM 2: ours if it has torch and sam2, else upstream's, else none.

    Nothing is imported; upstream's is asked in a process of its own.
    """
    if all(importlib.util.find_spec(name) for name in _MODULES):
        return Path(sys.executable)
    script = (
        "import sys; sys.path = [entry for entry in sys.path if entry]\n"
        "from importlib.util import find_spec\n"
        "sys.exit(not all(map(find_spec, sys.argv[1:])))"
    )
    try:
        done = subprocess.run(
            [str(wan22_python), "-c", script, *_MODULES],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_PATIENCE,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return wan22_python if done.returncode == 0 else None


class Sam2Process:
    """A running worker. As a context manager it is gone when the block is left, however it is left.

    Args:
        python: the interpreter that has torch and sam2.

    Raises:
        MaskError: it cannot be started (from ``__enter__``), or fails (from the other methods).
    """

    def __init__(self, python: Path) -> None:
        self._python = python
        self._answers: queue.SimpleQueue[Message | None] = queue.SimpleQueue()

    def __enter__(self) -> Sam2Process:
        self._said: IO[bytes] = tempfile.TemporaryFile()
        environment = {**os.environ, "TQDM_DISABLE": "1", "PYTHONIOENCODING": "utf-8"}
        try:
            self._process = subprocess.Popen(
                [str(self._python), str(WORKER)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._said,
                env=environment,
                start_new_session=True,
            )
        except OSError as error:
            self._said.close()
            what = f"{self._python}, which should run SAM 2, cannot be started: {error.strerror}."
            raise MaskError(what, "Correct --wan22_python.", code="mask.sam2-python") from error
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.kill()
        self._process.wait()
        self._reader.join()
        for pipe in (self._process.stdin, self._process.stdout, self._said):
            with contextlib.suppress(OSError):  # what was not yet written to it cannot be any more
                if pipe is not None:
                    pipe.close()

    def send(self, message: dict[str, Any], content: bytes = b"") -> None:
        """Send a message and the bytes that belong to it."""
        pipe = self._process.stdin
        assert pipe is not None  # noqa: S101  Popen made it
        try:
            pipe.write(json.dumps({**message, "bytes": len(content)}).encode() + b"\n")
            pipe.write(content)
            pipe.flush()
        except OSError as error:
            self.receive(lambda: None)
            raise self._died() from error

    def receive(self, waiting: Callable[[], None]) -> Message:
        """The next answer.

        Args:
            waiting: called twice a second until it is there; raises to stop.
        """
        while True:
            try:
                answer = self._answers.get(timeout=_HEARTBEAT)
                break
            except queue.Empty:
                waiting()
        if answer is None:
            raise self._died()
        if "failed" in answer[0]:
            raise self._failure(answer[0]["failed"], answer[0]["kind"])
        return answer

    def _read(self) -> None:
        """Queue the answers as they come, and None after the last."""
        pipe = self._process.stdout
        assert pipe is not None  # noqa: S101  Popen made it
        with contextlib.suppress(OSError, ValueError):
            while line := pipe.readline():
                message = json.loads(line)
                content = pipe.read(message["bytes"])
                self._answers.put((message, content))
        self._answers.put(None)

    def _died(self) -> MaskError:
        code = self._process.wait()
        if code == -9:
            return self._failure("it was killed, as systems do when memory is short", "memory")
        self._said.seek(0)
        lines = [line for line in self._said.read().decode("utf-8", "replace").splitlines() if line.strip()]
        said = f"; it said: {' / '.join(lines[-_LAST_LINES:])[-800:]}" if lines else ""
        return self._failure(f"its process ended with exit code {code}{said}", "other")

    def _failure(self, why: str, kind: str) -> MaskError:
        code, remedy = _KINDS[kind]
        return MaskError(f"SAM 2 failed: {why.rstrip('.')}.", remedy.format(python=self._python), code=code)
