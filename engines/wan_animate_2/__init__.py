"""Engine ``wan_animate_2``: Wan-Animate-2 on diffusers. It reads the driving video itself: no stage 1."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from config import Job
from engines.findings import Finding
from engines.interface import Examined, Prediction
from execution.history import Work
from execution.step import Step


class WanAnimate2Engine:
    """The successor of the official model: no pose, no masks, animate mode alone."""

    name = "wan_animate_2"
    uses_gpu = True

    def check(self, job: Job) -> Sequence[Finding]:
        """See :class:`engines.interface.Engine`."""
        from engines.wan_animate_2.check import findings

        return list(findings(job))

    def examine(self, job: Job) -> Iterable[Examined]:
        """See :class:`engines.interface.Engine`."""
        from engines.wan_animate_2.check import examine

        return examine(job)

    def predict(self, job: Job) -> Prediction | None:
        """See :class:`engines.interface.Engine`."""
        from engines.wan_animate_2.prediction import predict

        return predict(job)

    def plan(self, job: Job) -> Iterable[Step]:
        """See :class:`engines.interface.Engine`."""
        from engines.wan_animate_2.plan import steps

        return steps(job)

    def describe(self, job: Job) -> Mapping[str, Any]:
        """See :class:`engines.interface.Engine`."""
        from engines.wan_diffusers.plan import of_python

        return of_python(job)

    def workload(self, job: Job, predicted: Prediction) -> Mapping[str, Work]:
        """See :class:`engines.interface.Engine`. Pixels of all windows, each step anew."""
        from engines.wan_animate_2.prediction import workload

        return workload(job, predicted)

    def relief(self, job: Job, cause: str) -> tuple[Job, str] | None:
        """See :class:`engines.interface.Engine`."""
        from engines.wan_animate_2.plan import next_rung

        return next_rung(job, cause)


ENGINE = WanAnimate2Engine()
