"""What a tool is given of a job: how many frames, at which rate, of which size; before anything is made."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from config import GENERATION, PREPROCESSING, Job
from engines.declared.tool import Tool
from engines.timing import Timing, timing_of


@dataclass(frozen=True)
class Clip:
    """The motion as a tool reads it, and the reference image beside it. Sizes are in pixels."""

    timing: Timing
    frames: int
    reference: tuple[int, int]
    result: tuple[int, int] | None
    """Size of the result; None where only the tool knows it."""
    foretold: tuple[int, int] | None = None
    """Size that the result will have, as far as can be said."""


def clip_of(tool: Tool, job: Job) -> Clip:
    """The job's clip.

    Raises:
        preprocess.MediaError: its media cannot be read.
    """
    from media.pictures import describe_picture

    if tool.clip is not None:
        made: Clip = tool.clip(job)
        return made
    picture = describe_picture(job.refer_path)
    width, height = even(picture.width), even(picture.height)
    if tool.canvas is not None:
        width, height = tool.canvas(width, height)
    timing, frames = _of_sound(tool, job) if tool.rate else _of_video(job)
    size = tool.size(width, height, job)
    return Clip(timing, frames, (width, height), size if tool.sure_of_size else None, size)


def even(side: int) -> int:
    """The side of a picture as H.264 holds it."""
    return max(2, side // 2 * 2)


def _of_video(job: Job) -> tuple[Timing, int]:
    from media.normalise import normalised_frame_count

    timing = timing_of(job)
    return timing, normalised_frame_count(job.video_path, timing.rate, job.frame_limit)


def _of_sound(tool: Tool, job: Job) -> tuple[Timing, int]:
    rate = tool.rate or Fraction(25)
    return Timing(rate=rate), int(_seconds(job.audio) * rate)


def _seconds(path: Path) -> Fraction:
    """Length of a file's sound.

    Raises:
        preprocess.MediaError: it has none, or cannot be read.
    """
    import av

    from media.sound import open_sound

    with open_sound(path) as (container, stream):
        if stream.duration is not None and stream.time_base is not None:
            return stream.duration * stream.time_base
        return Fraction(container.duration or 0, av.time_base)


def both_stages(job: Job) -> bool:
    """Whether the job asks for the whole, as these engines do it."""
    return PREPROCESSING in job.stages and GENERATION in job.stages
