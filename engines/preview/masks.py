"""Grow the person mask and fill it into a grid, as upstream does before it writes ``src_mask.mp4``.

Masks are uint8 of shape ``(H, W)`` with 1 = to be replaced. Where upstream ends with an error (an empty
mask, a mask thinner than the grid) these functions go on: empty stays empty, and a cell is at least one
pixel.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

Mask = NDArray[np.uint8]


def replacement_mask(person: Mask, iterations: int, k: int, w_len: int, h_len: int) -> Mask:
    """Mask of what is to be replaced, from the person mask (both 0/1).

    ``iterations`` of 0 or less skips both steps: the person mask itself is returned.
    """
    if iterations <= 0:
        return person
    return fill_grid(grow_mask(person, iterations, k), w_len, h_len)


def grow_mask(mask: Mask, iterations: int, k: int) -> Mask:
    """Dilate by a ``k`` x ``k`` square, ``iterations`` times. What is outside the picture does not count.

    An even ``k`` grows further to the right and down than to the left and up; ``k`` = 0 acts like 3.
    """
    kernel = np.ones((k or 3, k or 3), np.uint8)
    return np.asarray(cv2.dilate(mask, kernel, iterations=iterations), np.uint8)


def fill_grid(mask: Mask, w_len: int, h_len: int) -> Mask:
    """Cut the mask's bounding box into cells and fill every cell that holds any mask pixel.

    ``w_len`` cells across and ``h_len`` down, and a narrower one where the division leaves a remainder. The
    box's last column and row belong to no cell (upstream's own off-by-one): they keep what they have. With
    ``w_len`` or ``h_len`` of 0 or less nothing is filled.
    """
    columns, rows = np.flatnonzero(mask.any(axis=0)), np.flatnonzero(mask.any(axis=1))
    if columns.size == 0 or w_len <= 0 or h_len <= 0:
        return mask
    filled = mask.copy()
    for left, right in _cells(int(columns[0]), int(columns[-1]), w_len):
        for top, bottom in _cells(int(rows[0]), int(rows[-1]), h_len):
            if mask[top:bottom, left:right].any():
                filled[top:bottom, left:right] = 1
    return filled


def _cells(first: int, last: int, count: int) -> list[tuple[int, int]]:
    """Start and end (exclusive) of each cell on one axis of a box whose inclusive ends are given."""
    side = max(1, (last - first) // count)
    return [(start, min(start + side, last)) for start in range(first, last, side)]
