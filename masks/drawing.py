"""The mask as people see it: a tint and an outline over the frame, with what was clicked.

Pictures are RGB uint8 [height, width, 3]. Sizes of dots and lines follow the picture's shorter side.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import cv2
import numpy as np

from masks.prompts import Box, MaskObject, Point, Prompt
from masks.store import Mask
from preprocess import Image

Colour = tuple[int, int, int]

TINT: Final[Colour] = (30, 120, 255)
OUTLINE: Final[Colour] = (120, 225, 255)
POSITIVE: Final[Colour] = (25, 175, 60)
NEGATIVE: Final[Colour] = (225, 35, 35)
EXCLUDED: Final[Colour] = (245, 150, 0)
"""Points and boxes on something that is taken out of the mask."""
WHITE: Final[Colour] = (255, 255, 255)
DARK: Final[Colour] = (22, 24, 28)

_STRENGTH: Final = 0.42
"""Share of the tint where the mask is set."""
_TINTED: Final = np.rint(np.arange(256)[None, :, None] * (1 - _STRENGTH) + np.array(TINT) * _STRENGTH).astype(
    np.uint8
)
"""What each level of each channel becomes: [1, 256, 3]."""
_FRACTION_BITS: Final = 4
"""OpenCV draws at sixteenths of a pixel with these."""
_FONT: Final = cv2.FONT_HERSHEY_SIMPLEX
_FONT_HEIGHT: Final = 22
"""Pixels from the foot of a letter to its head at scale 1."""


def draw_mask(frame: Image, mask: Mask) -> Image:
    """A new picture: the frame, tinted where the mask is set, with an outline along its edge.

    Args:
        mask: uint8 [height, width], 0 or 1.
    """
    left, top, wide, high = cv2.boundingRect(mask)
    box = np.s_[top : top + high, left : left + wide]
    picture = frame.copy()
    if wide:
        picture[box] = cv2.copyTo(cv2.LUT(frame[box], _TINTED), mask[box], frame[box].copy())
    contours, _ = cv2.findContours(mask, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_SIMPLE)
    width = _line_width(frame)
    cv2.drawContours(picture, contours, -1, DARK, width + 2)
    cv2.drawContours(picture, contours, -1, OUTLINE, width)
    return np.asarray(picture, np.uint8)


def draw_prompts(picture: Image, objects: Sequence[MaskObject], frame: int) -> None:
    """Draw what was clicked on a frame into its picture: boxes, discs with plus or minus, and names.

    Names are written where there are several objects.

    Args:
        objects: prompts in pixels of the picture.
        frame: number of the frame.
    """
    for thing in objects:
        for prompt in thing.prompts:
            if prompt.frame == frame:
                _draw_prompt(picture, prompt, thing, named=len(objects) > 1)


def draw_label(picture: Image, text: str, left: int, top: int, *, height: int = 0) -> None:
    """Write white letters on a dark plate, whose upper left corner is given, kept inside the picture.

    Args:
        height: of the plate in pixels; 0 takes one that fits the picture.
    """
    height = height or max(18, _shorter_side(picture) // 24)
    scale, gap = height * 0.5 / _FONT_HEIGHT, height // 3
    stroke = 2 if height >= 28 else 1
    (width, _), _ = cv2.getTextSize(text, _FONT, scale, stroke)
    left = max(0, min(left, picture.shape[1] - width - 2 * gap))
    top = max(0, min(top, picture.shape[0] - height))
    picture[top : top + height, left : left + width + 2 * gap] = DARK
    foot = top + round(height * 0.75)
    cv2.putText(picture, text, (left + gap, foot), _FONT, scale, WHITE, stroke, cv2.LINE_AA)


def _draw_prompt(picture: Image, prompt: Prompt, thing: MaskObject, *, named: bool) -> None:
    corner = (0.0, 0.0)
    if prompt.box is not None:
        _draw_box(picture, prompt.box, EXCLUDED if thing.excluded else POSITIVE)
        corner = (prompt.box.left, prompt.box.bottom)
    for point in prompt.points:
        colour = EXCLUDED if thing.excluded else POSITIVE
        _draw_point(picture, point, colour if point.positive else NEGATIVE)
    if prompt.box is None and prompt.points:
        beside = 2 * _radius(picture)
        corner = (prompt.points[0].x + beside, prompt.points[0].y - beside)
    if named:
        draw_label(picture, thing.name, round(corner[0]), round(corner[1]))


def _draw_box(picture: Image, box: Box, colour: Colour) -> None:
    corners = (_place(box.left, box.top), _place(box.right, box.bottom))
    width = _line_width(picture)
    for line, ink in ((width + 2, WHITE), (width, colour)):
        cv2.rectangle(picture, *corners, ink, line, cv2.LINE_AA, _FRACTION_BITS)


def _draw_point(picture: Image, point: Point, colour: Colour) -> None:
    """A disc with a white rim, and a plus or a minus for those who do not see the colours apart."""
    radius, centre = _radius(picture), _place(point.x, point.y)
    rim, bits = max(1.5, radius / 5), _FRACTION_BITS
    for size, ink in ((radius + rim + 1, DARK), (radius + rim, WHITE), (radius, colour)):
        cv2.circle(picture, centre, round(size * 2**bits), ink, cv2.FILLED, cv2.LINE_AA, bits)
    arm, width = round(radius * 0.55 * 2**bits), max(1, round(radius / 4))
    for across, down in ((arm, 0), (0, arm)) if point.positive else ((arm, 0),):
        start, end = (centre[0] - across, centre[1] - down), (centre[0] + across, centre[1] + down)
        cv2.line(picture, start, end, WHITE, width, cv2.LINE_AA, bits)


def _place(x: float, y: float) -> tuple[int, int]:
    """For OpenCV: the middle of the upper left pixel is its origin."""
    return round((x - 0.5) * 2**_FRACTION_BITS), round((y - 0.5) * 2**_FRACTION_BITS)


def _radius(picture: Image) -> float:
    return max(4.5, _shorter_side(picture) / 70)


def _line_width(picture: Image) -> int:
    return max(2, round(_shorter_side(picture) / 360))


def _shorter_side(picture: Image) -> int:
    return min(int(side) for side in picture.shape[:2])
