"""What the mask step writes: mask and background for stage 2, and two pictures of the mask for people."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np

import preprocess
from masks import drawing
from masks.clip import Clip
from masks.contact_sheet import ContactSheet
from masks.errors import MaskError
from masks.prompts import MaskObject
from masks.segmenter import Report
from masks.store import Mask
from preprocess import Image, VideoWriter

MASK: Final = "src_mask.mp4"
BACKGROUND: Final = "src_bg.mp4"
PREVIEW: Final = "mask_preview.mp4"
SHEET: Final = "mask_contact_sheet.png"

_PHASE: Final = "write mask and background"
MASK_CODING: Final[dict[str, Any]] = {"lossless": True, "preset": "superfast"}
"""0 and 255 come back as they are; slower presets write the same size."""
BACKGROUND_CODING: Final[dict[str, Any]] = {
    "lossless": True,
    "preset": "ultrafast",
    "pixel_format": "yuv444p",
}
"""Without loss and with a colour for every pixel: black under the mask stays exactly black.

With colours shared by 2 x 2 pixels (4:2:0) those of the scene reach into the mask: 0.9 % of its pixels came
back not black without loss, 2.5 % at crf 12. A frame of 1280x720 of a drawn film takes 0.39 MB, 0.33 MB with
slower presets for five times the work, 0.57 MB as RGB without loss.
"""
_PREVIEW_CODING: Final[dict[str, Any]] = {"crf": 20, "preset": "ultrafast"}
_CODINGS: Final = {MASK: MASK_CODING, BACKGROUND: BACKGROUND_CODING, PREVIEW: _PREVIEW_CODING}
_COVERED: Final = 0.999
"""Mean share of the picture from which the mask leaves nothing of the scene."""
_RATE_TOLERANCE: Final = Fraction(1, 1000)
"""Share by which two rates may differ: containers round them."""
_AGAIN: Final = "Make the mask again."


@dataclass
class MaskReport:
    """What was seen of the masks while they were written."""

    frame_count: int = 0
    mean_coverage: float = 0.0
    """Mean share of the picture that is set, 0 to 1."""
    empty_frames: list[tuple[int, int]] = field(default_factory=list)
    """Runs of frames without any set pixel: numbers of the first and the last one, from 0."""

    def add(self, mask: Mask) -> None:
        """Count the next frame's mask."""
        number, share = self.frame_count, cv2.countNonZero(mask) / mask.size
        self.frame_count += 1
        self.mean_coverage += (share - self.mean_coverage) / self.frame_count
        if share:
            return
        if self.empty_frames and self.empty_frames[-1][1] == number - 1:
            self.empty_frames[-1] = (self.empty_frames[-1][0], number)
        else:
            self.empty_frames.append((number, number))

    def notices(self) -> list[str]:
        """What people should know, in full sentences."""
        told = []
        if self.empty_frames:
            count = sum(last - first + 1 for first, last in self.empty_frames)
            told.append(
                f"The mask is empty in {count} of {self.frame_count} frames, where nothing is replaced: "
                f"{_listed(self.empty_frames)}. Click the person there if it can be seen."
            )
        if self.mean_coverage >= _COVERED:
            told.append("The mask covers the whole picture: nothing of the scene is kept.")
        return told


def _listed(runs: Sequence[tuple[int, int]], most: int = 8) -> str:
    words = [f"{first} to {last}" if last > first else str(first) for first, last in runs[:most]]
    more = len(runs) - most
    return ", ".join(words) + (f" and {more} more runs" if more > 0 else "")


# ---------------------------------------------------------------------------------------------- writing


def write_mask_files(
    clip: Clip,
    masks: Iterator[Mask],
    folder: Path,
    rate: Fraction,
    report: Report,
    objects: Sequence[MaskObject] = (),
) -> MaskReport:
    """Write mask, background, preview and contact sheet in one pass over the clip.

    While one frame is encoded the next one is read and drawn; memory does not grow with the clip.

    Args:
        masks: the final mask of each frame, uint8 [height, width], 0 or 1.
        folder: must exist.
        rate: frames per second, exact.
        report: told of the progress; may raise to cancel.
        objects: what was clicked, in pixels of the canvas, to be drawn.

    Raises:
        ValueError: there are fewer or more masks than frames.
        MaskError, preprocess.MediaError: as the masks and the clip do.
    """
    seen = MaskReport()
    sheet = ContactSheet(clip.frame_count, clip.width, clip.height, objects)
    shape = (clip.width, clip.height, rate)
    with ExitStack() as stack:
        writers = {
            name: stack.enter_context(VideoWriter(folder / name, *shape, **coding))
            for name, coding in _CODINGS.items()
        }
        encoder = stack.enter_context(ThreadPoolExecutor(1, thread_name_prefix="encode"))
        encoding: Future[None] | None = None
        for number, (frame, mask) in enumerate(zip(clip.frames(), masks, strict=True)):
            seen.add(mask)
            sheet.add(number, frame, mask)
            pictures = _pictures(number, frame, mask, objects)
            if encoding is not None:
                encoding.result()
            encoding = encoder.submit(_encode, writers, pictures)
            report(_PHASE, number + 1, clip.frame_count)
        if encoding is not None:
            encoding.result()
    preprocess.write_picture(folder / SHEET, sheet.picture())
    return seen


def _pictures(number: int, frame: Image, mask: Mask, objects: Sequence[MaskObject]) -> Mapping[str, Image]:
    preview = drawing.draw_mask(frame, mask)
    drawing.draw_prompts(preview, objects, number)
    drawing.draw_label(preview, f"frame {number}", 0, 0)
    background = np.asarray(cv2.copyTo(frame, 1 - mask, np.zeros_like(frame)), np.uint8)
    return {MASK: mask * 255, BACKGROUND: background, PREVIEW: preview}


def _encode(writers: Mapping[str, VideoWriter], pictures: Mapping[str, Image]) -> None:
    for name, picture in pictures.items():
        writers[name].write(picture)


# --------------------------------------------------------------------------------------------- checking


def check_mask_files(folder: Path, pose: Path) -> None:
    """Decode mask and background from end to end, and hold them against each other and the pose video.

    Raises:
        MaskError: they differ from the pose video in size, length or rate; the mask has grey pixels, or is
            empty in every frame; the background is not black where the mask is set.
        preprocess.MediaError: one of them does not decode.
    """
    paths = folder / MASK, folder / BACKGROUND
    for path in paths:
        _check_like(path, pose)
    is_empty = True
    for number, (mask, background) in enumerate(zip(*map(_frames, paths), strict=True)):
        if cv2.countNonZero(cv2.inRange(_plane(mask), 1, 254)):
            what = f"{paths[0]} has grey pixels in frame {number}; it must be black and white only."
            raise MaskError(what, _AGAIN, code="mask.grey")
        if cv2.countNonZero(_plane(mask & background)):
            what = f"{paths[1]} is not black where {MASK} is set, in frame {number}."
            raise MaskError(what, _AGAIN, code="mask.background-shows")
        is_empty = is_empty and not mask.any()
    if is_empty:
        raise MaskError(
            "The mask is empty in every frame: nothing would be replaced.",
            "Click the person in a frame that shows it, or give a mask that is white where it is.",
            code="mask.empty",
        )


def _check_like(path: Path, pose: Path) -> None:
    found, expected = preprocess.probe_video(path), preprocess.probe_video(pose)
    differs = ""
    if (found.width, found.height) != (expected.width, expected.height):
        differs = f"is {found.width}x{found.height}; the pose video is {expected.width}x{expected.height}"
    elif found.frame_count != expected.frame_count:
        differs = f"has {found.frame_count} frames; the pose video has {expected.frame_count}"
    elif abs(found.rate - expected.rate) > expected.rate * _RATE_TOLERANCE:
        rates = [f"{float(rate):.6g}" for rate in (found.rate, expected.rate)]
        differs = f"shows {rates[0]} frames a second; the pose video {rates[1]}"
    if differs:
        raise MaskError(f"{path} {differs}.", _AGAIN, code="mask.unlike-pose")


def _frames(path: Path) -> Iterator[Image]:
    """Every frame; an error unless as many decode as the file says it has."""
    decoded = 0
    for frame in preprocess.read_frames(path):
        decoded += 1
        yield frame
    if decoded != (expected := preprocess.probe_video(path).frame_count):
        what = f"{path} is damaged: {decoded} of {expected} frames decode."
        raise preprocess.MediaError(what, _AGAIN, code="media.damaged")


def _plane(image: Image) -> Image:
    """The three channels side by side, as OpenCV's counting wants them: [height, width * 3]."""
    return image.reshape(image.shape[0], -1)
