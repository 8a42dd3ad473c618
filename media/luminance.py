"""How bright the pixels of a video are: the quick look that verification takes while it decodes a file.

The decoder's own brightness plane is looked at, at every fourth pixel; turning frames into RGB would cost
more than decoding them.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Final

import av
import cv2
import numpy as np
from numpy.typing import NDArray

from preprocess import MediaError

if TYPE_CHECKING:
    from av.video.frame import VideoFrame

Luminance = NDArray[np.uint8]
"""Brightness 0 (black) to 255 (white), shape (ceil(height / STEP), ceil(width / STEP))."""

STEP: Final = 4
"""Pixels from one that is looked at to the next, in both directions."""

_FULL_RANGE: Final = 2  # AVCOL_RANGE_JPEG
_BRIGHTNESS_FIRST: Final = frozenset(
    ("yuv420p", "yuvj420p", "yuv422p", "yuvj422p", "yuv444p", "yuvj444p", "nv12")
)
"""Pixel formats whose first plane holds 8-bit brightness."""

# Video codes black as 16 and white as 235 unless it says otherwise.
_EXPAND: Final = np.clip((np.arange(256) - 16) * (255 / 219), 0, 255).round().astype(np.uint8)


def read_luminance(path: Path) -> Iterator[Luminance]:
    """Decode a video to its end, in order of display, as it is coded (not turned upright).

    Raises:
        MediaError: it cannot be opened, or a frame of it is damaged.
    """
    number = 0
    try:
        with av.open(str(path.absolute())) as container:
            stream = container.streams.video[0]
            stream.thread_type = "AUTO"
            for frame in container.decode(stream):
                if frame.is_corrupt:
                    raise _damaged(path, number)
                yield _look(frame)
                number += 1
    except (av.FFmpegError, IndexError) as error:
        raise _damaged(path, number) from error


def _damaged(path: Path, number: int) -> MediaError:
    return MediaError(f"{path} is damaged: frame {number} does not decode. Make or copy the file again.")


def _look(frame: VideoFrame) -> Luminance:
    if frame.format.name not in _BRIGHTNESS_FIRST:
        grey = frame.to_ndarray(format="gray")  # any other kind: converted, to the full range
        return np.ascontiguousarray(grey[::STEP, ::STEP], np.uint8)
    plane = frame.planes[0]
    rows = np.frombuffer(memoryview(plane), np.uint8).reshape(-1, plane.line_size)
    seen = np.ascontiguousarray(rows[: frame.height : STEP, : frame.width : STEP])
    if frame.color_range == _FULL_RANGE or frame.format.name.startswith("yuvj"):
        return seen
    return np.asarray(cv2.LUT(seen, _EXPAND), np.uint8)
