"""The ladder of ``--on_oom retry``: what to change, one rung after the other, when memory runs out."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from config import PREPROCESSING, Job
from execution.step import GPU_MEMORY, HOST_MEMORY

WINDOWS: Final = (61, 45, 33)
"""Lengths of a window, in frames. Activations grow with them."""
AREAS: Final = ((1024, 576), (832, 480), (640, 368))
"""Pixel budgets. Both memories grow with them, but stage 1 has to run again."""


def next_rung(job: Job, cause: str) -> tuple[Job, str] | None:
    """The job made to need less memory by one rung, and that rung in words; None at the end of the ladder.

    For the GPU's memory: ``--t5_cpu``, shorter windows, a smaller area. For the host's: a smaller area alone,
    since the text encoder on the CPU needs more of it, and the videos are held whole whatever the windows.
    """
    if cause == GPU_MEMORY:
        if not job.t5_cpu and not job.multi_gpu:  # several GPUs share the text encoder all the same
            return replace(job, t5_cpu=True), "--t5_cpu"
        length = job.frame_num or job.frame_num_max
        shorter = [number for number in WINDOWS if 2 * job.refert_num < number < length]
        if shorter:
            return replace(job, frame_num=shorter[0]), f"--frame_num {shorter[0]}"
    if cause in (GPU_MEMORY, HOST_MEMORY) and PREPROCESSING in job.stages:
        width, height = job.resolution
        for smaller in AREAS:
            if smaller[0] * smaller[1] < width * height:
                return replace(job, resolution=smaller), f'--resolution "{smaller[0]} {smaller[1]}"'
    return None
