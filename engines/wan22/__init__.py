"""Engine ``wan22``: the official Wan2.2 repository, run by its own interpreter, never edited."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from config import Job
from engines.findings import Finding
from engines.interface import Examined, Prediction
from execution.history import Work
from execution.step import Step


class Wan22Engine:
    """The official Wan2.2-Animate-14B."""

    name = "wan22"
    uses_gpu = True

    def check(self, job: Job) -> Sequence[Finding]:
        """See :class:`engines.interface.Engine`."""
        from engines.wan22.check import findings

        return list(findings(job))

    def examine(self, job: Job) -> Iterable[Examined]:
        """See :class:`engines.interface.Engine`."""
        from engines.wan22.examination import examine

        return examine(job)

    def predict(self, job: Job) -> Prediction | None:
        """See :class:`engines.interface.Engine`."""
        from engines.wan22.prediction import predict

        return predict(job)

    def plan(self, job: Job) -> Iterable[Step]:
        """See :class:`engines.interface.Engine`."""
        from engines.wan22.plan import steps

        return steps(job)

    def describe(self, job: Job) -> Mapping[str, Any]:
        """See :class:`engines.interface.Engine`."""
        from engines.wan22.facts import of_upstream

        return of_upstream(job)

    def workload(self, job: Job, predicted: Prediction) -> Mapping[str, Work]:
        """See :class:`engines.interface.Engine`. Operations in stage 2, frames in stage 1."""
        from engines.wan22.prediction import workload

        return workload(job, predicted)

    def relief(self, job: Job, cause: str) -> tuple[Job, str] | None:
        """See :class:`engines.interface.Engine`."""
        from engines.wan22.relief import next_rung

        return next_rung(job, cause)


ENGINE = Wan22Engine()
