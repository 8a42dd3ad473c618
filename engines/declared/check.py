"""What would make a Job fail on a declared tool: its installation, its options, its clip, the machine."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from dataclasses import replace
from typing import Final

from config import NO_PATH, Job, nearest
from engines import machine
from engines.checks import common_findings, in_use
from engines.declared import clip as clips
from engines.declared.plan import staged
from engines.declared.tool import Tool
from engines.findings import Finding, kind
from engines.interface import Prediction
from engines.media_checks import upstream_media_findings
from engines.wan22.interpreter import InterpreterError, probe_interpreter

_LATE: Final = "The tool would end with a Python error, after minutes of loading or at once."

CHECKOUT = kind("install.tool-checkout", "error", "The tool's checkout is not there or not whole", _LATE)
PYTHON = kind("install.tool-python", "error", "The tool's Python does not answer", _LATE)
PACKAGES = kind("install.tool-packages", "error", "The tool's Python lacks packages", _LATE)
VERSION = kind("install.tool-version", "error", "A package that breaks the tool", _LATE)
WEIGHTS = kind(
    "install.tool-weights",
    "error",
    "Weights of the tool are missing",
    "Some tools fail at the end of loading, and some fetch others over the network or take older ones.",
)
CUT_WEIGHTS = kind(
    "install.tool-weights-cut",
    "error",
    "Weights of the tool are not whole",
    "A file that a clone without git-lfs or a broken download left cannot be loaded.",
)
PROGRAM = kind(
    "install.tool-program",
    "error",
    "A program that the tool calls is not on the PATH",
    "The tool stops while it imports, or writes no video and reports success.",
)
NO_GPU = kind(
    "machine.tool-no-gpu", "error", "No NVIDIA GPU for the tool", "It asks for CUDA without a way out."
)
GPU_MEMORY = kind(
    "machine.tool-gpu-memory",
    "error",
    "The GPU has too little memory for the tool",
    "It ends with out of memory, after loading or in the midst of the clip.",
)
OPTION = kind(
    "settings.tool-option",
    "error",
    "An option that the tool does not have, or a value that it does not take",
    "The tool would stop with its usage, or take another value in silence.",
)
NO_SOUND = kind(
    "settings.no-driving-sound",
    "error",
    "No sound to follow",
    "A voice moves the picture, and there is none.",
)
RATE = kind(
    "media.tool-rate",
    "note",
    "The tool's own rate is not the clip's",
    "Tools cut a rate to a whole number or write a fixed one: the picture would run away from its sound.",
)


def findings(tool: Tool, job: Job) -> Iterator[Finding]:
    """Everything found."""
    yield from installation_findings(tool, job)
    yield from _options(tool, job)
    if not clips.both_stages(job):
        return
    yield from common_findings(job, tool.name)
    yield from in_use([(staged(job), "prepare"), *((staged(job), each.leaves) for each in tool.commands)])
    if tool.is_driven_by_sound():
        if job.audio == NO_PATH:
            what = f"--audio is missing: {tool.title} moves the picture by a voice."
            yield NO_SOUND.found(what, "Give the sound file with --audio FILE.")
            return
    elif job.video_path != NO_PATH:
        yield from upstream_media_findings(replace(job, normalize="auto"))
    predicted = predict(tool, job)
    frames = predicted.frames if predicted else 0
    if not tool.is_driven_by_sound() and predicted:
        yield from _rate(tool, job)
    yield from tool.checks(job, frames)


def predict(tool: Tool, job: Job) -> Prediction | None:
    """Size and frames of the result; None while the media cannot be read."""
    import preprocess

    try:
        clip = clips.clip_of(tool, job)
    except (preprocess.MediaError, OSError):
        return None
    width, height = clip.result or clip.foretold or clip.reference
    return Prediction(width=width, height=height, frames=clip.frames)


def installation_findings(tool: Tool, job: Job) -> Iterator[Finding]:
    """Checkout, Python, packages, programs, weights, GPU, whatever the job's media."""
    yield from checkout_findings(tool, job)
    yield from python_findings(tool, job)
    yield from weights_findings(tool, job)
    yield from machine_findings(tool)


def checkout_findings(tool: Tool, job: Job) -> Iterator[Finding]:
    """Whether the programs are there, and what they call."""
    missing = [each.script for each in tool.commands if not (job.tool_dir / each.script).is_file()]
    if missing:
        what = f"--tool_dir: {job.tool_dir} is no checkout of {tool.title}: {', '.join(missing)} missing."
        yield CHECKOUT.found(what, f"Clone {tool.url}, and give its folder with --tool_dir.")
    absent = [program for program in tool.programs if shutil.which(program) is None]
    if absent:
        what = f"{tool.title} calls {' and '.join(absent)}, which the PATH does not have."
        yield PROGRAM.found(what, "Install FFmpeg, and see that its folder is on the PATH.")


def python_findings(tool: Tool, job: Job) -> Iterator[Finding]:
    """Whether its Python answers and has what it imports."""
    try:
        python = probe_interpreter(job.tool_python)
    except InterpreterError as error:
        what = f"--tool_python: {job.tool_python} {error}."
        yield PYTHON.found(what, f"Give the Python with {tool.title}'s requirements.")
        return
    missing = [each.name for each in tool.packages if python.version_of(*each.name.split("|")) is None]
    if missing:
        names = ", ".join(name.partition("|")[0] for name in missing)
        what = f"{job.tool_python} lacks {names}, which {tool.title} imports."
        remedy = f"Install {tool.title}'s requirements for it, or give another Python with --tool_python."
        yield PACKAGES.found(what, remedy)
    for package in tool.packages:
        version = python.version_of(*package.name.split("|"))
        if version and package.breaks_from and _numbers(version) >= _numbers(package.breaks_from):
            name = package.name.partition("|")[0]
            what = f"{job.tool_python} has {name} {version}: {package.why}."
            yield VERSION.found(what, f'Install an older one for it: "{name}<{package.breaks_from}".')


def weights_findings(tool: Tool, job: Job) -> Iterator[Finding]:
    """Files of weights that are missing or too small to be whole."""
    missing, cut = [], []
    for weight in tool.weights(job):
        path = job.tool_dir / weight.path
        if not path.is_file():
            missing.append(weight.path)
        elif path.stat().st_size < weight.at_least:
            cut.append(weight.path)
    if missing:
        what = f"{job.tool_dir} lacks weights: {', '.join(missing)}."
        yield WEIGHTS.found(what, f"Fetch them as {tool.url} says; the names must be these.")
    if cut:
        what = f"Weights in {job.tool_dir} are not whole: {', '.join(cut)}."
        yield CUT_WEIGHTS.found(what, "Fetch them again.")


def machine_findings(tool: Tool) -> Iterator[Finding]:
    """Whether there is a GPU with the memory that the tool needs at least."""
    gpus = machine.gpus()
    if tool.gpu_bytes and not gpus:
        what = f"{tool.title} runs on an NVIDIA GPU only, and there is none to see."
        yield NO_GPU.found(what, "Choose another machine, or --engine preview.")
    elif tool.gpu_bytes and max(gpu.memory_total for gpu in gpus) < tool.gpu_bytes:
        yield too_little(tool, tool.gpu_bytes)


def too_little(tool: Tool, needed: int) -> Finding:
    """The finding about a GPU with less memory than that."""
    total = max((gpu.memory_total for gpu in machine.gpus()), default=0)
    what = (
        f"{tool.title} needs {needed / 2**30:.1f} GiB of GPU memory for this; the largest GPU has "
        f"{total / 2**30:.1f}."
    )
    return GPU_MEMORY.found(
        what, "Give a shorter clip where that helps (--draft), or choose another machine."
    )


def _options(tool: Tool, job: Job) -> Iterator[Finding]:
    for name, value in job.tool_options:
        if name not in tool.options:
            known = ", ".join(tool.options) or "none"
            what = (
                f"--tool_options: {tool.title} has no '{name}'{nearest(name, tool.options)} (it has {known})."
            )
            yield OPTION.found(what, "Leave it out.")
        elif (expected := tool.options[name](value)) is not None:
            what = f"--tool_options: {name} must be {expected}; it is '{value}'."
            yield OPTION.found(what, "Mend the value.")


def _rate(tool: Tool, job: Job) -> Iterator[Finding]:
    rate = clips.clip_of(tool, job).timing.rate
    if rate.denominator != 1:
        what = f"The clip has {float(rate):.5g} frames a second, which {tool.title} does not keep."
        yield RATE.found(what, "The finish gives the result its true rate again: nothing is to be done.")


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", version.partition("+")[0])[:3])
