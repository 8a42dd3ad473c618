"""Which build of torch this machine needs: for its driver's CUDA version, and for its GPUs."""

from __future__ import annotations

import platform
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from engines.machine import gpus
from set_up.errors import SetUpError

TORCH_VERSIONS: Final = {"torch": "2.8.0", "torchvision": "0.23.0", "torchaudio": "2.8.0"}
"""The newest torch for which the official flash-attn 2 has ready-made wheels, and what belongs to it."""
CPU: Final = "cpu"
_INDEX: Final = "https://download.pytorch.org/whl"
_OLDEST_DRIVER: Final = (12, 0)
_ANYTHING: Final = (99, 0)


@dataclass(frozen=True)
class _Build:
    """A build of this torch for CUDA, and the GPUs that it has code for, by compute capability."""

    tag: str
    cuda: tuple[int, int]
    from_generation: tuple[int, int]
    to_generation: tuple[int, int]


_BUILDS: Final = (
    # Release notes of torch 2.8.0: the builds for CUDA 12.8 and 12.9 have no code for sm_50 to sm_70. Its
    # build script gives the one for 12.6 code up to 9.0, the others up to 12.0, which a 12.1 runs too.
    # (github.com/pytorch/pytorch: releases/tag/v2.8.0, .ci/manywheel/build_cuda.sh)
    _Build("cu126", (12, 6), (5, 0), (9, 0)),
    _Build("cu128", (12, 8), (7, 5), _ANYTHING),
    _Build("cu129", (12, 9), (7, 5), _ANYTHING),
)


@dataclass(frozen=True, kw_only=True)
class TorchChoice:
    """One build of torch and where pip finds it."""

    tag: str
    """Such as cu128 or cpu; empty where an index of one's own decides."""
    options: tuple[str, ...]
    """For pip: where to look."""
    index: str | None = None
    """Address or folder that was named in place of PyTorch's own; a folder by its whole path."""
    why: str
    """The end of a sentence: "torch 2.8.0 for CUDA 12.8: ..."."""
    notes: tuple[str, ...] = ()
    """Full sentences on what this build can and cannot do here."""

    @property
    def requirements(self) -> tuple[str, ...]:
        """What pip is asked for, to the exact build where that is known."""
        local = f"+{self.tag}" if self.tag else ""
        return tuple(f"{name}=={version}{local}" for name, version in TORCH_VERSIONS.items())


def choose_torch(*, index: str | None, cpu: bool, installed: str | None = None) -> TorchChoice:
    """The build for this machine, or the one that was asked for.

    Args:
        index: the address of a package index, or a folder with wheels, in place of PyTorch's own.
        cpu: no CUDA.
        installed: tag of the build that is there already; it stays if it can serve this machine.

    Raises:
        SetUpError: upstream cannot run on such a machine, or its driver is too old for any build.
    """
    _refuse_systems()
    if index is not None:
        return _from(index, cpu)
    if cpu:
        return TorchChoice(
            tag=CPU, options=_index_of(CPU), why="a build for CPUs, as asked for", notes=_ON_CPU
        )
    driver = driver_cuda()
    if driver is None:
        return _without_driver(installed)
    return _for_driver(driver, installed)


def choice_from(index: str, *, cpu: bool) -> TorchChoice:
    """Whatever build an index of one's own has; a folder is not looked at."""
    notes = _ON_CPU if cpu else ()
    if "://" in index:
        return TorchChoice(
            tag="", index=index, options=("--index-url", index), why=f"from {index}", notes=notes
        )
    folder = str(Path(index).expanduser().resolve())
    options = ("--no-index", "--find-links", folder)
    return TorchChoice(tag="", index=folder, options=options, why=f"from {folder}", notes=notes)


def driver_cuda() -> tuple[int, int] | None:
    """The CUDA version that the GPU's driver knows, such as (12, 8); None without a driver."""
    import pynvml

    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:
        return None
    try:
        version = int(pynvml.nvmlSystemGetCudaDriverVersion())
    except pynvml.NVMLError:
        return None
    finally:
        pynvml.nvmlShutdown()
    return version // 1000, version % 1000 // 10


_ON_CPU: Final = (
    "With a torch for CPUs upstream's stage 1 runs in animate mode, slowly; stage 2 cannot run at all.",
)
_NO_DRIVER: Final = (
    "No NVIDIA driver was found here. The environment is made for a machine that has one: upstream's stage 2 "
    "and replace mode need a GPU. Possible without: --engine preview, --check, and stage 1 in animate mode, "
    "slowly. For a smaller torch without CUDA: --cpu.",
)


def _refuse_systems() -> None:
    if sys.platform == "darwin":
        raise SetUpError(
            "Upstream needs an NVIDIA GPU, and macOS has none.",
            "Use --engine preview, which runs on any machine.",
            wrong_request=True,
        )
    machine = platform.machine()
    if machine.lower() not in ("x86_64", "amd64"):
        raise SetUpError(
            f"Upstream's environment cannot be made for this machine's processor, {machine}: neither "
            "decord 0.6.0 nor flash-attn 2.8.3 has a package for it.",
            "Use a machine with an x86-64 processor, or --engine preview.",
            wrong_request=True,
        )


def _index_of(tag: str) -> tuple[str, ...]:
    return ("--index-url", f"{_INDEX}/{tag}")


def _from(index: str, cpu: bool) -> TorchChoice:
    if "://" not in index and not Path(index).expanduser().is_dir():
        raise SetUpError(
            f"--torch_index: {index} is neither the address of a package index nor a folder.",
            "Give an address (https://...) or a folder with the wheels of torch and of all that it needs.",
            wrong_request=True,
        )
    return choice_from(index, cpu=cpu)


def _without_driver(installed: str | None) -> TorchChoice:
    there = next((build for build in _BUILDS if build.tag == installed), None)
    return _chosen(there or _BUILDS[-1], "no driver was found, so for any GPU of later", _NO_DRIVER)


def _for_driver(driver: tuple[int, int], installed: str | None) -> TorchChoice:
    if driver < _OLDEST_DRIVER:
        raise SetUpError(
            f"The NVIDIA driver is too old for any usable torch: it knows CUDA {_dotted(driver)}, and torch "
            f"{TORCH_VERSIONS['torch']} needs 12.0 or later.",
            "Update the driver to version 525 or later (570 or later for RTX 50 and B200), then run this "
            "again. Without: --engine preview, or --cpu for an environment that runs stage 1 alone.",
            wrong_request=True,
        )
    fitting = _for_gpus()
    there = next((build for build in fitting if build.tag == installed), None)
    if there is not None:
        return _chosen(there, f"it is there, and serves a driver for CUDA {_dotted(driver)}")
    why = f"the driver knows CUDA {_dotted(driver)}"
    not_newer = [build for build in fitting if build.cuda <= driver]
    if not_newer:
        return _chosen(not_newer[-1], why)
    # "Applications compiled with a CUDA Toolkit release from within a CUDA major release family can run, with
    # limited feature-set, on systems having at least the minimum required driver": 12.x needs 525 or later.
    # (docs.nvidia.com/deploy/cuda-compatibility/minor-version-compatibility.html)
    oldest = fitting[0]
    note = (
        f"The driver knows CUDA {_dotted(driver)} and torch was built for {_dotted(oldest.cuda)}: that works "
        "by CUDA's minor version compatibility. If torch complains, update the driver."
    )
    return _chosen(oldest, why, (note,))


def _for_gpus() -> list[_Build]:
    """The builds that have code for every GPU; where none has, those for the newest one."""
    generations = [gpu.generation for gpu in gpus()]
    for wanted in (generations, [max(generations, default=_BUILDS[0].to_generation)]):
        fitting = [
            build
            for build in _BUILDS
            if all(build.from_generation <= generation <= build.to_generation for generation in wanted)
        ]
        if fitting:
            return fitting
    return [_BUILDS[0]]


def _chosen(build: _Build, why: str, notes: tuple[str, ...] = ()) -> TorchChoice:
    return TorchChoice(tag=build.tag, options=_index_of(build.tag), why=why, notes=notes)


def _dotted(version: tuple[int, int]) -> str:
    return ".".join(map(str, version))
