"""How fast a model is, by the size of its batches; and the size that was found best, remembered."""

from __future__ import annotations

import hashlib
import json
import platform
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import Any, Final

from engines.frame.configuration import FrameConfiguration
from engines.frame.model import BaseAnimationModel, Driving, ModelError
from execution.cache_folder import cache_folder

NEAR_ENOUGH: Final = 0.05
"""The smallest batch whose speed is within this share of the best is taken."""
SIZES: Final = (1, 2, 4, 8, 16)
_LEAST_CALLS: Final = 5
_WARM_UP: Final = 2


@dataclass(frozen=True)
class Measured:
    """One size of batch. Seconds are of a whole batch: that long a frame waits at least."""

    batch_size: int
    frames: int
    frames_per_second: float
    latency_median: float
    latency_p95: float
    memory_bytes: int
    """Most memory that this process has held, measured after each batch."""

    def as_data(self) -> dict[str, Any]:
        """As plain data."""
        return asdict(self)


@dataclass(frozen=True)
class Skipped:
    """A size that was not measured, and why."""

    batch_size: int
    why: str


def measure(
    model: BaseAnimationModel, driving: Sequence[Driving], batch_size: int, seconds: float
) -> Measured:
    """Animate frames of ``driving``, over and over, for so many seconds and at least a few batches.

    The first batches are not counted. The model is loaded and has its source image.

    Raises:
        ModelError: the model fails.
    """
    frames = _endless(driving, batch_size)
    for _ in range(_WARM_UP):
        model.animate_batch(next(frames))
    times: list[float] = []
    peak = _memory()
    began = time.perf_counter()
    while len(times) < _LEAST_CALLS or time.perf_counter() - began < seconds:
        batch = next(frames)
        before = time.perf_counter()
        model.animate_batch(batch)
        times.append(time.perf_counter() - before)
        if len(times) % 16 == 1:
            peak = max(peak, _memory())
    return Measured(
        batch_size=batch_size,
        frames=len(times) * batch_size,
        frames_per_second=len(times) * batch_size / sum(times),
        latency_median=statistics.median(times),
        latency_p95=sorted(times)[min(len(times) - 1, int(0.95 * len(times)))],
        memory_bytes=peak,
    )


def measure_sizes(
    model: BaseAnimationModel,
    driving: Sequence[Driving],
    sizes: Sequence[int],
    seconds: float,
    report: Callable[[Measured | Skipped], None] = lambda result: None,
) -> list[Measured | Skipped]:
    """Measure each size; those that the model does not take are skipped, and all after memory ran out.

    Args:
        seconds: of all sizes together.

    Raises:
        ModelError: the model fails of something else than memory.
    """
    capabilities = model.capabilities()
    results: list[Measured | Skipped] = []
    full = False
    for size in sizes:
        if size > capabilities.max_batch:
            why = f"the model takes up to {capabilities.max_batch} at once"
            result: Measured | Skipped = Skipped(size, why)
        elif full:
            result = Skipped(size, "memory ran out with a smaller batch")
        else:
            try:
                result = measure(model, driving, size, seconds / len(sizes))
            except (MemoryError, ModelError) as error:
                if not ran_out_of_memory(error):
                    raise
                full, result = True, Skipped(size, "memory ran out")
        results.append(result)
        report(result)
    return results


def ran_out_of_memory(error: BaseException) -> bool:
    """Whether an error is about memory, by its kind or name: libraries have errors of their own."""
    causes = (error, error.__cause__)
    return any("OutOfMemory" in type(each).__name__ or isinstance(each, MemoryError) for each in causes)


def best(results: Sequence[Measured | Skipped]) -> Measured | None:
    """The smallest batch that is nearly as fast as the fastest; None when none was measured."""
    measured = sorted(
        (each for each in results if isinstance(each, Measured)), key=lambda each: each.batch_size
    )
    if not measured:
        return None
    fastest = max(each.frames_per_second for each in measured)
    return next(each for each in measured if each.frames_per_second >= (1 - NEAR_ENOUGH) * fastest)


def _endless(driving: Sequence[Driving], batch_size: int) -> Iterator[list[Driving]]:
    place = 0
    while True:
        yield [driving[(place + offset) % len(driving)] for offset in range(batch_size)]
        place += batch_size


def _memory() -> int:
    import psutil

    return int(psutil.Process().memory_info().rss)


# -------------------------------------------------------------------------------------------- remembering


def remember(configuration: FrameConfiguration, batch_size: int) -> Path:
    """Keep the best batch for ``batch_size: auto`` on this machine. Returns the file."""
    path = _file(configuration)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"batch_size": batch_size}), encoding="utf-8")
    return path


def remembered_batch(configuration: FrameConfiguration) -> int | None:
    """The batch that was found best for this model, file, GPU and machine; None when none was measured."""
    try:
        found = json.loads(_file(configuration).read_text(encoding="utf-8"))["batch_size"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return found if isinstance(found, int) and found > 0 else None


def _file(configuration: FrameConfiguration) -> Path:
    """Named for what the speed depends on: the model, its file and keys, the device, the library."""
    path = configuration.model_path
    stat = None if path is None or not path.exists() else (path.stat().st_size, path.stat().st_mtime_ns)
    options = sorted((key, repr(value)) for key, value in configuration.options.items())
    parts = (
        configuration.model,
        stat,
        configuration.gpu_id,
        options,
        platform.processor(),
        _devices(),
        _version(),
    )
    name = hashlib.sha256(repr(parts).encode()).hexdigest()[:16]
    return cache_folder() / "frame_batches" / f"{name}.json"


def _devices() -> list[str]:
    from engines.machine import gpus

    return [gpu.name for gpu in gpus()]


def _version() -> str:
    for package in ("onnxruntime", "onnxruntime-gpu"):
        try:
            return f"{package} {metadata.version(package)}"
        except metadata.PackageNotFoundError:
            continue
    return ""
