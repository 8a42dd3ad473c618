"""One line of the table, and how a command is timed."""

from __future__ import annotations

import os
import shlex
import statistics
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


@dataclass(frozen=True)
class Row:
    """What was measured, the figure, the bound it is held against, and whether it holds."""

    what: str
    figure: str
    bound: str
    holds: bool


def seconds(command: Sequence[str], env: Mapping[str, str] | None = None, cwd: Path = ROOT) -> float:
    """Wall time of a command that must succeed, with byte code cached as on any user's machine."""
    began = time.perf_counter()
    merged = {**os.environ, "PYTHONDONTWRITEBYTECODE": "", **(env or {})}
    done = subprocess.run(command, cwd=cwd, env=merged, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{shlex.join(command)} ended with {done.returncode}:\n{done.stdout}{done.stderr}")
    return time.perf_counter() - began


def median_of_pairs(first: Sequence[str], second: Sequence[str], rounds: int) -> tuple[float, float]:
    """Median seconds of two commands, run alternately so that a busy machine hits both alike."""
    pairs = [(seconds(first), seconds(second)) for _ in range(rounds)]
    return statistics.median(pair[0] for pair in pairs), statistics.median(pair[1] for pair in pairs)


def python(*arguments: str) -> list[str]:
    """A command of this interpreter."""
    return [sys.executable, *arguments]
