"""Stage 1 of a job, as a job of the engine that ``--stage_1`` names."""

from __future__ import annotations

from dataclasses import replace

from config import MASKING, PREPROCESSING, SETTINGS, Job
from engines import load_engine
from engines.interface import Engine


def engine_of_stage_1(job: Job) -> Engine:
    """Who makes the folder."""
    return load_engine(job.stage_1)


def job_of_stage_1(job: Job) -> Job:
    """The part of the job that is that engine's: its stages, and of the given settings those they use."""
    stages = tuple(stage for stage in job.stages if stage in (PREPROCESSING, MASKING))
    given = frozenset(name for name in job.given if set(SETTINGS[name].stages) & set(stages))
    return replace(job, engine=job.stage_1, stages=stages, given=given - {"engine", "stage_1"})
