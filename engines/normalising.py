"""The clean copy that is put before upstream where it would misread the driving video."""

from __future__ import annotations

from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Final

from config import PREPROCESSING, Job
from engines import our_code
from execution.step import Step, StepFailed, StepRun

FILE_NAME: Final = "driving_video.mp4"


def is_needed(job: Job) -> bool:
    """Whether stage 1 reads a copy: the clip would be misread, or only its beginning is wanted."""
    from engines.media_checks import needs_normalising

    return PREPROCESSING in job.stages and (job.frame_limit is not None or needs_normalising(job))


def copy_path(job: Job) -> Path:
    """Where the copy lies."""
    return job.save_path / FILE_NAME


def rate(job: Job) -> Fraction:
    """Frames a second of the copy."""
    import preprocess
    from media.normalise import normalised_rate

    return normalised_rate(preprocess.probe_video(job.video_path), job.fps)


def normalise_step(job: Job) -> Step:
    """Write the copy."""
    target = copy_path(job)
    return Step(
        name="normalise",
        stage=PREPROCESSING,
        title="A clean copy of the driving video",
        engine=job.engine,
        folder=job.save_path,
        inputs={"driving video": job.video_path},
        outputs=(target,),
        settings={"rate": str(rate(job)), "frame_limit": job.frame_limit},
        function=partial(_write, job),
        code=our_code.NORMALISING,
        verify=partial(_verify, job),
    )


def _write(job: Job, run: StepRun) -> None:
    import preprocess
    from media.normalise import write_normalised

    try:
        write_normalised(
            job.video_path,
            run.folder / FILE_NAME,
            rate=rate(job),
            frame_limit=job.frame_limit,
            report=run.report,
        )
    except preprocess.MediaError as error:
        raise StepFailed(str(error)) from error


def _verify(job: Job, folder: Path) -> None:
    import preprocess
    from media.normalise import normalised_frame_count

    try:
        expected = normalised_frame_count(job.video_path, rate(job), job.frame_limit)
        preprocess.check_video(folder / FILE_NAME, frame_count=expected)
    except preprocess.MediaError as error:
        raise StepFailed(str(error)) from error
