"""The three drivers' commands: flags made from the settings, signals, exit codes.

Exit codes: 0 done and verified, 1 a step failed, 2 the request is wrong (nothing was started),
130 interrupted. Only click and the standard library are imported before a command runs.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import Any

import click

import config
from commands.interruption import exit_code_of

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
        options = {key: values.pop(key) for key in _RUN_OPTIONS if key in values}
        flags = {key: value for key, value in values.items() if value is not None}
        sys.exit(_run(stages, flags, options))

    setting_options = [_option(key, setting, stages) for key, setting in config.settings_for(stages).items()]
    return SectionedCommand(
        name,
        callback=run,
        params=[
            *setting_options,
            *_run_options(name, both=config.PREPROCESSING in stages and config.GENERATION in stages),
        ],
        help=help,
        context_settings={
            "help_option_names": ["--help", "-h"],
            "max_content_width": 100,
            "token_normalize_func": lambda token: token.replace("_", "-"),
        },
    )


def _option(name: str, setting: config.Setting, stages: Sequence[int]) -> click.Option:
    flags = [f"--{spelling}" for spelling in (name, *setting.spellings)]
    help_text = setting.help
    default = setting.default_text
    if default is None and setting.metavar and config.DEFAULTS[name] not in (None, config.NO_PATH):
        default = str(config.DEFAULTS[name])
    if set(setting.required_in) & set(stages):
        help_text += "  [required]"
    elif default is not None:
        help_text += f"  [default: {default}]"
    if setting.metavar is None:
        declaration = "/".join([flags[0], *([f"--{setting.negative}"] if setting.negative else [])])
        return SectionedOption(
            [name, declaration], is_flag=True, default=None, help=help_text, section=setting.section
        )
    return SectionedOption(
        [name, *flags], metavar=setting.metavar, nargs=setting.words, help=help_text, section=setting.section
    )


_RUN_OPTIONS = (
    *("config", "check", "look", "dry_run", "explain", "as_json", "ignore", "rerun", "verify"),
    *("force", "verbose", "quiet"),
)


def _run_options(name: str, *, both: bool) -> list[click.Option]:
    """The flags about one run; ``both`` adds those of a driver of both stages."""

    def switch(declaration: list[str], help_text: str) -> click.Option:
        return SectionedOption(declaration, is_flag=True, default=False, help=help_text)

    def file(declaration: list[str], help_text: str) -> click.Option:
        return SectionedOption(declaration, metavar="FILE", help=help_text)

    version = click.version_option(config.VERSION, "--version", prog_name=f"Understudy {name}")
    holder = version(click.Command(name))
    of_records = [
        file(["rerun", "--rerun"], "Make a result again from its record, the .json file beside it."),
        file(["verify", "--verify"], "Hash everything that a record names, and say what changed."),
    ]
    return [
        file(["config", "--config"], "YAML file of settings, one 'name: value' a line; flags win over it."),
        switch(["check", "--check"], "Only check: say what would fail, and what will come out."),
        switch(
            ["look", "--look"], "Look at the pictures too, with the preview models: persons, faces, cuts."
        ),
        switch(["dry_run", "--dry_run"], "Check, print every command, and run nothing."),
        switch(["explain", "--explain"], "Say for every step why it will run or be skipped."),
        switch(["as_json", "--json"], "With one of these four or --verify: print it as one JSON object."),
        SectionedOption(
            ["ignore", "--ignore"],
            metavar="CODE",
            multiple=True,
            help="Go on in spite of the error with this code; can be repeated.",
        ),
        *(of_records if both else []),
        switch(["force", "--force"], "Run the steps again though they are up to date."),
        switch(["verbose", "--verbose"], "Say more: reasons, logs."),
        switch(["quiet", "--quiet"], "Say only what went wrong."),
        *(parameter for parameter in holder.params if isinstance(parameter, click.Option)),
    ]


def run_option_help() -> dict[str, str]:
    """The flags that are about one run and no setting, with their help."""
    return {option.opts[0].lstrip("-"): option.help or "" for option in _run_options("", both=True)}


# --------------------------------------------------------------------------------------------- one run


def _run(stages: Sequence[int], flags: Mapping[str, object], options: Mapping[str, Any]) -> int:
    """From flags to exit code. There is no second way to a result."""

    def run() -> int:
        from rich.console import Console

        from commands.answer import answer
        from commands.report import RunOptions

        console = Console(stderr=True, highlight=False, emoji=False)
        return answer(stages, flags, RunOptions(**options), console)

    return exit_code_of(run)
