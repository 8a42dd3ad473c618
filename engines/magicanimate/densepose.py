"""DensePose videos: is it one, by its colours; and as MagicAnimate takes it, a square on its own purple."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Final

import numpy as np

import preprocess
from engines.declared.staging import Image, Report, write_padded
from engines.magicanimate.tool import SIDE
from media.normalise import write_normalised

BACKGROUND: Final = (68, 1, 84)
"""The first colour of the table viridis: what lies behind the figure in the videos it was trained with."""
_NEAR: Final = 12
_LEAST_SHARE: Final = 0.2


def wrong_colours(path: Path) -> str | None:
    """Why a video is no DensePose video as MagicAnimate knows them, as the rest of a sentence, or None.

    The rule was made by the clips that come with MagicAnimate: viridis by part, on its first colour.

    Raises:
        preprocess.MediaError: it cannot be read.
    """
    return _wrong(next(preprocess.read_frames(path, [0])))


def _wrong(frame: Image) -> str | None:
    near = np.abs(frame.astype(np.int16) - np.array(BACKGROUND, np.int16)).max(axis=2) <= _NEAR
    black = (frame <= _NEAR).all(axis=2)
    if black.mean() > max(near.mean(), 0.5):
        return "has a black background; it must be the dark purple of the table viridis, RGB 68 1 84"
    if near.mean() < _LEAST_SHARE:
        share = f"{near.mean():.0%} of its first frame"
        return f"does not look like one: {share} is the background's dark purple, RGB 68 1 84"
    return None


def write_square(
    source: Path, target: Path, *, rate: Fraction, frame_limit: int | None, report: Report
) -> None:
    """The video at a constant rate, padded with its own background to MagicAnimate's square.

    Raises:
        preprocess.MediaError: it cannot be read.
    """
    plain = target.with_name("plain.mp4")
    write_normalised(source, plain, rate=rate, frame_limit=frame_limit, report=report)
    write_padded(plain, target, (SIDE, SIDE), BACKGROUND, report)
    plain.unlink()
