"""Where a clip cuts hard from one shot to another.

A cut is a change between two neighbouring frames that is large, that changes what lies where and not just
the light, that stands out from the changes around it, and that lasts. So fades and dissolves (many small
changes), fast movement (many large ones), flashes (which go away again) and lights that are switched (the
same things in the same places) are no cuts.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from av.video.frame import VideoFrame

Image = NDArray[np.uint8]
Floats = NDArray[np.float32]

_WIDTH, _HEIGHT = 32, 18

LEAST_CHANGE: Final = 12.0
"""Mean absolute difference of two frames, of 255. Other shots measured 17 and more."""

MOST_LIKENESS: Final = 0.75
"""Correlation of two frames' brightness. Neighbours in one shot measured 0.94 and more, a light that is
switched 0.74 to 0.99, other shots 0.78 and less, hardly one above 0.56."""

_STANDS_OUT: Final = 3.0
_AROUND: Final = 6
_STRAY: Final = 1
"""Changes around that may be as large: the other edge of a short shot."""

_FLASH: Final = 3
"""Frames after which a flash is over."""


def thumbnail(frame: VideoFrame) -> Image:
    """A frame as stored, not turned upright, reduced to RGB [18, 32, 3]."""
    small = frame.reformat(width=_WIDTH, height=_HEIGHT, format="rgb24", interpolation="AREA")
    return np.asarray(small.to_ndarray(), np.uint8)


def find_cuts(thumbnails: NDArray[np.uint8]) -> list[int]:
    """Numbers of the frames with which a new shot begins, of thumbnails [T, H, W, 3] of all frames."""
    if len(thumbnails) < 2:
        return []
    changes = _changes(thumbnails[:-1], thumbnails[1:])
    cuts: list[int] = []
    for number in (int(position) + 1 for position in np.flatnonzero(changes >= LEAST_CHANGE)):
        # A cut that was blended over one frame when the rate was converted is one cut, in two steps.
        if (not cuts or number > cuts[-1] + 1) and _is_cut(thumbnails, changes, number):
            cuts.append(number)
    return cuts


def _is_cut(thumbnails: NDArray[np.uint8], changes: Floats, number: int) -> bool:
    after = min(number + 1, len(thumbnails) - 1)
    return (
        _stands_out(changes, number - 1)
        and _likeness(thumbnails[number - 1], thumbnails[after]) <= MOST_LIKENESS
        and _lasts(thumbnails, number, float(changes[number - 1]))
    )


def _changes(before: NDArray[np.uint8], after: NDArray[np.uint8]) -> Floats:
    """Mean absolute difference [T] of frames [T, H, W, 3]."""
    difference = np.abs(after.astype(np.int16) - before.astype(np.int16))
    return np.asarray(difference.mean(axis=(1, 2, 3)), np.float32)


def _likeness(one: Image, other: Image) -> float:
    """Correlation of the brightness of two frames; 0 when one of them is a single grey."""
    first, second = (image.mean(axis=2).ravel() for image in (one, other))
    first, second = first - first.mean(), second - second.mean()
    size = float(np.linalg.norm(first) * np.linalg.norm(second))
    return float(first @ second) / size if size > 0 else 0.0


def _stands_out(changes: Floats, position: int) -> bool:
    around = np.concatenate(
        [changes[max(0, position - _AROUND) : position], changes[position + 1 : position + 1 + _AROUND]]
    )
    if around.size <= _STRAY:
        return True
    return bool(changes[position] >= _STANDS_OUT * np.sort(around)[-1 - _STRAY])


def _lasts(thumbnails: NDArray[np.uint8], number: int, change: float) -> bool:
    """Whether the frames before and after differ still when a flash at either side would be over."""
    later = min(number + _FLASH, len(thumbnails) - 1)
    earlier = max(number - 1 - _FLASH, 0)
    pairs = ((number - 1, later), (earlier, number))
    return all(
        float(_changes(thumbnails[[before]], thumbnails[[after]])[0]) >= change / 2 for before, after in pairs
    )
