"""What the frame engine needs, thing by thing."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import metadata

from config import Job
from engines.frame import registry
from engines.frame.check import TWO_MODELS, onnxruntime_findings
from engines.frame.model import ModelError
from engines.frame.onnx_session import INSTALL
from engines.interface import Examined
from engines.preview import examination as preview


def examine(job: Job) -> Iterator[Examined]:
    """What the preview's stage 1 needs; the models there are; onnxruntime, which only ONNX models need."""
    yield from preview.examine(job)
    try:
        entries = registry.entries().values()
        fine = ", ".join(f"{each.name} ({each.brought_by})" for each in entries)
        yield Examined(area="frame models", fine=fine)
    except ModelError as error:
        found = TWO_MODELS.found(str(error), "Uninstall one of the packages.")
        yield Examined(area="frame models", fine="", findings=(found,))
    missing = tuple(onnxruntime_findings())
    fine = "" if missing else _providers()
    yield Examined(area="onnxruntime", fine=fine, findings=missing, mend=INSTALL, needed=False)


def _providers() -> str:
    """Its version, and what it can run on."""
    try:
        import onnxruntime
    except ImportError as error:
        return f"cannot be imported: {error}"
    names = (name.removesuffix("ExecutionProvider") for name in onnxruntime.get_available_providers())
    version = getattr(onnxruntime, "__version__", None) or metadata.version("onnxruntime")
    return f"{version}; runs on {', '.join(names)}"
