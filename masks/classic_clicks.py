"""Clicks and boxes as the classic segmenter draws them into its working picture."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np

from masks.prompts import Box, Point
from masks.store import Mask

CLICK_RADIUS: Final = 6
"""Pixels of the working picture round a click that are surely the object, or surely not."""


@dataclass(frozen=True)
class Clicks:
    """What was clicked on one frame for one object, in pixels of the working picture."""

    points: tuple[Point, ...] = ()
    box: Box | None = None

    def disc_mask(self, shape: tuple[int, int], *, positive: bool, radius: int = CLICK_RADIUS) -> Mask:
        """Discs round the positive, or the negative, clicks."""
        mask = np.zeros(shape, np.uint8)
        for point in self.points:
            if point.positive == positive:
                # A pixel's centre is at its number + 0.5 for clicks, at its number for OpenCV.
                cv2.circle(mask, (round(point.x - 0.5), round(point.y - 0.5)), radius, 1, -1)
        return mask

    def box_mask(self, shape: tuple[int, int]) -> Mask:
        """The inside of the box, or everything where there is none."""
        if self.box is None:
            return np.ones(shape, np.uint8)
        mask = np.zeros(shape, np.uint8)
        left, top = int(max(self.box.left, 0)), int(max(self.box.top, 0))
        mask[top : int(np.ceil(self.box.bottom)), left : int(np.ceil(self.box.right))] = 1
        return mask


def scaled_clicks(points: Sequence[Point], box: Box | None, scale: tuple[float, float]) -> Clicks:
    """Clicks of the canvas in pixels of a working picture that is `scale` (across, down) times as large."""
    across, down = scale
    moved = tuple(Point(point.x * across, point.y * down, point.positive) for point in points)
    if box is None:
        return Clicks(moved)
    return Clicks(moved, Box(box.left * across, box.top * down, box.right * across, box.bottom * down))
