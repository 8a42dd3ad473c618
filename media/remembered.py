"""Facts about files, kept as long as the files stay as they are."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Final, Generic, TypeVar

T = TypeVar("T")

_KEPT: Final = 16
_SETTLED_NS: Final = 10**9
"""A file that was changed more recently is not remembered: it could change again within the same tick of the
file system's clock, and look the same."""


class Remembered(Generic[T]):
    """What was found out about the last few files. A file is known by place, size and times."""

    def __init__(self, find_out: Callable[[Path], T]) -> None:
        self._find_out = find_out
        self._known: OrderedDict[tuple[object, ...], T] = OrderedDict()

    def about(self, path: Path) -> T:
        """What is known about a file, found out now if it is new or has changed.

        Raises:
            OSError: the file is not there.
        """
        status = path.stat()
        key = (path, status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)
        if key in self._known:
            self._known.move_to_end(key)
            return self._known[key]
        found = self._find_out(path)
        if time.time_ns() - max(status.st_mtime_ns, status.st_ctime_ns) > _SETTLED_NS:
            self._known[key] = found
            if len(self._known) > _KEPT:
                self._known.popitem(last=False)
        return found
