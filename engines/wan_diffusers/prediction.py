"""What a Job will make on diffusers: stage 1's canvas and frames, in the windows of diffusers."""

from __future__ import annotations

from typing import Final

from config import GENERATION, PREPROCESSING, Job
from engines import source_folder
from engines.interface import Prediction

# The same model, cut into windows by the same arithmetic and paid for by the same operations.
from engines.wan22.prediction import of_frames
from engines.wan22.windows import step_cost
from engines.wan_diffusers.stage_1 import engine_of_stage_1, job_of_stage_1
from execution.history import Work

STEPS: Final = 20
"""Diffusion steps unless the job says otherwise: upstream's number and the library's."""


def predict(job: Job) -> Prediction | None:
    """By what stage 1 will write, or by its folder; None while the media cannot be read."""
    if PREPROCESSING not in job.stages:
        return predict_folder(job)
    first = engine_of_stage_1(job).predict(job_of_stage_1(job))
    if first is None or GENERATION not in job.stages:
        return first
    return of_frames(job, first.frames, first.width, first.height)


def predict_folder(job: Job) -> Prediction | None:
    """By the pose video of stage 1's folder; None when it cannot be read."""
    import preprocess

    try:
        pose = preprocess.probe_video(job.src_root_path / source_folder.POSE)
    except (preprocess.MediaError, OSError):
        return None
    return of_frames(job, pose.frame_count, pose.width, pose.height)


def workload(job: Job, predicted: Prediction) -> dict[str, Work]:
    """Stage 1's work as its engine counts it; stage 2's in operations of all diffusion steps."""
    work: dict[str, Work] = {}
    if PREPROCESSING in job.stages:
        first = engine_of_stage_1(job).workload(job_of_stage_1(job), predicted)
        work |= {name: each for name, each in first.items() if name != "generate"}
    if predicted.windows is None or predicted.tokens is None:
        return work
    passes = 2 if (job.sample_guide_scale or 1.0) > 1 else 1
    steps = (job.sample_steps or STEPS) * passes * predicted.windows
    amount = float(steps * step_cost(predicted.tokens))
    return {**work, "generate": Work(amount=amount, variant=job.memory, gpu_size=float(predicted.tokens))}
