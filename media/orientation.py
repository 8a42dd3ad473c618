"""How a stored picture is turned and mirrored to be upright, as the display matrix of its file says."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from av.video.frame import VideoFrame


@dataclass(frozen=True)
class Orientation:
    """What is done to a stored picture to show it: first transposed, then flipped."""

    transposed: bool = False
    flipped_across: bool = False
    """Left and right are exchanged."""
    flipped_down: bool = False
    tilted: bool = False
    """The file asks for an angle that is no quarter turn; the nearest one is taken."""

    @property
    def mirrored(self) -> bool:
        """Whether no turn alone makes it upright."""
        return (self.transposed + self.flipped_across + self.flipped_down) % 2 == 1


_QUARTER_TURNS = (
    Orientation(),
    Orientation(transposed=True, flipped_down=True),
    Orientation(flipped_across=True, flipped_down=True),
    Orientation(transposed=True, flipped_across=True),
)
"""By quarter turns to the left."""


def orientation_of(frame: VideoFrame) -> Orientation:
    """How a frame is turned upright, by its display matrix.

    The matrix (a, b, u, c, d, v, x, y, w), in 16.16 fixed point, takes a point of the stored picture to
    (a x + c y, b x + d y); only the signs of the larger pair of its numbers matter here.

    Ask it of a clip's first frame, not of each: PyAV ties a frame whose side data were read into a cycle, and
    its picture stays in memory until the garbage collector comes by.
    """
    matrix = _display_matrix(frame)
    if matrix is None:
        return _QUARTER_TURNS[round(frame.rotation / 90) % 4]
    a, b, c, d = matrix
    transposed = abs(b) + abs(c) > abs(a) + abs(d)
    across, down = (c, b) if transposed else (a, d)
    tilted = min(abs(a) + abs(d), abs(b) + abs(c)) > max(abs(a), abs(b)) // 100
    return Orientation(transposed, across < 0, down < 0, tilted)


def turn_upright(image: NDArray[np.uint8], orientation: Orientation) -> NDArray[np.uint8]:
    """Turn and mirror a stored picture, ``(H, W, ...)``, as it is to be shown."""
    if orientation.transposed:
        image = np.swapaxes(image, 0, 1)
    down, across = -1 if orientation.flipped_down else 1, -1 if orientation.flipped_across else 1
    return np.ascontiguousarray(image[::down, ::across])


def _display_matrix(frame: VideoFrame) -> tuple[int, int, int, int] | None:
    from av.sidedata.sidedata import SideDataContainer, Type

    try:
        held = cast("SideDataContainer", frame.side_data)  # PyAV's own annotation is another
        pieces = [held[place] for place in range(len(held))]
    except ValueError:  # PyAV does not know some other kind of side data that the frame has
        return None
    for data in pieces:
        if data.type is Type.DISPLAYMATRIX:
            a, b, _, c, d = np.frombuffer(bytes(data), np.int32)[:5].tolist()
            return a, b, c, d
    return None
