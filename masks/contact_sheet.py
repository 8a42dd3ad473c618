"""One picture of the whole mask: evenly spaced frames and those that were clicked on, in a grid."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import cv2
import numpy as np

import preprocess
from masks import drawing
from masks.prompts import MaskObject, Prompts, prompted_frames
from masks.store import Mask
from preprocess import Image

EVENLY: Final = 12
MOST_CLICKED: Final = 12
"""Clicked frames that are shown at most; of more, evenly spaced ones."""
_TILE_AREA: Final = 416 * 234
_SHEET_WIDTH: Final = 1680
_GAP: Final = 8
_LABEL_HEIGHT: Final = 28


class ContactSheet:
    """Takes the frames that it shows as they come by, each at the size of its tile."""

    def __init__(self, frame_count: int, width: int, height: int, objects: Sequence[MaskObject] = ()) -> None:
        """Choose the frames.

        Args:
            width: of the frames in pixels, ``height`` alike.
            objects: what was clicked, in pixels of the frames.
        """
        self._size = preprocess.canvas_size(width, height, _TILE_AREA, divisor=2)
        self._objects = Prompts(tuple(objects), (width, height), "").on_canvas(*self._size).objects
        clicked = [frame for frame in prompted_frames(objects) if frame < frame_count]
        self._clicked = {clicked[place] for place in _evenly(len(clicked), MOST_CLICKED)}
        self._columns = max(1, _SHEET_WIDTH // self._size[0])
        self._tiles: dict[int, Image | None] = dict.fromkeys(self._shown(frame_count))

    def _shown(self, frame_count: int) -> list[int]:
        """Frames of the sheet, in order: as many as fill its rows, where there are enough."""
        for wanted in range(EVENLY, EVENLY + 2 * self._columns):
            shown = {*_evenly(frame_count, wanted), *self._clicked}
            if len(shown) % self._columns == 0:
                break
        return sorted(shown)

    def add(self, number: int, frame: Image, mask: Mask) -> None:
        """Draw a frame if it is one of those that are shown.

        Args:
            frame: RGB uint8 [height, width, 3].
            mask: uint8 [height, width], 0 or 1.
        """
        if number not in self._tiles:
            return
        small = np.asarray(cv2.resize(frame, self._size, interpolation=cv2.INTER_AREA), np.uint8)
        small_mask = np.asarray(cv2.resize(mask * 255, self._size, interpolation=cv2.INTER_AREA), np.uint8)
        picture = drawing.draw_mask(small, (small_mask > 127).astype(np.uint8))
        drawing.draw_prompts(picture, self._objects, number)
        words = [f"frame {number}"]
        words += ["clicked"] if number in self._clicked else []
        words += [] if mask.any() else ["no mask"]
        label = np.full((_LABEL_HEIGHT, self._size[0], 3), drawing.DARK, np.uint8)
        drawing.draw_label(label, ", ".join(words), 0, 0, height=_LABEL_HEIGHT)
        self._tiles[number] = np.vstack([picture, label])

    def picture(self) -> Image:
        """The sheet of what has come by: RGB uint8 [height, width, 3].

        Raises:
            ValueError: nothing has.
        """
        tiles = [tile for tile in self._tiles.values() if tile is not None]
        if not tiles:
            raise ValueError("no frame of the sheet has come by")
        height, width = tiles[0].shape[:2]
        columns = min(len(tiles), self._columns)
        rows = -(-len(tiles) // columns)
        sheet = np.full(
            (rows * (height + _GAP) + _GAP, columns * (width + _GAP) + _GAP, 3), drawing.DARK, np.uint8
        )
        for place, tile in enumerate(tiles):
            row, column = divmod(place, columns)
            top, left = _GAP + row * (height + _GAP), _GAP + column * (width + _GAP)
            sheet[top : top + height, left : left + width] = tile
        return sheet


def _evenly(count: int, wanted: int) -> list[int]:
    """At most ``wanted`` of the numbers 0 to ``count - 1``, evenly spaced, first and last included."""
    return sorted({round(place) for place in np.linspace(0, count - 1, min(count, wanted))})
