"""Engine ``preview``: the whole job on any machine, CPU only, from four small models.

Its stage 1 writes the very files of upstream's stage 1; its stage 2 moves the reference image as a puppet.
"""

from __future__ import annotations

from collections.abc import Sequence

from config import Job
from engines.interface import Finding
from execution.step import Step


class PreviewEngine:
    """A quick puppet on the CPU: framing, tracking, mask and retargeting before anyone pays for a GPU."""

    name = "preview"

    def check(self, job: Job) -> Sequence[Finding]:
        """See :class:`engines.interface.Engine`."""
        from engines.preview.plan import findings

        return list(findings(job))

    def plan(self, job: Job) -> Sequence[Step]:
        """See :class:`engines.interface.Engine`."""
        from engines.preview.plan import steps

        return steps(job)


ENGINE = PreviewEngine()
