"""A folder as stage 1 leaves it, small."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from engines import source_folder
from preprocess import write_picture
from tests.media import numbered_frame, write_clip

FRAMES, SIZE = 21, (48, 32)
_SETTINGS = {"preset": "ultrafast", "qp": "0"}


def write_source_folder(
    folder: Path,
    *,
    replace: bool = False,
    frames: int = FRAMES,
    face_frames: int | None = None,
    size: tuple[int, int] = SIZE,
    masked_from: int = 16,
) -> Path:
    """Write its files. ``masked_from``: the column from which on the mask is white."""
    folder.mkdir(exist_ok=True)
    write_picture(folder / source_folder.REFERENCE, numbered_frame(3, *size))
    write_clip(folder / source_folder.POSE, frame_count=frames, size=size, options=_SETTINGS)
    write_clip(
        folder / source_folder.FACE, frame_count=face_frames or frames, size=(512, 512), options=_SETTINGS
    )
    if replace:

        def mask(number: int, width: int, height: int) -> NDArray[np.uint8]:
            image = np.zeros((height, width, 3), np.uint8)
            image[:, masked_from:] = 255
            return image

        def background(number: int, width: int, height: int) -> NDArray[np.uint8]:
            return np.where(mask(number, width, height) > 0, 0, numbered_frame(number, width, height)).astype(
                np.uint8
            )

        for name, paint in ((source_folder.MASK, mask), (source_folder.BACKGROUND, background)):
            write_clip(folder / name, frame_count=frames, size=size, frame=paint, options=_SETTINGS)
    return folder
