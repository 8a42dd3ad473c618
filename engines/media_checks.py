"""Media checks: thin form."""

from __future__ import annotations

from collections.abc import Iterator

from config import Job
from engines.findings import Finding, kind

VIDEO = kind("media.unreadable", "error", "x", "x")
SHORT = kind("media.too-short", "error", "x", "x")
CODEC = kind("media.codec", "error", "x", "x")
REFERENCE = kind("reference.unreadable", "error", "x", "x")
CANVAS = kind("media.canvas", "error", "x", "x")


def media_findings(job: Job) -> Iterator[Finding]:
    """Thin."""
    import preprocess

    shape = None
    try:
        info = preprocess.probe_video(job.video_path)
        if not preprocess.sample_indices(info.frame_count, float(info.rate), job.fps):
            yield SHORT.found(
                f"--video_path: {job.video_path} has {info.frame_count} frame(s) at {float(info.rate):g} a "
                f"second; none is left at --fps {job.fps}.",
                "Give a longer clip, or --fps source.",
            )
        shape = (info.width, info.height)
    except preprocess.MediaError as error:
        yield VIDEO.found(f"--video_path: {error}", "")
    try:
        picture = preprocess.read_picture(job.refer_path)
        if not job.replace:
            shape = (picture.shape[1], picture.shape[0])
    except preprocess.MediaError as error:
        yield REFERENCE.found(f"--refer_path: {error}", "")
        return
    if shape:
        width, height = job.resolution
        try:
            preprocess.canvas_size(*shape, width * height)
        except preprocess.MediaError as error:
            yield CANVAS.found(f"--resolution: {error}", "")


def upstream_media_findings(job: Job) -> Iterator[Finding]:
    """Thin."""
    return iter(())


def needs_normalising(job: Job) -> bool:
    """Thin."""
    return False
