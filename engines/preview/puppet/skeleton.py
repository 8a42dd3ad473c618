"""The puppet's joints and bones: what is taken from BlazePose's 33 points, and how the parts hang together.

Joints are kept in one array per frame so that a whole clip is handled at once. "Left" is the person's own.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from engines.preview.track import Track

Floats = NDArray[np.float32]

NECK, HEAD, PELVIS = 0, 1, 2
SHOULDER, ELBOW, WRIST, PALM, HIP, KNEE, ANKLE, TOE = range(8)
JOINT_COUNT = 19

TORSO_BONE, HEAD_BONE = 0, 1
UPPER_ARM, FOREARM, HAND, THIGH, SHIN, FOOT = range(6)
BONE_COUNT = 14

LEFT, RIGHT = 0, 1
SIDES = (LEFT, RIGHT)

_BLAZEPOSE = {
    SHOULDER: (11, 12),
    ELBOW: (13, 14),
    WRIST: (15, 16),
    HIP: (23, 24),
    KNEE: (25, 26),
    ANKLE: (27, 28),
    TOE: (31, 32),
}
_EARS = (7, 8)
_NOSE = 0
_INDEX_AND_LITTLE_FINGER = ((17, 19), (18, 20))
_KNUCKLES = (5, 9, 13, 17)
_HAND_SCORE_MINIMUM = 0.4


def joint(side: int, name: int) -> int:
    """Index of a joint of one side, for instance ``joint(LEFT, ELBOW)``."""
    return 3 + 8 * side + name


def bone(side: int, name: int) -> int:
    """Index of a bone of one side, for instance ``bone(RIGHT, SHIN)``."""
    return 2 + 6 * side + name


def bone_ends(side: int, name: int) -> tuple[int, int]:
    """Joints at which a limb bone begins (nearer the torso) and ends."""
    begin = {UPPER_ARM: SHOULDER, FOREARM: ELBOW, HAND: WRIST, THIGH: HIP, SHIN: KNEE, FOOT: ANKLE}[name]
    return joint(side, begin), joint(side, begin + 1)


ARM_BONES = (UPPER_ARM, FOREARM, HAND)
LEG_BONES = (THIGH, SHIN, FOOT)


@dataclass(frozen=True)
class Skeleton:
    """Joints of T frames.

    Attributes:
        points: float32 (T, 19, 2), pixels, x right and y down.
        depth: float32 (T, 19), pixels, smaller is nearer.
        confidence: float32 (T, 19), 0..1; 0 outside the picture.
        roll: float32 (T,), turn of the head in radians (clockwise on the screen is positive).
        roll_confidence: float32 (T,).
    """

    points: Floats
    depth: Floats
    confidence: Floats
    roll: Floats
    roll_confidence: Floats

    @property
    def shoulder_width(self) -> Floats:
        """Distance of the shoulders, float32 (T,), pixels."""
        return distance(self.points[:, joint(LEFT, SHOULDER)], self.points[:, joint(RIGHT, SHOULDER)])


def distance(first: Floats, second: Floats) -> Floats:
    """Euclidean distance along the last axis."""
    return np.asarray(np.linalg.norm(first - second, axis=-1), np.float32)


def skeleton_of(track: Track) -> Skeleton:
    """Joints of a track. Neck, pelvis and head are means of two points; the palm prefers the hand model."""
    body = np.nan_to_num(track.body.astype(np.float32))
    count = len(body)
    points = np.zeros((count, JOINT_COUNT, 2), np.float32)
    depth = np.zeros((count, JOINT_COUNT), np.float32)
    confidence = np.zeros((count, JOINT_COUNT), np.float32)

    def put(index: int, sources: tuple[int, ...]) -> None:
        points[:, index] = body[:, sources, :2].mean(1)
        depth[:, index] = body[:, sources, 2].mean(1)
        confidence[:, index] = body[:, sources, 3].min(1)

    for side in SIDES:
        for name, pair in _BLAZEPOSE.items():
            put(joint(side, name), (pair[side],))
        palm = joint(side, PALM)
        put(palm, _INDEX_AND_LITTLE_FINGER[side])
        _palm_from_hand(track, side, points[:, palm], confidence[:, palm])
    put(NECK, (11, 12))
    put(PELVIS, (23, 24))
    put(HEAD, _EARS)
    confidence[:, NECK] = body[:, (11, 12), 3].mean(1)
    confidence[:, HEAD] = np.maximum(body[:, _EARS, 3].max(1), body[:, _NOSE, 3])
    roll, roll_confidence = _head_roll(track, body)
    _bridge_elbows(confidence)
    return Skeleton(points, depth, confidence, roll, roll_confidence)


def _palm_from_hand(track: Track, side: int, points: Floats, confidence: Floats) -> None:
    seen = track.hand_score[:, side] >= _HAND_SCORE_MINIMUM
    knuckles = np.nan_to_num(track.hands[:, side][:, _KNUCKLES, :2]).mean(1)
    points[seen] = knuckles[seen]
    confidence[seen] = np.maximum(confidence[seen], track.hand_score[seen, side])


def _bridge_elbows(confidence: Floats) -> None:
    """An elbow just outside the picture, between a shoulder and a wrist that are seen, is a good guess."""
    for side in SIDES:
        ends = np.minimum(confidence[:, joint(side, SHOULDER)], confidence[:, joint(side, WRIST)])
        elbow = joint(side, ELBOW)
        confidence[:, elbow] = np.maximum(confidence[:, elbow], 0.8 * ends)


def _head_roll(track: Track, body: Floats) -> tuple[Floats, Floats]:
    """Turn of the eye line: from the outer eye corners of the face mesh, else from the body's ears."""
    left, right = body[:, _EARS[0], :2], body[:, _EARS[1], :2]
    confidence = body[:, _EARS, 3].min(1)
    faces = track.face_score >= 0.5
    left, right = left.copy(), right.copy()
    left[faces] = track.face[faces, 263, :2]
    right[faces] = track.face[faces, 33, :2]
    line = left - right
    roll = np.arctan2(line[:, 1], line[:, 0]).astype(np.float32)
    return roll, np.where(faces, 1.0, confidence).astype(np.float32)
