"""What is wrong with the driving video and the reference image, and what upstream would misread in them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from config import NO_PATH, PREPROCESSING, Job
from engines.findings import Finding, Kind, Level, kind

if TYPE_CHECKING:
    from media.errors import MediaError
    from media.probe import VideoInfo
    from media.traits import Trait

_NARROWEST: Final = 96
"""Pixels of width as shown; below it decord, upstream's reader, breaks at some (16, 48, 72)."""

_NO_VIDEO: Final = "There is no movement to follow: upstream ends with a decoder's message, or none at all."
_NO_PICTURE: Final = "There is no character: upstream ends with 'NoneType' object is not subscriptable."


def _kinds(area: str, why: str, summaries: dict[str, str]) -> dict[str, Kind]:
    return {
        f"{area}.{cause}": kind(f"{area}.{cause}", "error", summary, why)
        for cause, summary in summaries.items()
    }


_UNUSABLE: Final[dict[str, Kind]] = {
    **_kinds(
        "media",
        _NO_VIDEO,
        {
            "missing": "The driving video is not there",
            "empty": "The driving video is empty",
            "a-folder": "The driving video is a folder",
            "not-a-file": "The driving video is a pipe or a device",
            "not-readable": "The driving video may not be read",
            "not-a-video": "The driving video is no video",
            "a-picture": "The driving video is a picture",
            "no-video-stream": "The driving video has sound only",
            "no-frames": "The driving video has no frames",
            "cut-off": "The driving video is cut off",
            "damaged": "The driving video is damaged",
        },
    ),
    **_kinds(
        "reference",
        _NO_PICTURE,
        {
            "missing": "The reference image is not there",
            "empty": "The reference image is empty",
            "a-folder": "The reference image is a folder",
            "not-a-file": "The reference image is a pipe or a device",
            "not-readable": "The reference image may not be read",
            "unreadable": "The reference image is no picture that can be decoded",
            "heic": "The reference image is HEIC",
            "avif": "The reference image is AVIF",
            "gif": "The reference image is a GIF",
            "too-large": "The reference image is larger than OpenCV decodes",
        },
    ),
}

TOO_SHORT = kind(
    "media.too-short",
    "error",
    "No frame is left after sampling",
    "Upstream samples no frame at all and ends with an IndexError.",
)
TOO_SMALL = kind(
    "media.too-small",
    "error",
    "The driving video is very narrow",
    "decord, upstream's reader, breaks at some small widths: 'The size must exactly match'.",
)
CANVAS = kind(
    "media.canvas",
    "error",
    "The shape fits no canvas",
    "Upstream's canvas would have no width or no height, and OpenCV ends with an error.",
)

_REFERENCE: Final[dict[str, Kind]] = {
    entry.code: entry
    for entry in (
        kind(
            "reference.hidden-colours",
            "warning",
            "A transparent reference image",
            "Transparency is dropped: what lies hidden under it shows, often black or ragged colours.",
        ),
        kind(
            "reference.cmyk",
            "warning",
            "A reference image in print colours",
            "It is turned into RGB without its colour profile, so colours may be off.",
        ),
        kind(
            "reference.turned", "note", "A reference image turned by EXIF", "It is read upright everywhere."
        ),
        kind(
            "reference.turn-ignored",
            "warning",
            "A WebP reference turned by EXIF",
            "Upstream's OpenCV does not turn it: the character lies on its side.",
        ),
        kind("reference.turned-tiff", "error", "A TIFF reference turned by EXIF", _NO_PICTURE),
        kind("reference.animated", "note", "An animated reference image", "Its first picture is used."),
        kind(
            "reference.too-small",
            "warning",
            "A tiny reference image",
            "The character is enlarged to the canvas and has hardly any detail.",
        ),
    )
}
_REFERENCE_REMEDY: Final = {
    "reference.hidden-colours": "Put the character on a plain background and save it again.",
    "reference.cmyk": "Save it as RGB, if the colours matter.",
    "reference.too-small": "Give a larger picture.",
    "reference.turn-ignored": "Turn it in a picture editor and save it again.",
    "reference.turned-tiff": "Turn it in a picture editor and save it again, as PNG or JPEG.",
}

_BY_NUMBER: Final = (
    "Upstream picks frames by number: movement would be at a wrong pace, and sound out of step."
)
_CANNOT_OPEN: Final = "decord, upstream's reader, cannot open it, or finds no video in it."
_MISREAD: Final[dict[str, Kind]] = {
    code: kind(code, "note", summary, why)
    for code, summary, why in (
        ("media.variable-rate", "A variable frame rate", _BY_NUMBER),
        (
            "media.edit-list",
            "Frames hidden by an edit list",
            "Upstream counts frames that are never shown: the end is one frame repeated, or it stops.",
        ),
        ("media.no-times", "A video stream without times", _CANNOT_OPEN),
        (
            "media.avi-times",
            "An AVI without times",
            "decord finds no time of the last frame: upstream ends with 'Maximum allowed size exceeded'.",
        ),
        ("media.no-index", "A transport stream", "decord finds other frames than it is asked for."),
        ("media.av1", "AV1", _CANNOT_OPEN),
        ("media.gif", "An animated GIF", _CANNOT_OPEN),
        (
            "media.transparent",
            "A video with transparent parts",
            "decord drops the transparency: colours that nobody should see surround the person.",
        ),
        ("media.10-bit", "More than 8 bits a colour", "decord's colours are off by up to 56 levels of 255."),
        ("media.hdr", "HDR video", "decord shows HDR as if it were not: grey and pale people."),
        (
            "media.colour-rows",
            "Rows of colour that are filled in otherwise",
            "decord's older FFmpeg gives edges other colours than players and the mask step see.",
        ),
        ("media.interlaced", "Interlaced video", "Combed edges confuse pose, face and mask."),
        (
            "media.mirrored",
            "A mirrored video",
            "decord shows it turned instead of mirrored: left becomes right.",
        ),
        ("media.tilted", "A video tilted by an odd angle", "decord does not turn it at all."),
        (
            "media.non-square-pixels",
            "Pixels that are not square",
            "decord shows the stored pixels: people are stretched.",
        ),
    )
}


def media_findings(job: Job) -> Iterator[Finding]:
    """What makes the driving video or the reference image unusable on any engine, and what is odd in it."""
    from media.errors import MediaError
    from media.pictures import describe_picture
    from media.probe import probe_video

    shape: tuple[int, int] | None = None
    try:
        if job.video_path != NO_PATH:  # an engine that a sound drives needs none
            info = probe_video(job.video_path)
            yield from _video_findings(job, info)
            shape = _size(job, info)
    except MediaError as error:
        yield unusable("--video_path", error)
    try:
        picture = describe_picture(job.refer_path)
        yield from _reference_findings(job)
        if not job.replace:
            shape = picture.width, picture.height
    except MediaError as error:
        yield unusable("--refer_path", error)
        return
    if shape is not None:
        yield from _canvas(job, shape)


def upstream_media_findings(job: Job) -> Iterator[Finding]:
    """What upstream would misread in the driving video: a note that it is put right first, or, with
    ``--normalize never``, an error.
    """
    for trait in _traits(job):
        what = f"--video_path: {job.video_path} {trait.words}."
        if job.normalize == "never":
            remedy = "Export it as MP4 (H.264, 8 bits, constant rate), or leave out --normalize never."
            yield _MISREAD[trait.code].found(what, remedy, level="error")
        else:
            from media.normalise import normalised_rate
            from media.probe import probe_video

            rate = float(normalised_rate(probe_video(job.video_path), job.fps))
            yield _MISREAD[trait.code].found(f"{what} It is made a clean copy at {rate:.5g} fps first.", "")


def needs_normalising(job: Job) -> bool:
    """Whether a clean copy is put before upstream; False for a video that cannot be read at all."""
    return job.normalize == "auto" and PREPROCESSING in job.stages and bool(_traits(job))


def _traits(job: Job) -> tuple[Trait, ...]:
    from media.errors import MediaError
    from media.probe import probe_video
    from media.traits import misread

    try:
        return misread(probe_video(job.video_path))
    except MediaError:
        return ()


def unusable(flag: str, error: MediaError) -> Finding:
    """A driving video or picture that cannot be used, as a finding."""
    return _UNUSABLE[error.code].found(f"{flag}: {error.what}", error.remedy)


def _video_findings(job: Job, info: VideoInfo) -> Iterator[Finding]:
    if not _sampled_count(job, info):
        what = (
            f"--video_path: {job.video_path} has {info.frame_count} frame(s) at {float(info.rate):g} a "
            f"second; none is left at --fps {job.fps}."
        )
        yield TOO_SHORT.found(what, "Give a longer clip, or --fps source.")
    if info.width < _NARROWEST:
        level: Level = "error" if job.engine == "wan22" else "note"
        what = f"--video_path: {job.video_path} is only {info.width}x{info.height} pixels."
        remedy = f"Give a clip of at least {_NARROWEST} pixels in width."
        yield TOO_SMALL.found(what, remedy, level=level)


def _sampled_count(job: Job, info: VideoInfo) -> int:
    from preprocess import sample_indices

    count, rate = info.frame_count, info.rate
    if needs_normalising(job):
        from media.normalise import normalised_frame_count, normalised_rate

        rate = normalised_rate(info, job.fps)
        count = normalised_frame_count(job.video_path, rate, None)
    return len(sample_indices(count, float(rate), job.fps))


def _size(job: Job, info: VideoInfo) -> tuple[int, int]:
    if not needs_normalising(job):
        return info.width, info.height
    from media.normalise import normalised_size

    return normalised_size(info)


def _reference_findings(job: Job) -> Iterator[Finding]:
    from media.pictures import describe_picture, picture_traits

    for trait in picture_traits(describe_picture(job.refer_path)):
        what = f"--refer_path: {job.refer_path} {trait.words}."
        yield _REFERENCE[trait.code].found(what, _REFERENCE_REMEDY.get(trait.code, ""), level=trait.level)


def _canvas(job: Job, shape: tuple[int, int]) -> Iterator[Finding]:
    from media.errors import MediaError
    from preprocess import canvas_size

    try:
        canvas_size(*shape, job.resolution[0] * job.resolution[1])
    except MediaError as error:
        yield CANVAS.found(f"--resolution: {error.what}", error.remedy)
