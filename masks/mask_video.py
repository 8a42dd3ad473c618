"""A finished mask from any tool, brought to the canvas."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

import numpy as np

import preprocess
from masks.errors import MaskError
from masks.store import Mask

_HALF: Final = 128
_ROUNDING: Final = 0.06
"""Relative difference of two aspects that can come of sides being rounded to multiples of 16."""


def check_mask_video(path: Path, width: int, height: int, frame_count: int) -> None:
    """Whether a mask fits stage 1's files, by its packets alone.

    Raises:
        MaskError: it is no video, or has another length or shape.
    """
    try:
        info = preprocess.probe_video(path)
    except preprocess.MediaError as error:
        remedy = error.remedy or "Give a video: white where the person is."
        raise MaskError(f"--mask_video: {error.what}", remedy, code="mask.video-unreadable") from error
    if info.frame_count != frame_count:
        what = f"--mask_video: {path} has {info.frame_count} frames, and stage 1's files have {frame_count}."
        remedy = "Make it of the frames of src_pose.mp4: one mask for each."
        raise MaskError(what, remedy, code="mask.video-length")
    if abs(info.width * height - width * info.height) > _ROUNDING * width * info.height:
        what = f"--mask_video: {path} is {info.width}x{info.height}, and the canvas is {width}x{height}."
        remedy = "It is stretched to the canvas, so it must have the shape of the whole frame."
        raise MaskError(what, remedy, code="mask.video-aspect")


def read_mask_video(path: Path, width: int, height: int, frame_count: int) -> Iterator[Mask]:
    """The masks, uint8 [height, width], 0 or 1.

    A pixel is set where its brightest channel is at least 128, so a mask of any colour on black is read.
    Sizes are matched by the nearest pixel: column i is taken from ``floor((i + 0.5) * w / width)``.

    Raises:
        MaskError: it does not fit, or ends too early.
        preprocess.MediaError: a frame is damaged.
    """
    check_mask_video(path, width, height, frame_count)
    count = 0
    for frame in preprocess.read_frames(path):
        rows, columns = _nearest(frame.shape[0], height), _nearest(frame.shape[1], width)
        yield (frame.max(axis=2) >= _HALF).astype(np.uint8)[rows[:, np.newaxis], columns]
        count += 1
    if count != frame_count:
        what = f"--mask_video: {path} has {count} frames that decode, and {frame_count} are needed."
        raise MaskError(what, "Export it again.", code="mask.video-length")


def _nearest(side: int, wanted: int) -> np.ndarray[tuple[int], np.dtype[np.intp]]:
    return np.minimum(((np.arange(wanted) + 0.5) * side / wanted).astype(np.intp), side - 1)
