"""Small videos and pictures for the tests, written with PyAV alone: our own writer is not its own judge."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Sequence
from fractions import Fraction
from itertools import accumulate
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]

_FORMATS = {
    ".gif": "gif",
    ".mkv": "matroska",
    ".webm": "webm",
    ".mov": "mov",
    ".avi": "avi",
    ".ts": "mpegts",
    ".h264": "h264",
}
_FAST: dict[str, dict[str, str]] = {
    "libx264": {"preset": "ultrafast"},
    "libx265": {"preset": "ultrafast", "x265-params": "log-level=none"},
    "libsvtav1": {"preset": "13"},
    "libvpx-vp9": {"deadline": "realtime", "cpu-used": "8"},
}
HDR = {"pq": 16, "hlg": 18}
"""Numbers of the transfer characteristics (H.273)."""


def numbered_frame(number: int, width: int, height: int) -> Image:
    """A picture that tells which frame it is (its grey) and which way is up (top left is red)."""
    frame = np.full((height, width, 3), 20 + number * 5 % 180, np.uint8)
    frame[: height // 4, : width // 4] = (250, 30, 30)
    return frame


def write_clip(
    path: Path,
    *,
    frame_count: int = 12,
    rate: Fraction | int = 30,
    size: tuple[int, int] = (160, 96),
    codec: str = "libx264",
    sound: bool = False,
    rotation: int = 0,
    mirrored: bool = False,
    options: dict[str, str] | None = None,
    container_options: dict[str, str] | None = None,
    frame: Callable[[int, int, int], Image] = numbered_frame,
    times: Sequence[Fraction] | None = None,
    pixel_format: str | None = None,
    sample_aspect: Fraction | None = None,
    hdr: str | None = None,
) -> Path:
    """Write a clip; its suffix says the container (.mp4, .mov, .mkv, .webm, .avi, .ts, .gif, .h264).

    Args:
        rotation: the angle by which players turn it, ``mirrored`` whether they mirror it too.
        frame: makes the picture of a frame, RGB or RGBA, from its number, width and height.
        times: second at which each frame is shown, for a variable rate; else ``frame_count`` at ``rate``.
        sample_aspect: width of a pixel whose height is 1.
        hdr: "pq" or "hlg": tagged so, with the primaries of BT.2020.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    stamps = times or [Fraction(number) / Fraction(rate) for number in range(frame_count)]
    tick = Fraction(1, 90000) if times else 1 / Fraction(rate)
    format_name = _FORMATS.get(path.suffix, "mp4")
    with av.open(str(path), "w", format=format_name, options=container_options or {}) as container:
        stream = container.add_stream(codec, rate=Fraction(rate), options=options or _FAST.get(codec, {}))
        assert isinstance(stream, av.VideoStream)
        stream.width, stream.height = size
        stream.pix_fmt = pixel_format or ("rgb8" if codec == "gif" else "yuv420p")
        context = stream.codec_context
        context.time_base = tick
        if sample_aspect is not None:
            context.sample_aspect_ratio = sample_aspect
        if hdr is not None:
            context.color_trc, context.color_primaries, context.colorspace = HDR[hdr], 9, 9
        audio = container.add_stream("aac", rate=48000, layout="mono") if sound else None
        if rotation or mirrored:
            stream.set_display_rotation(rotation, hflip=mirrored)
        for number, time in enumerate(stamps):
            pixels = frame(number, *size)
            layout = "rgba" if pixels.shape[2] == 4 else "rgb24"
            picture = av.VideoFrame.from_ndarray(pixels, format=layout)
            picture.pts = round(time / tick)
            picture.time_base = tick
            container.mux(stream.encode(picture))
        container.mux(stream.encode(None))
        if audio is not None:
            for samples in _silence(float(stamps[-1] + 1 / Fraction(rate))):
                container.mux(audio.encode(samples))
            container.mux(audio.encode(None))
    return path


def write_beginning(path: Path, clip: Path, frame_count: int) -> Path:
    """Write the first frames of another clip, of its size, rate and shape of pixels, without its sound."""
    with av.open(str(clip)) as container:
        stream = container.streams.video[0]
        frames = container.decode(stream)
        assert stream.average_rate is not None
        return write_clip(
            path,
            frame_count=frame_count,
            rate=stream.average_rate,
            size=(stream.width, stream.height),
            options={"preset": "ultrafast", "crf": "10"},
            frame=lambda *_: np.asarray(next(frames).to_ndarray(format="rgb24"), np.uint8),
            sample_aspect=stream.sample_aspect_ratio,
        )


def variable_times(*pieces: tuple[int, int]) -> list[Fraction]:
    """Seconds of frames in pieces of (number of frames, frames a second)."""
    lengths = [Fraction(1, rate) for count, rate in pieces for _ in range(count)]
    return [Fraction(0), *accumulate(lengths[:-1])]


def hide_frames(path: Path, *, before: int, after: int) -> Path:
    """Let the edit list of an MP4 show frames ``before`` to ``after`` (exclusive) only, as quick cuts do.

    The clip is at 30 frames a second, as ``write_clip`` leaves it.
    """
    data = bytearray(path.read_bytes())
    place = data.index(b"elst") + 12  # behind name, version and flags, and number of entries
    timescale = int.from_bytes(data[data.index(b"mdhd") + 16 :][:4], "big")
    movie_timescale = int.from_bytes(data[data.index(b"mvhd") + 16 :][:4], "big")
    first = int.from_bytes(data[place + 4 : place + 8], "big") + before * timescale // 30
    data[place : place + 8] = struct.pack(">II", (after - before) * movie_timescale // 30, first)
    path.write_bytes(data)
    return path


def cut_at_key_frame(source: Path, target: Path, number: int) -> Path:
    """Copy the packets from one on, which is the ``number``-th that claims to be a key frame."""
    with av.open(str(source)) as given, av.open(str(target), "w", format="mp4") as container:
        stream = given.streams.video[0]
        copy = container.add_stream_from_template(stream)
        seen = 0
        for packet in given.demux(stream):
            seen += packet.is_keyframe
            if packet.dts is not None and seen > number:
                packet.stream = copy
                container.mux(packet)
    return target


def write_sound(path: Path) -> Path:
    """A file with sound and no picture."""
    with av.open(str(path), "w", format="mp4") as container:
        stream = container.add_stream("aac", rate=48000, layout="mono")
        for samples in _silence(0.5):
            container.mux(stream.encode(samples))
        container.mux(stream.encode(None))
    return path


def _silence(seconds: float) -> Iterable[av.AudioFrame]:
    for start in range(0, int(seconds * 48000), 1024):
        samples = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
        samples.sample_rate = 48000
        samples.pts = start
        yield samples
