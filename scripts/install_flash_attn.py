#!/usr/bin/env python3
"""flash-attn 2 for upstream's Python: the ready-made wheel that fits its torch, installed and imported.

python scripts/install_flash_attn.py              for the environment in Wan2.2/.venv
python scripts/install_flash_attn.py --dry_run    print the command and change nothing

By hand: scripts/install_flash_attn.md. Exit codes: 0 done, 1 failed, 2 no wheel for it, 130 interrupted.
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from set_up.own_environment import go_on_there

if __name__ == "__main__":
    go_on_there(
        ["requirements.txt"],
        ["click", "rich", "psutil", "pynvml", "filelock"],
        dry_run="--dry_run" in sys.argv or "--dry-run" in sys.argv,
    )

import click

from commands.interruption import exit_code_of
from set_up import options


def _main(
    wan22_dir: Path,
    python: Path | None,
    wheels_from: str | None,
    community: bool,
    dry_run: bool,
    verbose: bool,
) -> None:
    def work() -> int:
        from rich.console import Console

        from set_up.alone import alone_on, checkout_lock
        from set_up.environment.making import interpreter_of
        from set_up.errors import SetUpError
        from set_up.flash_attn.installing import install_flash_attn
        from set_up.session import Session

        console = Console(stderr=True, highlight=False, emoji=False)
        session = Session(console=console, dry_run=dry_run, verbose=verbose)
        session.part("flash-attn 2")
        try:
            chosen = python or interpreter_of(wan22_dir)
            with alone_on(checkout_lock(wan22_dir), session):
                install_flash_attn(chosen, session, wheels_from=wheels_from, community=community)
        except SetUpError as error:
            session.error(error)
            return error.exit_code
        return 0

    sys.exit(exit_code_of(work))


main = click.Command(
    "install_flash_attn.py",
    callback=_main,
    params=[
        options.wan22_dir(),
        click.Option(
            ["python", "--python"],
            type=options.PlaceType(),
            metavar="PATH",
            help="Another interpreter than that of <wan22_dir>/.venv.",
        ),
        *options.flash_attn(),
        *options.this_run(),
    ],
    help="Install the ready-made wheel of flash-attn 2 that fits upstream's torch, and import it.",
    context_settings=options.SPELLING,
)

if __name__ == "__main__":
    main()
