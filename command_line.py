"""What the three drivers share: flags made from the settings, check, plan, run, exit codes.

Exit codes: 0 done and verified, 1 a step failed, 2 the request is wrong (nothing was started),
130 interrupted. Only click and the standard library are imported before a command runs.
"""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

import click

import config

if TYPE_CHECKING:
    from rich.console import Console

    from engines.interface import Engine, Finding
    from execution.runner import Planned
    from execution.step import Step

EXIT_FAILED, EXIT_WRONG_REQUEST, EXIT_INTERRUPTED = 1, 2, 130
_RUN_SECTION = "This run"


class SectionedOption(click.Option):
    """An option that knows under which heading of the help page it stands."""

    def __init__(self, *args: Any, section: str = _RUN_SECTION, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.section = section


class SectionedCommand(click.Command):
    """A command whose help page groups the options by section."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write one list of options for each section, in the order of definition."""
        sections: dict[str, list[tuple[str, str]]] = {}
        for parameter in self.get_params(ctx):
            line = parameter.get_help_record(ctx)
            if line is not None:
                sections.setdefault(getattr(parameter, "section", _RUN_SECTION), []).append(line)
        for title, lines in sections.items():
            with formatter.section(title):
                formatter.write_dl(lines)


def make_command(name: str, stages: Sequence[int], help: str) -> click.Command:
    """A driver: the click command that runs these stages."""

    def run(**values: Any) -> None:
        options = {key: values.pop(key) for key in _RUN_OPTIONS}
        flags = {key: value for key, value in values.items() if value is not None}
        sys.exit(_run(stages, flags, options))

    setting_options = [_option(key, setting) for key, setting in config.settings_for(stages).items()]
    return SectionedCommand(
        name,
        callback=run,
        params=[*setting_options, *_run_options(name)],
        help=help,
        context_settings={
            "help_option_names": ["--help", "-h"],
            "max_content_width": 100,
            "token_normalize_func": lambda token: token.replace("_", "-"),
        },
    )


def _option(name: str, setting: config.Setting) -> click.Option:
    flags = [f"--{spelling}" for spelling in (name, *setting.spellings)]
    help_text = setting.help
    default = setting.default_text
    if default is None and setting.metavar and config.DEFAULTS[name] not in (None, config.NO_PATH):
        default = str(config.DEFAULTS[name])
    if setting.required:
        help_text += "  [required]"
    elif default is not None:
        help_text += f"  [default: {default}]"
    if setting.metavar is None:
        declaration = "/".join([flags[0], *([f"--{setting.negative}"] if setting.negative else [])])
        return SectionedOption(
            [name, declaration], is_flag=True, default=None, help=help_text, section=setting.section
        )
    return SectionedOption([name, *flags], metavar=setting.metavar, help=help_text, section=setting.section)


_RUN_OPTIONS = ("config", "dry_run", "as_json", "force", "verbose", "quiet")


def _run_options(name: str) -> list[click.Option]:
    def switch(declaration: list[str], help_text: str) -> click.Option:
        return SectionedOption(declaration, is_flag=True, default=False, help=help_text)

    version = click.version_option(config.VERSION, "--version", prog_name=f"Understudy {name}")
    holder = version(click.Command(name))
    return [
        SectionedOption(
            ["config", "--config"],
            metavar="FILE",
            help="YAML file of settings, one 'name: value' a line; flags win over it.",
        ),
        switch(["dry_run", "--dry_run"], "Print every command and run nothing."),
        switch(["as_json", "--json"], "With --dry_run: print the plan as one JSON object."),
        switch(["force", "--force"], "Run the steps again though they are up to date."),
        switch(["verbose", "--verbose"], "Say more: reasons, logs."),
        switch(["quiet", "--quiet"], "Say only what went wrong."),
        *(parameter for parameter in holder.params if isinstance(parameter, click.Option)),
    ]


def run_option_help() -> dict[str, str]:
    """The flags that are about one run and no setting, with their help."""
    return {option.opts[0].lstrip("-"): option.help or "" for option in _run_options("")}


# --------------------------------------------------------------------------------------------- one run


def _run(stages: Sequence[int], flags: Mapping[str, object], options: Mapping[str, Any]) -> int:
    """From flags to exit code. There is no second way to a result."""
    restore = _interrupt_on_signals()
    try:
        from rich.console import Console

        console = Console(stderr=True, highlight=False, emoji=False)
        if options["as_json"] and not options["dry_run"]:
            raise config.SettingsError(["--json needs --dry_run: it prints the plan as data."])
        settings_file = None if options["config"] is None else Path(options["config"])
        job = config.load_job(stages, flags, settings_file)
        from engines import load_engine

        return _check_and_run(load_engine(job.engine), job, console, options)
    except config.SettingsError as error:
        for message in error.messages:
            _print_problem(console, "error", message)
        return EXIT_WRONG_REQUEST
    except _interruptions():
        click.echo("Interrupted. What was finished stays; run the same command again to go on.", err=True)
        return EXIT_INTERRUPTED
    finally:
        restore()


def _check_and_run(engine: Engine, job: config.Job, console: Console, options: Mapping[str, Any]) -> int:
    try:
        findings = engine.check(job)
    except OSError as error:  # a name that no file can have, a folder that may not be entered
        _print_problem(
            console, "error", f"{error.filename} cannot be used ({error.strerror}). Check the name."
        )
        return EXIT_WRONG_REQUEST
    wrong = any(finding.level == "error" for finding in findings)
    if not options["as_json"]:
        for finding in findings:
            if finding.level == "error" or not options["quiet"]:
                _print_problem(console, finding.level, finding.as_text())
    if wrong and not options["dry_run"]:
        console.print("Nothing was started.")
        return EXIT_WRONG_REQUEST
    from execution.step import StepFailed

    try:
        if options["dry_run"]:
            _print_plan(engine.plan(job), findings, options)
            return EXIT_WRONG_REQUEST if wrong else 0
        _run_plan(engine.plan(job), console, options)
    except StepFailed as failure:
        _print_problem(console, "error", str(failure))
        return EXIT_FAILED
    return 0


def _run_plan(steps: Sequence[Step], console: Console, options: Mapping[str, Any]) -> None:
    from execution.display import Display
    from execution.runner import run_steps

    display = Display(console, quiet=options["quiet"], verbose=options["verbose"])
    run_steps(steps, display, force=options["force"])
    if not options["quiet"]:
        last = steps[-1]
        _print_result(str(last.outputs[0] if len(last.outputs) == 1 else last.folder))


def _print_plan(steps: Sequence[Step], findings: Sequence[Finding], options: Mapping[str, Any]) -> None:
    import json
    from dataclasses import asdict

    from execution.runner import plan_run

    planned: list[Planned] = plan_run(steps, force=options["force"])
    if options["as_json"]:
        data = {
            "steps": [entry.as_data() for entry in planned],
            "findings": [asdict(finding) for finding in findings],
        }
        _print_result(json.dumps(data, indent=2, ensure_ascii=False))
        return
    for entry in planned:
        _print_result(entry.as_line())


def _print_result(text: str) -> None:
    """On standard output. What it cannot encode is escaped: a finished run must not end in an error."""
    encoding = getattr(sys.stdout, "encoding", None) or "utf-8"  # None: a closed standard output
    click.echo(text.encode(encoding, "backslashreplace").decode(encoding))


def _print_problem(console: Console, level: str, text: str) -> None:
    from rich.text import Text

    colours = {"error": "bold red", "warning": "yellow", "note": "cyan"}
    console.print(Text.assemble((f"{level}: ", colours[level]), text.strip()), soft_wrap=True)


def _interruptions() -> tuple[type[BaseException], ...]:
    from execution.step import Interrupted

    return (Interrupted, KeyboardInterrupt)


def _interrupt_on_signals() -> Callable[[], None]:
    """Turn SIGINT and SIGTERM into ``Interrupted``; returns what puts the old handlers back.

    Only the first raises: it may take a while until all processes have ended, and an exception in the midst
    of that would leave some behind. The second kills them at once; a third raises again, should that fail.
    """
    from execution.process import kill_running
    from execution.step import Interrupted

    count = 0

    def interrupt(number: int, frame: FrameType | None) -> None:
        nonlocal count
        count += 1
        if count == 2:
            kill_running()
        else:
            raise Interrupted(signal.Signals(number).name)

    before = {number: signal.signal(number, interrupt) for number in (signal.SIGINT, signal.SIGTERM)}

    def restore() -> None:
        for number, handler in before.items():
            signal.signal(number, handler)

    return restore
