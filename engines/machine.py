"""What this machine has: GPUs, memory, disks. Asked in a few milliseconds, without torch and without CUDA."""

from __future__ import annotations

import contextlib
import os
import platform
import shutil
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

DEVICE_FILES: Final = Path("/dev")
CONTROL_GROUP: Final = Path("/sys/fs/cgroup")
_UNLIMITED: Final = 2**60
"""Control groups of version 1 say "no limit" with a number near 2**63."""


@dataclass(frozen=True)
class Gpu:
    """One NVIDIA GPU that a program started now could use. Sizes are in bytes."""

    index: int
    """Its number in the driver's order, which ``CUDA_VISIBLE_DEVICES`` names."""
    name: str
    uuid: str
    memory_total: int
    memory_free: int
    generation: tuple[int, int]
    """Compute capability, such as (8, 0)."""


@dataclass(frozen=True)
class Memory:
    """The host's memory in bytes, a container's limit included."""

    total: int
    """Memory and swap together."""
    available: int
    """What a new program could have now, swap included."""


# ------------------------------------------------------------------------------------------------- GPUs


@contextlib.contextmanager
def _driver() -> Iterator[Any]:
    """NVIDIA's management library, opened; None where there is no driver."""
    import pynvml

    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:
        yield None
        return
    try:
        yield pynvml
    finally:
        pynvml.nvmlShutdown()


def gpus() -> tuple[Gpu, ...]:
    """The GPUs in the order in which a program sees them; empty without a driver.

    ``CUDA_VISIBLE_DEVICES`` is honoured as CUDA does: numbers, or beginnings of identifiers; what comes after
    the first entry that names nothing is not seen.
    """
    with _driver() as nvml:
        if nvml is None:
            return ()
        numbers = range(nvml.nvmlDeviceGetCount())
        every = [gpu for number in numbers if (gpu := _gpu(nvml, number)) is not None]
        visible = os.environ.get("CUDA_VISIBLE_DEVICES")
        return tuple(every) if visible is None else tuple(_visible(nvml, every, visible))


def gpus_are_hidden() -> bool:
    """Whether ``CUDA_VISIBLE_DEVICES`` leaves none to see."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    return visible is not None and visible.strip() in ("", "-1", "none", "NoDevFiles")


def gpu_files_exist() -> bool:
    """Whether the system has device files of NVIDIA GPUs, though their driver may not answer."""
    return any(DEVICE_FILES.glob("nvidia[0-9]*"))


def _gpu(nvml: Any, number: int, uuid: str = "") -> Gpu | None:
    """The GPU of this number, or of this identifier; None for one that does not answer."""
    try:
        handle = (
            nvml.nvmlDeviceGetHandleByUUID(uuid.encode()) if uuid else nvml.nvmlDeviceGetHandleByIndex(number)
        )
        memory = nvml.nvmlDeviceGetMemoryInfo(handle)
        major, minor = nvml.nvmlDeviceGetCudaComputeCapability(handle)
        return Gpu(
            index=number,
            name=_text(nvml.nvmlDeviceGetName(handle)),
            uuid=uuid or _text(nvml.nvmlDeviceGetUUID(handle)),
            memory_total=int(memory.total),
            memory_free=int(memory.free),
            generation=(int(major), int(minor)),
        )
    except nvml.NVMLError:
        return None


def _visible(nvml: Any, every: Sequence[Gpu], names: str) -> Iterator[Gpu]:
    seen: set[str] = set()
    for name in (part.strip() for part in names.split(",")):
        if name.isdigit():
            chosen = next((gpu for gpu in every if gpu.index == int(name)), None)
        elif name.startswith("MIG-"):
            chosen = _gpu(nvml, 0, name)  # a part of a GPU, which programs see as one
        else:
            chosen = next((gpu for gpu in every if name and gpu.uuid.startswith(name)), None)
        if chosen is None or chosen.uuid in seen:
            return
        seen.add(chosen.uuid)
        yield chosen


def _text(value: str | bytes) -> str:
    """Older versions of the library give bytes."""
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value


# ----------------------------------------------------------------------------------------------- memory


def host_memory() -> Memory:
    """The host's memory now. A container's limit counts where it is the lower one."""
    import psutil

    memory, swap = psutil.virtual_memory(), psutil.swap_memory()
    total, available = memory.total + swap.total, memory.available + swap.free
    if limit := _limit():
        allowed, used = limit
        total, available = min(total, allowed), min(available, max(0, allowed - used))
    return Memory(total=total, available=available)


def _limit() -> tuple[int, int] | None:
    """A container's limit and what it uses, in bytes, by the kernel's control groups (version 2, then 1)."""
    for limit, used, cache in (
        ("memory.max", "memory.current", "memory.stat"),
        ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes", "memory/memory.stat"),
    ):
        try:
            allowed = (CONTROL_GROUP / limit).read_text(encoding="ascii").strip()
            if not allowed.isdigit() or int(allowed) > _UNLIMITED:
                continue
            usage = int((CONTROL_GROUP / used).read_text(encoding="ascii"))
            return int(allowed), usage - _reclaimable(CONTROL_GROUP / cache)
        except (OSError, ValueError):
            continue
    return None


def _reclaimable(statistics: Path) -> int:
    """Bytes of cached files, which count as used but are given up when memory is asked for."""
    for line in statistics.read_text(encoding="ascii").splitlines():
        name, _, value = line.partition(" ")
        if name in ("inactive_file", "total_inactive_file"):
            return int(value)
    return 0


# ------------------------------------------------------------------------------------------------ disks


def free_space(folder: Path) -> tuple[int, int]:
    """Which disk a folder is on, or would be, and the bytes that are free there.

    Raises:
        OSError: the disk does not tell, or is none: the system's own file systems have no size.
    """
    existing = folder
    while not existing.is_dir() and existing != existing.parent:
        existing = existing.parent
    usage = shutil.disk_usage(existing)
    if not usage.total:
        raise OSError(f"{existing} is on a file system that has no space of its own")
    return existing.stat().st_dev, usage.free


# ----------------------------------------------------------------------------------------------- record


def describe_machine() -> dict[str, Any]:
    """This machine for the record, as plain data: nothing that names its owner or its network."""
    import psutil

    with _driver() as nvml:
        driver = None if nvml is None else _text(nvml.nvmlSystemGetDriverVersion())
        cuda = None if nvml is None else int(nvml.nvmlSystemGetCudaDriverVersion())
    return {
        "system": platform.system(),
        "system_version": platform.release(),
        "architecture": platform.machine(),
        "processors": os.cpu_count(),
        "memory_bytes": int(psutil.virtual_memory().total),
        "gpus": [{"name": gpu.name, "memory_bytes": gpu.memory_total} for gpu in gpus()],
        "gpu_driver": driver,
        "cuda_of_driver": None if cuda is None else f"{cuda // 1000}.{cuda % 1000 // 10}",
        "python": ".".join(map(str, sys.version_info[:3])),
    }
