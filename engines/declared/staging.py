"""Make what a tool is given: upright pictures and videos of plain kinds, on its canvas; a plain WAV."""

from __future__ import annotations

import wave
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray

import preprocess
from config import Job
from engines.declared.tool import DRIVING, REFERENCE, SOUND, Tool
from media.normalise import write_normalised

if TYPE_CHECKING:
    from engines.declared.clip import Clip

Image = NDArray[np.uint8]
Report = Callable[[str, int, int], None]
Colour = tuple[int, int, int]

BLACK: Final[Colour] = (0, 0, 0)
SOUND_RATE: Final = 16_000
"""Samples a second of the WAV: what speech models take."""
_QUALITY: Final = 10
_LONGEST: Final = Fraction(24 * 3600)


def make_inputs(tool: Tool, job: Job, clip: Clip, folder: Path, report: Report) -> None:
    """Write the reference image, and the driving video or sound, into ``folder``.

    Raises:
        preprocess.MediaError: a file cannot be read.
    """
    picture = preprocess.read_picture(job.refer_path)
    preprocess.write_picture(folder / REFERENCE, fill(picture, *clip.reference))
    if tool.is_driven_by_sound():
        write_sound(job.audio, folder / SOUND)
        return
    target = folder / DRIVING
    plain = target if tool.canvas is None else folder / "plain.mp4"
    write_normalised(job.video_path, plain, rate=clip.timing.rate, frame_limit=job.frame_limit, report=report)
    if tool.canvas is not None:
        write_padded(plain, target, clip.reference, BLACK, report)
        plain.unlink()


def fill(picture: Image, width: int, height: int) -> Image:
    """A picture (RGB uint8) of exactly that size: scaled to cover it, and cut evenly where it juts out."""
    factor = max(width / picture.shape[1], height / picture.shape[0])
    size = max(width, round(picture.shape[1] * factor)), max(height, round(picture.shape[0] * factor))
    if size != (picture.shape[1], picture.shape[0]):
        how = cv2.INTER_AREA if factor < 1 else cv2.INTER_CUBIC
        picture = np.asarray(cv2.resize(picture, size, interpolation=how), np.uint8)
    left, top = (size[0] - width) // 2, (size[1] - height) // 2
    return np.ascontiguousarray(picture[top : top + height, left : left + width])


def content_box(width: int, height: int, canvas: tuple[int, int]) -> tuple[int, int, int, int]:
    """Left, top, width and height of a picture that is fitted into a canvas: all even, centred."""
    factor = min(canvas[0] / width, canvas[1] / height)
    inner = [
        max(2, min(side, round(length * factor / 2) * 2))
        for length, side in ((width, canvas[0]), (height, canvas[1]))
    ]
    return (canvas[0] - inner[0]) // 4 * 2, (canvas[1] - inner[1]) // 4 * 2, inner[0], inner[1]


def pad(picture: Image, canvas: tuple[int, int], colour: Colour | None) -> Image:
    """A picture (RGB uint8) fitted into the canvas, the rest in a colour, or as the picture's edge (None)."""
    height, width = picture.shape[:2]
    left, top, inner_width, inner_height = content_box(width, height, canvas)
    how = cv2.INTER_AREA if inner_width < width else cv2.INTER_LINEAR
    scaled = cv2.resize(picture, (inner_width, inner_height), interpolation=how)
    right, bottom = canvas[0] - left - inner_width, canvas[1] - top - inner_height
    edge = cv2.BORDER_REPLICATE if colour is None else cv2.BORDER_CONSTANT
    padded = cv2.copyMakeBorder(scaled, top, bottom, left, right, edge, value=colour or BLACK)
    return np.asarray(padded, np.uint8)


def write_padded(
    source: Path,
    target: Path,
    canvas: tuple[int, int],
    colour: Colour,
    report: Report,
    **quality: Any,
) -> None:
    """A copy of a video, each frame fitted into the canvas."""
    info = preprocess.probe_video(source)
    options = quality or {"crf": _QUALITY}
    with preprocess.VideoWriter(target, *canvas, info.rate, **options) as writer:
        for done, frame in enumerate(preprocess.read_frames(source), 1):
            writer.write(pad(frame, canvas, colour))
            report("frames", done, info.frame_count)


def cut_out(
    source: Path, target: Path, box: tuple[int, int, int, int], rate: Fraction, report: Report
) -> None:
    """A copy of a part of every frame: left, top, width, height. An odd width or height loses its last pixel.

    Raises:
        preprocess.MediaError: the video cannot be read, or is smaller than that.
    """
    info = preprocess.probe_video(source)
    left, top, width, height = box[0], box[1], box[2] // 2 * 2, box[3] // 2 * 2
    if left + width > info.width or top + height > info.height:
        raise preprocess.MediaError(
            f"{source} is {info.width}x{info.height}; a picture of {width}x{height} was expected at "
            f"{left}, {top} in it. The tool's version may be another than the one that is known here."
        )
    with preprocess.VideoWriter(target, width, height, rate, crf=_QUALITY) as writer:
        for done, frame in enumerate(preprocess.read_frames(source), 1):
            writer.write(np.ascontiguousarray(frame[top : top + height, left : left + width]))
            report("frames", done, info.frame_count)


def write_sound(source: Path, target: Path) -> None:
    """The sound of a file as a WAV: one channel, 16 bits.

    Raises:
        preprocess.MediaError: there is none, or it is damaged.
    """
    from media import sound

    with sound.open_sound(source) as (container, stream), wave.open(str(target), "wb") as output:
        output.setnchannels(1)
        output.setsampwidth(2)
        output.setframerate(SOUND_RATE)
        start = sound.beginning(container, stream)
        pieces = sound.samples(source, container, stream, start, _LONGEST, rate=SOUND_RATE, layout="mono")
        for piece in pieces:
            output.writeframes((np.clip(piece[0], -1, 1) * 32767).astype("<i2").tobytes())


def sound_frames(path: Path, rate: Fraction) -> int:
    """Whole frames of a picture that goes with a WAV."""
    with wave.open(str(path), "rb") as file:
        return int(Fraction(file.getnframes(), file.getframerate()) * rate)
