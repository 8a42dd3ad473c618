"""What would make a Job fail on the official repository."""

from __future__ import annotations

from collections.abc import Iterator

from config import FINISHING, GENERATION, PREPROCESSING, SETTINGS, Job
from engines.checks import NO_EFFECT, common_findings
from engines.findings import Finding, kind
from engines.interface import Prediction
from engines.media_checks import upstream_media_findings
from engines.sampling import canvas_shape
from engines.wan22.installation import installation_findings
from engines.wan22.machine_check import machine_findings
from engines.wan22.prediction import predict
from engines.wan22.weights import weights_findings

_DRIFT_SECONDS = 25

LETTERS = kind(
    "path.letters",
    "error",
    "A path that is no Unicode",
    "OpenCV ends the whole process on a name that is not UTF-8.",
)
TOO_SHORT = kind(
    "media.shorter-than-overlap",
    "error",
    "No frame is left beside the overlap",
    "Upstream loads all models, then finds nothing to generate and stops with an error about an empty list.",
)
SHARING = kind(
    "gpus.sharing",
    "error",
    "The picture cannot be shared among the GPUs",
    "Upstream pads the tokens, and its face adapter dies in the first step: "
    "einops, can't divide axis of length ...",
)
DRIFT = kind(
    "media.long",
    "note",
    "A clip in which colours may drift",
    "Each window is conditioned on the last frames of the one before, so errors add up; people report "
    "decay after 20 to 25 seconds.",
)
UNEVEN = kind(
    "settings.mask-growth-uneven",
    "warning",
    "A mask that grows unevenly",
    "With an even --k the mask grows further to the right and down than to the left and up.",
)
DOUBLE_TIME = kind(
    "settings.guidance-doubles-time",
    "note",
    "Guidance above 1",
    "Each diffusion step runs the model twice.",
)


def findings(job: Job) -> Iterator[Finding]:
    """Everything found: the installation, the request, the media, the machine."""
    yield from installation_findings(job)
    yield from weights_findings(job)
    yield from common_findings(job, "wan22")
    yield from _file_names(job)
    if PREPROCESSING in job.stages:
        yield from upstream_media_findings(job)
    yield from _settings(job)
    predicted = predict(job)
    if predicted is not None and GENERATION in job.stages:
        yield from _windows(job, predicted)
    yield from machine_findings(job, predicted)


def _file_names(job: Job) -> Iterator[Finding]:
    for name in (name for name, setting in SETTINGS.items() if setting.is_path):
        try:
            str(getattr(job, name)).encode()
        except UnicodeEncodeError:
            what = f"--{name}: {getattr(job, name)} has letters that are not UTF-8; upstream cannot open it."
            yield LETTERS.found(what, "Rename the file or the folder.")


def _settings(job: Job) -> Iterator[Finding]:
    if job.convert_model_dtype:
        what = "--convert_model_dtype: this model's weights are bf16 already."
        yield NO_EFFECT.found(what, "Leave it out.")
    if job.t5_cpu and job.multi_gpu:
        what = "--t5_cpu: with several GPUs upstream spreads the text encoder over them all the same."
        yield NO_EFFECT.found(what, "Leave it out.")
    if job.replace and job.iterations > 0 and job.k % 2 == 0:
        what = f"--k {job.k} is even" + (" (0 acts like 3)." if job.k == 0 else ".")
        yield UNEVEN.found(what, f"Give {job.k + 1}, or --iterations 0 for no growth.")
    if job.sample_guide_scale is not None and job.sample_guide_scale > 1:
        what = f"--sample_guide_scale {job.sample_guide_scale:g} doubles the time."
        yield DOUBLE_TIME.found(what, "Leave it at 1 unless the expression needs it.")


def _windows(job: Job, predicted: Prediction) -> Iterator[Finding]:
    if 0 < predicted.frames <= job.refert_num:
        what = (
            f"Of {predicted.frames} frame(s) none is left beside the overlap of "
            f"--refert_num {job.refert_num}."
        )
        yield TOO_SHORT.found(what, "Give a longer clip or a higher --fps.")
        return
    if job.nproc_per_node and predicted.tokens and predicted.tokens % job.nproc_per_node:
        what = (
            f"--nproc_per_node: upstream cannot share a picture of {predicted.width}x{predicted.height} "
            f"among {job.nproc_per_node} GPUs."
        )
        from engines.wan22 import sharing

        shape = canvas_shape(job) if PREPROCESSING in job.stages else None
        yield SHARING.found(what, sharing.remedies(job, predicted, shape))
    if FINISHING in job.stages and job.fps > 0 and predicted.frames > _DRIFT_SECONDS * job.fps:
        what = f"The result is {predicted.frames / job.fps:.0f} seconds long."
        yield DRIFT.found(what, "Split a long clip where it cuts, if colours drift.")
