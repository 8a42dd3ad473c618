"""Engine ``magicanimate``: a figure follows a DensePose video, by the official repository."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from config import Job
from engines.declared.engine import DeclaredEngine
from engines.findings import Finding
from engines.magicanimate.tool import TOOL
from execution.step import Step


class MagicAnimateEngine(DeclaredEngine):
    """A declared tool with a step of its own before it: the DensePose video."""

    def check(self, job: Job) -> Sequence[Finding]:
        """See :class:`engines.interface.Engine`."""
        from engines.magicanimate.check import findings

        return list(findings(job))

    def plan(self, job: Job) -> Iterable[Step]:
        """See :class:`engines.interface.Engine`."""
        from engines.magicanimate.plan import steps

        return steps(job)


ENGINE = MagicAnimateEngine(TOOL)
