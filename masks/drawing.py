"""How a mask and the clicks that made it are shown to people: an overlay, and a sheet of some frames."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from masks.prompts import MaskObject
from masks.store import Mask

Image = NDArray[np.uint8]

_TINT: Final = np.array((255, 64, 160), np.uint16)
_OUTLINE: Final = (255, 255, 255)
_POSITIVE, _NEGATIVE, _RIM = (40, 200, 90), (230, 50, 50), (255, 255, 255)
_COLUMNS: Final = 4
_TILE_PIXELS: Final = 480 * 270
_EVENLY: Final = 8
_MOST_PROMPTED: Final = 8


def draw_mask(frame: Image, mask: Mask) -> Image:
    """The frame with the masked area tinted and its edge drawn; RGB uint8 [height, width, 3]."""
    drawn = frame.copy()
    inside = mask > 0
    drawn[inside] = ((drawn[inside].astype(np.uint16) * 5 + _TINT * 3) // 8).astype(np.uint8)
    edges, _ = cv2.findContours(mask, cv2.RETR_LIST, cv2.CHAIN_APPROX_SIMPLE)
    return np.asarray(cv2.drawContours(drawn, edges, -1, _OUTLINE, _line(frame)), np.uint8)


def draw_prompts(frame: Image, objects: Sequence[MaskObject], number: int) -> Image:
    """What was clicked on frame ``number``, drawn into ``frame``: green is in the mask, red is not."""
    line, radius = _line(frame), 4 * _line(frame)
    for thing in objects:
        for prompt in thing.prompts:
            if prompt.frame != number:
                continue
            if prompt.box is not None:
                corner = (round(prompt.box.left), round(prompt.box.top))
                other = (round(prompt.box.right), round(prompt.box.bottom))
                cv2.rectangle(frame, corner, other, _NEGATIVE if thing.excluded else _POSITIVE, line)
            for point in prompt.points:
                on_it = point.positive != thing.excluded
                place = (round(point.x), round(point.y))
                cv2.circle(frame, place, radius + line, _RIM, cv2.FILLED, cv2.LINE_AA)
                cv2.circle(frame, place, radius, _POSITIVE if on_it else _NEGATIVE, cv2.FILLED, cv2.LINE_AA)
    return frame


def sheet_frames(frame_count: int, prompted: Sequence[int]) -> list[int]:
    """Numbers of the frames for the sheet: the first, the last, some between, and those with clicks."""
    evenly = {round(place) for place in np.linspace(0, frame_count - 1, min(_EVENLY, frame_count))}
    clicked = [number for number in prompted if 0 <= number < frame_count]
    return sorted(evenly | set(clicked[:_MOST_PROMPTED]))


class SheetMaker:
    """Collects small copies of some frames and lays them out."""

    def __init__(self, numbers: Sequence[int]) -> None:
        self._numbers = frozenset(numbers)
        self._tiles: list[Image] = []

    def add(self, number: int, frame: Image) -> None:
        """Take a frame, uint8 RGB, if it is one of those that are wanted."""
        if number in self._numbers:
            height, width = frame.shape[:2]
            factor = (_TILE_PIXELS / (height * width)) ** 0.5
            size = (max(1, round(width * factor)), max(1, round(height * factor)))
            tile = cv2.resize(frame, size, interpolation=cv2.INTER_AREA)
            self._tiles.append(_labelled(np.asarray(tile, np.uint8), f"frame {number}"))

    def picture(self) -> Image:
        """The sheet, uint8 RGB."""
        columns = min(_COLUMNS, len(self._tiles))
        missing = -len(self._tiles) % columns
        tiles = [*self._tiles, *[np.full_like(self._tiles[0], 24)] * missing]
        rows = [np.concatenate(tiles[at : at + columns], axis=1) for at in range(0, len(tiles), columns)]
        return np.concatenate(rows, axis=0)


def _labelled(tile: Image, text: str) -> Image:
    cv2.rectangle(tile, (0, 0), (16 + 10 * len(text), 27), (24, 24, 24), cv2.FILLED)
    cv2.putText(tile, text, (8, 19), cv2.FONT_HERSHEY_SIMPLEX, 0.55, (235, 235, 235), 1, cv2.LINE_AA)
    return tile


def _line(frame: Image) -> int:
    return max(1, round(int(min(frame.shape[:2])) / 360))
