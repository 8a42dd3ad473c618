"""The most memory that a step held, sampled while it runs."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator
from types import TracebackType
from typing import Any

_FIRST_PAUSE, _SECONDS = 0.02, 0.5
"""Between samples: short at first, for steps that take less than a second, then longer and longer."""
_LARGEST_SHARE = 0.05
"""Of one core's time: on a machine with very many processes the samples come less often."""


class PeakMemory:
    """Samples the memory of a process and its descendants until it is left. Never fails what it watches.

    ``host_bytes`` is the largest sum of resident memory that was seen; pages that processes share count once
    for each. ``gpu_bytes`` is the most that they held on any one NVIDIA GPU: by process where the driver
    tells it, else (inside most containers) what that GPU held more than at the start. Both are None while
    nothing is known, and ``gpu_bytes`` is unless GPUs are asked for.
    """

    def __init__(self, process_id: int, *, gpus: bool = False) -> None:
        self.host_bytes: int | None = None
        self.gpu_bytes: int | None = None
        self._process_id = process_id
        self._gpus = gpus
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="peak memory", daemon=True)

    def __enter__(self) -> PeakMemory:
        with contextlib.suppress(RuntimeError):  # no thread to be had
            self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        if self._thread.is_alive():
            self._thread.join(timeout=2 * _SECONDS)  # a driver that hangs must not hang the run

    def as_data(self) -> dict[str, int | None]:
        """For the record."""
        return {"host_bytes": self.host_bytes, "gpu_bytes": self.gpu_bytes}

    def _watch(self) -> None:
        self._sample_host()  # before anything that takes time: the shortest step has one
        with _opened_gpus(self._gpus) as gpus:
            pause = usual = _FIRST_PAUSE
            while not self._over.wait(pause):
                began = time.perf_counter()
                process_ids = self._sample_host()
                if gpus is not None:
                    with contextlib.suppress(Exception):  # a driver that cannot answer now may do so later
                        self.gpu_bytes = gpus.peak_of(process_ids)
                usual = min(2 * usual, _SECONDS)
                pause = max(usual, (time.perf_counter() - began) / _LARGEST_SHARE)

    def _sample_host(self) -> set[int]:
        import psutil

        process_ids, total = set(), 0
        with contextlib.suppress(psutil.Error, OSError):
            root = psutil.Process(self._process_id)
            for process in (root, *root.children(recursive=True)):
                with contextlib.suppress(psutil.Error, OSError):
                    total += process.memory_info().rss
                    process_ids.add(process.pid)
        if total:
            self.host_bytes = max(total, self.host_bytes or 0)
        return process_ids


class _Gpus:
    """The memory of the machine's NVIDIA GPUs."""

    def __init__(self, nvml: Any) -> None:
        self._nvml = nvml
        self._devices = [nvml.nvmlDeviceGetHandleByIndex(n) for n in range(nvml.nvmlDeviceGetCount())]
        self._at_start = [self._used(device) for device in self._devices]
        self._by_process = 0
        self._by_device = 0

    def peak_of(self, process_ids: set[int]) -> int | None:
        """The most bytes on one GPU so far, of these processes."""
        for device, at_start in zip(self._devices, self._at_start, strict=True):
            self._by_device = max(self._by_device, self._used(device) - at_start)
            told = self._nvml.nvmlDeviceGetComputeRunningProcesses(device)
            held = sum(entry.usedGpuMemory or 0 for entry in told if entry.pid in process_ids)
            self._by_process = max(self._by_process, held)
        return self._by_process or self._by_device or None

    def _used(self, device: Any) -> int:
        return int(self._nvml.nvmlDeviceGetMemoryInfo(device).used)


@contextlib.contextmanager
def _opened_gpus(wanted: bool) -> Iterator[_Gpus | None]:
    """The machine's NVIDIA GPUs; None where there are none, or no way to ask."""
    if not wanted:
        yield None
        return
    try:
        import pynvml

        pynvml.nvmlInit()
        gpus = _Gpus(pynvml)
    except Exception:  # no nvidia-ml-py, no driver, no device: nothing to measure
        yield None
        return
    try:
        yield gpus
    finally:
        pynvml.nvmlShutdown()
