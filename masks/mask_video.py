"""A finished mask from any tool: a video, white where the person is."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

import preprocess
from masks.errors import MaskError
from masks.store import Mask
from preprocess import Image

SET_FROM: Final = 128
"""Brightness (BT.601 luma of the decoded RGB, 0 to 255) from which a pixel is set: one half."""
_CANVAS_STEP: Final = 16
"""Sides of the canvas are multiples of it, cut off from the driving video's shape."""


def read_mask_video(path: Path, width: int, height: int, frame_count: int) -> Iterator[Mask]:
    """The masks of a video, frame by frame, on the canvas.

    A picture of the canvas's shape fills it. One of the driving video's shape is placed as the frames are:
    its shape kept, centred, nothing set beside it. Each pixel takes the nearest one of the video, number
    floor((i + 0.5) * scale), and is set where that is at least half bright. An alpha channel is ignored.

    Args:
        width: of the canvas in pixels, ``height`` alike.
        frame_count: frames of the clip; the video must have as many.

    Raises:
        MaskError: its length or its shape is another one.
        preprocess.MediaError: it is no video, or damaged.
    """
    check_mask_video(path, width, height, frame_count)
    return _masks(path, width, height, frame_count)


def check_mask_video(path: Path, width: int, height: int, frame_count: int) -> None:
    """Whether a video can be the mask of such a clip. Nothing but its first frame is decoded.

    The shape may differ from the canvas's by what its sides lost when they were cut to multiples of 16.
    Another shape is refused: which part of the picture it shows is not known, and a mask beside the person
    costs a whole run.

    Raises:
        MaskError, preprocess.MediaError: as ``read_mask_video``.
    """
    info = preprocess.probe_video(path)
    if info.frame_count != frame_count:
        raise MaskError(
            f"The mask video {path} has {info.frame_count} frames; the pose video has {frame_count}.",
            "Make it of the frames that the pose video shows, one for each.",
            code="mask.video-length",
        )
    placed = _placed(info.width, info.height, width, height)
    room = _CANVAS_STEP * max(width, height) / min(width, height)
    if width - placed[0] > room or height - placed[1] > room:
        raise MaskError(
            f"The mask video {path} is {info.width}x{info.height}, of another shape than the canvas, "
            f"{width}x{height}.",
            "Make it of the whole driving video, neither cropped nor stretched.",
            code="mask.video-shape",
        )


def _masks(path: Path, width: int, height: int, frame_count: int) -> Iterator[Mask]:
    decoded = 0
    for image in preprocess.read_frames(path):
        yield _on_canvas(image, width, height)
        decoded += 1
    if decoded != frame_count:
        what = f"The mask video {path} is damaged: {decoded} of {frame_count} frames decode."
        raise MaskError(what, "Export it again.", code="mask.video-unreadable")


def _on_canvas(image: Image, width: int, height: int) -> Mask:
    placed_width, placed_height = _placed(image.shape[1], image.shape[0], width, height)
    rows, columns = _nearest(image.shape[0], placed_height), _nearest(image.shape[1], placed_width)
    luma = cv2.cvtColor(image[rows][:, columns], cv2.COLOR_RGB2GRAY)
    mask = np.zeros((height, width), np.uint8)
    left, top = (width - placed_width) // 2, (height - placed_height) // 2
    mask[top : top + placed_height, left : left + placed_width] = luma >= SET_FROM
    return mask


def _placed(mask_width: int, mask_height: int, width: int, height: int) -> tuple[int, int]:
    """Size at which ``preprocess.fit_to_canvas`` puts such a picture onto the canvas, in its arithmetic."""
    if mask_height / mask_width > height / width:
        return int(height / mask_height * mask_width), height
    return width, int(width / mask_width * mask_height)


def _nearest(length: int, wanted: int) -> NDArray[np.intp]:
    """Number of the pixel, of ``length``, that each of ``wanted`` takes: floor((i + 0.5) * scale)."""
    return (np.arange(wanted) * 2 + 1) * length // (2 * wanted)
