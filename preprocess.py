"""Media: probe, sample, size, read and write video and pictures.

Nothing here knows jobs, engines or execution. Colour order is RGB everywhere, frames are ``uint8`` arrays of
shape ``(height, width, 3)``. Video is read and written as a stream: no function holds a whole clip.

The sampling and sizing rules are those that upstream's stage 1 really follows, float order included, so that
our numbers agree with its files (measured against the real functions; the tests hold the cases).
"""

from __future__ import annotations

import math
import stat
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Literal, Self

import av
import cv2
import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from av.container import InputContainer, OutputContainer
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream

Image = NDArray[np.uint8]

SOURCE_FPS = -1
"""Value of ``fps`` that keeps the driving video's own rate (upstream's spelling)."""

_BACKWARD_BUFFER_BYTES = 64 * 2**20


class MediaError(Exception):
    """A video or picture that cannot be used. The message names the file, the cause and the remedy."""


@dataclass(frozen=True)
class VideoInfo:
    """What a video file holds: size as shown (after rotation), frames that decode, average rate."""

    path: Path
    width: int
    height: int
    frame_count: int
    rate: Fraction
    duration: float
    rotation: int
    has_audio: bool
    codec: str
    start: Fraction
    """Second on the file's timeline at which the first frame lies."""


@dataclass(frozen=True)
class _PacketIndex:
    """Time stamps of all frames in order of display, and those of the key frames."""

    frame_times: tuple[int, ...]
    keyframe_times: tuple[int, ...]
    has_times: bool


# ---------------------------------------------------------------------------------------------- probing


def probe_video(path: Path) -> VideoInfo:
    """Read what a video holds. Every packet is visited (not decoded), so a cut-off file is noticed.

    Raises:
        MediaError: the file is missing, empty, unreadable, cut off, or has no picture.
    """
    with _open_video(path) as (container, stream):
        declared = stream.frames
        index = _index_packets(path, container, stream)
        frame_count = len(index.frame_times)
        if frame_count == 0:
            raise MediaError(f"{path} has a video track without a single frame. Export the clip again.")
        if frame_count < declared:
            raise MediaError(
                f"{path} is cut off: {frame_count} of {declared} frames are there. "
                "Copy or download the file again."
            )
        rate = stream.average_rate or stream.guessed_rate
        if not rate:
            raise MediaError(f"{path} states no frame rate. Export the clip again at a constant rate.")
        codec, has_audio = stream.codec_context.name, bool(container.streams.audio)
    with _open_video(path) as (container, stream):  # opened again: not every kind of file can be rewound
        first = _first_frame(path, container, stream)
        turned = first.rotation % 180 == 90
        width, height = (first.height, first.width) if turned else (first.width, first.height)
        return VideoInfo(
            path=path,
            width=width,
            height=height,
            frame_count=frame_count,
            rate=Fraction(rate),
            duration=float(frame_count / rate),
            rotation=first.rotation,
            has_audio=has_audio,
            codec=codec,
            start=Fraction(0) if first.pts is None else first.pts * Fraction(first.time_base or 0),
        )


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
    with _open_video(path) as (container, stream):
        stream.thread_type = "AUTO"
        for _ in _decode(path, container, stream):
            decoded += 1
    if decoded != info.frame_count:
        raise MediaError(f"{path} is damaged: {decoded} of {info.frame_count} frames decode.")
    if frame_count is not None and decoded != frame_count:
        raise MediaError(f"{path} has {decoded} frames; {frame_count} were expected.")
    if size is not None and (info.width, info.height) != size:
        raise MediaError(f"{path} is {info.width}x{info.height}; {size[0]}x{size[1]} was expected.")
    return info


@contextmanager
def _open_video(path: Path) -> Iterator[tuple[InputContainer, VideoStream]]:
    _require_file(path, "video")
    try:
        container = av.open(str(path.absolute()))
    except (av.FFmpegError, ValueError) as error:
        raise MediaError(
            f"{path} is not a video that can be read ({_reason(error)}). "
            "It may be cut off or of another kind: play it once, or export it again as MP4 (H.264)."
        ) from error
    with container:
        if container.format.name == "image2" or container.format.name.endswith("_pipe"):
            raise MediaError(f"{path} is a picture, not a video. Give a video file.")
        if not container.streams.video:
            raise MediaError(f"{path} has no picture, only sound or data. Give the video file itself.")
        yield container, container.streams.video[0]


def _index_packets(path: Path, container: InputContainer, stream: VideoStream) -> _PacketIndex:
    times: list[int] = []
    keyframes: list[int] = []
    has_times = True
    try:
        for packet in container.demux(stream):
            if packet.size == 0 or packet.is_discard:
                continue
            if packet.is_corrupt:
                raise MediaError(
                    f"{path} is cut off or damaged after {len(times)} frames. Copy or download it again."
                )
            if packet.pts is None:
                has_times = False
            times.append(len(times) if packet.pts is None else packet.pts)
            if packet.is_keyframe:
                keyframes.append(times[-1])
    except av.FFmpegError as error:
        raise MediaError(f"{path} cannot be read to its end ({_reason(error)}). Copy it again.") from error
    return _PacketIndex(tuple(sorted(times)), tuple(sorted(keyframes)), has_times)


def _first_frame(path: Path, container: InputContainer, stream: VideoStream) -> VideoFrame:
    for frame in _decode(path, container, stream):
        return frame
    raise MediaError(f"{path}: no frame of the video decodes. Export the clip again as MP4 (H.264).")


def _decode(path: Path, container: InputContainer, stream: VideoStream) -> Iterator[VideoFrame]:
    try:
        yield from container.decode(stream)
    except av.FFmpegError as error:
        raise MediaError(f"{path} is damaged ({_reason(error)}). Export or download it again.") from error


def _require_file(path: Path, kind: str) -> None:
    try:
        mode = path.stat().st_mode
        if stat.S_ISDIR(mode):
            raise MediaError(f"{path} is a folder, not a {kind}. Give the path of the file in it.")
        if not stat.S_ISREG(mode):
            raise MediaError(f"{path} is a pipe or a device. Save the {kind} as a file: it is read twice.")
        with path.open("rb") as file:
            empty = not file.read(1)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise MediaError(f"{path} does not exist. Give the path of the {kind}.") from error
    except OSError as error:
        reason = f"{path} cannot be read ({error.strerror})."
        raise MediaError(f"{reason} Check its name and its permissions.") from error
    if empty:
        raise MediaError(f"{path} is empty (0 bytes). Copy or download the {kind} again.")


def _reason(error: Exception) -> str:
    text = getattr(error, "strerror", None) or str(error)
    return str(text).strip().rstrip(".") or type(error).__name__


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
    with _open_video(path) as (container, stream):
        stream.thread_type = "AUTO"
        for position, frame in enumerate(_decode(path, container, stream)):
            if wanted is None:
                yield _upright(frame)
                continue
            if next_index is None:
                return
            if position < next_index:
                continue
            image = _upright(frame)
            while next_index == position:
                yield image
                next_index = next(wanted, None)
    if wanted is not None and next_index is not None:
        raise MediaError(f"{path} ends before frame {next_index}. Copy or export the clip again.")


def read_frames_backwards(path: Path, indices: Sequence[int]) -> Iterator[Image]:
    """Decode a video backwards: ``indices`` in non-increasing order. Memory does not grow with the length.

    Each piece is decoded forwards from the key frame before it and handed out in reverse. Pieces are as long
    as a fixed buffer allows, so a file with few key frames is decoded several times over rather than held.

    Raises:
        MediaError: the file cannot be read, or an index lies past its end.
    """
    if not indices:
        return
    with _open_video(path) as (container, stream):
        index = _index_packets(path, container, stream)
        frame_bytes = max(1, stream.codec_context.width * stream.codec_context.height * 3 // 2)
    piece = max(4, _BACKWARD_BUFFER_BYTES // frame_bytes)
    if indices[0] >= len(index.frame_times):
        raise MediaError(f"{path} has {len(index.frame_times)} frames; frame {indices[0]} was asked for.")
    position = 0
    while position < len(indices):
        last = indices[position]
        first = max(0, last - piece + 1)
        frames = _decode_range(path, index, first, last)
        while position < len(indices) and indices[position] >= first:
            current = indices[position]
            image = _upright(frames.pop(current))
            while position < len(indices) and indices[position] == current:
                yield image
                position += 1


def _decode_range(path: Path, index: _PacketIndex, first: int, last: int) -> dict[int, VideoFrame]:
    """Frames ``first`` to ``last`` inclusive, by number, not converted to RGB (half the memory)."""
    frames: dict[int, VideoFrame] = {}
    numbers = {time: number for number, time in enumerate(index.frame_times)}
    with _open_video(path) as (container, stream):
        stream.thread_type = "AUTO"
        if index.has_times and index.keyframe_times:
            target = index.frame_times[first]
            earlier = [time for time in index.keyframe_times if time <= target]
            if earlier:
                container.seek(earlier[-1], stream=stream, backward=True)
        for count, frame in enumerate(_decode(path, container, stream)):
            by_time = index.has_times and frame.pts is not None
            number = numbers.get(frame.pts, -1) if by_time and frame.pts is not None else count
            if first <= number <= last:
                frames[number] = frame
            if number >= last:
                break
    missing = [number for number in range(first, last + 1) if number not in frames]
    if missing:
        raise MediaError(f"{path}: frame {missing[0]} does not decode. Export the clip again.")
    return frames


def _upright(frame: VideoFrame) -> Image:
    image = np.asarray(frame.to_ndarray(format="rgb24"), np.uint8)
    turns = frame.rotation // 90
    return np.ascontiguousarray(np.rot90(image, turns)) if turns % 4 else image


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
            f"{canvas[0]}x{canvas[1]}. Choose a larger --resolution or a less extreme shape."
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
        metadata: Mapping[str, str] | None = None,
    ) -> None:
        self._container: OutputContainer = av.open(str(path.absolute()), "w", format="mp4")
        self._container.metadata.update(metadata or {})
        quality = {"qp": "0"} if lossless else {"crf": str(crf)}
        options = quality | {"preset": preset}
        self._stream: VideoStream = self._container.add_stream("libx264", rate=rate, options=options)
        self._stream.width, self._stream.height = width, height
        self._stream.pix_fmt = "yuv420p"
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


# --------------------------------------------------------------------------------------------- pictures


def read_picture(path: Path) -> Image:
    """Decode a picture as RGB uint8, upright by its EXIF orientation, alpha dropped (as upstream reads it).

    Raises:
        MediaError: missing, empty, or of a kind that OpenCV does not decode (HEIC, AVIF, text ...).
    """
    _require_file(path, "picture")
    data = np.frombuffer(path.read_bytes(), np.uint8)
    try:
        image = cv2.imdecode(data, cv2.IMREAD_COLOR)
    except cv2.error:
        image = None
    if image is None:
        raise MediaError(
            f"{path} is not a picture that can be decoded (HEIC and AVIF cannot). Save it as PNG or JPEG."
        )
    return np.ascontiguousarray(image[:, :, ::-1], dtype=np.uint8)


def write_picture(path: Path, image: Image) -> None:
    """Encode an RGB or grey uint8 picture by the suffix of ``path`` (.png, .jpg, ...)."""
    bgr = image if image.ndim == 2 else np.ascontiguousarray(image[:, :, ::-1])
    done, data = cv2.imencode(path.suffix, bgr)
    if not done:
        raise MediaError(f"{path}: the picture could not be encoded as {path.suffix}.")
    path.write_bytes(data.tobytes())
