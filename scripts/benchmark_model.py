#!/usr/bin/env python3
"""How fast a frame-by-frame model is here: frames a second, latency, memory, the best size of its batches.

python scripts/benchmark_model.py --model model.yaml --duration 60 --auto-tune
python scripts/benchmark_model.py --model puppet --src_root_path process_results
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from set_up.own_environment import go_on_there

if __name__ == "__main__":
    go_on_there(["requirements.txt"], ["click", "rich", "psutil", "numpy", "cv2", "av"], dry_run=False)

from typing import Any

import click

from commands.interruption import exit_code_of


def _main(**values: Any) -> None:
    from engines.frame.benchmark import benchmark

    sys.exit(exit_code_of(lambda: benchmark(**values)))


main = click.Command(
    "benchmark_model.py",
    callback=_main,
    params=[
        click.Option(
            ["--model"],
            required=True,
            metavar="NAME|FILE",
            help="A model's name, or the YAML file of --frame_config.",
        ),
        click.Option(
            ["--image"],
            type=click.Path(path_type=Path),
            metavar="FILE",
            help="Source image.  [default: the demo's reference, or that of --src_root_path]",
        ),
        click.Option(
            ["src_root_path", "--src_root_path", "--src-root-path"],
            type=click.Path(path_type=Path),
            metavar="FOLDER",
            help="Drive it with what the preview's stage 1 found.  [default: a made-up face]",
        ),
        click.Option(
            ["--duration"],
            type=click.FloatRange(min=0, min_open=True),
            default=60.0,
            show_default=True,
            metavar="SECONDS",
            help="Seconds of measuring in all.",
        ),
        click.Option(
            ["auto_tune", "--auto-tune", "--auto_tune"],
            is_flag=True,
            help="Try several sizes of batches, and keep the best for 'batch_size: auto'.",
        ),
        click.Option(
            ["batch_sizes", "--batch-sizes", "--batch_sizes"],
            metavar='"N N"',
            help="The sizes to try.  [default: 1 2 4 8 16 with --auto-tune, else the model's own]",
        ),
        click.Option(["as_json", "--json"], is_flag=True, help="Print it as one JSON object."),
    ],
    help="Measure a frame-by-frame model: frames a second, latency, memory. Warm-up is not counted.",
    context_settings={"help_option_names": ["-h", "--help"]},
)

if __name__ == "__main__":
    main()
