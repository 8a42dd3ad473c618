"""Media: probe, sample, size, read and write video and pictures.

Nothing here knows jobs, engines or execution. Colour order is RGB everywhere, frames are ``uint8`` arrays of
shape ``(height, width, 3)``. Video is read and written as a stream: no function holds a whole clip.

The sampling and sizing rules are those that upstream's stage 1 really follows, float order included, so that
our numbers agree with its files (measured against the real functions; the tests hold the cases).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Literal, Self

import av
import cv2
import numpy as np
from numpy.typing import NDArray

from media.errors import MediaError as MediaError
from media.orientation import Orientation, orientation_of, turn_upright
from media.pictures import read_picture as read_picture
from media.pictures import write_picture as write_picture
from media.probe import Timeline, decode, open_video, timeline
from media.probe import VideoInfo as VideoInfo
from media.probe import probe_video as probe_video

if TYPE_CHECKING:
    from av.container import OutputContainer
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream

Image = NDArray[np.uint8]

SOURCE_FPS = -1
"""Value of ``fps`` that keeps the driving video's own rate (upstream's spelling)."""

_BACKWARD_BUFFER_BYTES = 64 * 2**20


def check_video(path: Path, frame_count: int | None = None, size: tuple[int, int] | None = None) -> VideoInfo:
    """Decode a video from end to end and hold it against what is expected.

    Args:
        frame_count: frames that must decode, if known.
        size: (width, height) in pixels, if known.

    Raises:
        MediaError: it does not decode, or differs from what is expected.
    """
    info = probe_video(path)
    decoded = 0
    with open_video(path) as (container, stream):
        stream.thread_type = "AUTO"
        for _ in decode(path, container, stream):
            decoded += 1
    if decoded != info.frame_count:
        raise MediaError(
            f"{path} is damaged: {decoded} of {info.frame_count} frames decode.",
            "Export or download it again.",
            code="media.damaged",
        )
    if frame_count is not None and decoded != frame_count:
        raise MediaError(f"{path} has {decoded} frames; {frame_count} were expected.")
    if size is not None and (info.width, info.height) != size:
        raise MediaError(f"{path} is {info.width}x{info.height}; {size[0]}x{size[1]} was expected.")
    return info


# ---------------------------------------------------------------------------------------------- reading


def read_frames(path: Path, indices: Sequence[int] | None = None) -> Iterator[Image]:
    """Decode a video forwards, one frame at a time, turned upright.

    Args:
        indices: frame numbers in non-decreasing order; a repeated number gives the same array again.
            None means every frame.

    Raises:
        MediaError: the file cannot be read, or ends before the last index.
    """
    wanted = iter(indices) if indices is not None else None
    next_index = next(wanted, None) if wanted is not None else 0
    with open_video(path) as (container, stream):
        stream.thread_type = "AUTO"
        orientation = None
        for position, frame in enumerate(decode(path, container, stream)):
            orientation = orientation or orientation_of(frame)
            if wanted is None:
                yield _upright(frame, orientation)
                continue
            if next_index is None:
                return
            if position < next_index:
                continue
            image = _upright(frame, orientation)
            while next_index == position:
                yield image
                next_index = next(wanted, None)
    if wanted is not None and next_index is not None:
        raise MediaError(
            f"{path} ends before frame {next_index}.", "Copy or export the clip again.", code="media.damaged"
        )


def read_frames_backwards(path: Path, indices: Sequence[int]) -> Iterator[Image]:
    """Decode a video backwards: ``indices`` in non-increasing order. Memory does not grow with the length.

    Each piece is decoded forwards from the key frame before it and handed out in reverse. Pieces are as long
    as a fixed buffer allows, so a file with few key frames is decoded several times over rather than held.

    Raises:
        MediaError: the file cannot be read, or an index lies past its end.
    """
    if not indices:
        return
    info, line = probe_video(path), timeline(path)
    piece = max(4, _BACKWARD_BUFFER_BYTES // max(1, info.width * info.height * 3 // 2))
    if indices[0] >= len(line.times):
        raise MediaError(f"{path} has {len(line.times)} frames; frame {indices[0]} was asked for.")
    position = 0
    while position < len(indices):
        last = indices[position]
        first = max(0, last - piece + 1)
        frames = _decode_range(path, line, first, last)
        while position < len(indices) and indices[position] >= first:
            current = indices[position]
            image = _upright(frames.pop(current), info.orientation)
            while position < len(indices) and indices[position] == current:
                yield image
                position += 1


def _decode_range(path: Path, line: Timeline, first: int, last: int) -> dict[int, VideoFrame]:
    """Frames ``first`` to ``last`` inclusive, by number, not converted to RGB (half the memory)."""
    frames: dict[int, VideoFrame] = {}
    numbers = {time: number for number, time in enumerate(line.times)}
    with open_video(path) as (container, stream):
        stream.thread_type = "AUTO"
        earlier = [time for time in line.keyframe_times if time <= line.times[first]]
        if earlier:
            container.seek(earlier[-1], stream=stream, backward=True)
        for count, frame in enumerate(decode(path, container, stream)):
            by_time = line.has_times and frame.pts is not None
            number = numbers.get(frame.pts, -1) if by_time and frame.pts is not None else count
            if first <= number <= last:
                frames[number] = frame
            if number >= last:
                break
    missing = [number for number in range(first, last + 1) if number not in frames]
    if missing:
        raise MediaError(
            f"{path}: frame {missing[0]} does not decode.", "Export the clip again.", code="media.damaged"
        )
    return frames


def _upright(frame: VideoFrame, orientation: Orientation) -> Image:
    return turn_upright(np.asarray(frame.to_ndarray(format="rgb24"), np.uint8), orientation)


# -------------------------------------------------------------------------------- upstream's arithmetic


def sample_indices(frame_count: int, rate: float, fps: int) -> list[int]:
    """Numbers of the driving frames that upstream's stage 1 takes, in order.

    ``int(n / v * f)`` frames in floats, truncated (float error loses a frame in ordinary cases), each
    ``round_half_even(i / f * v)`` clipped to the clip. ``fps`` is an integer rate or ``SOURCE_FPS``.
    """
    target_rate = rate if fps == SOURCE_FPS else fps
    target_count = int(frame_count / rate * target_rate)
    times = np.arange(0, target_count) / target_rate
    indices = np.clip(np.round(times * rate).astype(int), 0, frame_count - 1)
    return [int(index) for index in indices]


def canvas_size(width: int, height: int, area: int, divisor: int = 16) -> tuple[int, int]:
    """Canvas (W, H) that upstream chooses for a picture of ``width`` x ``height`` and a pixel budget.

    Its longer search always fails on an error of its own; this fallback is what runs, in this float order.

    Raises:
        MediaError: the shape is too extreme, or the area too small, for a canvas of at least one block.
    """
    ratio = width / height
    ideal_height = math.sqrt(area / ratio)
    ideal_width = area / ideal_height
    canvas = int(ideal_width // divisor * divisor), int(ideal_height // divisor * divisor)
    if min(canvas) < divisor:
        raise MediaError(
            f"A picture of {width}x{height} does not fit an area of {area} pixels: the canvas would be "
            f"{canvas[0]}x{canvas[1]}.",
            "Choose a larger --resolution or a less extreme shape.",
            code="media.canvas",
        )
    return canvas


def fit_to_canvas(image: Image, width: int, height: int, *, allow_area: bool = True) -> Image:
    """Scale a picture to fit ``width`` x ``height``, aspect kept, centred on black, as upstream does.

    ``allow_area`` uses area interpolation when the canvas has fewer pixels than the picture (stage 1);
    without it the scaling is always linear (pose drawings, and the reference in stage 2).
    """
    source_height, source_width = image.shape[:2]
    if source_height / source_width > height / width:
        new_height, new_width = height, int(height / source_height * source_width)
    else:
        new_width, new_height = width, int(width / source_width * source_height)
    shrinks = width * height < source_width * source_height
    interpolation = cv2.INTER_AREA if allow_area and shrinks else cv2.INTER_LINEAR
    if (new_width, new_height) == (source_width, source_height):
        scaled = image
    else:
        scaled = np.asarray(cv2.resize(image, (new_width, new_height), interpolation=interpolation), np.uint8)
    if (new_width, new_height) == (width, height):
        return scaled
    canvas = np.zeros((height, width, *image.shape[2:]), np.uint8)
    top, left = int((height - new_height) / 2), int((width - new_width) / 2)
    canvas[top : top + new_height, left : left + new_width] = scaled
    return canvas


# ---------------------------------------------------------------------------------------------- writing


class VideoWriter:
    """Write an H.264 MP4 frame by frame: as many frames out as in, at the exact rate.

    No colour tags are written, as upstream writes none: what is decoded without tags comes back unshifted.

    Args:
        rate: frames per second, exact.
        crf: x264 quality (lower is better); ignored when ``lossless``.
        lossless: x264 qp 0. Grey frames then come back bit for bit where they are 0 or 255 (masks).
        preset: x264 preset.
        pixel_format: "yuv444p" keeps each pixel's colours apart from its neighbours'. Without loss, black
            then stays black beside other colours. Not every player plays it; upstream's reader does.
        metadata: container tags, for instance ``{"comment": "..."}``.
    """

    def __init__(
        self,
        path: Path,
        width: int,
        height: int,
        rate: Fraction,
        *,
        crf: int = 18,
        lossless: bool = False,
        preset: str = "veryfast",
        pixel_format: Literal["yuv420p", "yuv444p"] = "yuv420p",
        metadata: Mapping[str, str] | None = None,
    ) -> None:
        self._container: OutputContainer = av.open(str(path.absolute()), "w", format="mp4")
        self._container.metadata.update(metadata or {})
        quality = {"qp": "0"} if lossless else {"crf": str(crf)}
        options = quality | {"preset": preset}
        self._stream: VideoStream = self._container.add_stream("libx264", rate=rate, options=options)
        self._stream.width, self._stream.height = width, height
        self._stream.pix_fmt = pixel_format
        # One thread: the bytes then do not depend on the machine's cores, and several writers side by side
        # keep all cores busy anyway, with less memory each.
        self._stream.codec_context.thread_count = 1
        self._size = (width, height)
        self.frame_count = 0

    def write(self, image: Image) -> None:
        """Append one frame: RGB ``(H, W, 3)`` or grey ``(H, W)``, uint8, of the writer's size."""
        if (image.shape[1], image.shape[0]) != self._size:
            raise ValueError(f"frame of {image.shape[1]}x{image.shape[0]} for a video of {self._size}")
        layout: Literal["gray", "rgb24"] = "gray" if image.ndim == 2 else "rgb24"
        frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format=layout)
        frame.pts = self.frame_count
        frame.time_base = 1 / Fraction(self._stream.average_rate or 1)
        self.frame_count += 1
        self._container.mux(self._stream.encode(frame))

    def close(self) -> None:
        """Flush the encoder and finish the file."""
        self._container.mux(self._stream.encode(None))
        self._container.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.close()
        else:
            self._container.close()
