"""How long the command line takes to say anything."""

from __future__ import annotations

from collections.abc import Iterator

from benchmarks.row import Row, median_of_pairs, python


def rows() -> Iterator[Row]:
    """``pipeline.py --help`` against importing click and rich alone."""
    alone, with_help = median_of_pairs(
        python("-c", "import click, rich"), python("pipeline.py", "--help"), rounds=15
    )
    ratio = with_help / alone
    yield Row(
        "pipeline.py --help / import click, rich",
        f"{ratio:.2f}x ({with_help:.3f} s)",
        "<= 1.5x",
        ratio <= 1.5,
    )
