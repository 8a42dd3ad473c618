"""The error of everything that has to do with media, and the checks that every file goes through."""

from __future__ import annotations

import stat
from pathlib import Path


class MediaError(Exception):
    """A video or picture that cannot be used.

    Attributes:
        what: what was found, naming the file: one or two full sentences.
        remedy: what to do about it.
        code: the cause, as findings name it (``media.cut-off``, ``reference.heic`` ...).
    """

    def __init__(self, what: str, remedy: str = "", *, code: str = "media.unreadable") -> None:
        super().__init__(f"{what} {remedy}".strip())
        self.what, self.remedy, self.code = what, remedy, code


def require_file(path: Path, kind: str, area: str) -> None:
    """Make sure that a path is a file with something in it.

    Args:
        kind: what it should be, for people ("video").
        area: first part of the error's code ("media").

    Raises:
        MediaError: it is missing, empty, a folder, a device, or may not be read.
    """

    def error(what: str, remedy: str, cause: str) -> MediaError:
        return MediaError(f"{path} {what}.", remedy, code=f"{area}.{cause}")

    try:
        mode = path.stat().st_mode
        if stat.S_ISDIR(mode):
            raise error(f"is a folder, not a {kind}", "Give the path of the file in it.", "a-folder")
        if not stat.S_ISREG(mode):
            remedy = f"Save the {kind} as a file: it is read twice."
            raise error("is a pipe or a device", remedy, "not-a-file")
        with path.open("rb") as file:
            empty = not file.read(1)
    except (FileNotFoundError, NotADirectoryError) as cause:
        raise error("does not exist", f"Give the path of the {kind}.", "missing") from cause
    except OSError as cause:
        remedy = "Check its name and its permissions."
        raise error(f"cannot be read ({cause.strerror})", remedy, "not-readable") from cause
    if empty:
        raise error("is empty (0 bytes)", f"Copy or download the {kind} again.", "empty")


def reason(error: Exception) -> str:
    """What a library says, without its trimmings."""
    text = getattr(error, "strerror", None) or str(error)
    return str(text).strip().rstrip(".") or type(error).__name__
