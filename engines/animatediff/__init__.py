"""Engine ``animatediff``: a clip from text alone, by AnimateDiff on diffusers, SDXL or SD 1.5. No stage 1."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # the worker imports this package too, and none of these
    from config import Job
    from engines.findings import Finding
    from engines.interface import Examined, Prediction
    from execution.history import Work
    from execution.step import Step


class AnimateDiffEngine:
    """Text in, clip out; torch and diffusers work in an interpreter of their own."""

    name = "animatediff"
    uses_gpu = True

    def check(self, job: Job) -> Sequence[Finding]:
        """See :class:`engines.interface.Engine`."""
        from engines.animatediff.plan import findings

        return list(findings(job))

    def examine(self, job: Job) -> Iterable[Examined]:
        """See :class:`engines.interface.Engine`."""
        from engines.animatediff.examination import examine

        return examine(job)

    def predict(self, job: Job) -> Prediction | None:
        """See :class:`engines.interface.Engine`."""
        from engines.animatediff.plan import predict

        return predict(job)

    def plan(self, job: Job) -> Iterable[Step]:
        """See :class:`engines.interface.Engine`."""
        from engines.animatediff.plan import steps

        return steps(job)

    def describe(self, job: Job) -> Mapping[str, Any]:
        """See :class:`engines.interface.Engine`."""
        from engines.animatediff.interpreter import packages_of

        return {"packages": dict(packages_of(job.animatediff_python).versions)}

    def workload(self, job: Job, predicted: Prediction) -> Mapping[str, Work]:
        """See :class:`engines.interface.Engine`. Pixels of all frames, each step anew."""
        from engines.animatediff.plan import workload

        return workload(job, predicted)

    def relief(self, job: Job, cause: str) -> tuple[Job, str] | None:
        """See :class:`engines.interface.Engine`. What does not fit is offloaded without asking."""
        return None


ENGINE = AnimateDiffEngine()
