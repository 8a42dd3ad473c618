"""The record beside a result: write it, make a result again from it, verify it; and what a run teaches."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from commands.report import Report, RunOptions
from commands.showing import print_problem, print_result
from config import VERSION, Job, Problem, SettingsError
from execution.result_record import RecordError, read_result_record, settings_of
from execution.step import StepFailed

if TYPE_CHECKING:
    from rich.console import Console

    from engines.interface import Engine
    from execution.runner import Planned

_EXIT_CHANGED = 1


def write(
    job: Job, report: Report, done: Sequence[Planned], attempts: Sequence[str], console: Console
) -> None:
    """Write the record of the job's result, which has just been published.

    Raises:
        StepFailed: it cannot be written; the result stands.
    """
    import preprocess
    from engines.machine import describe_machine
    from execution.result_writing import write_result_record

    try:
        info = preprocess.probe_video(job.output_path)
        with _progress(console, "hashing the weights") as hashed:
            write_result_record(
                job.output_path,
                stages=job.stages,
                settings=job.values(),
                steps=done,
                video={
                    "frames": info.frame_count,
                    "width": info.width,
                    "height": info.height,
                    "rate": str(info.rate),
                    "audio": info.has_audio,
                },
                command=[Path(sys.argv[0]).name, *sys.argv[1:]],
                findings=[asdict(finding) for finding in report.findings],
                predicted=None if report.predicted is None else report.predicted.as_data(),
                machine=describe_machine(),
                attempts=attempts,
                report=hashed,
            )
    except (RecordError, OSError, preprocess.MediaError) as error:
        raise StepFailed(f"The result is there, but its record could not be written: {error}") from error


def request_of(path: Path) -> tuple[tuple[int, ...], dict[str, Any]]:
    """Stages and settings of a recorded result, to make it again.

    Raises:
        SettingsError: the record cannot be used.
    """
    record = _read(path)
    return tuple(record["stages"]), settings_of(record)


def make_again(
    path: Path, engine: Engine, job: Job, report: Report, console: Console, options: RunOptions
) -> int:
    """Make a recorded result again: say what differs on this machine, run, say whether it is the same file.

    Raises:
        StepFailed, SettingsError, execution.step.Interrupted: as for any run.
    """
    from commands.running import run

    record = _read(path)  # before the run, which may write its own to the same place
    for difference in _differences(record, engine, job, console):
        print_problem(console, "note", f"Since the record was written: {difference}")
    code = run(engine, job, report, console, options)
    if code == 0:
        from execution.fingerprint import describe_file

        same = describe_file(job.output_path)["sha256"] == record["result"]["sha256"]
        words = "is the recorded one, byte for byte." if same else "differs from the recorded one."
        print_problem(console, "note", f"The result {words}")
    return code


def _differences(record: Mapping[str, Any], engine: Engine, job: Job, console: Console) -> list[str]:
    from engines.machine import describe_machine
    from execution.differences import differences_from
    from execution.result_writing import own_libraries

    now = {
        "understudy": VERSION,
        "libraries": own_libraries(),
        "machine": describe_machine(),
        **engine.describe(job),
    }
    with _progress(console, "hashing the inputs") as hashed:
        return differences_from(record, now, hashed)


def verify(path: Path, console: Console, *, as_json: bool) -> int:
    """Hash everything that the record names, and say what changed; returns the exit code.

    Raises:
        SettingsError: the record cannot be used.
    """
    from execution.differences import verify_result_record

    record = _read(path)
    with _progress(console, "hashing") as hashed:
        differences = verify_result_record(record, path.absolute().parent, hashed)
    if as_json:
        import json

        print_result(json.dumps({"differences": [entry.as_data() for entry in differences]}, indent=2))
    else:
        for difference in differences:
            print_problem(console, "error", difference.text)
        if not differences:
            print_result("Everything that the record names is as it was.")
    return _EXIT_CHANGED if differences else 0


def _read(path: Path) -> dict[str, Any]:
    try:
        return read_result_record(path)
    except RecordError as error:
        raise SettingsError([Problem("record.unreadable", str(error))]) from error


@contextmanager
def _progress(console: Console, what: str) -> Iterator[Callable[[int, int], None]]:
    """A bar over bytes; where there is no terminal, nothing."""
    if not console.is_terminal:
        yield lambda done, total: None
        return
    from rich.progress import Progress

    with Progress(console=console, transient=True) as bar:
        task = bar.add_task(what, total=None)

        def report(done: int, total: int) -> None:
            bar.update(task, completed=done, total=total or None)

        yield report
