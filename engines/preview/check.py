"""What would make a Job fail on the preview engine, and what it will make."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from importlib.util import find_spec
from typing import Final

from config import PREPROCESSING, Job
from engines import source_folder
from engines.checks import common_findings
from engines.findings import Finding, kind
from engines.interface import Prediction
from engines.media_checks import upstream_media_findings
from engines.preview import models
from engines.sampling import canvas_shape, sampled_frames

MODELS_MISSING = kind(
    "install.preview-models",
    "error",
    "The preview engine's models are not there",
    "They find the person, the pose and the face; without them nothing can be made.",
)
LIBRARIES_MISSING = kind(
    "install.preview-libraries",
    "error",
    "Libraries of the preview engine are missing",
    "It runs in our own Python, which cannot import them.",
)
OTHER_ENGINE = kind(
    "source.engine",
    "error",
    "The folder was made by another engine",
    "The picture is moved by what the preview's stage 1 found; upstream's files do not hold it.",
)


INSTALL: Final = "python -m pip install -r requirements.txt"
_LIBRARIES: Final = {
    "av": "av",
    "cv2": "opencv-python-headless",
    "ai_edge_litert": "ai-edge-litert",
    "numpy": "numpy",
    "scipy": "scipy",
}
"""What our own Python must be able to import, and the packages that bring it."""


def findings(job: Job) -> Iterator[Finding]:
    """What would make the job fail on this engine."""
    yield from installation_findings()
    yield from common_findings(job, "preview")
    if PREPROCESSING in job.stages:
        yield from upstream_media_findings(job)
    else:
        yield from folder_findings(job)


def folder_findings(job: Job) -> Iterator[Finding]:
    """Whether the folder between the stages is of the preview engine's stage 1."""
    if _made_by_another_engine(job):
        what = (
            f"--src_root_path: {job.src_root_path} was made by another engine's stage 1; the {job.engine} "
            f"engine needs {source_folder.TRACK}."
        )
        remedy = (
            "Run run_preprocessing.py --engine preview, or generate with the engine that made the folder."
        )
        yield OTHER_ENGINE.found(what, remedy)


def installation_findings() -> Iterator[Finding]:
    """Libraries and models that are missing, whatever the job."""
    missing = [package for module, package in _LIBRARIES.items() if find_spec(module) is None]
    if missing:
        what = f"This Python, {sys.executable}, lacks {', '.join(missing)}."
        yield LIBRARIES_MISSING.found(what, f"Install: {INSTALL}")
    try:
        models.check_models()
    except models.ModelsMissing as error:
        yield MODELS_MISSING.found(str(error), "")


def predict(job: Job) -> Prediction | None:
    """Canvas and frames of the result; None while the media cannot be read."""
    import preprocess

    try:
        if PREPROCESSING not in job.stages:
            pose = preprocess.probe_video(job.src_root_path / source_folder.POSE)
            return Prediction(width=pose.width, height=pose.height, frames=pose.frame_count)
        width, height = preprocess.canvas_size(*canvas_shape(job), job.resolution[0] * job.resolution[1])
        frames, _ = sampled_frames(job)
        return Prediction(width=width, height=height, frames=frames)
    except (preprocess.MediaError, OSError):
        return None


def _made_by_another_engine(job: Job) -> bool:
    folder = job.src_root_path
    finished = all((folder / name).is_file() for name in source_folder.ALWAYS)
    return finished and not (folder / source_folder.TRACK).is_file()
