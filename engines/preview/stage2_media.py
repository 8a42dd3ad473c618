"""What stage 2 reads of stage 1's folder, and how it writes: no model is needed for it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import numpy as np

import preprocess
from engines.preview.puppet import composite
from engines.preview.track import Image, Track
from engines.source_folder import BACKGROUND, MASK, PLATE, POSE

_WAITING_FRAMES = 3


def read_driver(path: Path, frame_count: int) -> Track:
    """Stage 1's track, of so many frames. Raises MediaError."""
    try:
        driver = Track.load(path)
    except (OSError, ValueError) as error:
        raise preprocess.MediaError(f"{path}: {error}. Run stage 1 again.") from error
    if len(driver) != frame_count:
        raise preprocess.MediaError(
            f"{path} holds {len(driver)} frames and {POSE} {frame_count}. Run stage 1 again."
        )
    return driver


def on_canvas(picture: Image, size: tuple[int, int]) -> tuple[Image, Image, tuple[int, int]]:
    """A picture fitted to a canvas of (width, height): the canvas, the picture without its bars, its corner.

    The corner is left and top of the picture on the canvas.
    """
    canvas = preprocess.fit_to_canvas(picture, *size, allow_area=False)
    covered = preprocess.fit_to_canvas(np.ones(picture.shape[:2], np.uint8), *size, allow_area=False)
    rows, columns = np.nonzero(covered.any(1))[0], np.nonzero(covered.any(0))[0]
    left, top = int(columns[0]), int(rows[0])
    content = np.ascontiguousarray(canvas[top : int(rows[-1]) + 1, left : int(columns[-1]) + 1])
    return canvas, content, (left, top)


def scenes(folder: Path) -> Iterator[Image]:
    """Each frame of the driving scene without the actor."""
    streams = (preprocess.read_frames(folder / name) for name in (BACKGROUND, MASK, PLATE))
    for background, mask, plate in zip(*streams, strict=True):
        yield composite.scene(background, mask, plate)


@contextmanager
def write_in_background(writer: preprocess.VideoWriter) -> Iterator[Callable[[Image], None]]:
    """Encode in a thread of its own; at most a few frames wait."""
    waiting: list[Future[None]] = []
    with ThreadPoolExecutor(1, thread_name_prefix="encode") as pool:

        def write(image: Image) -> None:
            waiting.append(pool.submit(writer.write, image))
            if len(waiting) > _WAITING_FRAMES:
                waiting.pop(0).result()

        yield write
        for future in waiting:
            future.result()
