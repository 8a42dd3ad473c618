"""Keep what native libraries print away from the terminal."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def native_output_to(log: Path) -> Iterator[None]:
    """Send what native libraries print on standard error to the log; Python's own goes on to the terminal."""
    sys.stderr.flush()
    terminal = os.dup(2)
    python_stderr = sys.stderr
    escaped = os.fdopen(
        terminal, "w", buffering=1, encoding=python_stderr.encoding, errors="backslashreplace"
    )
    log.write_bytes(b"")
    with log.open("ab", buffering=0) as file, escaped as stream:  # others append to it at the same time
        os.dup2(file.fileno(), 2)
        try:
            if python_stderr is sys.__stderr__:
                sys.stderr = stream
            yield
        finally:
            sys.stderr = python_stderr
            os.dup2(terminal, 2)
