"""What the drivers do with a request: make the Job, check, predict, plan, run, record.

Everything goes this one way; there is no second path to a result.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import config
from commands.report import Report, RunOptions
from commands.showing import print_problem, show
from config import NO_PATH, PREPROCESSING, Job, Problem, SettingsError

if TYPE_CHECKING:
    from rich.console import Console

    from engines.findings import Finding
    from engines.interface import Engine

EXIT_FAILED, EXIT_WRONG_REQUEST = 1, 2


def answer(stages: Sequence[int], flags: Mapping[str, object], options: RunOptions, console: Console) -> int:
    """From flags to exit code.

    Raises:
        execution.step.Interrupted: the user asked to stop.
    """
    try:
        if options.as_json and not (options.only_shows or options.verify):
            what = "--json needs something to print: --check, --dry_run, --explain or --verify."
            raise SettingsError([Problem("settings.json-alone", what)])
        if options.verify is not None:
            from commands.recording import verify

            return verify(Path(options.verify), console, as_json=options.as_json)
        recorded = None
        if options.rerun is not None:
            from commands.recording import request_of

            stages, recorded = request_of(Path(options.rerun))
        settings_file = None if options.config is None else Path(options.config)
        job = config.load_job(stages, flags, settings_file, recorded)
        from engines import engine_of

        return _check_and_run(engine_of(job), job, console, options)
    except SettingsError as error:
        from engines.request import request_findings

        show(Report(request_findings(error.problems)), console, options)
        return EXIT_WRONG_REQUEST


def _check_and_run(engine: Engine, job: Job, console: Console, options: RunOptions) -> int:
    from execution.step import StepFailed

    report = make_report(engine, job, console, options)
    try:
        if options.dry_run or options.explain:
            from execution.runner import plan_run

            report.planned = plan_run(engine.plan(job), force=options.force)
        show(report, console, options)
        if report.refused:
            return EXIT_WRONG_REQUEST
        if options.only_shows:
            return 0
        if options.rerun is not None:
            from commands.recording import make_again

            return make_again(Path(options.rerun), engine, job, report, console, options)
        from commands.running import run

        return run(engine, job, report, console, options)
    except StepFailed as failure:
        if options.dry_run or options.explain:
            show(report, console, options)
            if report.refused:  # which says why there is no plan
                return EXIT_WRONG_REQUEST
        print_problem(console, "error", str(failure))
        return EXIT_WRONG_REQUEST if report.refused else EXIT_FAILED


def make_report(engine: Engine, job: Job, console: Console, options: RunOptions) -> Report:
    """Check the job, look at its media if asked to, and predict its result."""
    if options.ignore:
        _refuse_unknown_codes(options.ignore)
    findings = list(_findings(engine, job, console, options))
    ignored = [finding.as_warning() if finding.code in options.ignore else finding for finding in findings]
    from commands.estimating import estimate_in_words

    predicted = engine.predict(job)
    return Report(ignored, predicted, estimate=estimate_in_words(engine, job, predicted) if predicted else "")


def _findings(engine: Engine, job: Job, console: Console, options: RunOptions) -> Sequence[Finding]:
    from engines.checks import UNUSABLE_PATH

    try:
        findings = list(engine.check(job))
        looks = options.look and PREPROCESSING in job.stages and job.video_path != NO_PATH
        if looks and not any(f.level == "error" for f in findings):
            findings += _look(job, console, quiet=options.quiet or options.as_json)
    except OSError as error:  # a name that no file can have, a folder that may not be entered
        what = f"{error.filename} cannot be used ({error.strerror})."
        return [UNUSABLE_PATH.found(what, "Check the name.")]
    return findings


def _look(job: Job, console: Console, *, quiet: bool) -> list[Finding]:
    from rich.progress import Progress

    from engines.preview.look import look_findings
    from execution.native_output import native_output_to

    silence = Path(os.devnull)
    if quiet:
        with native_output_to(silence):
            return list(look_findings(job, lambda phase, done, total: None))
    with native_output_to(silence), Progress(console=console, transient=True) as bar:
        task = bar.add_task("looking at the media", total=None)

        def report(phase: str, done: int, total: int) -> None:
            bar.update(task, description=phase, completed=done, total=total)

        return list(look_findings(job, report))


def _refuse_unknown_codes(codes: Sequence[str]) -> None:
    from engines import load_all_findings

    known = load_all_findings()
    unknown = [code for code in codes if code not in known]
    if unknown:
        raise SettingsError(
            [
                Problem(
                    "settings.ignore-unknown", f"--ignore {code}: no such code{config.nearest(code, known)}."
                )
                for code in unknown
            ]
        )
