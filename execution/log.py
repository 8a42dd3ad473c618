"""The log of a step: its ends, and what a failure says about it."""

from __future__ import annotations

import os
from pathlib import Path

from execution.step import HOST_MEMORY, Step, StepFailed

_TAIL_LINES = 15
_TAIL_BYTES = 2**16
_ENDS_BYTES = 2**19


def end_of(log: Path) -> str:
    """The last of a log that may be as long as a bad day; an empty string where there is none."""
    return _read(log, 0, _TAIL_BYTES)


def both_ends_of(log: Path) -> str:
    """The log, without the middle when it is longer than 1 MiB: what matters stands at the ends."""
    return _read(log, _ENDS_BYTES, _ENDS_BYTES)


def failed(step: Step, what: str, log: Path, *, cause: str | None = None) -> StepFailed:
    """The failure of a step, told for people: what happened, the diagnosis, the last lines, the log's place.

    Args:
        what: what happened, the rest of the sentence "... failed: ".
        cause: its cause, should the log not be understood.
    """
    text = end_of(log)
    diagnosis = step.diagnose(text) if step.diagnose else None
    lines = [f"{step.title} failed: {what}."]
    if diagnosis:
        lines.append(diagnosis.text)
    lines += last_lines(text)
    lines.append(f"Whole output: {log}")
    return StepFailed("\n".join(lines), cause=diagnosis.cause if diagnosis else cause)


def last_lines(text: str) -> list[str]:
    """The last lines of an output, as they stand in the message of a failure. Empty where there are none."""
    tail = [line for line in text.replace("\r", "\n").splitlines() if line.strip()][-_TAIL_LINES:]
    return ["Last lines of its output:", *(f"  | {line}" for line in tail)] if tail else []


def ended_with(step: Step, code: int, log: Path) -> StepFailed:
    """The failure of a command that ended with an exit code other than 0."""
    # A kill that nobody asked for is nearly always the system's, for want of memory.
    cause = HOST_MEMORY if code in (-9, 137) else None
    return failed(step, f"its command ended with {_exit_code(code)}", log, cause=cause)


def _exit_code(code: int) -> str:
    if code > 128:
        signal_number = code - 128
        hint = ", often a lack of memory" if signal_number == 9 else ""
        return f"exit code {code} (ended by signal {signal_number}{hint})"
    return f"exit code {code}"


def _read(log: Path, first: int, last: int) -> str:
    if not log.exists():
        return ""
    with log.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        head = file.read(first if size > first + last else 0)
        file.seek(max(len(head), size - last) if size > first + last else 0)
        rest = file.read()
    return (head + (b"\n" if head else b"") + rest).decode("utf-8", "replace")
