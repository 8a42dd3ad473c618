"""What this machine's earlier runs took, and what the next one will take by them.

One JSON line for each finished step in the user's cache folder. Each names the work that the step did, in units
that its engine chose, such that time grows with them. A torn or foreign line is skipped.
"""

from __future__ import annotations

import json
import os
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Final

from execution.cache_folder import cache_folder

_LARGEST_BYTES: Final = 2**20
_KEPT_LINES: Final = 1000


@dataclass(frozen=True, kw_only=True)
class Run:
    """One finished step. ``kind`` is engine and step; ``device`` what it ran on; memory is in bytes."""

    kind: str
    device: str
    gpus: int
    work: float
    seconds: float
    gpu_bytes: int | None = None
    host_bytes: int | None = None


@dataclass(frozen=True)
class Estimate:
    """What a step will take. ``gpu_bytes`` and ``host_bytes`` are the most that as much work has needed."""

    seconds: float
    runs: int
    gpu_bytes: int | None
    host_bytes: int | None


def history_path() -> Path:
    """Where the earlier runs are kept."""
    return cache_folder() / "history.jsonl"


def remember(run: Run) -> None:
    """Add one. A history that cannot be written is none: no error."""
    path = history_path()
    line = json.dumps(asdict(run)) + "\n"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.exists() and path.stat().st_size > _LARGEST_BYTES:
            _shorten(path)
        # One write: two runs that end at once cannot mix their lines.
        descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        try:
            os.write(descriptor, line.encode())
        finally:
            os.close(descriptor)
    except OSError:
        return


def earlier_runs() -> list[Run]:
    """All that is remembered, oldest first."""
    try:
        lines = history_path().read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return []
    return [run for line in lines if (run := _parsed(line)) is not None]


def estimate(kind: str, device: str, gpus: int, work: float, runs: Sequence[Run]) -> Estimate | None:
    """By the runs of the same kind on as many of the same device; None when there is none.

    One or two runs, or runs of about the same work: their time is taken for proportional to the work. More: a
    straight line through them by least squares, whose beginning is what does not grow, such as loading.
    """
    alike = [run for run in runs if (run.kind, run.device, run.gpus) == (kind, device, gpus)]
    if not alike:
        return None
    fixed, slope = _line(alike)
    larger = [run for run in alike if run.work >= work]
    return Estimate(
        seconds=fixed + slope * work,
        runs=len(alike),
        gpu_bytes=max((run.gpu_bytes for run in larger if run.gpu_bytes), default=None),
        host_bytes=max((run.host_bytes for run in larger if run.host_bytes), default=None),
    )


def _line(runs: Sequence[Run]) -> tuple[float, float]:
    """Seconds that do not grow with the work, and seconds for each unit of it; neither is negative."""
    work, seconds = [run.work for run in runs], [run.seconds for run in runs]
    if len(runs) > 2 and max(work) > 1.5 * min(work):
        slope, fixed = statistics.linear_regression(work, seconds)
        if slope >= 0 and fixed >= 0:
            return fixed, slope
    return 0.0, statistics.median(run.seconds / run.work for run in runs)


def _parsed(line: str) -> Run | None:
    try:
        content: dict[str, Any] = json.loads(line)
        run = Run(**{field.name: content[field.name] for field in fields(Run)})
        usable = run.work > 0 and run.seconds >= 0 and isinstance(run.kind, str)
    except (ValueError, TypeError, KeyError):
        return None
    return run if usable else None


def _shorten(path: Path) -> None:
    kept = path.read_text(encoding="utf-8", errors="replace").splitlines()[-_KEPT_LINES:]
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_text("\n".join(kept) + "\n", encoding="utf-8")
    temporary.replace(path)
