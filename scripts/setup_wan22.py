#!/usr/bin/env python3
"""From a bare machine to the official model: its checkout, its Python, flash-attn, its weights.

python scripts/setup_wan22.py                  everything; running it again goes on where it was broken off
python scripts/setup_wan22.py --only weights   one part: repo, env, flash_attn or weights
python scripts/setup_wan22.py --dry_run        print each command and change nothing
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from set_up.own_environment import go_on_there

if __name__ == "__main__":
    go_on_there(
        ["requirements.txt", "requirements-setup.txt"],
        ["click", "rich", "psutil", "pynvml", "filelock", "huggingface_hub", "modelscope"],
        dry_run="--dry_run" in sys.argv or "--dry-run" in sys.argv,
    )

from typing import Any

import click

from commands.interruption import exit_code_of
from set_up import options

_PARTS = ("repo", "env", "flash_attn", "weights")


def _main(**values: Any) -> None:
    sys.exit(exit_code_of(lambda: _set_up(values)))


def _set_up(values: dict[str, Any]) -> int:
    from rich.console import Console

    import config
    from commands.examining import examine, show
    from set_up.environment.making import EnvironmentRequest
    from set_up.errors import SetUpError
    from set_up.everything import SetUpRequest, set_up
    from set_up.repository import RepositoryRequest
    from set_up.session import Session
    from set_up.weights.fetching import WeightsRequest

    console = Console(stderr=True, highlight=False, emoji=False)
    session = Session(console=console, dry_run=values["dry_run"], verbose=values["verbose"])
    wan22_dir, ckpt_dir, only = values["wan22_dir"], values["ckpt_dir"], values["only"]
    chosen = {name: values[key] for name, key in (("source", "from_"), ("commit", "commit")) if values[key]}
    request = SetUpRequest(
        parts=_PARTS if only is None else (only.replace("-", "_"),),
        repository=RepositoryRequest(wan22_dir=wan22_dir, **chosen),
        environment=EnvironmentRequest(
            wan22_dir=wan22_dir,
            **{name: values[name] for name in ("python", "torch_index", "cpu")},
        ),
        weights=WeightsRequest(
            ckpt_dir=ckpt_dir,
            **{
                name: values[name]
                for name in ("features", "source", "mirror", "revision", "from_comfyui", "copy")
            },
        ),
        wheels_from=values["wheels_from"],
        community=values["community"],
    )
    try:
        failed = set_up(request, session)
    except SetUpError as error:
        session.error(error)
        return error.exit_code
    if session.dry_run:
        return max((error.exit_code for error in failed.values()), default=0)
    if only is None:
        show(examine(config.job_without_media({"wan22_dir": str(wan22_dir), "ckpt_dir": str(ckpt_dir)})))
    if failed:
        session.part(f"Not done: {', '.join(failed)}. Running the same command again goes on.")
    # What was asked for was wrong only if nothing was started.
    wrong = len(failed) == len(request.parts) and all(error.exit_code == 2 for error in failed.values())
    return 0 if not failed else 2 if wrong else 1


main = click.Command(
    "setup_wan22.py",
    callback=_main,
    params=[
        options.wan22_dir(),
        options.ckpt_dir(),
        click.Option(
            ["--only"],
            type=click.Choice(_PARTS),
            help="One part alone.  [default: all four, then a look at what works]",
        ),
        *options.repository(),
        *options.environment(),
        *options.flash_attn(),
        *options.weights(),
        *options.this_run(),
    ],
    help="Set up the official model: checkout, Python environment, flash-attn, weights. Safe to repeat.",
    context_settings=options.SPELLING,
)

if __name__ == "__main__":
    main()
