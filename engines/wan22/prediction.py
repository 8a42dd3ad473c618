"""What a Job on the official repository will make: canvas, frames, windows."""

from __future__ import annotations

import math
from itertools import accumulate, repeat
from pathlib import Path
from typing import Final

from config import PREPROCESSING, Job
from engines import source_folder
from engines.interface import Prediction
from engines.sampling import canvas_shape, sampled_frames
from engines.wan22.interpreter import InterpreterError, probe_interpreter
from engines.wan22.windows import (
    UPSTREAM_FRAME_NUM,
    choose_frame_num,
    step_cost,
    tokens,
    windows_of,
)
from execution.history import Work

_UPSTREAM_STEPS: Final = 20
_SEGMENTED_AT_ONCE: Final = 400
_PIXEL_BYTES: Final = {"animate": 6 + 24, "replace": 31 + 24}
"""Bytes that stage 2 holds on the host for each pixel of the padded clip, and of its output."""


def predict(job: Job) -> Prediction | None:
    """By the job's media, or, for stage 2 alone, by the folder of stage 1; None while they cannot be read."""
    import preprocess

    try:
        if PREPROCESSING not in job.stages:
            return _of_folder(job, job.src_root_path)
        width, height = preprocess.canvas_size(*canvas_shape(job), job.resolution[0] * job.resolution[1])
        return of_frames(job, _written_frames(job), width, height)
    except (preprocess.MediaError, OSError):
        return None


def predict_after(job: Job) -> Prediction | None:
    """By what stage 1 has written for this job; None when it cannot be read."""
    import preprocess

    try:
        return _of_folder(job, job.save_path)
    except (preprocess.MediaError, OSError):
        return None


def written_frame_count(
    count: int, rate: float, moviepy: str | None, python: tuple[int, ...] = (3, 11)
) -> int:
    """Frames in upstream's files when it hands ``count`` of them to moviepy, its writer.

    moviepy sums the frames' lengths in seconds and works the count out again. Version 1 takes as many as
    ``numpy.arange(0, seconds, 1 / rate)`` has, version 2 ``int(seconds * rate)``: so in 1.0.0 to 2.2.1, and
    equal to what 1.0.3 and 2.2.1 were seen to do. From 3.12 on Python sums floats without an error that adds
    up.

    Args:
        rate: frames a second of the file.
        moviepy: version in upstream's Python; None when it is not known, which counts right.
        python: version of upstream's Python.
    """
    if moviepy is None or not count:
        return count
    period = 1 / rate
    exact = python >= (3, 12)
    seconds = math.fsum(repeat(period, count)) if exact else list(accumulate(repeat(period, count)))[-1]
    return math.ceil(seconds / period) if moviepy.startswith(("0.", "1.")) else int(seconds * rate)


def workload(job: Job, predicted: Prediction) -> dict[str, Work]:
    """Stage 1's work in frames; stage 2's in operations of all diffusion steps.

    The GPU's memory grows with the frames that SAM 2 takes at once, and with the tokens of a window; the
    host's, in stage 2, with the pixels of the padded clip.
    """
    if predicted.windows is None or predicted.tokens is None or predicted.frame_num is None:
        return {}
    passes = 2 if (job.sample_guide_scale or 1.0) > 1 else 1
    steps = (job.sample_steps or _UPSTREAM_STEPS) * passes * predicted.windows
    padded = job.refert_num + predicted.windows * (predicted.frame_num - job.refert_num)
    pixels = padded * predicted.width * predicted.height
    return {
        "preprocess": Work(
            amount=float(predicted.frames),
            variant=f"{job.mode} with a given mask" if job.has_own_mask else job.mode,
            gpu_size=float(min(predicted.frames, _SEGMENTED_AT_ONCE)) if job.masks_in_stage_1 else 1.0,
        ),
        "generate": Work(
            amount=float(steps * step_cost(predicted.tokens)),
            gpu_size=float(predicted.tokens),
            host_size=float(pixels * _PIXEL_BYTES[job.mode]),
        ),
    }


def _written_frames(job: Job) -> int:
    taken, rate = sampled_frames(job)
    try:
        interpreter = probe_interpreter(job.wan22_python)
    except InterpreterError:
        return taken
    return written_frame_count(taken, float(rate), interpreter.version_of("moviepy"), interpreter.python)


def _of_folder(job: Job, folder: Path) -> Prediction:
    import preprocess

    pose = preprocess.probe_video(folder / source_folder.POSE)
    return of_frames(job, pose.frame_count, pose.width, pose.height)


def of_frames(job: Job, frames: int, width: int, height: int) -> Prediction:
    """The windows of so many frames on a canvas; without any, where no frame is left beside the overlap."""
    if frames <= job.refert_num:
        return Prediction(width=width, height=height, frames=frames)
    frame_num = job.frame_num or choose_frame_num(
        frames,
        job.refert_num,
        width,
        height,
        shortest=job.frame_num_min,
        longest=job.frame_num_max,
        gpus=job.nproc_per_node or 1,
    )
    windows = windows_of(frames, frame_num, job.refert_num)
    upstreams = windows_of(frames, UPSTREAM_FRAME_NUM, job.refert_num)
    return Prediction(
        width=width,
        height=height,
        frames=frames,
        frame_num=frame_num,
        windows=windows.windows,
        surplus_frames=windows.surplus_frames,
        tokens=tokens(frame_num, width, height),
        windows_at_77=upstreams.windows,
        surplus_frames_at_77=upstreams.surplus_frames,
    )
