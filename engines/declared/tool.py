"""What is declared of a tool: its needs, its commands, what they read and leave. Nothing runs here."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any, Final

from config import Job
from engines.findings import Finding

REFERENCE, DRIVING, SOUND, POSE = "reference.png", "driving.mp4", "sound.wav", "pose.mp4"
"""Files that stand ready for a tool's commands, upright and in plain formats, beside what these leave."""
RESULT: Final = ""
"""What the last command leaves: the video itself."""


@dataclass(frozen=True)
class Call:
    """What a command is made for: the job, and the clip as it stands ready."""

    job: Job
    frames: int
    """Frames that the command has to make."""
    width: int
    height: int
    """Size of the pictures that stand ready; of the pose video once there is one."""

    def option(self, name: str) -> str | None:
        """The value of one of the tool's own options; None where it was not given."""
        return dict(self.job.tool_options).get(name)


@dataclass(frozen=True, kw_only=True)
class Command:
    """One command. In its words and patterns ``{run}`` is a folder of this run's own, which is removed at the
    end, and ``{token}`` a word that no other run has, for names of files beside those of other runs.
    """

    name: str
    title: str
    words: Callable[[Call], Sequence[str]]
    """The arguments of the tool's Python."""
    takes: Mapping[str, str]
    """Files that it reads, and under which names they are put: ``{DRIVING: "{run}/driving.mp4"}``."""
    finds: str
    """Pattern of the file that it makes; relative ones are below the checkout. The shortest name counts."""
    script: str
    """Its program inside the checkout."""
    leaves: str = RESULT
    """The name that this file gets."""
    configures: Mapping[str, Callable[[Call], Mapping[str, Any]]] = field(default_factory=dict)
    """YAML files that are written for it."""
    requires: tuple[str, ...] = ()
    """Patterns of files by which it says that it has finished."""
    sweeps: tuple[str, ...] = ()
    """Patterns of what it leaves in the checkout, to be removed."""
    phases: Mapping[str, str] = field(default_factory=dict)
    """Words of its output, and labels of its bars, with the phase that they begin."""


@dataclass(frozen=True)
class Weight:
    """A file of weights inside the checkout, and the least size in bytes of a whole one."""

    path: str
    at_least: int = 1000


@dataclass(frozen=True)
class Package:
    """A package of the tool's Python, and from which version on it breaks the tool (empty: none known)."""

    name: str
    breaks_from: str = ""
    why: str = ""


@dataclass(frozen=True)
class Sign:
    """How a failure shows in the log (a regular expression), its cause in a word, and what to tell of it."""

    cause: str
    pattern: str
    text: str


Option = Callable[[str], str | None]
"""Given a value, says what it must be, or None when it is right."""


@dataclass(frozen=True, kw_only=True)
class Tool:
    """One tool, as its file declares it."""

    name: str
    title: str
    url: str
    commands: tuple[Command, ...]
    code: tuple[str, ...]
    """Files and folders of the checkout that do the work: when they change, results are stale."""
    weights: Callable[[Job], Sequence[Weight]]
    packages: tuple[Package, ...]
    gpu_bytes: int
    """GPU memory that it needs; 0 where it also runs without a GPU."""
    options: Mapping[str, Option] = field(default_factory=dict)
    programs: tuple[str, ...] = ()
    """What must be on the PATH: ``ffmpeg``."""
    rate: Fraction | None = None
    """Frames a second that it makes of a sound; None for a tool that is driven by a video."""
    canvas: Callable[[int, int], tuple[int, int]] | None = None
    """Given the reference image's size, that to which both inputs are brought; None leaves them."""
    size: Callable[[int, int, Job], tuple[int, int] | None] = lambda width, height, job: (width, height)
    """Given the size of the reference as it stands ready, that of the result; None where it is not known."""
    sure_of_size: bool = True
    """Whether the result must have that size; else it is only foretold."""
    tile: Callable[[Call], tuple[int, int, int, int]] | None = None
    """Left, top, width and height of the result in what the last command leaves; None for all of it."""
    clip: Callable[[Job], Any] | None = None
    """Makes the Clip of a job whose motion is not simply its driving video."""
    signs: tuple[Sign, ...] = ()
    checks: Callable[[Job, int], Iterable[Finding]] = lambda job, frames: ()
    """What else would make a job fail; ``frames`` is 0 while the clip cannot be read."""

    def is_driven_by_sound(self) -> bool:
        """Whether a voice moves the reference image, and no video."""
        return self.rate is not None

    def code_files(self, job: Job) -> tuple[Path, ...]:
        """The checkout's files that do the work."""
        found: list[Path] = []
        for name in self.code:
            place = job.tool_dir / name
            found += sorted(place.rglob("*.py")) if place.is_dir() else [place] if place.is_file() else []
        return tuple(found)

    def weight_files(self, job: Job) -> tuple[Path, ...]:
        """The files of weights."""
        return tuple(job.tool_dir / weight.path for weight in self.weights(job))


def one_of(*allowed: str) -> Option:
    """An option that is one of some words."""
    return lambda value: None if value in allowed else " or ".join(allowed)


def number(least: float, most: float) -> Option:
    """An option that is a number within bounds."""

    def check(value: str) -> str | None:
        try:
            right = least <= float(value) <= most
        except ValueError:
            right = False
        return None if right else f"a number from {least:g} to {most:g}"

    return check


def named(*files: str) -> dict[str, str]:
    """Files that a command reads under their own names."""
    return {file: f"{{run}}/{file}" for file in files}


def weights_in(folder: str, *names: str, at_least: int = 1_000_000) -> list[Weight]:
    """Files of weights in one folder."""
    return [Weight(f"{folder}/{name}", at_least) for name in names]


def packages(*names: str) -> tuple[Package, ...]:
    """Packages of which no version is known to break the tool. ``a|b``: either will do."""
    return tuple(map(Package, names))


SWITCH: Final = one_of("true", "false")
"""An option that is on or off."""
