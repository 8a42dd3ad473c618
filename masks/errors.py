"""The error of the mask step."""

from __future__ import annotations


class MaskError(Exception):
    """A mask cannot be made of what was given.

    Attributes:
        what: what was found, naming the file: one or two full sentences.
        remedy: what to do about it.
        code: the cause, as findings name it (``mask.points-outside`` ...).
    """

    def __init__(self, what: str, remedy: str, *, code: str) -> None:
        super().__init__(f"{what} {remedy}".strip())
        self.what, self.remedy, self.code = what, remedy, code
