"""What a Job on the official repository will make: canvas, frames, windows."""

from __future__ import annotations

import math
from itertools import accumulate, repeat
from pathlib import Path
from typing import Final

from config import PREPROCESSING, SOURCE_FPS, Job
from engines import normalising, source_folder
from engines.interface import Prediction
from engines.wan22.interpreter import InterpreterError, probe_interpreter
from engines.wan22.windows import (
    UPSTREAM_FRAME_NUM,
    choose_frame_num,
    step_cost,
    tokens,
    windows_of,
)

_UPSTREAM_STEPS: Final = 20


def predict(job: Job) -> Prediction | None:
    """By the job's media, or, for stage 2 alone, by the folder of stage 1; None while they cannot be read."""
    import preprocess

    try:
        if PREPROCESSING not in job.stages:
            return _of_folder(job, job.src_root_path)
        width, height = preprocess.canvas_size(*canvas_shape(job), job.resolution[0] * job.resolution[1])
        return _of_frames(job, _written_frames(job), width, height)
    except preprocess.MediaError:
        return None


def predict_after(job: Job) -> Prediction | None:
    """By what stage 1 has written for this job; None when it cannot be read."""
    import preprocess

    try:
        return _of_folder(job, job.save_path)
    except preprocess.MediaError:
        return None


def canvas_shape(job: Job) -> tuple[int, int]:
    """Width and height of what the canvas follows: the driving video, or in animate mode the reference.

    Raises:
        preprocess.MediaError: it cannot be read.
    """
    import preprocess

    if job.replace:
        video = preprocess.probe_video(job.video_path)
        return video.width, video.height
    picture = preprocess.read_picture(job.refer_path)
    return picture.shape[1], picture.shape[0]


def written_frame_count(
    count: int, rate: float, moviepy: str | None, python: tuple[int, ...] = (3, 11)
) -> int:
    """Frames in upstream's files when it hands ``count`` of them to moviepy, its writer.

    moviepy takes the clip's length in seconds, a sum of floats, and works the count out again: version 1
    writes as many as ``numpy.arange(0, seconds, 1 / rate)`` has, version 2 ``int(seconds * rate)``. Both rules
    agreed with the real writers. Python sums floats more exactly from 3.12 on. An unknown version counts right.

    Args:
        rate: frames a second of the file.
        moviepy: version in upstream's Python; None when it is not known.
    """
    if moviepy is None or not count:
        return count
    period = 1 / rate
    exact = python >= (3, 12)
    seconds = math.fsum(repeat(period, count)) if exact else list(accumulate(repeat(period, count)))[-1]
    return math.ceil(seconds / period) if moviepy.startswith("1.") else int(seconds * rate)


def workload(job: Job, predicted: Prediction) -> dict[str, float]:
    """Stage 1's work in frames; stage 2's in operations of all diffusion steps."""
    if predicted.windows is None or predicted.tokens is None:
        return {}
    passes = 2 if (job.sample_guide_scale or 1.0) > 1 else 1
    steps = (job.sample_steps or _UPSTREAM_STEPS) * passes * predicted.windows
    return {
        "preprocess": float(predicted.frames),
        "generate": float(steps * step_cost(predicted.tokens)),
    }


def _written_frames(job: Job) -> int:
    import preprocess

    video = preprocess.probe_video(job.video_path)
    count, rate = video.frame_count, video.rate
    if normalising.is_needed(job):
        from media.normalise import normalised_frame_count

        rate = normalising.rate(job)
        count = normalised_frame_count(job.video_path, rate, job.frame_limit)
    sampled = len(preprocess.sample_indices(count, float(rate), job.fps))
    try:
        interpreter = probe_interpreter(job.wan22_python)
    except InterpreterError:
        return sampled
    fps = float(rate) if job.fps == SOURCE_FPS else float(job.fps)
    return written_frame_count(sampled, fps, interpreter.version_of("moviepy"), interpreter.python)


def _of_folder(job: Job, folder: Path) -> Prediction:
    import preprocess

    pose = preprocess.probe_video(folder / source_folder.POSE)
    return _of_frames(job, pose.frame_count, pose.width, pose.height)


def _of_frames(job: Job, frames: int, width: int, height: int) -> Prediction:
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
