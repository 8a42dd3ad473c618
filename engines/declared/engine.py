"""The one adapter: an engine made of what a tool's file declares."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from config import NO_PATH, Job, with_tool
from engines.declared.tool import Tool
from engines.findings import Finding
from engines.interface import Examined, Prediction
from execution.history import Work
from execution.step import Step


@dataclass(frozen=True)
class DeclaredEngine:
    """A tool as an engine of ours. It has no stage 1."""

    tool: Tool
    uses_gpu = True

    @property
    def name(self) -> str:
        """As ``--engine`` takes it."""
        return self.tool.name

    def check(self, job: Job) -> Sequence[Finding]:
        """See :class:`engines.interface.Engine`."""
        from engines.declared.check import findings

        return list(findings(self.tool, job))

    def examine(self, job: Job) -> Iterable[Examined]:
        """See :class:`engines.interface.Engine`. Places that are given are those of the job's own engine."""
        if job.engine != self.name:
            job = with_tool(replace(job, engine=self.name, tool_dir=NO_PATH, tool_python=NO_PATH))
        return examine(self.tool, job)

    def predict(self, job: Job) -> Prediction | None:
        """See :class:`engines.interface.Engine`."""
        from engines.declared.check import predict

        return predict(self.tool, job)

    def plan(self, job: Job) -> Iterable[Step]:
        """See :class:`engines.interface.Engine`."""
        from engines.declared.plan import steps

        return steps(self.tool, job)

    def describe(self, job: Job) -> Mapping[str, Any]:
        """See :class:`engines.interface.Engine`."""
        from engines.declared.facts import of_tool

        return of_tool(job)

    def workload(self, job: Job, predicted: Prediction) -> Mapping[str, Work]:
        """See :class:`engines.interface.Engine`. Pixels of all frames."""
        amount = float(predicted.width * predicted.height * predicted.frames)
        return {"generate": Work(amount=amount, gpu_size=amount, host_size=amount)}

    def relief(self, job: Job, cause: str) -> tuple[Job, str] | None:
        """See :class:`engines.interface.Engine`. What a tool could do with less is not known."""
        return None


def examine(tool: Tool, job: Job) -> Iterator[Examined]:
    """Checkout, Python, weights, GPU. No command of ours mends them: each finding says what to do."""
    from engines.declared import check, facts

    commit = facts.of_tool(job).get("tool_commit")
    at = f" at {commit[:7]}" if commit else ""
    yield Examined(
        area="checkout", fine=f"{job.tool_dir}{at}", findings=tuple(check.checkout_findings(tool, job))
    )
    yield Examined(area="Python", fine=str(job.tool_python), findings=tuple(check.python_findings(tool, job)))
    yield Examined(area="weights", fine=str(job.tool_dir), findings=tuple(check.weights_findings(tool, job)))
    need = f"{tool.gpu_bytes / 2**30:.0f} GiB are enough" if tool.gpu_bytes else "not needed, but much faster"
    yield Examined(area="GPU", fine=need, findings=tuple(check.machine_findings(tool)))
