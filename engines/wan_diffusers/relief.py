"""The ladder of ``--on_oom retry`` on diffusers: what to change, one rung after the other."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from config import PREPROCESSING, Job
from engines.wan_diffusers.memory_plans import weights_of
from execution.step import GPU_MEMORY

_LENGTHS: Final = (61, 45, 33)
_AREAS: Final = ((1024, 576), (832, 480), (640, 368))
_PLANS: Final = ("full", "model_offload", "group_offload")


def next_rung(job: Job, cause: str) -> tuple[Job, str] | None:
    """The job made to need less memory by one rung, and that rung in words; None at the end of the ladder.

    First what changes nothing in the picture (group offload), then tiles, shorter windows, a smaller area.
    """
    if cause != GPU_MEMORY or job.diffusers_device == "cpu":
        return None
    if weights_of(job) == "bf16" and job.memory != _PLANS[-1]:
        plan = _PLANS[_PLANS.index(job.memory) + 1] if job.memory in _PLANS else _PLANS[-1]
        return replace(job, memory=plan), f"--memory {plan}"
    if not job.vae_tiling:
        return replace(job, vae_tiling=True), "--vae_tiling"
    length = job.frame_num or job.frame_num_max
    shorter = [number for number in _LENGTHS if 2 * job.refert_num < number < length]
    if shorter:
        return replace(job, frame_num=shorter[0]), f"--frame_num {shorter[0]}"
    if PREPROCESSING in job.stages:
        for width, height in _AREAS:
            if width * height < job.resolution[0] * job.resolution[1]:
                return replace(job, resolution=(width, height)), f'--resolution "{width} {height}"'
    return None
