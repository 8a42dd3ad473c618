"""Engine ``frame``: the reference image animated frame by frame, by any model that can do that.

Its stage 1 is the preview engine's; its stage 2 runs a model of the registry: the preview's puppet, an ONNX
file described by YAML, or a class of a package of yours. ``docs/models/`` says how.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from config import Job
from engines.findings import Finding
from engines.interface import Examined, Prediction
from execution.history import Work
from execution.step import Step


class FrameEngine:
    """Any frame-by-frame model."""

    name = "frame"
    uses_gpu = False
    """Whether it does is the model's affair: none of the GPU's memory is planned for it."""

    def check(self, job: Job) -> Sequence[Finding]:
        """See :class:`engines.interface.Engine`."""
        from engines.frame.check import findings

        return list(findings(job))

    def examine(self, job: Job) -> Iterable[Examined]:
        """See :class:`engines.interface.Engine`."""
        from engines.frame.examination import examine

        return examine(job)

    def predict(self, job: Job) -> Prediction | None:
        """See :class:`engines.interface.Engine`. The preview's stage 1 decides it."""
        from engines.preview.check import predict

        return predict(job)

    def plan(self, job: Job) -> Iterable[Step]:
        """See :class:`engines.interface.Engine`."""
        from engines.frame.plan import steps

        return steps(job)

    def describe(self, job: Job) -> Mapping[str, Any]:
        """See :class:`engines.interface.Engine`. The package that brings the model, with its version."""
        from engines.frame.plan import brought_by

        return {"frame_model_of": brought_by(job)}

    def workload(self, job: Job, predicted: Prediction) -> Mapping[str, Work]:
        """See :class:`engines.interface.Engine`. Pixels of all frames, of each model apart."""
        from engines.frame.plan import model_name

        pixels = float(predicted.width * predicted.height * predicted.frames)
        return {
            "preprocess": Work(amount=pixels, variant=job.mode),
            "generate": Work(amount=pixels, variant=f"{job.mode} {model_name(job)}"),
        }

    def relief(self, job: Job, cause: str) -> tuple[Job, str] | None:
        """See :class:`engines.interface.Engine`. The size of a batch is the YAML file's."""
        return None


ENGINE = FrameEngine()
