#!/usr/bin/env python3
"""The official model's weights: fetched, and every file verified against the hub's own hash.

python scripts/download_weights.py                          for animation and replacement
python scripts/download_weights.py --for relighting,flux    more of them, later
python scripts/download_weights.py --verify                 hash everything again, offline
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from set_up.own_environment import go_on_there

if __name__ == "__main__":
    go_on_there(
        ["requirements.txt", "requirements-setup.txt"],
        ["click", "rich", "filelock", "huggingface_hub", "modelscope"],
        dry_run="--dry_run" in sys.argv or "--dry-run" in sys.argv,
    )

from typing import Any

import click

from commands.interruption import exit_code_of
from set_up import options


def _main(**values: Any) -> None:
    sys.exit(exit_code_of(lambda: _download(**values)))


def _download(*, verify: bool, dry_run: bool, verbose: bool, **wanted: Any) -> int:
    from rich.console import Console

    from set_up.errors import FAILED, SetUpError
    from set_up.session import Session
    from set_up.weights.fetching import WeightsRequest, fetch_weights, verify_weights

    console = Console(stderr=True, highlight=False, emoji=False)
    session = Session(console=console, dry_run=dry_run, verbose=verbose)
    request = WeightsRequest(**wanted)
    session.part("weights")
    try:
        if verify:
            return 0 if verify_weights(request, session) else FAILED
        fetch_weights(request, session)
    except SetUpError as error:
        session.error(error)
        return error.exit_code
    return 0


main = click.Command(
    "download_weights.py",
    callback=_main,
    params=[
        options.ckpt_dir(),
        *options.weights(),
        click.Option(
            ["--verify"],
            is_flag=True,
            help="Hash everything again, offline. What is wrong, the next run without --verify fetches.",
        ),
        *options.this_run(),
    ],
    help="Fetch the official model's weights and verify every file. Broken off, run it again: it goes on.",
    context_settings=options.SPELLING,
)

if __name__ == "__main__":
    main()
