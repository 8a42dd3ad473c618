"""Findings: what a check says. Every kind of finding is registered once, with its level and why it matters.

``docs/findings.md`` is generated from the registry, so a kind that exists is a kind that is documented.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final, Literal

Level = Literal["error", "warning", "note"]


@dataclass(frozen=True)
class Finding:
    """One result of a check: a stable code, what was found, why it matters, and what to do about it."""

    code: str
    level: Level
    what: str
    why: str
    remedy: str

    def as_text(self) -> str:
        """What and remedy, as sentences."""
        return f"{self.what} {self.remedy}".strip()

    def as_warning(self) -> Finding:
        """The same, no longer in the way: for a person who says --ignore CODE."""
        return replace(self, level="warning") if self.level == "error" else self


@dataclass(frozen=True)
class Kind:
    """What all findings of one code have in common."""

    code: str
    level: Level
    summary: str
    """A few words for the table of all findings."""
    why: str
    """Why it matters: what would happen otherwise. Full sentences."""

    def found(self, what: str, remedy: str, *, level: Level | None = None) -> Finding:
        """A finding of this kind. ``what`` and ``remedy`` are full sentences for people."""
        return Finding(self.code, level or self.level, what, self.why, remedy)


_REGISTRY: Final[dict[str, Kind]] = {}


def kind(code: str, level: Level, summary: str, why: str) -> Kind:
    """Register a kind of finding, at module level of the module that reports it.

    Raises:
        ValueError: the code is taken.
    """
    if code in _REGISTRY:
        raise ValueError(f"two kinds of finding have the code {code}")
    made = Kind(code, level, summary, why)
    _REGISTRY[code] = made
    return made


def registry() -> Mapping[str, Kind]:
    """Every kind whose module has been imported, by code."""
    return _REGISTRY
