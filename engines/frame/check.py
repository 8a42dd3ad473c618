"""What would make a Job fail on the frame engine. No model and no library of its own is imported for it."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

from config import GENERATION, NO_PATH, PREPROCESSING, Job
from engines.checks import common_findings
from engines.findings import Finding, kind
from engines.frame import registry, remote
from engines.frame.configuration import (
    ConfigurationError,
    ConfigurationUnreadable,
    FrameConfiguration,
    read_configuration,
)
from engines.frame.model import ModelError
from engines.frame.onnx_description import Description, describe
from engines.frame.onnx_file import OnnxFile
from engines.frame.onnx_session import INSTALL
from engines.media_checks import upstream_media_findings
from engines.preview.check import folder_findings, installation_findings

_AFTER_STAGE_1 = "Stage 1 would run to its end before stage 2 fails."

NO_CONFIGURATION = kind(
    "frame.config-missing",
    "error",
    "No frame model is named",
    "The frame engine runs any model, and takes none unasked.",
)
UNREADABLE = kind(
    "frame.config-unreadable", "error", "The frame model's YAML file cannot be read", _AFTER_STAGE_1
)
BROKEN = kind(
    "frame.config-broken",
    "error",
    "The frame model's YAML file is wrong",
    "A misspelt key would be ignored in silence, and a wrong one gives plausible pictures that are wrong.",
)
UNKNOWN_MODEL = kind("frame.unknown-model", "error", "A frame model that does not exist", _AFTER_STAGE_1)
TWO_MODELS = kind(
    "frame.duplicate-model",
    "error",
    "Two installed packages bring a frame model of one name",
    "Which of them would run is chance.",
)
MODEL_FILE = kind("frame.model-file", "error", "The frame model's file cannot be used", _AFTER_STAGE_1)
ONNX_FITS_NOT = kind(
    "frame.onnx-description",
    "error",
    "The ONNX model and its description do not fit",
    "A file tells names, shapes and types, not meaning; onnxruntime refuses some of what is wrong and "
    "computes the rest to something that looks right.",
)
NO_REPLACE = kind(
    "frame.no-replace",
    "error",
    "A frame model that cannot draw into the driving scene",
    "It gives the reference image animated, whatever the mode: nobody would be replaced.",
)
BATCH = kind(
    "frame.batch-size",
    "error",
    "Larger batches than the frame model takes",
    "Some models refuse them. Others answer a batch by repeating its first part, without an error.",
)
NO_PYTHON = kind(
    "frame.python",
    "error",
    "The Python for the frame model cannot be used",
    "The model runs in it, in a process of its own.",
)
NO_ONNXRUNTIME = kind(
    "install.onnxruntime", "error", "onnxruntime is missing", "It runs ONNX models in our own Python."
)
TWO_ONNXRUNTIMES = kind(
    "install.onnxruntime-twice",
    "error",
    "Two packages install onnxruntime",
    "They write the same files over each other: either may be broken, and the GPU goes unused.",
)
_PACKAGES = ("onnxruntime", "onnxruntime-gpu", "onnxruntime-directml", "onnxruntime-openvino")


def findings(job: Job) -> Iterator[Finding]:
    """What would make the job fail on this engine."""
    yield from installation_findings()
    yield from common_findings(job, "frame")
    if PREPROCESSING in job.stages:
        yield from upstream_media_findings(job)
    else:
        yield from folder_findings(job)
    if GENERATION in job.stages:
        yield from _model_findings(job)


def _model_findings(job: Job) -> Iterator[Finding]:
    if job.frame_config == NO_PATH:
        what = "--engine frame needs --frame_config: the YAML file that names the model."
        yield NO_CONFIGURATION.found(what, "Write 'animation: {model: puppet}' into a file, for one.")
        return
    if job.frame_python != NO_PATH and (unusable := list(_python_findings(job))):
        yield from unusable
        return
    try:
        known = remote.known_models(job)
        configuration = read_configuration(job.frame_config, known)
        registry.require(configuration.model, known)
    except ConfigurationUnreadable as error:
        yield UNREADABLE.found(f"--frame_config: {error}", "Check its name.")
    except ConfigurationError as error:
        yield BROKEN.found(f"--frame_config: {error}", "Mend it; docs/models/onnx.md shows one.")
    except registry.DuplicateModel as error:
        yield TWO_MODELS.found(str(error), "Uninstall one of the packages.")
    except registry.UnknownModel as error:
        yield UNKNOWN_MODEL.found(
            f"{job.frame_config}: {error}", "Give one of these, or install the package that brings it."
        )
    else:
        yield from _configured_findings(job, configuration)


def _python_findings(job: Job) -> Iterator[Finding]:
    try:
        missing = remote.look(job.frame_python).missing
    except ModelError as error:
        yield NO_PYTHON.found(f"--frame_python: {error}", "Give the file of a Python interpreter.")
        return
    if missing:
        what = f"--frame_python: {job.frame_python} lacks {', '.join(missing)}."
        remedy = f"Install them: {job.frame_python} -m pip install -r requirements.txt"
        yield NO_PYTHON.found(what, remedy)


def _configured_findings(job: Job, configuration: FrameConfiguration) -> Iterator[Finding]:
    path = configuration.model_path
    if path is not None and not path.exists():
        what = f"{job.frame_config}: model_path: {path} does not exist."
        yield MODEL_FILE.found(what, "Check its name; it is relative to the YAML file.")
        return
    if configuration.model not in registry.own_entries():
        return  # a class of somebody's package is not imported for a check
    try:
        from engines.frame.making import check_options

        check_options(configuration, registry.class_of(registry.entry_of(configuration.model)))
    except ModelError as error:
        yield BROKEN.found(f"{job.frame_config}: {error}", "Mend it.")
        return
    if job.replace and configuration.model != "puppet":
        what = f"Model '{configuration.model}' cannot draw into the driving scene."
        yield NO_REPLACE.found(what, "Leave out --replace, or take the puppet.")
    if configuration.model == "onnx" and path is not None:
        if job.frame_python == NO_PATH:
            yield from onnxruntime_findings()
        yield from _onnx_findings(job, configuration, path)
    elif configuration.batch_size not in (None, 1):
        what = f"batch_size: the puppet draws one frame at a time; {configuration.batch_size} are wanted."
        yield BATCH.found(what, "Leave batch_size out.")


def _onnx_findings(job: Job, configuration: FrameConfiguration, path: Path) -> Iterator[Finding]:
    from engines.frame import onnx_model

    try:
        file: OnnxFile = onnx_model.read_model_file(path)
    except ModelError as error:
        yield MODEL_FILE.found(f"{job.frame_config}: {error}", "Mend model_path.")
        return
    options = dict(configuration.options)
    try:
        onnx_model.providers_of(options.pop("providers", None))
        onnx_model.threads_of(options.pop("threads", None))
        described: Description = describe(onnx_model.with_metadata(options, file), file)
    except (ConfigurationError, ModelError) as error:
        what = f"{path.name}, as {job.frame_config} describes it: {error}"
        yield ONNX_FITS_NOT.found(what, "docs/models/onnx.md says what each key means.")
        return
    wanted = configuration.batch_size
    if wanted is not None and wanted > described.max_batch:
        what = f"batch_size: {path.name} takes up to {described.max_batch} frames at once; "
        yield BATCH.found(
            f"{what}{wanted} are wanted.", "Make it smaller, or export the model with a free batch."
        )


def onnxruntime_findings() -> Iterator[Finding]:
    """Whether onnxruntime is there, once."""
    from importlib.util import find_spec

    packages = [name for name in _PACKAGES if _is_installed(name)]
    if find_spec("onnxruntime") is None:
        yield NO_ONNXRUNTIME.found("onnxruntime is not installed in this Python.", f"Install: {INSTALL}")
    elif len(packages) > 1:
        remedy = f"Uninstall both ({' '.join(packages)}), then install the one that fits this machine."
        yield TWO_ONNXRUNTIMES.found(f"{' and '.join(packages)} are both installed.", remedy)


def _is_installed(package: str) -> bool:
    try:
        metadata.version(package)
    except metadata.PackageNotFoundError:
        return False
    return True
