"""Small Steps and a watcher that takes notes."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from execution.record import Why
from execution.step import Progress, Published, Step, StepFailed, StepRun

WRITE = "import sys, pathlib; pathlib.Path(sys.argv[1]).write_text('made'); print('wrote it')"


def whole(folder: Path) -> None:
    """A verifier: the output must not say that it is bad."""
    if (folder / "out.txt").read_text() == "bad":
        raise StepFailed("out.txt is bad")


def command_step(folder: Path, program: str = WRITE, **changes: Any) -> Step:
    """A step that runs ``python -c program OUTPUT``."""
    source = folder.parent / "source.txt"
    if not source.exists():
        source.write_text("source")
    step = Step(
        name="make",
        stage=1,
        title="Making it",
        engine="made up",
        folder=folder,
        inputs={"driving video": source},
        outputs=(folder / "out.txt",),
        settings={"fps": 30},
        verify=whole,
        argv=(sys.executable, "-c", program, Published(folder / "out.txt")),
    )
    return replace(step, **changes)


def function_step(folder: Path, work: Callable[[StepRun], None], **changes: Any) -> Step:
    """A step that calls ``work``."""
    return command_step(folder, argv=None, function=work, **changes)


def write_output(run: StepRun) -> None:
    """The work of a function step that goes well."""
    run.report("writing", 0, 2)
    (run.folder / "out.txt").write_text("made")
    run.report("writing", 2, 2)


@dataclass
class Notes:
    """A watcher that writes down what it is told."""

    events: list[str] = field(default_factory=list)
    progress: list[Progress] = field(default_factory=list)
    why: list[str] = field(default_factory=list)

    def skipped(self, step: Step) -> None:
        self.events.append("skipped")

    def started(self, step: Step, why: Sequence[Why], log: Path) -> None:
        self.events.append("started")
        self.why += [reason.text for reason in why]

    def progressed(self, progress: Progress) -> None:
        self.progress.append(progress)

    def finished(self, step: Step, seconds: float) -> None:
        self.events.append("finished")

    def ending(self) -> None:
        self.events.append("ending")

    def stopped(self) -> None:
        self.events.append("stopped")
