"""When the frames of a result belong: the rate of stage 1, and which sound goes with them.

Upstream plays every result at 30 frames a second. The true rate is known when stage 1 is planned, and is kept
in its record, so that stage 2 alone knows it too.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, Final

from config import FROM_TEXT, PREPROCESSING, SOURCE_FPS, Job
from engines import source_folder

_STANDARD_RATES: Final = tuple(Fraction(whole * 1000, 1001) for whole in (24, 30, 48, 60, 120))
_ROUNDING: Final = 0.006
"""Upstream rounds the rate in its files to two decimals."""


@dataclass(frozen=True)
class Timing:
    """The time of a stage-1 folder's frames.

    ``rate`` is in frames a second. ``driving_video`` is where the sound is, ``start`` the second on its
    timeline at which frame 0 lies; ``sampled_video`` is the file that stage 1 read (the same, or its clean
    copy), and ``fps`` the setting with which it was sampled. The paths are None where nobody knows them.
    """

    rate: Fraction
    driving_video: Path | None = None
    start: Fraction = Fraction(0)
    sampled_video: Path | None = None
    fps: int = SOURCE_FPS

    def as_facts(self) -> dict[str, Any]:
        """As plain data for stage 1's record."""
        return {
            "rate": str(self.rate),
            "driving_video": None if self.driving_video is None else str(self.driving_video),
            "start": str(self.start),
            "sampled_video": None if self.sampled_video is None else str(self.sampled_video),
            "fps": self.fps,
        }


def timing_of(job: Job) -> Timing:
    """The timing of the job's frames: by its settings, or, for stage 2 alone, by stage 1's folder.

    Raises:
        preprocess.MediaError: the video that tells it cannot be read.
    """
    if job.engine in FROM_TEXT:
        return Timing(rate=Fraction(job.animatediff_fps))
    return _timing_of_job(job) if PREPROCESSING in job.stages else timing_of_folder(job.src_root_path)


def _timing_of_job(job: Job) -> Timing:
    import preprocess
    from engines import normalising

    info = preprocess.probe_video(job.video_path)
    if normalising.is_needed(job):
        rate, sampled = normalising.rate(job), normalising.copy_path(job)
    else:
        rate, sampled = info.rate, job.video_path
    return Timing(
        rate=rate if job.fps == SOURCE_FPS else Fraction(job.fps),
        driving_video=job.video_path,
        start=info.start,
        sampled_video=sampled,
        fps=job.fps,
    )


def timing_of_folder(folder: Path) -> Timing:
    """The timing in the folder's record; without one, the rate in the pose video's container.

    Raises:
        preprocess.MediaError: there is no record, and the pose video cannot be read.
    """
    from execution.record import HIDDEN_FOLDER, read_record

    record = read_record(folder / HIDDEN_FOLDER / "preprocess.json")
    known = _from_facts(record.get("facts", {}).get("timing", {}))
    if known is not None:
        return known
    import preprocess

    return Timing(rate=unrounded(preprocess.probe_video(folder / source_folder.POSE).rate))


def _from_facts(facts: Mapping[str, Any]) -> Timing | None:
    try:
        return Timing(
            rate=Fraction(facts["rate"]),
            driving_video=Path(facts["driving_video"]),
            start=Fraction(facts["start"]),
            sampled_video=Path(facts["sampled_video"]),
            fps=int(facts["fps"]),
        )
    except (KeyError, TypeError, ValueError, ZeroDivisionError):
        return None


def unrounded(rate: Fraction) -> Fraction:
    """The rate that upstream rounded: 23.98 is 24000/1001, and what is near a whole number is that number."""
    candidates = (Fraction(round(rate)), *_STANDARD_RATES)
    near = [candidate for candidate in candidates if candidate and abs(candidate - rate) < _ROUNDING]
    return min(near, key=lambda candidate: abs(candidate - rate)) if near else rate
