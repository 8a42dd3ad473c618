"""Does the camera move, and how: the background's movement outside the person's area."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]
Mask = NDArray[np.uint8]
Transform = NDArray[np.float64]

STILL_WITHIN = 0.75
"""Pixels at full size by which the background may wander in the clip of a still camera."""

_MEASURED_SIDE = 560
_MOST_CORNERS, _LEAST_CORNERS = 160, 12
_LARGEST_ERROR = 1.5
_SAME_COLOUR = 4.0
"""Mean difference (of 255) below which two featureless pictures count as the same."""


def camera_stands_still(samples: Sequence[Image], masks: Sequence[Mask]) -> bool:
    """Whether the background keeps its place through sampled frames (RGB; masks 0/255, 255 = person)."""
    middle = len(samples) // 2
    first = _Measured(samples[middle], masks[middle])
    still = [
        _kept_place(first, _Measured(sample, mask))
        for number, (sample, mask) in enumerate(zip(samples, masks, strict=True))
        if number != middle
    ]
    return sum(still) >= 0.9 * len(still)


class CameraPath:
    """Where the background of each frame lies in its scene: the part of the clip that the camera sweeps.

    A cut, or a camera that has turned too far away, begins a new scene.
    """

    def __init__(self, transforms: Sequence[Transform], scenes: Sequence[int]) -> None:
        self._transforms, self._scenes = transforms, scenes

    def scene(self, index: int) -> int:
        """Number of the scene that frame ``index`` belongs to."""
        return self._scenes[index]

    def to_scene(self, index: int) -> Transform:
        """Affine [3, 3] that takes pixels of frame ``index`` to those of its scene's first frame."""
        return self._transforms[index]


def camera_path(
    frames: Callable[[Sequence[int]], Iterator[Image]],
    person: Callable[[int], Mask],
    frame_count: int,
    report: Callable[[str, int, int], None],
) -> CameraPath:
    """Follow the background from frame to frame. Where it cannot be followed a new scene begins."""
    transforms: list[Transform] = []
    scenes: list[int] = []
    before: _Measured | None = None
    last: Image | None = None
    for index, frame in enumerate(frames(range(frame_count))):
        if frame is last:  # a driving frame that is sampled twice
            move: Transform | None = transforms[-1]
        else:
            now = _Measured(frame, person(index))
            step = before.transform_to(now) if before is not None else None
            move = transforms[-1] @ np.linalg.inv(step) if step is not None else None
            if move is not None and _too_far(move, frame.shape[1], frame.shape[0]):
                move = None
            before, last = now, frame
        transforms.append(np.eye(3) if move is None else move)
        scenes.append((scenes[-1] + (move is None)) if scenes else 0)
        report("follow the camera", index + 1, frame_count)
    return CameraPath(transforms, scenes)


def _too_far(move: Transform, width: int, height: int) -> bool:
    """Whether a view lies more than one and a half pictures from its scene's first, or is zoomed twofold."""
    zoom = float(np.sqrt(abs(np.linalg.det(move[:2, :2]))))
    centre = (move @ np.array([width / 2, height / 2, 1.0]))[:2] - (width / 2, height / 2)
    return not 0.5 < zoom < 2 or abs(centre[0]) > 1.5 * width or abs(centre[1]) > 1.5 * height


class _Measured:
    """A frame made small and grey, with its person's area."""

    def __init__(self, frame: Image, mask: Mask) -> None:
        height, width = frame.shape[:2]
        self.factor = min(1.0, _MEASURED_SIDE / max(width, height))
        size = round(width * self.factor), round(height * self.factor)
        grey = cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY)
        self.grey = np.asarray(cv2.resize(grey, size, interpolation=cv2.INTER_AREA), np.uint8)
        self.free = cv2.resize(mask, size, interpolation=cv2.INTER_NEAREST) == 0

    def followed(self, other: _Measured) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Background corners [N, 2] of this frame and where they lie in the other, in small pixels."""
        nothing = np.zeros((0, 2), np.float32)
        corners = cv2.goodFeaturesToTrack(self.grey, _MOST_CORNERS, 0.01, 8, mask=self.free.astype(np.uint8))
        if corners is None:
            return nothing, nothing
        start = np.asarray(corners, np.float32)
        end, found, _ = cv2.calcOpticalFlowPyrLK(self.grey, other.grey, start, None)  # type: ignore[call-overload]
        back, found_back, _ = cv2.calcOpticalFlowPyrLK(other.grey, self.grey, end, None)  # type: ignore[call-overload]
        start, end, back = (np.asarray(points).reshape(-1, 2) for points in (start, end, back))
        good = (found.ravel() > 0) & (found_back.ravel() > 0) & (np.linalg.norm(back - start, axis=1) < 0.5)
        height, width = self.grey.shape
        column = np.clip(end[:, 0], 0, width - 1).astype(int)
        row = np.clip(end[:, 1], 0, height - 1).astype(int)
        good &= other.free[row, column]
        return start[good], end[good]

    def transform_to(self, other: _Measured) -> Transform | None:
        """Homogeneous affine [3, 3], full-size pixels of this frame to the other; None if nothing holds."""
        start, end = self.followed(other)
        if len(start) < _LEAST_CORNERS:
            return np.eye(3) if _same_colours(self, other) else None
        affine, inliers = cv2.estimateAffine2D(
            start / self.factor, end / self.factor, method=cv2.RANSAC,
            ransacReprojThreshold=_LARGEST_ERROR / self.factor,
        )  # fmt: skip
        if affine is None or np.count_nonzero(inliers) < max(_LEAST_CORNERS, 0.4 * len(start)):
            return None
        return np.vstack([affine, [0.0, 0.0, 1.0]])


def _kept_place(first: _Measured, other: _Measured) -> bool:
    start, end = first.followed(other)
    if len(start) < _LEAST_CORNERS:
        return _same_colours(first, other)
    moved = np.linalg.norm(end - start, axis=1) / first.factor
    return bool(np.median(moved) <= STILL_WITHIN)


def _same_colours(first: _Measured, other: _Measured) -> bool:
    """Whether two frames without corners to follow look the same outside the person."""
    both = first.free & other.free
    if not both.any():
        return True
    difference = cv2.absdiff(first.grey, other.grey)[both]
    return bool(difference.mean() < _SAME_COLOUR)
