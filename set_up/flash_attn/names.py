"""The names of flash-attn 2's wheels, as the projects that publish them put them together.

The part after the plus is theirs, the rest is the packaging standard's:

    flash_attn-2.8.3+cu12torch2.8cxx11abiTRUE-cp311-cp311-linux_x86_64.whl       Dao-AILab, the authors
    flash_attn-2.5.8+cu122torch2.3cxx11abiFALSE-cp310-cp310-linux_x86_64.whl     the same, up to 2.6
    flash_attn-2.8.3+cu128torch2.8-cp312-cp312-win_amd64.whl                     mjun0812
    flash_attn-2.8.3+cu128torch2.8.0cxx11abiFALSE-cp312-cp312-win_amd64.whl      kingbri1 (once bdashore3)
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property
from typing import Final

_NAME: Final = re.compile(
    r"flash_attn-(?P<version>2(?:\.\w+)+)\+cu(?P<cuda>\d{2,4})torch(?P<torch>\d+(?:\.\d+)+)"
    r"(?:cxx11abi(?P<abi>TRUE|FALSE))?-(?P<python>cp\d+)-(?P<python_abi>cp\d+t?)-(?P<platform>[a-z][\w.]*)\.whl",
    re.ASCII,
)
_MANYLINUX: Final = re.compile(r"manylinux_(\d+)_(\d+)_(\w+)")
_OLD_MANYLINUX: Final = re.compile(r"manylinux(?:1|2010|2014)_(\w+)")
_OLD_GLIBC: Final = (2, 17)
"""Of manylinux2014; the names before it stand for older ones, which no torch of today supports."""


@dataclass(frozen=True, kw_only=True)
class WheelName:
    """A wheel's name in its parts; ``str()`` writes it as it was read, letter for letter."""

    version: str
    """flash-attn's, such as 2.8.3 or 2.7.4.post1."""
    cuda: str
    """Digits without a point: 12 is any CUDA 12, 128 is 12.8."""
    torch: str
    """torch's version: 2.8, or with its patch level 2.8.0."""
    cxx11abi: bool | None
    """Whether it is for a torch with the newer C++ interface; None where the name does not say."""
    python: str
    """Such as cp311."""
    python_abi: str
    """The same, or cp313t for a Python without its global lock."""
    platform: str
    """Such as linux_x86_64; several are joined by points."""

    def __str__(self) -> str:
        abi = "" if self.cxx11abi is None else f"cxx11abi{str(self.cxx11abi).upper()}"
        local = f"cu{self.cuda}torch{self.torch}{abi}"
        return f"flash_attn-{self.version}+{local}-{self.python}-{self.python_abi}-{self.platform}.whl"

    @cached_property
    def cuda_version(self) -> tuple[int, ...]:
        """Major, and minor if the name has it: 128 is (12, 8)."""
        major, minor = self.cuda[:2], self.cuda[2:]
        return (int(major), int(minor)) if minor else (int(major),)

    @cached_property
    def torch_version(self) -> tuple[int, ...]:
        """As numbers, to compare."""
        return tuple(map(int, self.torch.split(".")))

    @cached_property
    def platforms(self) -> frozenset[str]:
        """The systems, without what C library they need: manylinux_2_28_x86_64 is linux_x86_64."""
        tags = self.platform.split(".")
        return frozenset(_OLD_MANYLINUX.sub(r"linux_\1", _MANYLINUX.sub(r"linux_\3", tag)) for tag in tags)

    @property
    def glibc(self) -> tuple[int, int] | None:
        """The oldest C library that its tags allow; None where they do not say."""
        found = []
        for tag in self.platform.split("."):
            if match := _MANYLINUX.fullmatch(tag):
                found.append((int(match[1]), int(match[2])))
            elif _OLD_MANYLINUX.fullmatch(tag):
                found.append(_OLD_GLIBC)
        return min(found, default=None)


def parse_wheel_name(name: str) -> WheelName:
    """A name of one of the schemes above, in its parts.

    Raises:
        ValueError: it is none of them: another package, version 3, a build for AMD, or no local part.
    """
    match = _NAME.fullmatch(name)
    if match is None:
        raise ValueError(f"{name} is not named as the ready-made wheels of flash-attn 2 are")
    return WheelName(
        version=match["version"],
        cuda=match["cuda"],
        torch=match["torch"],
        cxx11abi=None if match["abi"] is None else match["abi"] == "TRUE",
        python=match["python"],
        python_abi=match["python_abi"],
        platform=match["platform"],
    )
