"""Our lists of what goes into upstream's environment, and in which versions."""

from __future__ import annotations

from pathlib import Path
from typing import Final

SAM2: Final = "sam2==1.1.0"
"""The package of the newest SAM 2, which needs no compiled part; and what pip is asked for."""
_HERE: Final = Path(__file__).parent


def constraints_file() -> Path:
    """The versions of all packages."""
    return _HERE / "constraints.txt"


def packages_file() -> Path:
    """The packages that are asked for."""
    return _HERE / "packages.txt"


def lines_of(path: Path) -> list[str]:
    """The lines of such a file, without comments."""
    lines = (line.partition("#")[0].strip() for line in path.read_text(encoding="utf-8").splitlines())
    return [line for line in lines if line]


def pinned_names() -> set[str]:
    """The names of all packages, as pip compares them."""
    return {line.partition("==")[0] for line in (*lines_of(constraints_file()), SAM2)}
