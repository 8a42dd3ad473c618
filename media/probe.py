"""What a video file holds: one pass over its packets, without decoding, and one look at its first frame."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from statistics import median_low
from typing import TYPE_CHECKING, Final

import av

from media.errors import MediaError, reason, require_file
from media.orientation import Orientation, orientation_of
from media.remembered import Remembered

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream

PQ: Final = 16
HLG: Final = 18
"""The transfer characteristics of HDR video, as H.273 numbers them."""

_PROGRESSIVE: Final = (0, 1)
"""Field orders that say "not known" and "no fields" (FFmpeg's numbers)."""
_RATE_OF_ONE_FRAME: Final = Fraction(25)
"""A single picture in a file that states no rate: any will do."""
_COPY_AGAIN: Final = "Copy or download the file again."


@dataclass(frozen=True)
class VideoInfo:
    """What a video file holds: size as shown (after rotation), frames that are shown, average rate."""

    path: Path
    width: int
    height: int
    frame_count: int
    rate: Fraction
    """Frames a second, as the container states its average."""
    duration: float
    rotation: int
    has_audio: bool
    codec: str
    start: Fraction
    """Second on the file's timeline at which the first frame lies."""
    container: str
    """FFmpeg's name of the container's format."""
    pixel_format: str
    bit_depth: int
    """Bits of the deepest channel."""
    has_alpha: bool
    sample_aspect: Fraction
    """Width of a pixel whose height is 1, as stored (before rotation); 1 when the file does not say."""
    transfer: int
    """Transfer characteristic by its number in H.273; 2 when the file does not say."""
    interlaced: bool
    orientation: Orientation
    hidden_count: int
    """Packets of pictures that are never shown: cut away by an edit list, or before the first key frame."""
    has_times: bool
    """Whether the frames bear time stamps."""
    unevenness: float
    """The furthest that a frame's time lies from its number divided by ``rate``, in frames."""
    usual_rate: Fraction
    """Frames a second by the median distance of two frames."""

    @property
    def is_hdr(self) -> bool:
        """Whether the brightness is coded for HDR (PQ or HLG)."""
        return self.transfer in (PQ, HLG)


@dataclass(frozen=True)
class Timeline:
    """When the frames of a video are shown, in ticks of ``tick`` seconds, in order of display."""

    times: tuple[int, ...]
    end: int
    """When the last frame ends."""
    tick: Fraction
    keyframe_times: tuple[int, ...]
    has_times: bool


@dataclass
class _Packets:
    """What one pass over the packets finds, in order of decoding."""

    times: list[int]
    keyframe_times: list[int]
    durations: dict[int, int]
    hidden_count: int = 0
    has_times: bool = True


def probe_video(path: Path) -> VideoInfo:
    """Read what a video holds. Every packet is visited (not decoded), so a cut-off file is noticed.

    Raises:
        MediaError: the file is missing, empty, unreadable, cut off, or has no picture.
    """
    return _probe(path)[0]


def timeline(path: Path) -> Timeline:
    """When the frames of a video are shown.

    Raises:
        MediaError: as ``probe_video``.
    """
    return _probe(path)[1]


# --------------------------------------------------------------------------------------- opening, decoding


@contextmanager
def open_video(path: Path) -> Iterator[tuple[InputContainer, VideoStream]]:
    """Open a video and the stream that decoders choose in it (not a cover picture).

    Raises:
        MediaError: it is no video, or has no picture.
    """
    require_file(path, "video", "media")
    try:
        container = av.open(str(path.absolute()))
    except (av.FFmpegError, ValueError) as error:
        raise MediaError(
            f"{path} is not a video that can be read ({reason(error)}).",
            "It may be cut off or of another kind: play it once, or export it again as MP4 (H.264).",
            code="media.not-a-video",
        ) from error
    with container:
        if container.format.name == "image2" or container.format.name.endswith("_pipe"):
            raise MediaError(
                f"{path} is a picture, not a video.", "Give a video file.", code="media.a-picture"
            )
        streams = [stream for stream in container.streams.video if not _is_cover(stream)]
        if not streams:
            raise MediaError(
                f"{path} has no picture, only sound or data.",
                "Give the video file itself.",
                code="media.no-video-stream",
            )
        best = container.streams.best("video")
        yield container, next((stream for stream in streams if stream == best), streams[0])


def _is_cover(stream: VideoStream) -> bool:
    return bool(stream.disposition & stream.disposition.attached_pic)


def decode(path: Path, container: InputContainer, stream: VideoStream) -> Iterator[VideoFrame]:
    """The frames of a stream, in order of display.

    Raises:
        MediaError: one of them is damaged.
    """
    try:
        yield from container.decode(stream)
    except av.FFmpegError as error:
        what = f"{path} is damaged ({reason(error)})."
        raise MediaError(what, "Export or download it again.", code="media.damaged") from error


# ---------------------------------------------------------------------------------------------- probing


def _probe(path: Path) -> tuple[VideoInfo, Timeline]:
    require_file(path, "video", "media")
    return _PROBED.about(path)


def _look(path: Path) -> tuple[VideoInfo, Timeline]:
    with open_video(path) as (container, stream):
        declared = _declared_count(container, stream)
        packets = _visit_packets(path, container, stream)
    there = len(packets.times) + packets.hidden_count
    if not packets.times:
        what = f"{path} has a video track without a single frame."
        raise MediaError(what, "Export the clip again.", code="media.no-frames")
    if there < declared:
        what = f"{path} is cut off: {there} of {declared} frames are there."
        raise MediaError(what, _COPY_AGAIN, code="media.cut-off")
    with open_video(path) as (container, stream):  # opened again: not every kind of file can be rewound
        first = _first_frame(path, container, stream)
        line = _timeline(packets, first, Fraction(stream.time_base or 1), _stated_rate(packets, stream))
        return _describe(path, container, stream, packets, first, line), line


def _describe(
    path: Path,
    container: InputContainer,
    stream: VideoStream,
    packets: _Packets,
    first: VideoFrame,
    line: Timeline,
) -> VideoInfo:
    rate = _stated_rate(packets, stream) or _median_rate(line) or _RATE_OF_ONE_FRAME
    orientation = orientation_of(first)
    shape = (first.width, first.height)
    width, height = reversed(shape) if orientation.transposed else shape
    components = first.format.components
    return VideoInfo(
        path=path,
        width=width,
        height=height,
        frame_count=len(line.times),
        rate=rate,
        duration=float(len(line.times) / rate),
        rotation=first.rotation,
        has_audio=bool(container.streams.audio),
        codec=stream.codec.canonical_name,
        start=Fraction(0) if first.pts is None else first.pts * Fraction(first.time_base or 0),
        container=container.format.name,
        pixel_format=first.format.name,
        bit_depth=max((component.bits for component in components), default=8),
        has_alpha=any(component.is_alpha for component in components),
        sample_aspect=Fraction(stream.sample_aspect_ratio or 1),
        transfer=int(first.color_trc),
        interlaced=first.interlaced_frame or int(stream.codec_context.field_order) not in _PROGRESSIVE,
        orientation=orientation,
        hidden_count=packets.hidden_count + len(packets.times) - len(line.times),
        has_times=line.has_times,
        unevenness=_unevenness(line, rate),
        usual_rate=_median_rate(line) or rate,
    )


def _stated_rate(packets: _Packets, stream: VideoStream) -> Fraction | None:
    """The average rate; a stream without time stamps has the right one inside its pictures only."""
    rates = (stream.average_rate, stream.guessed_rate)
    return next(filter(None, rates if packets.has_times else reversed(rates)), None)


_PROBED: Final = Remembered(_look)


def _declared_count(container: InputContainer, stream: VideoStream) -> int:
    """Packets that the file claims to hold; 0 when it does not say.

    An MP4's own count includes what its edit list hides, and the reader leaves most of that out of its index.
    """
    in_index = len(stream.index_entries) if "mp4" in container.format.name else 0
    return in_index or stream.frames


def _visit_packets(path: Path, container: InputContainer, stream: VideoStream) -> _Packets:
    found = _Packets([], [], {})
    try:
        for packet in container.demux(stream):
            if packet.size == 0:
                continue
            if packet.is_corrupt:
                what = f"{path} is cut off or damaged after {len(found.times)} frames."
                raise MediaError(what, _COPY_AGAIN, code="media.cut-off")
            if packet.is_discard:
                found.hidden_count += 1
                continue
            if packet.pts is None:
                found.has_times = False
            time = len(found.times) if packet.pts is None else packet.pts
            found.times.append(time)
            found.durations[time] = packet.duration or 0
            if packet.is_keyframe:
                found.keyframe_times.append(time)
    except av.FFmpegError as error:
        what = f"{path} cannot be read to its end ({reason(error)})."
        raise MediaError(what, _COPY_AGAIN, code="media.cut-off") from error
    return found


def _first_frame(path: Path, container: InputContainer, stream: VideoStream) -> VideoFrame:
    for frame in decode(path, container, stream):
        return frame
    what = f"{path}: no frame of the video decodes."
    raise MediaError(what, "Export the clip again as MP4 (H.264).", code="media.damaged")


def _timeline(packets: _Packets, first: VideoFrame, tick: Fraction, rate: Fraction | None) -> Timeline:
    """The times of the frames that decode: those before the first one that does lack their key frame."""
    if not packets.has_times or first.pts is None:
        count = len(packets.times)
        return Timeline(tuple(range(count)), count, 1 / (rate or _RATE_OF_ONE_FRAME), (), has_times=False)
    times = tuple(sorted(time for time in packets.times if time >= first.pts)) or (first.pts,)
    last = packets.durations.get(times[-1], 0)
    if last <= 0:
        last = times[-1] - times[-2] if len(times) > 1 else round(1 / (rate or _RATE_OF_ONE_FRAME) / tick)
    return Timeline(times, times[-1] + max(1, last), tick, tuple(sorted(packets.keyframe_times)), True)


def _median_rate(line: Timeline) -> Fraction | None:
    distances = [after - before for before, after in pairwise(line.times) if after > before]
    return 1 / (median_low(distances) * line.tick) if distances else None


def _unevenness(line: Timeline, rate: Fraction) -> float:
    frames_per_tick, origin = float(line.tick * rate), line.times[0]
    return max(abs((time - origin) * frames_per_tick - number) for number, time in enumerate(line.times))
