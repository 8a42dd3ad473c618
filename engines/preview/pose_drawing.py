"""Draw a skeleton exactly as Wan2.2-Animate's preprocessing draws it.

The checkpoint was trained on this drawing, so every rule here is upstream's, down to the truncations:
limbs first, then joint dots, then the left and the right hand; a limb is a filled 1-degree ellipse
polygon at 0.6 of its colour; what falls outside the canvas is clipped. The tests hold drawings of
upstream's own function, made with the OpenCV 4 of its environment; ours come out the same with OpenCV 4
and 5.
"""

from __future__ import annotations

import colorsys
import math
from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]
Points = NDArray[np.float64]

BODY_POINTS = 20
HAND_POINTS = 21

DRAWN_FROM = 0.5
"""Confidence from which a point, or a line between two points, is drawn."""

_LIMBS = (
    (1, 2), (1, 5), (2, 3), (3, 4), (5, 6), (6, 7), (1, 8), (8, 9), (9, 10), (1, 11), (11, 12), (12, 13),
    (1, 0), (0, 14), (14, 16), (0, 15), (15, 17), (13, 18), (10, 19),
)  # fmt: skip
_COLOURS = (
    (255, 0, 0), (255, 85, 0), (255, 170, 0), (255, 255, 0), (170, 255, 0), (85, 255, 0), (0, 255, 0),
    (0, 255, 85), (0, 255, 170), (0, 255, 255), (0, 170, 255), (0, 85, 255), (0, 0, 255), (85, 0, 255),
    (170, 0, 255), (255, 0, 255), (255, 0, 170), (255, 0, 85), (200, 200, 0), (100, 100, 0),
)  # fmt: skip
_LIMB_COLOURS = tuple(tuple(int(channel * 0.6) for channel in colour) for colour in _COLOURS)

_FINGER_LINES = tuple(
    (0 if joint == 0 else finger * 4 + joint, finger * 4 + joint + 1)
    for finger in range(5)
    for joint in range(4)
)
_FINGER_COLOURS = tuple(
    tuple(channel * 255 for channel in colorsys.hsv_to_rgb(line / len(_FINGER_LINES), 1.0, 1.0))
    for line in range(len(_FINGER_LINES))
)
_HAND_DOT_COLOUR = (0, 0, 255)

_FRACTION_BITS = 16
_ONE = 1 << _FRACTION_BITS


def draw_pose(canvas: Image, body: Points, left_hand: Points, right_hand: Points) -> Image:
    """Paint one skeleton onto ``canvas`` (RGB uint8, changed in place and returned).

    Args:
        canvas: ``(H, W, 3)``; the line width follows from its shorter side.
        body: ``(20, 3)`` float, x and y in canvas pixels and confidence, in upstream's order.
        left_hand: ``(21, 3)`` float, the same columns, the person's left hand.
        right_hand: ``(21, 3)`` float.
    """
    height, width = canvas.shape[:2]
    line_width = body_line_width(width, height)
    _draw_body(canvas, body, line_width)
    for hand in (left_hand, right_hand):
        _draw_hand(canvas, hand, max(line_width // 2, 1))
    return canvas


def body_line_width(width: int, height: int) -> int:
    """Half the width of a limb, and the radius of a joint dot, in pixels (720 -> 2, 480 -> 1, 1080 -> 4)."""
    return max(int(min(height, width) / 200) - 1, 1)


def _draw_body(canvas: Image, body: Points, line_width: int) -> None:
    points = body.tolist()
    for (start, end), colour in zip(_LIMBS, _LIMB_COLOURS, strict=False):
        x1, y1, confidence1 = points[start]
        x2, y2, confidence2 = points[end]
        if confidence1 < DRAWN_FROM or confidence2 < DRAWN_FROM:
            continue
        centre = int((x1 + x2) / 2), int((y1 + y2) / 2)
        length = ((y1 - y2) ** 2 + (x1 - x2) ** 2) ** 0.5
        angle = int(math.degrees(math.atan2(y1 - y2, x1 - x2)))
        half_axes = int(length / 2), line_width
        outline = np.asarray(cv2.ellipse2Poly(centre, half_axes, angle, 0, 360, 1), np.int32)
        cv2.fillConvexPoly(canvas, outline, colour)
    for (x, y, confidence), colour in zip(points, _COLOURS, strict=True):
        if confidence >= DRAWN_FROM:
            cv2.circle(canvas, (int(x), int(y)), line_width, colour, thickness=-1)


def _draw_hand(canvas: Image, hand: Points, line_width: int) -> None:
    # Unlike the body, a hand point at or beyond the left or upper edge is left out.
    points = [
        (int(x), int(y)) if confidence >= DRAWN_FROM and int(x) > 0 and int(y) > 0 else None
        for x, y, confidence in hand.tolist()
    ]
    for (start, end), colour in zip(_FINGER_LINES, _FINGER_COLOURS, strict=True):
        first, second = points[start], points[end]
        if first is not None and second is not None:
            _draw_line(canvas, first, second, colour, line_width)
    for point in points:
        if point is not None:
            cv2.circle(canvas, point, line_width, _HAND_DOT_COLOUR, thickness=-1)


def _draw_line(
    canvas: Image, start: tuple[int, int], end: tuple[int, int], colour: Sequence[float], thickness: int
) -> None:
    """``cv2.line`` as OpenCV 4 draws it: OpenCV 5 clips thick lines at the canvas edge differently.

    A thick line is a rectangle in 16-bit fixed point with a disc at either end.
    """
    if thickness == 1:
        cv2.line(canvas, start, end, colour, thickness=1)
        return
    across = float(end[1] - start[1]), float(start[0] - end[0])
    length = math.hypot(*across)
    if length > 0:
        half_width = (thickness * _ONE / 2 + (thickness % 2) * _ONE * 0.5) / length
        shift = np.array([round(across[0] * half_width), round(across[1] * half_width)])
        first, second = np.array(start) * _ONE, np.array(end) * _ONE
        corners = np.array([first + shift, first - shift, second - shift, second + shift], np.int32)
        cv2.fillConvexPoly(canvas, corners, colour, lineType=cv2.LINE_8, shift=_FRACTION_BITS)
    for point in (start, end):
        cv2.circle(canvas, point, (thickness + 1) // 2, colour, thickness=-1)
