"""What stage 1 will read of a job's media: the driving video itself or its clean copy, and the reference."""

from __future__ import annotations

from fractions import Fraction

from config import SOURCE_FPS, Job
from engines import normalising


def canvas_shape(job: Job) -> tuple[int, int]:
    """Width and height of what the canvas follows: the driving video, or in animate mode the reference image.

    Raises:
        media.errors.MediaError: it cannot be read.
    """
    if not job.replace:
        from media.pictures import describe_picture

        picture = describe_picture(job.refer_path)
        return picture.width, picture.height
    from media.normalise import normalised_size
    from media.probe import probe_video

    video = probe_video(job.video_path)
    return normalised_size(video) if normalising.is_needed(job) else (video.width, video.height)


def sampled_frames(job: Job) -> tuple[int, Fraction]:
    """How many frames stage 1 takes of the driving video, and how many of them make a second.

    Raises:
        media.errors.MediaError: the video cannot be read.
    """
    from media.normalise import normalised_frame_count
    from media.probe import probe_video
    from preprocess import sample_indices

    video = probe_video(job.video_path)
    count, rate = video.frame_count, video.rate
    if normalising.is_needed(job):
        rate = normalising.rate(job)
        count = normalised_frame_count(job.video_path, rate, job.frame_limit)
    taken = len(sample_indices(count, float(rate), job.fps))
    return taken, rate if job.fps == SOURCE_FPS else Fraction(job.fps)
