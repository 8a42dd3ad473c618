"""Draw a deformed layer: triangle numbers into one integer picture, one gather, one ``remap``."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Ints = NDArray[np.int32]
Image = NDArray[np.uint8]

_FRACTION_BITS = 4
_OUTSIDE = -1e4
_COORDINATE_LIMIT = 20000.0


def source_maps(
    source: Floats, target: Floats, triangles: Ints, box: tuple[int, int, int, int]
) -> tuple[Floats, Floats]:
    """For each pixel of ``box`` the place it shows of the source picture, as ``cv2.remap`` takes it.

    Args:
        source: vertices (V, 2) in the source picture.
        target: the same vertices on the canvas.
        triangles: (N, 3); a later triangle covers an earlier one.
        box: left, top, right, bottom on the canvas (right and bottom exclusive).

    Pixels that no triangle covers point far outside.
    """
    left, top, right, bottom = box
    corners = np.clip(target - np.array([left, top], np.float32), -_COORDINATE_LIMIT, _COORDINATE_LIMIT)[
        triangles
    ]
    affine, regular = _inverse_affine(corners, source[triangles])
    low, high = corners.min(1), corners.max(1)
    visible = regular & (high >= 0).all(1) & (low[:, 0] < right - left) & (low[:, 1] < bottom - top)
    numbers = np.full((bottom - top, right - left), len(triangles), np.int32)
    fixed = np.rint(corners * (1 << _FRACTION_BITS)).astype(np.int32)
    fill = cv2.fillConvexPoly
    for number in np.nonzero(visible)[0].tolist():
        fill(numbers, fixed[number], number, cv2.LINE_8, _FRACTION_BITS)
    x = np.arange(right - left, dtype=np.float32)[None]
    y = np.arange(bottom - top, dtype=np.float32)[:, None]
    coefficients = [np.take(affine[:, index], numbers) for index in range(6)]
    map_x = coefficients[0] * x
    map_x += coefficients[1] * y
    map_x += coefficients[2]
    map_y = coefficients[3] * x
    map_y += coefficients[4] * y
    map_y += coefficients[5]
    return map_x, map_y


def _inverse_affine(corners: Floats, source: Floats) -> tuple[Floats, NDArray[np.bool_]]:
    """Coefficients (N + 1, 6) canvas -> source; the last row is for pixels without a triangle."""
    first, second = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
    determinant = first[:, 0] * second[:, 1] - first[:, 1] * second[:, 0]
    regular = np.abs(determinant) > 1e-3
    safe = np.where(regular, determinant, 1)[:, None]
    source_first, source_second = source[:, 1] - source[:, 0], source[:, 2] - source[:, 0]
    along_x = (source_first * second[:, 1:] - source_second * first[:, 1:]) / safe
    along_y = (source_second * first[:, :1] - source_first * second[:, :1]) / safe
    constant = source[:, 0] - along_x * corners[:, 0, :1] - along_y * corners[:, 0, 1:]
    affine = np.zeros((len(corners) + 1, 6), np.float32)
    affine[:-1, 0::3], affine[:-1, 1::3], affine[:-1, 2::3] = along_x, along_y, constant
    affine[-1, 2::3] = _OUTSIDE
    return affine, regular


def bounding_box(points: Floats, width: int, height: int) -> tuple[int, int, int, int] | None:
    """Left, top, right, bottom of the points within the canvas, or None if they lie outside it."""
    low, high = np.floor(points.min(0)), np.ceil(points.max(0))
    left, top = int(np.clip(low[0], 0, width)), int(np.clip(low[1], 0, height))
    right, bottom = int(np.clip(high[0] + 1, 0, width)), int(np.clip(high[1] + 1, 0, height))
    return (left, top, right, bottom) if right > left and bottom > top else None


def draw_over(canvas: Image, patch: Image, left: int, top: int) -> None:
    """Lay a premultiplied RGBA patch over the RGB canvas, in place."""
    height, width = patch.shape[:2]
    region = canvas[top : top + height, left : left + width]
    red, green, blue, opacity = cv2.split(patch)
    rest = cv2.bitwise_not(opacity)
    behind = cv2.multiply(region, cv2.merge([rest, rest, rest]), scale=1 / 255)
    cv2.add(behind, cv2.merge([red, green, blue]), dst=behind)
    region[...] = behind
