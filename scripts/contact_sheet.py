#!/usr/bin/env python3
"""Draw a contact sheet: driving video, what stage 1 made of it, and the result, a row each.

python scripts/contact_sheet.py DRIVING_VIDEO SOURCE_FOLDER RESULT SHEET.png
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import cv2
import numpy as np

import preprocess
from engines import source_folder

COLUMNS = 6
TILE_AREA = 240 * 240
_LABEL_HEIGHT = 26


def make_sheet(rows: Sequence[tuple[str, Path]], sheet: Path, columns: int = COLUMNS) -> None:
    """Write a picture with one labelled row for each video, at evenly spaced times.

    Every tile has the shape of the last row's video; others are letterboxed into it.
    """
    last = preprocess.probe_video(rows[-1][1])
    width, height = preprocess.canvas_size(last.width, last.height, TILE_AREA, divisor=2)
    drawn = []
    for label, path in rows:
        tiles = [preprocess.fit_to_canvas(frame, width, height) for frame in _evenly(path, columns)]
        drawn += [_label(label, width * columns), np.concatenate(tiles, axis=1)]
    preprocess.write_picture(sheet, np.concatenate(drawn, axis=0))


def _evenly(path: Path, count: int) -> list[preprocess.Image]:
    frame_count = preprocess.probe_video(path).frame_count
    indices = [round(position) for position in np.linspace(0, frame_count - 1, count)]
    return list(preprocess.read_frames(path, indices))


def _label(text: str, width: int) -> preprocess.Image:
    strip = np.full((_LABEL_HEIGHT, width, 3), 24, np.uint8)
    cv2.putText(strip, text, (8, 18), cv2.FONT_HERSHEY_SIMPLEX, 0.5, (235, 235, 235), 1, cv2.LINE_AA)
    return strip


def main() -> int:
    """Draw the sheet of one finished job."""
    if len(sys.argv) != 5:
        print(__doc__, file=sys.stderr)
        return 2
    driving, folder, result, sheet = map(Path, sys.argv[1:])
    rows = [("driving video", driving), ("pose", folder / source_folder.POSE)]
    if (folder / source_folder.MASK).is_file():
        rows.append(("mask", folder / source_folder.MASK))
    rows.append(("result", result))
    make_sheet(rows, sheet)
    return 0


if __name__ == "__main__":
    sys.exit(main())
