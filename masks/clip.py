"""The frames that are masked: exactly those of the other files of stage 1's folder."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import preprocess
from preprocess import Image


@dataclass(frozen=True)
class Clip:
    """The driving video's sampled frames on the canvas, uint8 RGB [height, width, 3]."""

    video: Path
    """What stage 1 read: the driving video or its clean copy."""
    numbers: tuple[int, ...]
    """Number in the video of each frame of stage 1's files, not decreasing; repeats occur."""
    width: int
    height: int

    @property
    def frame_count(self) -> int:
        """Frames of every file of the folder."""
        return len(self.numbers)

    def frames(self, first: int = 0, end: int | None = None) -> Iterator[Image]:
        """Frames ``first`` to ``end - 1``, forwards, one at a time. A repeated frame is the same array.

        Raises:
            preprocess.MediaError: the video cannot be read.
        """
        return self._sized(preprocess.read_frames(self.video, self.numbers[first:end]))

    def frames_backwards(self, first: int = 0, end: int | None = None) -> Iterator[Image]:
        """The same frames, the last one first.

        Raises:
            preprocess.MediaError: the video cannot be read.
        """
        return self._sized(preprocess.read_frames_backwards(self.video, self.numbers[first:end][::-1]))

    def _sized(self, frames: Iterator[Image]) -> Iterator[Image]:
        given: Image | None = None
        sized: Image | None = None
        for frame in frames:
            if sized is None or frame is not given:
                given, sized = frame, preprocess.fit_to_canvas(frame, self.width, self.height)
            yield sized


def frame_numbers(frame_count: int, rate: float, fps: int, written: int) -> tuple[int, ...]:
    """Number in the video of each frame that stage 1 wrote.

    Upstream samples ``preprocess.sample_indices``; its writer then may repeat the last frame or lose it, so
    that ``written`` frames are there.

    Raises:
        ValueError: the counts differ by more than the writer's one frame.
    """
    numbers: Sequence[int] = preprocess.sample_indices(frame_count, rate, fps)
    if not numbers or abs(len(numbers) - written) > 1:
        raise ValueError(f"{written} frames were written and {len(numbers)} are sampled")
    return (*numbers, numbers[-1])[:written]
