"""What this machine's earlier runs took, and what the next one will take by them.

One JSON line for each finished step in the user's cache folder. Each names the work that the step did, in
units that its engine chose, such that time grows with them, and the sizes with which its memory grows. A torn
or foreign line is skipped.
"""

from __future__ import annotations

import json
import os
import statistics
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, fields
from itertools import combinations
from pathlib import Path
from typing import Any, Final

from execution.cache_folder import cache_folder

_LARGEST_BYTES: Final = 2**20
_KEPT_LINES: Final = 1000
_COUNTED: Final = 30
"""The latest runs of a kind: drivers and versions change."""
_APART: Final = 1.5
"""Two runs whose work differs by this factor tell what does not grow with it."""
_LARGEST: Final = 1e30


@dataclass(frozen=True, kw_only=True)
class Work:
    """What a step has to do, in units of its engine.

    ``amount`` is what its time grows with; ``gpu_size`` and ``host_size`` what its memory grows with, None
    where that is not told. ``variant`` parts runs of a step that cannot be compared, as those of two modes.
    """

    amount: float
    variant: str = ""
    gpu_size: float | None = None
    host_size: float | None = None


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
    gpu_size: float | None = None
    """What the GPU's memory grows with, in units of the engine; None where it was not told."""
    host_size: float | None = None


@dataclass(frozen=True)
class Estimate:
    """What a step will take. The bytes are upper bounds; None where nothing is known."""

    seconds: float
    runs: int
    gpu_bytes: int | None
    host_bytes: int | None


def history_path() -> Path:
    """Where the earlier runs are kept."""
    return cache_folder() / "history.jsonl"


def remember(run: Run) -> None:
    """Add one. A history that cannot be written is none: no error."""
    line = json.dumps(asdict(run)) + "\n"
    try:
        path = history_path()
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.exists() and path.stat().st_size > _LARGEST_BYTES:
            _shorten(path)
        descriptor = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o644)
        try:
            if _ends_torn(descriptor):
                line = "\n" + line
            # One write: two runs that end at once cannot mix their lines.
            os.write(descriptor, line.encode())
        finally:
            os.close(descriptor)
    except (OSError, RuntimeError):  # RuntimeError: a user without a home folder
        return


def earlier_runs() -> list[Run]:
    """All that is remembered, oldest first."""
    try:
        lines = history_path().read_text(encoding="utf-8", errors="replace").splitlines()
    except (OSError, RuntimeError):
        return []
    return [run for line in lines if (run := _parsed(line)) is not None]


def estimate(kind: str, device: str, gpus: int, work: Work, runs: Sequence[Run]) -> Estimate | None:
    """By the latest runs of the same kind on as many of the same device; None when there is none.

    One or two runs, or runs of about the same work: their time is taken for proportional to the work. More: a
    straight line, whose slope is the median of those between any two runs (Theil and Sen: one run on a busy
    machine does not tilt it), and whose beginning is what does not grow, such as loading.

    Memory is what the next larger runs needed, so it is an upper bound; None where none was as large.
    """
    alike = [run for run in runs if (run.kind, run.device, run.gpus) == (kind, device, gpus)][-_COUNTED:]
    if not alike:
        return None
    fixed, slope = _line(alike)
    return Estimate(
        seconds=fixed + slope * work.amount,
        runs=len(alike),
        gpu_bytes=_most_bytes(work.gpu_size, [(run.gpu_size, run.gpu_bytes) for run in alike]),
        host_bytes=_most_bytes(work.host_size, [(run.host_size, run.host_bytes) for run in alike]),
    )


def _line(runs: Sequence[Run]) -> tuple[float, float]:
    """Seconds that do not grow with the work, and seconds for each unit of it; neither is negative."""
    ordered = sorted(runs, key=lambda run: run.work)
    slopes = [
        (more.seconds - less.seconds) / (more.work - less.work)
        for less, more in combinations(ordered, 2)
        if more.work > _APART * less.work
    ]
    if len(runs) > 2 and slopes:
        slope = statistics.median(slopes)
        fixed = statistics.median(run.seconds - slope * run.work for run in runs)
        if slope >= 0 and fixed >= 0:
            return fixed, slope
    return 0.0, statistics.median(run.seconds / run.work for run in runs)


def _most_bytes(size: float | None, seen: Sequence[tuple[float | None, int | None]]) -> int | None:
    """The most that runs of the smallest size that is not below ``size`` have needed."""
    if size is None:
        return None
    known = [(at, needed) for at, needed in seen if at is not None and needed is not None and at >= size]
    next_size = min((at for at, _ in known), default=None)
    return max((needed for at, needed in known if at == next_size), default=None)


_CHECKS: Final[dict[str, Callable[[Any], bool]]] = {
    "kind": lambda value: isinstance(value, str),
    "device": lambda value: isinstance(value, str),
    "gpus": lambda value: isinstance(value, int),
    "work": lambda value: _is_number(value) and value >= 1,
    "seconds": lambda value: _is_number(value),
    "gpu_bytes": lambda value: value is None or (isinstance(value, int) and _is_number(value)),
    "host_bytes": lambda value: value is None or (isinstance(value, int) and _is_number(value)),
    "gpu_size": lambda value: value is None or _is_number(value),
    "host_size": lambda value: value is None or _is_number(value),
}


def _parsed(line: str) -> Run | None:
    try:
        content: Any = json.loads(line)
    except (ValueError, RecursionError):
        return None
    if not isinstance(content, dict):
        return None
    values: dict[str, Any] = {field.name: content.get(field.name) for field in fields(Run)}
    return Run(**values) if all(_CHECKS[name](value) for name, value in values.items()) else None


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value < _LARGEST


def _ends_torn(descriptor: int) -> bool:
    """Whether the last line was not written to its end."""
    size = os.fstat(descriptor).st_size
    if not size:
        return False
    os.lseek(descriptor, size - 1, os.SEEK_SET)
    return os.read(descriptor, 1) != b"\n"


def _shorten(path: Path) -> None:
    kept = path.read_text(encoding="utf-8", errors="replace").splitlines()[-_KEPT_LINES:]
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_text("\n".join(kept) + "\n", encoding="utf-8")
    temporary.replace(path)
