"""Run the Steps of a plan: skip what is up to date, watch, verify, publish."""

from __future__ import annotations

import contextlib
import os
import shlex
import sys
import time
import traceback
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from execution import record
from execution.process import TERMINATION_GRACE_SECONDS, SupervisedProcess
from execution.scratch import scratch_folder
from execution.step import Progress, Step, StepFailed, StepRun

_TAIL_LINES = 15
_TAIL_BYTES = 2**16


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
    """A step and what would be done with it."""

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


def plan_run(steps: Sequence[Step], *, force: bool = False) -> list[Planned]:
    """What running these steps would do now. Nothing is run or written."""
    planned = []
    made_anew: dict[Path, str] = {}
    for step in steps:
        why = _reasons(step, force, made_anew)
        planned.append(Planned(step, why))
        if why:
            made_anew |= dict.fromkeys(step.outputs, step.title)
    return planned


def run_steps(
    steps: Sequence[Step],
    watcher: Watcher,
    *,
    force: bool = False,
    grace_seconds: float = TERMINATION_GRACE_SECONDS,
) -> None:
    """Run the steps in order, skipping what is up to date.

    Raises:
        StepFailed: a step failed; nothing that was there before has been touched by it.
        Interrupted: passed through from a signal handler, after the running step's processes have ended.
    """
    for step in steps:
        why = _reasons(step, force, {})
        if why:
            _run_step(step, why, watcher, grace_seconds)
        else:
            watcher.skipped(step)


def _reasons(step: Step, force: bool, made_anew: Mapping[Path, str]) -> tuple[record.Why, ...]:
    if force:
        return (record.Why(record.Reason.FORCED, "--force was given"),)
    try:
        return record.reasons_to_run(step, made_anew=made_anew)
    except OSError as error:
        reason = f"{error.filename or 'a file of it'} cannot be read ({error.strerror})"
        raise StepFailed(f"{step.title} cannot be judged: {reason}.") from error


def _run_step(step: Step, why: Sequence[record.Why], watcher: Watcher, grace_seconds: float) -> None:
    began = time.monotonic()
    log = record.log_path(step)
    try:
        with scratch_folder(step.folder, step.file_name) as scratch:
            watcher.started(step, why, log)
            described = record.describe(step)
            if step.argv is not None:
                _run_command(step, scratch, log, watcher, grace_seconds)
            else:
                _run_function(step, scratch, log, watcher)
            _verify(step, scratch, log)
            record.publish(step, scratch, described)
    except OSError as error:
        watcher.stopped()
        raise StepFailed(f"{step.title} failed: {error}.") from error
    except BaseException:
        watcher.stopped()
        raise
    watcher.finished(step, time.monotonic() - began)


def _run_command(step: Step, scratch: Path, log: Path, watcher: Watcher, grace_seconds: float) -> None:
    reader = step.progress() if step.progress else None

    def read_line(line: str) -> None:
        if reader and (progress := reader.read(line)):
            watcher.progressed(progress)

    process = SupervisedProcess(
        step.command(scratch), cwd=step.cwd, env=step.env, log=log, grace_seconds=grace_seconds
    )
    with process:
        try:
            code = process.follow(read_line)
        except BaseException:
            watcher.ending()
            raise
    if code:
        raise StepFailed(_failure(step, f"its command ended with {_exit_code(code)}", log))


def _run_function(step: Step, scratch: Path, log: Path, watcher: Watcher) -> None:
    def report(phase: str, done: int, total: int) -> None:
        watcher.progressed(Progress(phase, done / total if total else None, f"{done} of {total}"))

    if step.function is None:
        raise ValueError(f"step {step.name} has neither a command nor a function")
    with _native_output_to(log):
        try:
            step.function(StepRun(scratch, report))
        except StepFailed as failure:
            raise StepFailed(f"{step.title} failed: {failure}") from failure
        except Exception as error:
            with log.open("a", encoding="utf-8") as file:
                traceback.print_exc(file=file)
            raise StepFailed(_failure(step, f"{type(error).__name__}: {error}", log)) from error


def _verify(step: Step, scratch: Path, log: Path) -> None:
    for output in step.outputs:
        made = scratch / output.relative_to(step.folder)
        if not made.is_file() or made.stat().st_size == 0:
            state = "is empty" if made.is_file() else "was not written"
            raise StepFailed(_failure(step, f"it ended without an error, but {output.name} {state}", log))
    try:
        step.verify(scratch)
    except StepFailed as failure:
        found = str(failure).replace(f"{scratch}{os.sep}", "")  # which is gone when the message is read
        raise StepFailed(_failure(step, f"it ended without an error, but {found}", log)) from failure


@contextlib.contextmanager
def _native_output_to(log: Path) -> Iterator[None]:
    """Send what native libraries print on standard error to the log; Python's own goes on to the terminal."""
    sys.stderr.flush()
    terminal = os.dup(2)
    python_stderr = sys.stderr
    escaped = os.fdopen(
        terminal, "w", buffering=1, encoding=python_stderr.encoding, errors="backslashreplace"
    )
    with log.open("wb", buffering=0) as file, escaped as stream:
        os.dup2(file.fileno(), 2)
        try:
            if python_stderr is sys.__stderr__:
                sys.stderr = stream
            yield
        finally:
            sys.stderr = python_stderr
            os.dup2(terminal, 2)


def _failure(step: Step, cause: str, log: Path) -> str:
    text = _end_of(log)
    diagnosis = step.diagnose(text) if step.diagnose else None
    lines = [f"{step.title} failed: {cause}."]
    if diagnosis:
        lines.append(diagnosis)
    tail = [line for line in text.replace("\r", "\n").splitlines() if line.strip()][-_TAIL_LINES:]
    if tail:
        lines += ["Last lines of its output:", *(f"  | {line}" for line in tail)]
    lines.append(f"Whole output: {log}")
    return "\n".join(lines)


def _end_of(log: Path) -> str:
    """The last of a log that may be as long as a bad day."""
    if not log.exists():
        return ""
    with log.open("rb") as file:
        file.seek(max(0, log.stat().st_size - _TAIL_BYTES))
        return file.read().decode("utf-8", "replace")


def _exit_code(code: int) -> str:
    if code > 128:
        signal_number = code - 128
        hint = ", often a lack of memory" if signal_number == 9 else ""
        return f"exit code {code} (ended by signal {signal_number}{hint})"
    return f"exit code {code}"
