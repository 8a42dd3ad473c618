"""Which ready-made wheel of flash-attn 2 is for a machine; where there is none, why, and what is near.

What is published is in ``releases.json``, with its sources. Nothing is asked over the network.
"""

from __future__ import annotations

import functools
import itertools
import json
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

from set_up.flash_attn.names import WheelName

_DATA: Final = Path(__file__).with_name("releases.json")
_NEW_INTERFACE: Final = (2, 7)
"""From this torch on, all of its wheels for Linux have the newer C++ interface."""
_FIRST_NEW_INTERFACE: Final = ((2, 6), (12, 6))
"""Before, this one alone: torch and CUDA."""
_NEAREST: Final = 3


@dataclass(frozen=True, kw_only=True)
class Machine:
    """What decides on the wheel: facts about the interpreter that is to use it, and about its torch."""

    python: str
    """Such as cp311; cp313t without the global lock."""
    platform: str
    """Such as linux_x86_64, linux_aarch64, win_amd64, macosx_11_0_arm64."""
    torch: str
    """The whole version, such as 2.8.0+cu128."""
    cuda: str | None
    """The CUDA that torch was built for, such as 12.8; None for a build for CPUs or for AMD."""
    cxx11abi: bool
    """Whether torch has the newer C++ interface."""
    glibc: tuple[int, int] | None = None
    """The system's C library; None if it is another, or unknown."""

    @cached_property
    def torch_version(self) -> tuple[int, ...]:
        """As numbers."""
        match = re.match(r"\d+(?:\.\d+)*", self.torch)
        return tuple(map(int, match[0].split("."))) if match else ()

    @cached_property
    def cuda_version(self) -> tuple[int, ...]:
        """Major and minor; empty without CUDA."""
        return tuple(map(int, self.cuda.split(".")[:2])) if self.cuda else ()


@dataclass(frozen=True)
class Wheel:
    """A published wheel."""

    name: WheelName
    project: str
    """On GitHub, such as Dao-AILab/flash-attention."""
    official: bool
    """Whether the authors of flash-attn published it."""
    page: str
    """Where the project's releases are listed."""
    address: str
    """Where this file is."""
    glibc: tuple[int, int] | None
    """The oldest C library that it works with, where that is known."""


@dataclass(frozen=True)
class Choice:
    """The wheel for a machine, and what there is to know about it."""

    wheel: Wheel
    notes: tuple[str, ...]


@dataclass(frozen=True)
class NoWheel:
    """There is none."""

    why: str
    """A full sentence."""
    torch_commands: tuple[str, ...]
    """pip's arguments that install the nearest torch for which there is a wheel; nearest first."""
    community: Wheel | None
    """A wheel that somebody else built, and that would fit."""


def choose(machine: Machine, *, community: bool = False) -> Choice | NoWheel:
    """The wheel for a machine: the authors' own; somebody else's if asked for, or if they have none at all.

    In the authors' names CUDA counts with its major number. Others name the minor too: the nearest counts,
    within the same major number, as CUDA's own rule of minor version compatibility has it.
    """
    usable = [wheel for wheel in published() if fits(wheel.name, machine, wheel.glibc)]
    usable.sort(key=lambda wheel: _rank(wheel, machine))  # stable: else in the order of the file
    none_official = not any(
        machine.platform in wheel.name.platforms for wheel in published() if wheel.official
    )
    allowed = [wheel for wheel in usable if wheel.official or community or none_official]
    if allowed:
        return Choice(allowed[0], tuple(_notes(allowed[0], machine)))
    offered = [wheel for wheel in published() if wheel.official or community or none_official]
    return NoWheel(_why(machine, offered), _nearest(machine, offered), usable[0] if usable else None)


def fits(name: WheelName, machine: Machine, glibc: tuple[int, int] | None = None) -> bool:
    """Whether a wheel of this name works on a machine; ``glibc``: what it needs beyond what its name says."""
    return all(test(name, machine, glibc) for test in _TESTS.values())


@functools.cache
def published() -> tuple[Wheel, ...]:
    """Every wheel that may be chosen, the authors' first."""
    return tuple(
        wheel for project in _data()["projects"] if "unfit" not in project for wheel in _wheels(project)
    )


@functools.cache
def unfit() -> dict[str, str]:
    """Names of published wheels that upstream cannot use, each with the reason."""
    projects = [project for project in _data()["projects"] if "unfit" in project]
    return {str(wheel.name): str(project["unfit"]) for project in projects for wheel in _wheels(project)}


@functools.cache
def _data() -> dict[str, Any]:
    data: dict[str, Any] = json.loads(_DATA.read_text(encoding="utf-8"))
    return data


def _wheels(project: dict[str, Any]) -> Iterable[Wheel]:
    for group in project["wheels"]:
        named = itertools.product(*(group[key] for key in ("cuda", "torch", "python", "abi", "platform")))
        for cuda, torch, python, abi, platform in named:
            name = WheelName(
                version=group["version"],
                cuda=cuda,
                torch=torch,
                cxx11abi=None if abi is None else abi == "TRUE",
                python=python,
                python_abi=python,
                platform=platform,
            )
            address = project["address"].format(tag=group["tag"], name=quote(str(name)))
            needs = group.get("glibc")
            glibc = _pair(needs) if needs else name.glibc
            yield Wheel(name, project["name"], project["official"], project["page"], address, glibc)


def _pair(version: str) -> tuple[int, int]:
    major, minor = map(int, version.split("."))
    return major, minor


# -------------------------------------------------------------------------------------------- does it fit


def _same_interface(name: WheelName, machine: Machine, glibc: tuple[int, int] | None) -> bool:
    """Windows has only one C++ interface. A name that does not say is for torch's own wheels."""
    if not machine.platform.startswith("linux"):
        return True
    return machine.cxx11abi == (_usual_interface(name) if name.cxx11abi is None else name.cxx11abi)


def _usual_interface(name: WheelName) -> bool:
    torch = name.torch_version[:2]
    first_torch, first_cuda = _FIRST_NEW_INTERFACE
    return torch >= _NEW_INTERFACE or (torch == first_torch and name.cuda_version >= first_cuda)


_TESTS: Final[dict[str, Callable[[WheelName, Machine, tuple[int, int] | None], bool]]] = {
    "platform": lambda name, machine, _: machine.platform in name.platforms,
    "Python": lambda name, machine, _: name.python_abi == machine.python,
    "CUDA": lambda name, machine, _: name.cuda_version[:1] == machine.cuda_version[:1],
    "torch": lambda name, machine, _: name.torch_version[:2] == machine.torch_version[:2],
    "C++ interface": _same_interface,
    "C library": lambda _, machine, glibc: (
        None in (glibc, machine.glibc) or (glibc or ()) <= (machine.glibc or ())
    ),
}


def _rank(wheel: Wheel, machine: Machine) -> tuple[object, ...]:
    """The smaller the better: the authors', CUDA's own minor, an older one, the right patch of torch."""
    minor, own = wheel.name.cuda_version[1:], machine.cuda_version[1:]
    away = minor[0] - own[0] if minor and own else 0
    patch = wheel.name.torch_version[2:]
    return not wheel.official, abs(away), away > 0, bool(patch) and patch != machine.torch_version[2:3]


def _notes(wheel: Wheel, machine: Machine) -> Iterable[str]:
    name = wheel.name
    if not wheel.official:
        yield f"This wheel is a community build by {wheel.project}, not by flash-attn's authors."
    if name.cuda_version[1:] and name.cuda_version != machine.cuda_version:
        built = ".".join(map(str, name.cuda_version))
        yield f"It was built with CUDA {built}, torch is for {machine.cuda}: compatible by CUDA's rules."
    if name.torch_version[2:] and name.torch_version != machine.torch_version[:3]:
        yield f"It was built for torch {name.torch}; installed is {machine.torch}."


# ------------------------------------------------------------------------------------------------ why not


def _why(machine: Machine, offered: Sequence[Wheel]) -> str:
    """The first of the facts with which nothing is left."""
    if machine.cuda is None:
        return f"torch {machine.torch} is a build without CUDA, and flash-attn works with CUDA alone."
    said = {
        "platform": machine.platform,
        "Python": f"Python {machine.python}",
        "CUDA": f"CUDA {machine.cuda}",
        "torch": f"torch {machine.torch}",
        "C++ interface": f"cxx11abi{str(machine.cxx11abi).upper()}",
        "C library": f"glibc {'.'.join(map(str, machine.glibc or ()))}",
    }
    left: Sequence[Wheel] = offered
    so_far: list[str] = []
    for fact, test in _TESTS.items():
        left = [wheel for wheel in left if test(wheel.name, machine, wheel.glibc)]
        if not left:
            rest = f" (with {', '.join(so_far)})" if so_far else ""
            return f"No ready-made wheel of flash-attn 2 is for {said[fact]}{rest}."
        so_far.append(said[fact])
    raise ValueError("a wheel fits")


def _nearest(machine: Machine, offered: Iterable[Wheel]) -> tuple[str, ...]:
    """Commands for the torch versions nearest to this one, for the same Python and platform."""
    kept = ("platform", "Python", "C library")
    wheels = [w for w in offered if all(_TESTS[fact](w.name, machine, w.glibc) for fact in kept)]
    have = machine.torch_version[1:2] or (0,)
    wheels.sort(key=lambda wheel: _distance(wheel.name, machine, have[0]))  # stable, as above
    commands = (_torch_command(wheel.name, machine) for wheel in wheels)
    return tuple(itertools.islice(dict.fromkeys(command for command in commands if command), _NEAREST))


def _distance(name: WheelName, machine: Machine, minor: int) -> tuple[bool, int, int]:
    """A newer CUDA than the one that is there comes last: the driver may not know it."""
    away = name.torch_version[1] - minor
    return machine.cuda is not None and name.cuda_version[0] > machine.cuda_version[0], abs(away), -away


def _torch_command(name: WheelName, machine: Machine) -> str | None:
    """pip's arguments for that torch, with a CUDA like the one that is there; None where it would not do."""
    minor = ".".join(name.torch.split(".")[:2])
    known = _data()["torch"].get(minor)
    builds = [build for build in known["cuda"] if build[:2] == name.cuda[:2]] if known else []
    if not builds:
        return None
    own = "".join(map(str, machine.cuda_version))
    build = own if own in builds else min(builds) if own and own < min(builds) else max(builds)
    if name.cxx11abi is not None and "linux" in name.platform:
        usual = _usual_interface(replace(name, cuda=build))
        if usual != name.cxx11abi:
            return None
    torch = f"torch=={known['version']} torchvision torchaudio"
    return f"{torch} --index-url https://download.pytorch.org/whl/cu{build}"
