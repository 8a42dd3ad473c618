"""From a Track (MediaPipe's points) to the points that upstream draws: 20 of the body, 21 of each hand."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from engines.preview.track import Track

Points = NDArray[np.float64]

NOSE, NECK = 0, 1
RIGHT_WRIST, LEFT_WRIST = 4, 7

LARGEST_WRIST_GAP = 0.6
"""Hand sizes between the hand's root and the body's wrist from which the hand is another one, or stale."""

# BlazePose joints for each of the 20 points; the neck is the mean of the two shoulders.
_SOURCES: tuple[tuple[int, ...], ...] = (
    (0,), (11, 12), (12,), (14,), (16,), (11,), (13,), (15,), (24,), (26,),
    (28,), (23,), (25,), (27,), (5,), (2,), (8,), (7,), (31,), (32,),
)  # fmt: skip


@dataclass(frozen=True, eq=False)
class PosePoints:
    """What is drawn in T frames of ``width`` x ``height`` pixels.

    ``body`` is float64 [T, 20, 3], ``left_hand`` and ``right_hand`` [T, 21, 3]: x, y in pixels and confidence
    0..1, in the order of ``pose_drawing``. Left and right are the person's own.
    """

    width: int
    height: int
    body: Points
    left_hand: Points
    right_hand: Points

    def __len__(self) -> int:
        return len(self.body)

    def frame(self, index: int) -> tuple[Points, Points, Points]:
        """Body, left hand and right hand of one frame, as ``draw_pose`` takes them."""
        return self.body[index], self.left_hand[index], self.right_hand[index]


def pose_points(track: Track) -> PosePoints:
    """Upstream's points of every frame of a Track.

    The models report points beyond the picture's edge as sure; upstream's detector does not. So a point
    outside the frame gets confidence 0. A hand takes its presence score for all points, and is dropped
    where its root is far from the body's wrist. The toe is the big toe's tip (upstream: the mean of two
    toes, a few pixels off).
    """
    body = _body_points(track.body)
    body[..., 2] *= _inside(body, track.width, track.height)
    hands = [
        _hand_points(track, side, body[:, wrist]) for side, wrist in enumerate((LEFT_WRIST, RIGHT_WRIST))
    ]
    return PosePoints(track.width, track.height, body, *hands)


def _body_points(joints: NDArray[np.float32]) -> Points:
    columns = joints[..., [0, 1, 3]].astype(np.float64)
    return np.stack([columns[:, list(source)].mean(axis=1) for source in _SOURCES], axis=1)


def _hand_points(track: Track, side: int, wrists: Points) -> Points:
    found = track.hand_score[:, side] > 0
    points = np.zeros((len(track), 21, 3))
    points[found, :, :2] = track.hands[found, side, :, :2]
    size = np.ptp(points[..., :2], axis=1).max(axis=1)
    gap = np.linalg.norm(points[:, 0, :2] - wrists[:, :2], axis=1)
    belongs = found & (gap <= LARGEST_WRIST_GAP * size)
    points[..., 2] = np.where(belongs, track.hand_score[:, side], 0.0)[:, np.newaxis]
    points[..., 2] *= _inside(points, track.width, track.height)
    return points


def _inside(points: Points, width: int, height: int) -> NDArray[np.bool_]:
    x, y = points[..., 0], points[..., 1]
    return np.asarray((x >= 0) & (x < width) & (y >= 0) & (y < height), np.bool_)
