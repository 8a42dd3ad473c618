"""What goes wrong while setting up, for people."""

from __future__ import annotations

from typing import Final

FAILED: Final = 1
WRONG_REQUEST: Final = 2


class SetUpError(Exception):
    """A part of the set-up cannot go on. What and remedy are full sentences.

    ``wrong_request``: what was asked for cannot be done here, and nothing was started (exit code 2, else 1).
    """

    def __init__(self, what: str, remedy: str = "", *, wrong_request: bool = False) -> None:
        super().__init__(f"{what} {remedy}".strip())
        self.what = what
        self.remedy = remedy
        self.exit_code = WRONG_REQUEST if wrong_request else FAILED
