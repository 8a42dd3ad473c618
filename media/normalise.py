"""A clean copy of a driving video that upstream would misread: constant rate, upright, square pixels, 8 bits.

Frame k of the copy is what a player shows k / rate seconds after the first frame. Frames are decoded, turned
and written one by one, so memory does not grow with the clip.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Final, cast

import av
import av.filter
import cv2
import numpy as np

import preprocess
from media.dynamic_range import write_cube
from media.errors import MediaError
from media.orientation import turn_upright
from media.probe import PQ, Timeline, VideoInfo, decode, open_video, probe_video, timeline
from media.traits import SQUARE, is_uneven

if TYPE_CHECKING:
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream

STANDARD_RATES: Final = (
    *map(Fraction, (10, 12, 15, 16, 20)),
    Fraction(24000, 1001),
    *map(Fraction, (24, 25)),
    Fraction(30000, 1001),
    *map(Fraction, (30, 48, 50)),
    Fraction(60000, 1001),
    Fraction(60),
)
"""What a variable rate is made: the nearest of these."""

_QUALITY: Final = 10
_EARLY: Final = Fraction(1, 3)
"""Frames of the copy by which one of the clip may be shown early: many files round their times. (At a third
there are no ties between the usual rates, as there would be at a half or a quarter.)"""

Report = Callable[[str, int, int], None]


def normalised_rate(info: VideoInfo, fps: int) -> Fraction:
    """Frames a second of the copy: ``fps``, or with ``SOURCE_FPS`` the clip's own rate.

    A variable rate becomes the standard rate nearest to the usual distance of its frames, at most 60.
    """
    if fps != preprocess.SOURCE_FPS:
        return Fraction(fps)
    if not is_uneven(info):
        return info.rate
    return min(STANDARD_RATES, key=lambda rate: abs(rate - info.usual_rate))


def normalised_size(info: VideoInfo) -> tuple[int, int]:
    """Width and height of the copy: upright, in square pixels, even as H.264 needs them."""
    width, height = Fraction(info.width), Fraction(info.height)
    aspect = info.sample_aspect
    if abs(aspect - 1) > SQUARE:
        if info.orientation.transposed:
            aspect = 1 / aspect
        width, height = (width * aspect, height) if aspect > 1 else (width, height / aspect)
    return max(2, int(width) // 2 * 2), max(2, int(height) // 2 * 2)


def normalised_frame_count(path: Path, rate: Fraction, frame_limit: int | None) -> int:
    """Frames that ``write_normalised`` writes, without decoding the clip.

    A limit counts the frames that upstream takes when it samples the copy again: its float arithmetic loses
    one at some lengths, so the copy is then one longer.

    Raises:
        MediaError: the clip cannot be read.
    """
    line = timeline(path)
    seconds = (line.end - line.times[0]) * line.tick
    count = max(1, math.ceil(seconds * rate - _EARLY))
    if frame_limit is None or count < frame_limit:
        return count
    needed = frame_limit
    while len(preprocess.sample_indices(needed, float(rate), preprocess.SOURCE_FPS)) < frame_limit:
        needed += 1
    return needed


def write_normalised(
    source: Path, target: Path, *, rate: Fraction, frame_limit: int | None, report: Report
) -> None:
    """Write the clean copy as H.264 MP4.

    Args:
        rate: frames a second of the copy, exact.
        frame_limit: frames that are wanted from its beginning; None is all.
        report: called with the phase, frames done, frames in all.

    Raises:
        MediaError: the clip cannot be read, or a frame of it is damaged.
    """
    info, line = probe_video(source), timeline(source)
    count = normalised_frame_count(source, rate, frame_limit)
    size = normalised_size(info)
    last: VideoFrame | None = None
    with preprocess.VideoWriter(target, *size, rate, crf=_QUALITY) as writer:
        for done, frame in enumerate(_shown(source, info, line, rate, count), 1):
            if frame is not last:
                last, image = frame, _clean(frame, info, size)
            writer.write(image)
            report("frames", done, count)


def _shown(source: Path, info: VideoInfo, line: Timeline, rate: Fraction, count: int) -> Iterator[VideoFrame]:
    """The frame that is shown at k / rate, for each k below ``count``."""
    number, current = 0, None
    with open_video(source) as (container, stream):
        stream.thread_type = "AUTO"
        with _prepared(decode(source, container, stream), stream, info) as frames:
            for position, frame in enumerate(frames):
                first = _first_number(frame, position, line, rate)
                while current is not None and number < min(first, count):
                    yield current
                    number += 1
                if number == count:
                    return
                current = frame
    if current is None:
        raise MediaError(
            f"{source}: no frame of the video decodes.",
            "Export it again as MP4 (H.264).",
            code="media.damaged",
        )
    for _ in range(number, count):
        yield current


def _first_number(frame: VideoFrame, position: int, line: Timeline, rate: Fraction) -> int:
    """Number of the first frame of the copy that shows this one."""
    if not line.has_times or frame.pts is None or frame.time_base is None:
        seconds = position * line.tick
    else:
        seconds = frame.pts * frame.time_base - line.times[0] * line.tick
    return math.ceil(seconds * rate - _EARLY)


@contextmanager
def _prepared(
    frames: Iterator[VideoFrame], stream: VideoStream, info: VideoInfo
) -> Iterator[Iterator[VideoFrame]]:
    """As many frames: fields made whole (bwdif), HDR made ordinary RGB (a table for lut3d)."""
    filters: list[tuple[str, dict[str, str]]] = []
    with TemporaryDirectory() as folder:
        if info.interlaced:
            filters.append(("bwdif", {"mode": "send_frame", "deint": "interlaced"}))
        if info.is_hdr:
            cube = Path(folder) / "standard.cube"
            write_cube(cube, "pq" if info.transfer == PQ else "hlg")
            filters.append(("scale", {"in_color_matrix": "bt2020"}))
            filters.append(("format", {"pix_fmts": "gbrp12le"}))
            filters.append(("lut3d", {"file": str(cube)}))
            filters.append(("format", {"pix_fmts": "rgb24"}))
        yield _filtered(frames, stream, filters) if filters else frames


def _filtered(
    frames: Iterator[VideoFrame], stream: VideoStream, filters: list[tuple[str, dict[str, str]]]
) -> Iterator[VideoFrame]:
    graph = av.filter.Graph()
    chain = [
        graph.add_buffer(template=stream),
        *(graph.add(name, **options) for name, options in filters),
        graph.add("buffersink"),
    ]
    for before, after in pairwise(chain):
        before.link_to(after)
    graph.configure()
    for frame in _with_end(frames):
        graph.push(frame)
        while True:
            try:
                made = graph.pull()
            except (av.BlockingIOError, av.EOFError):
                break
            yield cast("VideoFrame", made)


def _with_end(frames: Iterator[VideoFrame]) -> Iterator[VideoFrame | None]:
    yield from frames
    yield None


def _clean(frame: VideoFrame, info: VideoInfo, size: tuple[int, int]) -> preprocess.Image:
    """A frame as RGB uint8, upright, of the copy's size."""
    image = _flat(frame) if info.has_alpha else np.asarray(frame.to_ndarray(format="rgb24"), np.uint8)
    image = turn_upright(image, info.orientation)
    height, width = image.shape[:2]
    if 0 <= width - size[0] <= 1 and 0 <= height - size[1] <= 1:
        return image[: size[1], : size[0]]  # an odd row or column goes
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_CUBIC), np.uint8)


def _flat(frame: VideoFrame) -> preprocess.Image:
    """A picture with transparent parts, on black."""
    image = frame.to_ndarray(format="rgba")
    return np.asarray(cv2.multiply(image[:, :, :3], cv2.merge([image[:, :, 3]] * 3), scale=1 / 255), np.uint8)
