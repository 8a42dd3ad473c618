"""What every engine offers: check a Job before anything starts, and plan the Steps that do it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from config import Job
from execution.step import Step

Level = Literal["error", "warning", "note"]


@dataclass(frozen=True)
class Finding:
    """One result of a check: a stable code, what was found, and what to do about it."""

    code: str
    level: Level
    what: str
    remedy: str

    def as_text(self) -> str:
        """What and remedy, as sentences."""
        return f"{self.what} {self.remedy}"


class Engine(Protocol):
    """One upstream system."""

    name: str

    def check(self, job: Job) -> Sequence[Finding]:
        """Look for what would make the job fail, in well under a second, importing nothing heavy."""

    def plan(self, job: Job) -> Sequence[Step]:
        """The Steps of the job's stages, in order. Nothing has run, and nothing is read but names."""
