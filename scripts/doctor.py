#!/usr/bin/env python3
"""What works here, what is missing, and the command that mends it: for every engine.

python scripts/doctor.py            the table; exit code 0 when the default engine can run
python scripts/doctor.py --json     the same as data
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from set_up.own_environment import go_on_there

if __name__ == "__main__":
    go_on_there(["requirements.txt"], ["click", "rich", "psutil", "pynvml"], dry_run=False)

import click

from commands.interruption import exit_code_of
from config import DEFAULTS, SETTINGS


def _setting(name: str) -> click.Option:
    setting = SETTINGS[name]
    default = setting.default_text or DEFAULTS[name]
    return click.Option([f"--{name}"], metavar=setting.metavar, help=f"{setting.help}  [default: {default}]")


def _main(engine: str, as_json: bool, **flags: str | None) -> None:
    def work() -> int:
        from rich.console import Console

        from commands.examining import answer

        given = {name: value for name, value in flags.items() if value is not None}
        console = Console(stderr=True, highlight=False, emoji=False)
        return answer(given, console, engine=engine, as_json=as_json)

    sys.exit(exit_code_of(work))


main = click.Command(
    "doctor.py",
    callback=_main,
    params=[
        *(_setting(name) for name in ("wan22_dir", "ckpt_dir", "wan22_python", "tool_dir", "tool_python")),
        *(
            _setting(name)
            for name in ("diffusers_model", "diffusers_python", "diffusers_device", "animate_2_model")
        ),
        click.Option(
            ["--engine"],
            default=str(DEFAULTS["engine"]),
            show_default=True,
            metavar="NAME",
            help="The engine that the exit code is about.",
        ),
        click.Option(["as_json", "--json"], is_flag=True, help="Print it as one JSON object."),
    ],
    help="Look at the installation and the machine: what works, what is missing, what mends it.",
    context_settings={
        "help_option_names": ["--help", "-h"],
        "token_normalize_func": lambda token: token.replace("_", "-"),
    },
)

if __name__ == "__main__":
    main()
