"""Engine ``wan22``: the official Wan2.2 repository, run by its own interpreter, never edited."""

from __future__ import annotations

from collections.abc import Sequence

from config import Job
from engines.interface import Finding
from execution.step import Step


class Wan22Engine:
    """The official Wan2.2-Animate-14B."""

    name = "wan22"

    def check(self, job: Job) -> Sequence[Finding]:
        """See :class:`engines.interface.Engine`."""
        from engines.wan22.check import findings

        return list(findings(job))

    def plan(self, job: Job) -> Sequence[Step]:
        """See :class:`engines.interface.Engine`."""
        from engines.wan22.plan import steps

        return steps(job)


ENGINE = Wan22Engine()
