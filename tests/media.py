"""Small videos and pictures for the tests, written with PyAV alone: our own writer is not its own judge."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]


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
    options: dict[str, str] | None = None,
    container_options: dict[str, str] | None = None,
    frame: Callable[[int, int, int], Image] = numbered_frame,
) -> Path:
    """Write a clip. ``rotation`` is the angle by which players turn it (display matrix)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w", format=_format(path), options=container_options or {}) as container:
        stream = container.add_stream(codec, rate=Fraction(rate), options=options or {"preset": "ultrafast"})
        assert isinstance(stream, av.VideoStream)
        stream.width, stream.height = size
        stream.pix_fmt = "rgb8" if codec == "gif" else "yuv420p"
        audio = container.add_stream("aac", rate=48000, layout="mono") if sound else None
        if rotation:
            stream.set_display_rotation(rotation)
        for number in range(frame_count):
            picture = av.VideoFrame.from_ndarray(frame(number, *size), format="rgb24")
            picture.pts = number
            picture.time_base = 1 / Fraction(rate)
            container.mux(stream.encode(picture))
        container.mux(stream.encode(None))
        if audio is not None:
            for samples in _silence(float(frame_count / Fraction(rate))):
                container.mux(audio.encode(samples))
            container.mux(audio.encode(None))
    return path


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


def _format(path: Path) -> str:
    return {".gif": "gif", ".mkv": "matroska"}.get(path.suffix, "mp4")
