"""One video that shows driving video, pose and result beside each other, for looking at a result."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from fractions import Fraction
from itertools import zip_longest
from pathlib import Path
from typing import Final

import cv2
import numpy as np

import preprocess
from media import labels
from media.finish import Finished, FinishError, Report, Sound, finish_video
from preprocess import Image

_GAP: Final = 4
"""Black pixels between two pictures."""
_PHASE: Final = "put side by side"
_REPORT_EVERY: Final = 10


def _no_report(_phase: str, _done: int, _total: int) -> None:
    pass


def write_side_by_side(
    source_frames: Iterator[Image],
    pose: Path,
    result: Path,
    target: Path,
    *,
    rate: Fraction,
    report: Report = _no_report,
) -> Finished:
    """Write source | pose | result as an MP4 of the result's height, with the result's sound and label.

    Args:
        source_frames: the driving video's frames, one for each of the result's: RGB uint8 (H, W, 3).
        pose: the pose video, as many frames as the result.
        result: the finished result.
        rate: frames per second, exact.
        report: told of the progress; may raise to cancel.

    Raises:
        FinishError: the three are not equally long, or the file cannot be written.
        MediaError: one of them cannot be read.
    """
    info = preprocess.probe_video(result)
    silent = target.with_name(f"{target.stem}.silent.mp4")
    rows = _rows(source_frames, pose, result, info.height)
    try:
        _write(rows, silent, rate, lambda done: report(_PHASE, done, info.frame_count))
        return finish_video(
            silent,
            target,
            rate=rate,
            sound=Sound(result, Fraction(0)) if info.has_audio else None,
            tags={"title": target.stem, "comment": "driving video | pose | result"},
            xmp=labels.read_xmp(result) or b"",
            report=report,
        )
    finally:
        silent.unlink(missing_ok=True)


def _rows(source_frames: Iterator[Image], pose: Path, result: Path, height: int) -> Iterator[Image]:
    """One picture of the three, frame by frame."""
    trios = zip_longest(source_frames, preprocess.read_frames(pose), preprocess.read_frames(result))
    gap = np.zeros((height, _GAP, 3), np.uint8)
    for number, trio in enumerate(trios):
        names = ("driving video", "pose video", "result")
        short = [name for name, image in zip(names, trio, strict=True) if image is None]
        if short:
            raise FinishError(
                f"The {short[0]} ends at frame {number}; the others go on. They belong to different runs.",
                "Run both stages again, or leave out --side_by_side.",
            )
        source, drawn, made = (_to_height(image, height) for image in trio)
        yield np.hstack([source, gap, drawn, gap, made])


def _to_height(image: Image, height: int) -> Image:
    """The picture scaled to a height, its shape kept, its width even (4:2:0 video needs that)."""
    width = max(2, round(image.shape[1] * height / image.shape[0] / 2) * 2)
    if (width, height) == (image.shape[1], image.shape[0]):
        return image
    shrinks = height < image.shape[0]
    interpolation = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(image, (width, height), interpolation=interpolation), np.uint8)


def _write(rows: Iterator[Image], path: Path, rate: Fraction, report: Callable[[int], None]) -> None:
    first = next(rows)
    with preprocess.VideoWriter(path, first.shape[1], first.shape[0], rate) as writer:
        writer.write(first)
        for row in rows:
            writer.write(row)
            if writer.frame_count % _REPORT_EVERY == 0:
                report(writer.frame_count)
