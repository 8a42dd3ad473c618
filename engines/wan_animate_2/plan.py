"""The Steps of a Job on Wan-Animate-2: a clean copy where one is needed, the generation, the finish."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Final

from config import FINISHING, GENERATION, PREPROCESSING, Job
from engines import finishing, machine, normalising, our_code
from engines.interface import Prediction
from engines.sampling import canvas_shape
from engines.timing import timing_of
from engines.wan_animate_2 import model_folder
from engines.wan_animate_2.prediction import content_size, predict, steps_of
from engines.wan_diffusers.plan import CODE, in_worker, of_python
from execution.step import GPU_MEMORY, Step, StepFailed, StepRun

_PROMPT: Final = "视频中的人在做动作"
_FULL_BYTES: Final = 100_000_000_000
"""Weights of about 47 GB, a cache of about 36 GB as reported, and some for the work: for ``full``."""


def steps(job: Job) -> Iterator[Step]:
    """The Steps of the job."""
    if PREPROCESSING in job.stages and normalising.is_needed(job):
        yield normalising.normalise_step(job)
    if GENERATION in job.stages:
        yield generate_step(job)
    if FINISHING in job.stages:
        yield from finishing.finishing_steps(job, "wan_animate_2")


def video_of(job: Job) -> Path:
    """The driving video that is read."""
    return normalising.copy_path(job) if normalising.is_needed(job) else job.video_path


def generate_step(job: Job) -> Step:
    """The generation. Settings of stage 1 shape it too: how the driving video is sampled, how large it is."""
    generated = finishing.generated_path(job)
    told: dict[str, Any] = {}
    return Step(
        name="generate",
        file_name=f"generate {job.output_path.name}",
        stage=GENERATION,
        title="Generation from the driving video (wan_animate_2)",
        engine="wan_animate_2",
        folder=job.output_path.parent,
        inputs={"driving video": video_of(job), "reference image": job.refer_path},
        outputs=(generated,),
        settings={**job.shaping_values(PREPROCESSING), **job.shaping_values(GENERATION)},
        function=partial(_generate, job, told),
        code=(*CODE, *sorted(Path(__file__).parent.glob("*.py")), *our_code.READING),
        weights=model_folder.weight_files(job.animate_2_model),
        gpus=0 if job.diffusers_device == "cpu" else 1,
        verify=partial(_verify, job),
        facts=lambda log: {**of_python(job), **told},
    )


def held_of(job: Job) -> dict[str, Any]:
    """How the model is held. ``auto`` is everything on the GPU where that fits, else a layer at a time."""
    on_cpu = job.diffusers_device == "cpu"
    offload = {"full": "none", "fp8": "group", "group_offload": "group"}.get(job.memory)
    free = None
    if offload is None and not on_cpu:
        gpus = machine.gpus()
        free = gpus[0].memory_free if gpus else None
        offload = "none" if free is not None and free >= _FULL_BYTES else "group"
    return {
        "weights": "fp8" if job.memory == "fp8" else "bf16",
        "offload": offload or "none",
        "device": "cpu" if on_cpu else "cuda",
        "free_gpu_bytes": free,
    }


def _generate(job: Job, told: dict[str, Any], run: StepRun) -> None:
    import preprocess
    from engines.wan_diffusers import clips
    from media.pictures import read_picture, write_picture

    predicted = predict(job)
    if predicted is None or predicted.windows is None:
        raise StepFailed("No window fits the driving video. See --check.")
    scratch = run.folder / "clips"
    scratch.mkdir()
    held = held_of(job)
    free = held.pop("free_gpu_bytes")
    try:
        timing = timing_of(job)
        clips.unpack(video_of(job), scratch / "driving.npy", run.report, fps=job.fps)
        write_picture(scratch / "reference.png", read_picture(job.refer_path))
        request = _request(job, predicted, held, scratch)
        answer = in_worker(job, request, run, is_tiny=model_folder.is_tiny(job.animate_2_model))
        target = run.folder / finishing.generated_path(job).relative_to(job.output_path.parent)
        clips.pack(scratch / "result.npy", target, timing.rate, run.report)
    except preprocess.MediaError as error:
        raise StepFailed(str(error)) from error
    told.update(
        memory={**held, "free_gpu_bytes": free},
        device=answer.get("device"),
        gpu_bytes=answer.get("gpu_bytes"),
        seed=job.seed,
        windows=predicted.windows,
        frame_num=predicted.frame_num,
        overlap=job.refert_num,
        frames=predicted.frames,
    )


def _request(job: Job, predicted: Prediction, held: dict[str, Any], scratch: Path) -> dict[str, Any]:
    width, height = job.resolution
    shape = content_size(*canvas_shape(job), width * height)[::-1]
    return {
        "kind": "second",
        "model": str(job.animate_2_model),
        "frames": predicted.frames,
        "width": width,
        "height": height,
        "shape": shape,
        "reference": str(scratch / "reference.png"),
        "clips": {"driving": str(scratch / "driving.npy")},
        "result": str(scratch / "result.npy"),
        "held": held,
        "prompt": job.prompt or _PROMPT,
        "steps": steps_of(job),
        "window": predicted.frame_num,
        "overlap": job.refert_num,
        "windows": predicted.windows,
        "seed": job.seed,
    }


def _verify(job: Job, folder: Path) -> None:
    """As many frames as were sampled, of the size foretold, and not black."""
    import preprocess
    from engines.verification import BLACK_LEVEL
    from media.luminance import read_luminance

    predicted = predict(job)
    made = folder / finishing.generated_path(job).relative_to(job.output_path.parent)
    try:
        if predicted is not None:
            size = (predicted.width, predicted.height)
            preprocess.check_video(made, frame_count=predicted.frames, size=size)
        if all(int(frame.max()) <= BLACK_LEVEL for frame in read_luminance(made)):
            raise StepFailed(f"{made} is black from its first frame to its last.")
    except preprocess.MediaError as error:
        raise StepFailed(str(error)) from error


def next_rung(job: Job, cause: str) -> tuple[Job, str] | None:
    """Group offload, then fp8, then a smaller area."""
    if cause != GPU_MEMORY or job.diffusers_device == "cpu":
        return None
    ladder = {"auto": "group_offload", "full": "group_offload", "group_offload": "fp8"}
    if job.memory in ladder:
        plan = ladder[job.memory]
        return replace(job, memory=plan), f"--memory {plan}"
    for width, height in ((832, 480), (640, 368)):
        if width * height < job.resolution[0] * job.resolution[1]:
            return replace(job, resolution=(width, height)), f'--resolution "{width} {height}"'
    return None
