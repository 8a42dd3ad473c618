"""What running the set-up again costs when everything is in place."""

from __future__ import annotations

import os
import statistics
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from benchmarks.row import Row, seconds
from tests.set_up.set_up_world import made_world

ROUNDS = 5
BOUND = 2.0


def rows() -> Iterator[Row]:
    """The whole command, the doctor's table at its end included; packages and weights are small ones."""
    with tempfile.TemporaryDirectory() as name:
        os.environ["UNDERSTUDY_CACHE"] = str(Path(name) / "cache")
        with made_world(Path(name)) as world:
            first = world.run()
            if first.returncode:
                sys.exit(f"the set-up ended with {first.returncode}:\n{first.stderr}")
            command, environment = world.command(), world.environment()
            again = statistics.median(seconds(command, environment, world.place) for _ in range(ROUNDS))
    yield Row("set-up again, everything in place", f"{again:.2f} s", f"< {BOUND:g} s", again < BOUND)
