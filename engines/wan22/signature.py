"""One way in which a failure shows in a log."""

from __future__ import annotations

import re
from dataclasses import dataclass


@dataclass(frozen=True)
class Signature:
    """One kind of failure. ``text`` may name the pattern's groups in braces."""

    cause: str
    pattern: re.Pattern[str]
    text: str


def signature(cause: str, pattern: str, text: str) -> Signature:
    """``^`` and ``$`` in the pattern are a line's beginning and end."""
    return Signature(cause, re.compile(pattern, re.MULTILINE), text)
