"""Masks of a clip on their way from the segmenter to the files: one bit a pixel, on disk."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Mask = NDArray[np.uint8]
"""uint8 [height, width], 1 = the object."""


class MaskStore:
    """What was found so far: a plane for what belongs into the mask and one for what is taken out of it.

    Segmenters work backwards as well as forwards and several objects one after the other, so frames come in
    any order and more than once. Memory does not grow with the clip: the bits lie in a file.
    """

    def __init__(self, path: Path, frame_count: int, width: int, height: int) -> None:
        self.frame_count, self.width, self.height = frame_count, width, height
        self._size = -(-width * height // 8)
        self._path = path
        with path.open("wb") as file:  # holes: no space is taken before there is something
            file.truncate(2 * frame_count * self._size)

    def add(self, frame: int, mask: Mask, *, excluded: bool = False) -> None:
        """Unite a mask with what is known of a frame."""
        bits = self._bits(frame, excluded=excluded) | np.packbits(mask.reshape(-1) != 0)
        with self._path.open("r+b") as file:
            file.seek(self._place(frame, excluded=excluded))
            file.write(bits.tobytes())

    def mask(self, frame: int) -> Mask:
        """What belongs into the frame's mask less what is taken out."""
        bits = self._bits(frame, excluded=False) & ~self._bits(frame, excluded=True)
        return np.unpackbits(bits, count=self.width * self.height).reshape(self.height, self.width)

    def _bits(self, frame: int, *, excluded: bool) -> NDArray[np.uint8]:
        # Not a memory map: its pages would count as memory of the process, and grow with the clip.
        place = self._place(frame, excluded=excluded)
        return np.fromfile(self._path, np.uint8, self._size, offset=place)

    def _place(self, frame: int, *, excluded: bool) -> int:
        if not 0 <= frame < self.frame_count:
            raise IndexError(f"frame {frame} of {self.frame_count}")
        return (2 * frame + excluded) * self._size
