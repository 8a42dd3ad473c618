"""Print the table: ``python -m benchmarks [NAME ...]``; the names stand in NAMES.

Exit code 0 when every bound holds, else 1.
"""

from __future__ import annotations

import importlib
import sys

from rich.console import Console
from rich.table import Table

NAMES = (
    *("startup", "orchestration", "checking", "windows", "finishing", "hashing", "preview", "masks"),
    *("set_up", "downloading", "frame_models"),
)


def main() -> int:
    """Run the benchmarks named on the command line, or all."""
    chosen = sys.argv[1:] or NAMES
    unknown = [name for name in chosen if name not in NAMES]
    if unknown:
        print(f"unknown benchmark {unknown[0]}; there are {', '.join(NAMES)}", file=sys.stderr)
        return 2
    table = Table("measured", "figure", "bound", "")
    all_hold = True
    for name in chosen:
        for row in importlib.import_module(f"benchmarks.{name}").rows():
            all_hold &= row.holds
            table.add_row(row.what, row.figure, row.bound, "holds" if row.holds else "MISSED")
    Console().print(table)
    return 0 if all_hold else 1


if __name__ == "__main__":
    sys.exit(main())
