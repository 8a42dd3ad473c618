"""Engine ``wan_diffusers``: stage 2 of Wan-Animate on diffusers, in an interpreter of its own.

Stage 1 is another engine's (``--stage_1``): the files are the same whoever made them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from config import Job
from engines.findings import Finding
from engines.interface import Examined, Prediction
from execution.history import Work
from execution.step import Step


class WanDiffusersEngine:
    """The official model where the script needs too large a GPU: offloaded, quantised, with LoRAs."""

    name = "wan_diffusers"
    uses_gpu = True

    def check(self, job: Job) -> Sequence[Finding]:
        """See :class:`engines.interface.Engine`."""
        from engines.wan_diffusers.check import findings

        return list(dict.fromkeys(findings(job)))  # stage 1's engine finds some of them too

    def examine(self, job: Job) -> Iterable[Examined]:
        """See :class:`engines.interface.Engine`."""
        from engines.wan_diffusers.examination import examine

        return examine(job)

    def predict(self, job: Job) -> Prediction | None:
        """See :class:`engines.interface.Engine`."""
        from engines.wan_diffusers.prediction import predict

        return predict(job)

    def plan(self, job: Job) -> Iterable[Step]:
        """See :class:`engines.interface.Engine`."""
        from engines.wan_diffusers.plan import steps

        return steps(job)

    def describe(self, job: Job) -> Mapping[str, Any]:
        """See :class:`engines.interface.Engine`."""
        from engines.wan_diffusers.plan import of_python

        return of_python(job)

    def workload(self, job: Job, predicted: Prediction) -> Mapping[str, Work]:
        """See :class:`engines.interface.Engine`. Operations in stage 2, as its engine counts in stage 1."""
        from engines.wan_diffusers.prediction import workload

        return workload(job, predicted)

    def relief(self, job: Job, cause: str) -> tuple[Job, str] | None:
        """See :class:`engines.interface.Engine`."""
        from engines.wan_diffusers.relief import next_rung

        return next_rung(job, cause)


ENGINE = WanDiffusersEngine()
