"""A stand-in for nvidia-ml-py: NVIDIA's library, as a machine with the GPUs of the tests would answer.

Put its folder on the import path, before the real one. STANDIN_GPUS steers it: a list of GPUs, each as
``COUNTxTOTAL`` or ``COUNTxTOTAL/FREE`` in GB (2**30 bytes), separated by commas; the default is eight of 80
GB. Empty means a machine without a driver. STANDIN_GPU_GENERATION is the compute capability of all, 9.0
unless set.
"""

from __future__ import annotations

import os
from dataclasses import dataclass

_GB = 2**30
_DEFAULT = "8x80"


class NVMLError(Exception):
    """What the library raises."""


class NVMLError_LibraryNotFound(NVMLError):  # noqa: N801  the library's own name
    """There is no driver."""


class NVMLError_NotFound(NVMLError):  # noqa: N801
    """There is no such device."""


@dataclass(frozen=True)
class _Memory:
    total: int
    free: int

    @property
    def used(self) -> int:
        return self.total - self.free


@dataclass(frozen=True)
class _Device:
    number: int
    memory: _Memory


_opened = False


def _devices() -> list[_Device]:
    assert _opened, "nvmlInit first"
    found: list[_Device] = []
    for group in filter(None, os.environ.get("STANDIN_GPUS", _DEFAULT).split(",")):
        count, _, sizes = group.partition("x")
        total, _, free = sizes.partition("/")
        memory = _Memory(int(float(total) * _GB), int(float(free or total) * _GB))
        found += [_Device(len(found) + number, memory) for number in range(int(count))]
    return found


def nvmlInit() -> None:  # noqa: N802  these are the library's own names
    global _opened
    if not os.environ.get("STANDIN_GPUS", _DEFAULT):
        raise NVMLError_LibraryNotFound("NVML Shared Library Not Found")
    _opened = True


def nvmlShutdown() -> None:  # noqa: N802
    global _opened
    _opened = False


def nvmlDeviceGetCount() -> int:  # noqa: N802
    return len(_devices())


def nvmlDeviceGetHandleByIndex(number: int) -> _Device:  # noqa: N802
    return _devices()[number]


def nvmlDeviceGetHandleByUUID(uuid: bytes) -> _Device:  # noqa: N802
    for device in _devices():
        if uuid.decode() == f"MIG-{nvmlDeviceGetUUID(device).removeprefix('GPU-')}":
            return device
    raise NVMLError_NotFound("Not Found")


def nvmlDeviceGetName(device: _Device) -> str:  # noqa: N802
    return f"Stand-in GPU {device.memory.total // _GB} GB"


def nvmlDeviceGetUUID(device: _Device) -> str:  # noqa: N802
    return f"GPU-{device.number:08d}-0000-4000-8000-000000000000"


def nvmlDeviceGetMemoryInfo(device: _Device) -> _Memory:  # noqa: N802
    return device.memory


def nvmlDeviceGetCudaComputeCapability(device: _Device) -> tuple[int, int]:  # noqa: N802
    major, _, minor = os.environ.get("STANDIN_GPU_GENERATION", "9.0").partition(".")
    return int(major), int(minor)


def nvmlDeviceGetComputeRunningProcesses(device: _Device) -> list[object]:  # noqa: N802
    return []


def nvmlSystemGetDriverVersion() -> str:  # noqa: N802
    return "570.00.00"


def nvmlSystemGetCudaDriverVersion() -> int:  # noqa: N802
    return 12080
