"""Run a Job's Steps, with a second try for want of memory, and write the result's record."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from commands.report import Report, RunOptions
from commands.showing import print_problem, print_result
from config import GENERATION, Job
from execution.step import GPU_MEMORY, HOST_MEMORY, Step, StepFailed

if TYPE_CHECKING:
    from rich.console import Console

    from engines.interface import Engine
    from execution.runner import Planned


def run(engine: Engine, job: Job, report: Report, console: Console, options: RunOptions) -> int:
    """Run the job; returns the exit code.

    Raises:
        StepFailed: a step failed, and there was nothing left to try.
        execution.step.Interrupted: the user asked to stop.
    """
    attempts: list[str] = []
    while True:
        try:
            done = _run_steps(engine.plan(job), console, options)
            break
        except StepFailed as failure:
            relieved = _relieved(engine, job, failure, options)
            if relieved is None:
                raise
            job, rung, report = relieved
            print_problem(console, "error", str(failure))
            print_problem(console, "note", f"--on_oom retry: trying again with {rung}.")
            attempts.append(rung)
    from commands.estimating import remember

    remember(engine, job, engine.predict(job), done)
    if GENERATION in job.stages:
        from commands.recording import write

        write(job, report, done, attempts, console)
    if not options.quiet:
        _print_notices(done, console)
        print_result(_result(job, done))
    return 0


def _run_steps(steps: Iterable[Step], console: Console, options: RunOptions) -> list[Planned]:
    from execution.display import Display
    from execution.runner import run_steps

    display = Display(console, quiet=options.quiet, verbose=options.verbose)
    with contextlib.ExitStack() as locks:
        return run_steps(_locked(steps, locks), display, force=options.force)


def _locked(steps: Iterable[Step], locks: contextlib.ExitStack) -> Iterator[Step]:
    """The steps, each with its folder locked from the moment it is asked for until the end of the run."""
    from execution.lock import FolderBusy, locked

    for step in steps:
        try:
            locks.enter_context(locked([step]))
        except FolderBusy as busy:
            raise StepFailed(f"{step.title} cannot start: {busy}") from busy
        yield step


def _relieved(
    engine: Engine, job: Job, failure: StepFailed, options: RunOptions
) -> tuple[Job, str, Report] | None:
    """By the next rung that the check lets pass: several GPUs cannot share windows of any length."""
    if job.on_oom != "retry" or failure.cause not in (GPU_MEMORY, HOST_MEMORY):
        return None
    while (relieved := engine.relief(job, failure.cause)) is not None:
        job, rung = relieved
        findings = [
            found.as_warning() if found.code in options.ignore else found for found in engine.check(job)
        ]
        report = Report(findings, engine.predict(job))
        if not report.refused:
            return job, rung, report
    return None


def _result(job: Job, done: list[Planned]) -> str:
    return str(job.output_path if GENERATION in job.stages else job.save_path)


def _print_notices(done: list[Planned], console: Console) -> None:
    """What the steps' records want people to know of the outputs, also of those that stood already."""
    from execution.record import read_record, record_path

    for entry in done:
        for notice in read_record(record_path(entry.step)).get("facts", {}).get("notices", ()):
            print_problem(console, "note", str(notice))
