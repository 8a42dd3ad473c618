"""Run the Steps of a plan: skip what is up to date, watch, verify, publish."""

from __future__ import annotations

import os
import shlex
import time
import traceback
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

from execution import record
from execution.log import both_ends_of, ended_with, failed
from execution.memory import PeakMemory
from execution.native_output import native_output_to
from execution.process import TERMINATION_GRACE_SECONDS, SupervisedProcess
from execution.scratch import scratch_folder
from execution.step import HOST_MEMORY, Progress, Step, StepFailed, StepRun


class Watcher(Protocol):
    """Is told what happens. The rich display is one; tests bring their own."""

    def skipped(self, step: Step) -> None:
        """The step is up to date."""

    def started(self, step: Step, why: Sequence[record.Why], log: Path) -> None:
        """The step starts."""

    def progressed(self, progress: Progress) -> None:
        """The running step told its position."""

    def finished(self, step: Step, seconds: float) -> None:
        """The step's outputs are verified and have their final names."""

    def ending(self) -> None:
        """The running command was interrupted; its processes are being ended, which can take a while."""

    def stopped(self) -> None:
        """The running step failed or was interrupted."""


@dataclass(frozen=True)
class Planned:
    """A step and what would be done with it, or was."""

    step: Step
    why: tuple[record.Why, ...]

    @property
    def action(self) -> str:
        """``"run"`` or ``"skip"``."""
        return "run" if self.why else "skip"

    def as_data(self) -> dict[str, Any]:
        """The step as the JSON plan shows it."""
        step = self.step
        return {
            "name": step.name,
            "stage": step.stage,
            "argv": None if step.argv is None else list(step.command()),
            "cwd": None if step.cwd is None else str(step.cwd),
            "env": dict(step.env),
            "inputs": [str(path) for path in step.inputs.values()],
            "outputs": [str(path) for path in step.outputs],
            "action": self.action,
            "why": [why.text for why in self.why] or ["it is up to date"],
        }

    def as_line(self) -> str:
        """The command as one line that a shell takes."""
        step = self.step
        if step.argv is None:
            return f"# {step.name}: done inside this process by the {step.engine} engine"
        return shlex.join(step.command())

    def as_explanation(self) -> str:
        """Why the step will run, one reason a line, or since when it is up to date."""
        step = self.step
        if self.why:
            because = [f"  because {why.text}" for why in self.why]
            return "\n".join([f"{step.title}: will run", *because])
        return f"{step.title}: up to date, {record.last_run_in_words(step)}"


def plan_run(steps: Iterable[Step], *, force: bool = False) -> list[Planned]:
    """What running these steps would do now. Nothing is run or written.

    Raises:
        StepFailed: a file that decides about it cannot be read.
    """
    planned = []
    made_anew: dict[Path, str] = {}
    for step in steps:
        why = _reasons(step, force, made_anew)
        planned.append(Planned(step, why))
        if why:
            made_anew |= dict.fromkeys(step.outputs, step.title)
    return planned


def run_steps(
    steps: Iterable[Step],
    watcher: Watcher,
    *,
    force: bool = False,
    grace_seconds: float = TERMINATION_GRACE_SECONDS,
) -> list[Planned]:
    """Run the steps in order, skipping what is up to date; returns them with the reasons why they ran.

    The next step is asked for only after the one before it has run, so a generator can make a step from what
    the steps before it left.

    Raises:
        StepFailed: a step failed; nothing that was there before has been touched by it.
        Interrupted: passed through from a signal handler, after the running step's processes have ended.
    """
    done = []
    for step in steps:
        why = _reasons(step, force, {})
        if why:
            _run_step(step, why, watcher, grace_seconds)
        else:
            watcher.skipped(step)
        done.append(Planned(step, why))
    return done


def _reasons(step: Step, force: bool, made_anew: Mapping[Path, str]) -> tuple[record.Why, ...]:
    if force:
        return (record.Why(record.Reason.FORCED, "--force was given"),)
    try:
        return record.reasons_to_run(step, made_anew=made_anew)
    except OSError as error:
        reason = f"{error.filename or 'a file of it'} cannot be read ({error.strerror})"
        raise StepFailed(f"{step.title} cannot be judged: {reason}.") from error


def _run_step(step: Step, why: Sequence[record.Why], watcher: Watcher, grace_seconds: float) -> None:
    began, started = time.monotonic(), datetime.now(UTC).isoformat(timespec="milliseconds")
    log = record.log_path(step)
    try:
        with scratch_folder(step.folder, step.file_name) as scratch:
            watcher.started(step, why, log)
            described = record.describe(step)
            for output in step.outputs:
                _in_scratch(step, output, scratch).parent.mkdir(parents=True, exist_ok=True)
            if step.argv is not None:
                memory = _run_command(step, scratch, log, watcher, grace_seconds)
            else:
                memory = _run_function(step, scratch, log, watcher)
            _verify(step, scratch, log)
            run = {
                "started": started,
                "seconds": round(time.monotonic() - began, 3),
                "peak_memory": memory.as_data(),
                "why": [reason.text for reason in why],
                "facts": _facts(step, log),
            }
            record.publish(step, scratch, described, run)
    except OSError as error:
        watcher.stopped()
        raise StepFailed(f"{step.title} failed: {error}.") from error
    except BaseException:
        watcher.stopped()
        raise
    watcher.finished(step, time.monotonic() - began)


def _run_command(step: Step, scratch: Path, log: Path, watcher: Watcher, grace_seconds: float) -> PeakMemory:
    reader = step.progress() if step.progress else None

    def read_line(line: str) -> None:
        if reader and (progress := reader.read(line)):
            watcher.progressed(progress)

    process = SupervisedProcess(
        step.command(scratch), cwd=step.cwd, env=step.env, log=log, grace_seconds=grace_seconds
    )
    with process, PeakMemory(process.process_id, gpus=step.gpus > 0) as memory:
        try:
            code = process.follow(read_line)
        except BaseException:
            watcher.ending()
            raise
    if code:
        raise ended_with(step, code, log)
    return memory


def _run_function(step: Step, scratch: Path, log: Path, watcher: Watcher) -> PeakMemory:
    def report(phase: str, done: int, total: int) -> None:
        watcher.progressed(Progress(phase, done / total if total else None, f"{done} of {total}"))

    if step.function is None:
        raise ValueError(f"step {step.name} has neither a command nor a function")
    with native_output_to(log), PeakMemory(os.getpid(), gpus=step.gpus > 0) as memory:
        try:
            step.function(StepRun(scratch, report, watcher.progressed, log))
        except StepFailed as failure:
            raise StepFailed(f"{step.title} failed: {failure}", cause=failure.cause) from failure
        except Exception as error:
            with log.open("a", encoding="utf-8") as file:
                traceback.print_exc(file=file)
            cause = HOST_MEMORY if isinstance(error, MemoryError) else None
            raise failed(step, f"{type(error).__name__}: {error}", log, cause=cause) from error
    return memory


def _verify(step: Step, scratch: Path, log: Path) -> None:
    for output in step.outputs:
        made = _in_scratch(step, output, scratch)
        if not made.is_file() or made.stat().st_size == 0:
            state = "is empty" if made.is_file() else "was not written"
            raise failed(step, f"it ended without an error, but {output.name} {state}", log)
    try:
        step.verify(scratch)
    except StepFailed as failure:
        found = str(failure).replace(f"{scratch}{os.sep}", "")  # which is gone when the message is read
        what = f"it ended without an error, but {found}"
        raise failed(step, what, log, cause=failure.cause) from failure


def _facts(step: Step, log: Path) -> dict[str, Any]:
    """What the engine wants to keep. A mistake in it must not cost the outputs, which are good."""
    if step.facts is None:
        return {}
    try:
        return record.plain(step.facts(both_ends_of(log)))
    except Exception as error:
        return {"error": f"{type(error).__name__}: {error}"}


def _in_scratch(step: Step, output: Path, scratch: Path) -> Path:
    return scratch / output.relative_to(step.folder)
