"""What would make a Job fail on Wan-Animate-2."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from config import Job
from engines import machine
from engines.checks import common_findings
from engines.findings import Finding, kind
from engines.interface import Examined
from engines.wan22.interpreter import InterpreterError, probe_interpreter
from engines.wan_animate_2.model_folder import check_model
from engines.wan_animate_2.prediction import SHORTEST_CLIP, predict
from engines.wan_diffusers.check import MODEL, PACKAGES, PYTHON
from engines.wan_diffusers.machine_check import NO_GPU
from engines.wan_diffusers.model_folder import BrokenModel

HAS_NONE = kind(
    "animate2.no-stage-1",
    "note",
    "The engine has no stage 1",
    "Wan-Animate-2 reads the driving video itself: no pose, no masks, no folder between the stages.",
)
NO_REPLACE = kind(
    "animate2.replace",
    "error",
    "Replace mode of a model that has none",
    "Wan-Animate-2 animates the picture; it puts nobody into a scene.",
)
NO_POSE = kind(
    "animate2.side-by-side",
    "error",
    "No pose video to show",
    "--side_by_side shows driving video, pose and result; this engine makes no pose.",
)
SHORT = kind(
    "animate2.short",
    "error",
    "A clip that is too short for the window",
    "The pipeline mirrors the end of the clip only once to fill a window; it fails with a token count.",
)
PLAN = kind(
    "animate2.memory",
    "error",
    "A memory plan that this pipeline has not",
    "It knows full, group_offload and fp8.",
)

_PLANS: Final = ("auto", "full", "group_offload", "fp8")
_NEEDED: Final = ("diffusers", "torch", "transformers", "accelerate", "safetensors", "ftfy")
_OLDEST: Final = (0, 40)


def findings(job: Job) -> Iterator[Finding]:
    """Everything found."""
    yield HAS_NONE.found("wan_animate_2 has no stage 1; it reads the driving video itself.", "")
    yield from common_findings(job, "wan_animate_2")
    yield from _request(job)
    yield from installation_findings(job)
    yield from model_findings(job)
    yield from _machine(job)


def _request(job: Job) -> Iterator[Finding]:
    if job.replace:
        yield NO_REPLACE.found("--replace: wan_animate_2 has animate mode alone.", "Leave it out.")
    if job.side_by_side:
        yield NO_POSE.found("--side_by_side: wan_animate_2 makes no pose video.", "Leave it out.")
    if job.memory not in _PLANS:
        what = f"--memory {job.memory} is not for wan_animate_2."
        yield PLAN.found(what, f"Give {', '.join(_PLANS[:-1])} or {_PLANS[-1]}.")
    predicted = predict(job)
    if predicted is not None and predicted.windows is None:
        length = f"--frame_num {job.frame_num}" if job.frame_num else "any window"
        what = f"{predicted.frames} frames are too few for {length}."
        remedy = f"Give a longer clip ({SHORTEST_CLIP} frames at least), or leave out --frame_num."
        yield SHORT.found(what, remedy)


def installation_findings(job: Job) -> Iterator[Finding]:
    """The interpreter and its packages."""
    try:
        python = probe_interpreter(job.diffusers_python)
    except InterpreterError as error:
        what = f"--diffusers_python: {job.diffusers_python} {error}."
        yield PYTHON.found(what, "Name the interpreter that has torch and diffusers.")
        return
    wrong = [f"{name} is missing" for name in _NEEDED if python.version_of(name) is None]
    version = python.version_of("diffusers")
    if version and tuple(int(part) for part in version.split(".")[:2] if part.isdigit()) < _OLDEST:
        wrong.append(f"diffusers {version} is older than 0.40")
    if wrong:
        remedy = f"Install: {python.path} -m pip install -r requirements-diffusers.txt"
        yield PACKAGES.found(f"{python.path}: {', '.join(wrong)}.", remedy)


def model_findings(job: Job) -> Iterator[Finding]:
    """Whether the model is there and whole."""
    try:
        check_model(job.animate_2_model)
    except BrokenModel as error:
        remedy = "Download Wan-AI/Wan2.2-Animate-2-14B-Diffusers, and name its folder: --animate_2_model."
        yield MODEL.found(f"--animate_2_model: {error}", remedy)


def _machine(job: Job) -> Iterator[Finding]:
    if job.diffusers_device != "cpu" and not machine.gpus() and not machine.gpu_files_exist():
        yield NO_GPU.found("No NVIDIA GPU was found.", "Run it on a machine with one.")


def examine(job: Job) -> Iterator[Examined]:
    """Packages, model and GPU, without a job."""
    mend = f"{job.diffusers_python} -m pip install -r requirements-diffusers.txt"
    fine = str(job.diffusers_python)
    yield Examined(area="packages", fine=fine, findings=tuple(installation_findings(job)), mend=mend)
    yield Examined(area="model", fine=str(job.animate_2_model), findings=tuple(model_findings(job)))
    yield Examined(area="GPU", fine="there", findings=tuple(_machine(job)))
