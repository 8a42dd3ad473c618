"""Engine ``preview``: the whole job on any machine, CPU only, from four small models.

Its stage 1 writes the very files of upstream's stage 1; its stage 2 moves the reference image as a puppet.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from config import Job
from engines.findings import Finding
from engines.interface import Examined, Prediction
from execution.history import Work
from execution.step import Step


class PreviewEngine:
    """A quick puppet on the CPU: framing, tracking, mask and retargeting before anyone pays for a GPU."""

    name = "preview"
    uses_gpu = False

    def check(self, job: Job) -> Sequence[Finding]:
        """See :class:`engines.interface.Engine`."""
        from engines.preview.check import findings

        return list(findings(job))

    def examine(self, job: Job) -> Iterable[Examined]:
        """See :class:`engines.interface.Engine`."""
        from engines.preview.examination import examine

        return examine(job)

    def predict(self, job: Job) -> Prediction | None:
        """See :class:`engines.interface.Engine`."""
        from engines.preview.check import predict

        return predict(job)

    def plan(self, job: Job) -> Iterable[Step]:
        """See :class:`engines.interface.Engine`."""
        from engines.preview.plan import steps

        return steps(job)

    def describe(self, job: Job) -> Mapping[str, Any]:
        """See :class:`engines.interface.Engine`. All its versions are our own."""
        return {}

    def workload(self, job: Job, predicted: Prediction) -> Mapping[str, Work]:
        """See :class:`engines.interface.Engine`. Pixels of all frames."""
        work = Work(amount=float(predicted.width * predicted.height * predicted.frames), variant=job.mode)
        return {"preprocess": work, "generate": work}

    def relief(self, job: Job, cause: str) -> tuple[Job, str] | None:
        """See :class:`engines.interface.Engine`. It holds no large model: there is nothing to relieve."""
        return None


ENGINE = PreviewEngine()
