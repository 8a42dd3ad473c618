"""What would make a Job fail on diffusers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from config import GENERATION, MASKING, NO_PATH, PREPROCESSING, Job
from engines.checks import common_findings
from engines.findings import Finding, kind
from engines.interface import Prediction
from engines.wan22.interpreter import Interpreter, InterpreterError, probe_interpreter
from engines.wan_diffusers import machine_check, memory_plans
from engines.wan_diffusers.loras import RELIGHTING, loras_of, problem_of
from engines.wan_diffusers.model_folder import BrokenModel, ModelFolder
from engines.wan_diffusers.plan import read_model_of
from engines.wan_diffusers.prediction import predict, predict_folder
from engines.wan_diffusers.stage_1 import engine_of_stage_1, job_of_stage_1

PYTHON = kind(
    "diffusers.python",
    "error",
    "The Python for diffusers cannot be asked",
    "Stage 2 runs in that interpreter.",
)
PACKAGES = kind(
    "diffusers.packages",
    "error",
    "Packages for diffusers are missing or too old",
    "Loading would fail, some of it after minutes: ftfy is asked for only when the prompt is read.",
)
MODEL = kind(
    "diffusers.model",
    "error",
    "The model for diffusers is not there or not whole",
    "The library would try to download what is missing, or fail after minutes of loading.",
)
LORA = kind(
    "diffusers.lora",
    "error",
    "A LoRA that is none for this model",
    "The library loads nothing of it and says nothing: the video comes out as if it were not there.",
)
GGUF = kind(
    "diffusers.gguf",
    "error",
    "The single-file model does not fit the request",
    "The model would not load, or another one would be used than the one that was named.",
)
SIZE = kind(
    "diffusers.size",
    "error",
    "A size that is no multiple of 16",
    "The pipeline refuses it, after the model has been loaded.",
)
TOO_SHORT = kind(
    "diffusers.shorter-than-overlap",
    "error",
    "No frame is left beside the overlap",
    "The pipeline finds nothing to generate and fails with an error about an empty list.",
)
GUIDANCE = kind(
    "diffusers.guidance-doubles-time",
    "note",
    "Guidance above 1",
    "Each diffusion step runs the model twice; a step-distilled LoRA is made for guidance 1.",
)

_SINGLE_FILES: Final = (0, 37, 1)
"""The diffusers that reads this model from a single file."""
_NEEDED: Final[Mapping[str, tuple[int, ...]]] = {
    "diffusers": (0, 36),
    "torch": (2, 6),
    "transformers": (),
    "accelerate": (),
    "safetensors": (),
    "ftfy": (),
}
"""Packages, with the oldest version that will do."""
_REMEDY: Final = "<python> -m pip install -r requirements-diffusers.txt"


def findings(job: Job) -> Iterator[Finding]:
    """Everything found: stage 1 by its own engine, the installation, the request, the machine."""
    if PREPROCESSING in job.stages or job.stages == (MASKING,):
        yield from engine_of_stage_1(job).check(job_of_stage_1(job))
    yield from common_findings(job, "wan_diffusers")
    if GENERATION not in job.stages:
        return
    yield from installation_findings(job)
    model: ModelFolder | None = None
    try:
        model = read_model_of(job)
    except BrokenModel as error:
        yield model_finding(error)
    predicted = predict(job)
    yield from _request(job, predicted)
    yield from _gguf(job)
    if model is not None:
        yield from lora_findings(job, model)
        yield from machine_check.findings(job, model, predicted)


def model_finding(error: BrokenModel) -> Finding:
    """That the model cannot be used."""
    remedy = "Download Wan-AI/Wan2.2-Animate-14B-Diffusers whole, and name its folder with --diffusers_model."
    return MODEL.found(f"--diffusers_model: {error}", remedy)


# -------------------------------------------------------------------------------------------- installation


def installation_findings(job: Job) -> Iterator[Finding]:
    """The interpreter and its packages."""
    try:
        python = probe_interpreter(job.diffusers_python)
    except InterpreterError as error:
        what = f"--diffusers_python: {job.diffusers_python} {error}."
        yield PYTHON.found(what, "Name the interpreter that has torch and diffusers.")
        return
    wrong = [*_missing(python, _wanted(job)), *_old(python, _oldest(job))]
    if wrong:
        what = f"{python.path}: {', '.join(wrong)}."
        remedy = f"Install: {_REMEDY.replace('<python>', str(python.path))}"
        yield PACKAGES.found(what, remedy)


def _wanted(job: Job) -> list[str]:
    """What the job needs beside the rest."""
    weights = memory_plans.weights_of(job)
    extras = {"gguf": ["gguf"], "int8": ["torchao"]}.get(weights, [])
    return [*_NEEDED, *extras, *(["peft"] if loras_of(job) else [])]


def _missing(python: Interpreter, names: list[str]) -> list[str]:
    return [f"{name} is missing" for name in names if python.version_of(name) is None]


def _oldest(job: Job) -> dict[str, tuple[int, ...]]:
    single_file = memory_plans.weights_of(job) == "gguf"
    return {**_NEEDED, **({"diffusers": _SINGLE_FILES} if single_file else {})}


def _old(python: Interpreter, needed: Mapping[str, tuple[int, ...]]) -> list[str]:
    old = []
    for name, oldest in needed.items():
        version = python.version_of(name)
        if version is not None and oldest and _numbers(version) < oldest:
            old.append(f"{name} {version} is older than {'.'.join(map(str, oldest))}")
    return old


def _numbers(version: str) -> tuple[int, ...]:
    parts = version.split("+")[0].split(".")[:3]
    return tuple(int(part) if part.isdigit() else 0 for part in parts)


# ------------------------------------------------------------------------------------------------- request


def _request(job: Job, predicted: Prediction | None) -> Iterator[Finding]:
    if job.sample_guide_scale is not None and job.sample_guide_scale > 1:
        what = f"--sample_guide_scale {job.sample_guide_scale:g} doubles the time."
        yield GUIDANCE.found(what, "Leave it at 1 unless the expression needs it.")
    if predicted is None:
        return
    if predicted.frames <= job.refert_num:
        what = (
            f"Of {predicted.frames} frame(s) none is left beside the overlap of "
            f"--refert_num {job.refert_num}."
        )
        yield TOO_SHORT.found(what, "Give a longer clip or a higher --fps.")
    folder = predict_folder(job) if PREPROCESSING not in job.stages else None
    if folder is not None and (folder.width % 16 or folder.height % 16):
        what = f"--src_root_path: its videos are {folder.width}x{folder.height}."
        yield SIZE.found(what, "Run stage 1 again: the canvases of both its engines are multiples of 16.")


def _gguf(job: Job) -> Iterator[Finding]:
    if job.transformer_file == NO_PATH:
        if job.memory == "gguf":
            what = "--memory gguf needs the model as a .gguf file, and there is none."
            yield GGUF.found(what, "Name it with --transformer_file, or choose another --memory.")
        return
    if memory_plans.weights_of(job) != "gguf":
        what = f"--transformer_file is read with --memory gguf or auto only; it is {job.memory}."
        yield GGUF.found(what, "Leave out one of the two.")
        return
    try:
        with job.transformer_file.open("rb") as file:
            is_gguf = file.read(4) == b"GGUF"
    except OSError as error:
        what = f"--transformer_file: {job.transformer_file} cannot be read ({error.strerror})."
        yield GGUF.found(what, "Check its name.")
        return
    if not is_gguf:
        what = f"--transformer_file: {job.transformer_file} is no GGUF file."
        yield GGUF.found(what, "Give a .gguf file of Wan2.2-Animate-14B.")


def lora_findings(job: Job, model: ModelFolder) -> Iterator[Finding]:
    """LoRAs that would do nothing."""
    for lora in loras_of(job):
        if problem := problem_of(lora, model.width):
            flag = "--use_relighting_lora" if lora.name == RELIGHTING else "--lora"
            remedy = "Give a LoRA for Wan 14B (--relighting_lora, --lora), or leave it out."
            yield LORA.found(f"{flag}: {lora.file} {problem}", remedy)
