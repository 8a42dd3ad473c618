"""The Step: one command or one function with declared inputs and outputs.

An engine describes Steps without running them; the runner runs any Step without knowing what it means.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

GPU_MEMORY, HOST_MEMORY = "gpu-memory", "host-memory"
"""Causes of a failure that a job which needs less memory can avoid."""


class StepFailed(Exception):
    """A step did not do what it declared. The message is for people: cause first, remedy if there is one.

    ``cause`` is a stable word, such as ``GPU_MEMORY``, where the cause is understood.
    """

    def __init__(self, message: str, *, cause: str | None = None) -> None:
        super().__init__(message)
        self.cause = cause


@dataclass(frozen=True)
class Diagnosis:
    """What a log says about a failure: a stable word for the cause, and cause and remedy in sentences."""

    cause: str
    text: str


class Interrupted(BaseException):
    """The user (or the system) asked to stop. Like KeyboardInterrupt, no ``except Exception`` catches it."""


@dataclass(frozen=True)
class Progress:
    """How far a step is.

    ``fraction`` is of the phase, 0 to 1, or None while nothing can be counted; ``detail`` says the finer
    position in words, such as "window 2 of 3, step 7 of 20".
    """

    phase: str
    fraction: float | None = None
    detail: str = ""


class ProgressReader(Protocol):
    """Reads a command's output, one line at a time."""

    def read(self, line: str) -> Progress | None:
        """The position that this line tells of, or None. Never raises: any text can come."""


@dataclass(frozen=True)
class Published:
    """A word of a command that names an output. While the step runs it points into the scratch folder."""

    path: Path


@dataclass(frozen=True)
class StepRun:
    """What a step's function is given: where to write, and how to tell its progress."""

    folder: Path
    """The step's folder, as it looks while the step runs: a scratch folder."""
    report: Callable[[str, int, int], None]
    """(phase, done, total). It raises to cancel; let the exception through."""
    progressed: Callable[[Progress], None] | None = None
    """For progress that is not a count of a total, where somebody listens. It raises to cancel too."""
    log: Path | None = None
    """The step's log, to append to."""


@dataclass(frozen=True, kw_only=True)
class Step:
    """One command (``argv``) or one function: what it reads, what it leaves, how to tell that it is whole.

    Exactly one of ``argv`` and ``function`` is given. All outputs lie in ``folder``.
    """

    name: str
    stage: int
    title: str
    engine: str
    folder: Path
    inputs: Mapping[str, Path]
    """What is read, by its name for people ("driving video"). Compared by content."""
    outputs: tuple[Path, ...]
    settings: Mapping[str, Any]
    """What shapes the outputs besides the inputs, as plain data."""
    verify: Callable[[Path], None]
    """Given the folder that holds the outputs, raises StepFailed unless they are whole and fit together."""
    argv: tuple[str | Published, ...] | None = None
    function: Callable[[StepRun], None] | None = None
    cwd: Path | None = None
    env: Mapping[str, str] = field(default_factory=dict)
    code: tuple[Path, ...] = ()
    """Files of ours and of the engine that do the work: a change in them makes the outputs stale."""
    weights: tuple[Path, ...] = ()
    """Large model files, compared by a sample of their content."""
    obsolete: tuple[Path, ...] = ()
    """Files that no longer belong beside the new outputs; removed when these are published."""
    gpus: int = 0
    file_name: str = ""
    """Names the step's log and record; needed where Steps of the same name share a folder."""
    progress: Callable[[], ProgressReader] | None = None
    diagnose: Callable[[str], Diagnosis | None] | None = None
    """Given the end of a failed command's log, says what it failed of, or None when it is not understood."""
    facts: Callable[[str], Mapping[str, Any]] | None = None
    """Given the log of a good run (beginning and end of a very long one), says what the record shall keep
    besides: plain data, such as versions, windows, the seed really used. Nothing secret."""

    def __post_init__(self) -> None:
        if not self.file_name:
            object.__setattr__(self, "file_name", self.name)
        if (self.argv is None) == (self.function is None):
            raise ValueError(f"step {self.name}: exactly one of argv and function is needed")
        outside = [path for path in self.outputs if not path.is_relative_to(self.folder)]
        if outside:
            raise ValueError(f"step {self.name}: {outside[0]} lies outside {self.folder}")

    def command(self, folder: Path | None = None) -> tuple[str, ...]:
        """The argument list, with outputs at their final names, or inside ``folder`` instead."""
        if self.argv is None:
            raise ValueError(f"step {self.name} is a function, not a command")
        target = self.folder if folder is None else folder
        return tuple(
            str(target / word.path.relative_to(self.folder)) if isinstance(word, Published) else word
            for word in self.argv
        )
