"""The files of the mask step, written in one pass over the clip: mask, background, preview, contact sheet."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from fractions import Fraction
from itertools import groupby
from pathlib import Path
from typing import Final

import numpy as np

import preprocess
from masks.clip import Clip
from masks.drawing import SheetMaker, draw_mask, draw_prompts, sheet_frames
from masks.errors import MaskError
from masks.prompts import MaskObject, prompted_frames
from masks.segmenter import Report
from masks.store import Mask
from preprocess import VideoWriter

MASK, BACKGROUND = "src_mask.mp4", "src_bg.mp4"
"""Upstream's names."""
PREVIEW, SHEET = "mask_preview.mp4", "mask_contact_sheet.png"
_LONGEST_LIST: Final = 6


@dataclass(frozen=True)
class MaskReport:
    """What was written."""

    frame_count: int
    mean_coverage: float
    """Share of all pixels that is masked, 0..1."""
    empty_frames: tuple[tuple[int, int], ...]
    """First and last of each run of frames without any mask."""

    def notices(self) -> tuple[str, ...]:
        """What people should know, in full sentences."""
        if not self.empty_frames:
            return ()
        runs = [f"{first}" if first == last else f"{first} to {last}" for first, last in self.empty_frames]
        told = ", ".join(runs[:_LONGEST_LIST]) + (" and others" if len(runs) > _LONGEST_LIST else "")
        many = len(runs) > 1 or self.empty_frames[0][0] != self.empty_frames[0][1]
        return (f"The mask is empty in frame{'s' if many else ''} {told}: nothing is replaced there.",)


def write_mask_files(
    clip: Clip,
    masks: Iterator[Mask],
    folder: Path,
    rate: Fraction,
    report: Report,
    objects: Sequence[MaskObject] = (),
) -> MaskReport:
    """Write the four files into ``folder``.

    Coding: the mask without loss (x264 qp 0, yuv420p, grey), so that upstream's decord reads 0 and 255 in
    every pixel. The background without loss in yuv444p: that is the cheapest coding in which what is black
    stays black beside the picture (measured: 0 of all hole pixels; crf 1 leaves 1 %, qp 0 in yuv420p too).

    Args:
        masks: the final mask of each frame in order, uint8 [height, width], 0 or 1.
        rate: frames a second.
        objects: drawn on the frames where they were clicked.

    Raises:
        preprocess.MediaError: the clip cannot be read.
        MaskError, and whatever ``masks`` raises.
    """
    sheet = SheetMaker(sheet_frames(clip.frame_count, prompted_frames(objects)))
    empty, covered = [], 0
    with ExitStack() as stack:
        # Presets: what is lossless is as good in any; the quickest is 17 % larger and takes a third.
        size = (clip.width, clip.height)
        mask_file = stack.enter_context(VideoWriter(folder / MASK, *size, rate, lossless=True))
        background_file = stack.enter_context(
            VideoWriter(
                folder / BACKGROUND,
                *size,
                rate,
                lossless=True,
                preset="ultrafast",
                pixel_format="yuv444p",
            )
        )
        preview_file = stack.enter_context(VideoWriter(folder / PREVIEW, *size, rate, preset="superfast"))
        for number, (frame, mask) in enumerate(zip(clip.frames(), masks, strict=True)):
            mask_file.write(mask * np.uint8(255))
            background_file.write(frame * (1 - mask)[..., np.newaxis])
            drawn = draw_prompts(draw_mask(frame, mask), objects, number)
            preview_file.write(drawn)
            sheet.add(number, drawn)
            covered += int(np.count_nonzero(mask))
            if not mask.any():
                empty.append(number)
            report("write the mask", number + 1, clip.frame_count)
    preprocess.write_picture(folder / SHEET, sheet.picture())
    pixels = clip.frame_count * clip.width * clip.height
    return MaskReport(clip.frame_count, covered / pixels, _runs(empty))


def check_mask_files(folder: Path, pose: Path) -> None:
    """Decode mask and background from end to end, and hold them against the pose video.

    Raises:
        MaskError: another count, size or rate; a mask that is not 0 and 255; a background that is not black
            exactly where the mask is set.
        preprocess.MediaError: one of them does not decode.
    """
    expected = preprocess.probe_video(pose)
    for name in (MASK, BACKGROUND, PREVIEW):
        info = preprocess.probe_video(folder / name)
        found, wanted = ((each.frame_count, each.width, each.height, each.rate) for each in (info, expected))
        if found != wanted:
            raise _spoiled(f"{name} is {found}, and {pose.name} is {wanted}")
    streams = (preprocess.read_frames(folder / name) for name in (MASK, BACKGROUND))
    for number, (mask, background) in enumerate(zip(*streams, strict=True)):
        masked = mask > 0
        if not np.array_equal(mask, masked * np.uint8(255)) or (masked != masked[..., :1]).any():
            raise _spoiled(f"{MASK}, frame {number}, has values between 0 and 255")
        if background[masked[..., 0]].any():
            raise _spoiled(f"{BACKGROUND}, frame {number}, is not black under the mask")


def _spoiled(what: str) -> MaskError:
    return MaskError(f"{what}.", "Run it again; if it stays, report it.", code="mask.files-spoiled")


def _runs(numbers: Sequence[int]) -> tuple[tuple[int, int], ...]:
    """First and last of each run of consecutive numbers."""
    groups = groupby(enumerate(numbers), key=lambda entry: entry[1] - entry[0])
    runs = [[number for _, number in group] for _, group in groups]
    return tuple((run[0], run[-1]) for run in runs)
