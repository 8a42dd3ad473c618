"""Packages that pip takes for installed though it was killed in the middle of installing or removing them."""

from __future__ import annotations

import contextlib
import csv
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

_INFORMATION: Final = ".dist-info"


def remove_half_installed(site_packages: Path) -> list[str]:
    """Take away what makes pip believe that damaged packages are whole, so that it installs them again.

    Damaged is: metadata without the list of files, which pip writes last; a listed file that is missing or of
    another size. What is left of their files is overwritten by pip. Folders that pip renamed to remove them
    (they begin with ``~``) are removed too.

    Returns:
        The packages, by name as pip writes it, sorted; what was left of removals is not among them.

    Raises:
        OSError: something cannot be read or removed.
    """
    for rest in site_packages.glob("~*"):
        _remove(rest)
    damaged = [folder for folder in site_packages.glob(f"*{_INFORMATION}") if not _is_whole(folder)]
    for folder in damaged:
        _remove(folder)
    return sorted(folder.name.removesuffix(_INFORMATION).rpartition("-")[0] for folder in damaged)


def _is_whole(information: Path) -> bool:
    try:
        with (information / "RECORD").open(encoding="utf-8", newline="") as stream:
            return all(_is_there(path, size) for path, size in _listed(stream, information))
    except (OSError, ValueError, csv.Error):  # none, or unreadable: cut off, or zeros after a power failure
        return False


def _listed(stream: Iterable[str], information: Path) -> Iterator[tuple[Path, int | None]]:
    """The files that must be there, with their sizes where these are to be trusted.

    Some wheels list compiled files, which pip makes anew (NumPy 1.26.4), and wrong sizes of their metadata
    (decord 0.6.0).
    """
    for row in csv.reader(stream):
        if len(row) != 3:
            raise ValueError("not a list of files")
        name, _, size = row
        if size and not name.endswith(".pyc"):
            yield information.parent / name, None if name.startswith(f"{information.name}/") else int(size)


def _is_there(path: Path, size: int | None) -> bool:
    try:
        return path.stat().st_size == size or size is None
    except OSError:
        return False


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        # The list of files goes first: killed half-way, the rest is known for damaged the next time.
        with contextlib.suppress(FileNotFoundError):
            (path / "RECORD").unlink()
        shutil.rmtree(path)
    else:
        path.unlink()
