"""Grow and blockify: what ComfyUI's GrowMask and KJNodes' BlockifyMask compute, bit for bit.

Masks are uint8 [height, width], 0 or 1. A frame at a time; no operation looks at a neighbouring frame. The
results are held against outputs of the real nodes (ComfyUI 0.3.64, KJNodes 3f20054).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from masks.store import Mask

_Starts = Callable[[int, int], NDArray[np.intp]]
"""Where the cells of a side of the box begin, from its length and the block's."""

_PLUS: Final = np.array([[0, 1, 0], [1, 1, 1], [0, 1, 0]], np.uint8)
_SQUARE: Final = np.ones((3, 3), np.uint8)


def grow(mask: Mask, radius: int, *, square: bool = False) -> Mask:
    """Set every pixel within ``radius`` of a set one; with a negative radius, clear likewise.

    GrowMask(expand=radius, tapered_corners=not square). Distance is |dx| + |dy|, so that one pixel becomes a
    diamond, or max(|dx|, |dy|) with ``square``. Pixels outside the picture do not count: a mask that its
    border cuts off does not shrink away from it.

    Args:
        mask: uint8 [height, width], 0 or 1.
        radius: pixels; 0 gives a copy.
    """
    kernel = _SQUARE if square else _PLUS
    steps = min(abs(radius), sum(mask.shape))  # more than that changes nothing
    if radius < 0:
        return np.asarray(cv2.erode(mask, kernel, iterations=steps), np.uint8)
    left, top, width, height = cv2.boundingRect(mask)
    if steps == 0 or width == 0:
        return mask.copy()
    near = np.s_[max(0, top - steps) : top + height + steps, max(0, left - steps) : left + width + steps]
    grown = np.zeros_like(mask)
    grown[near] = cv2.dilate(mask[near], kernel, iterations=steps)
    return grown


def blockify(mask: Mask, block: int) -> Mask:
    """Fill every cell that a set pixel lies in; the cells divide the box around all set pixels.

    BlockifyMask since October 2025. A side of the box has ``side // block`` cells, at least one, of equal
    whole length; the last one takes the remainder. The cells move with the box from frame to frame.

    Args:
        mask: uint8 [height, width], 0 or 1.
        block: least side of a cell in pixels; 0 gives a copy.
    """
    return _fill_cells(mask, block, _starts)


def blockify_2025_09(mask: Mask, block: int) -> Mask:
    """As ``blockify``, as BlockifyMask was before October 2025: the remainder is a narrow cell of its own."""
    return _fill_cells(mask, block, _starts_2025_09)


def _starts(side: int, block: int) -> NDArray[np.intp]:
    count = max(1, side // block)
    return np.arange(count) * (side // count)


def _starts_2025_09(side: int, block: int) -> NDArray[np.intp]:
    return np.arange(0, side, side // max(1, side // block))


def _fill_cells(mask: Mask, block: int, starts: _Starts) -> Mask:
    left, top, width, height = cv2.boundingRect(mask)
    if block == 0 or width == 0:
        return mask.copy()
    box = np.s_[top : top + height, left : left + width]
    rows, columns = (starts(side, block) for side in (height, width))
    touched = np.maximum.reduceat(np.maximum.reduceat(mask[box], columns, axis=1), rows, axis=0)
    filled = np.zeros_like(mask)
    filled[box] = touched.repeat(np.diff(rows, append=height), axis=0).repeat(
        np.diff(columns, append=width), axis=1
    )
    return filled
