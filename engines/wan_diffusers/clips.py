"""Videos for the worker and back: arrays in files, so that its Python needs no video library."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Final

import numpy as np

import preprocess

Report = Callable[[str, int, int], None]
_CRF: Final = 14
"""Finer than what people look at: the finish copies these frames, it does not code them again."""


def unpack(video: Path, target: Path, report: Report, fps: int | None = None) -> int:
    """Decode a video into a .npy file, uint8 RGB ``[frames, height, width, 3]``; returns how many frames.

    Args:
        fps: take so many frames of each second, as stage 1 does; None for all there are.

    Raises:
        preprocess.MediaError: it cannot be decoded, or has fewer frames than it says.
    """
    info = preprocess.probe_video(video)
    indices = None if fps is None else preprocess.sample_indices(info.frame_count, float(info.rate), fps)
    count = info.frame_count if indices is None else len(indices)
    frames = np.lib.format.open_memmap(target, "w+", np.uint8, (count, info.height, info.width, 3))
    number = 0
    for image in preprocess.read_frames(video, indices):
        if number == count:
            break
        frames[number] = image
        number += 1
        report(f"reading {video.name}", number, count)
    if number < count:
        raise preprocess.MediaError(f"{video} is damaged: {number} of {count} frames decode.")
    frames.flush()
    return number


def pack(frames_file: Path, target: Path, rate: Fraction, report: Report) -> None:
    """Code a .npy file of frames as an H.264 video. An odd last row or column is left out."""
    frames = np.load(frames_file, mmap_mode="r", allow_pickle=False)
    height, width = (side // 2 * 2 for side in frames.shape[1:3])
    with preprocess.VideoWriter(target, width, height, rate, crf=_CRF) as writer:
        for number, image in enumerate(frames, 1):
            writer.write(np.asarray(image[:height, :width]))
            report("coding the video", number, len(frames))
