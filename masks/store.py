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
        shape = (2, frame_count, -(-width * height // 8))
        self._bits = np.memmap(path, np.uint8, "w+", shape=shape)

    def add(self, frame: int, mask: Mask, *, excluded: bool = False) -> None:
        """Unite a mask with what is known of a frame."""
        self._bits[int(excluded), frame] |= np.packbits(mask.reshape(-1) != 0)

    def mask(self, frame: int) -> Mask:
        """What belongs into the frame's mask less what is taken out."""
        included, excluded = self._bits[:, frame]
        bits = np.unpackbits(included & ~excluded, count=self.width * self.height)
        return bits.reshape(self.height, self.width)
