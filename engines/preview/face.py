"""Face reader: the 468 points of the face mesh (Kartynnik et al., 2019, arXiv:1907.06724)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from engines.preview.network import Network, Region, sigmoid
from engines.preview.track import FloatArray, Image

FACE_THRESHOLD = 0.5

_RIGHT_EYE_CORNER, _LEFT_EYE_CORNER = 33, 263  # the person's right and left: outer corners
_REGION_SCALE = 1.5
_STRAY = 0.6  # region sides between where the face was followed to and where the body has its head

# BlazePose joints
_LEFT_EYE, _RIGHT_EYE, _LEFT_EAR, _RIGHT_EAR, _MOUTH = 2, 5, 7, 8, [9, 10]


@dataclass(frozen=True)
class FaceReading:
    """One frame's face: points [468, 3] in frame pixels, score, and where to look in the next frame."""

    points: FloatArray
    score: float
    next_region: Region


class FaceReader:
    """Follows one face from frame to frame; starts from the body's head points."""

    def __init__(self) -> None:
        self._network = Network("face_landmark")
        self._region: Region | None = None

    def reset(self) -> None:
        """Forget where the face was."""
        self._region = None

    def read(self, frame: Image, joints: FloatArray) -> FaceReading | None:
        """The face of the body `joints` [33, 4] in a uint8 RGB frame; None if there is none to be seen."""
        expected = region_of_head(joints)
        region = self._region
        if region is not None and _distance(region, expected) > _STRAY * max(region.side, expected.side):
            region = None
        reading = self._read_at(frame, region) if region else None
        if reading is None or reading.score < FACE_THRESHOLD:
            reading = self._read_at(frame, expected)
            if reading.score >= FACE_THRESHOLD:  # the first look only finds the face; the second reads it
                reading = self._read_at(frame, reading.next_region)
        found = reading.score >= FACE_THRESHOLD
        self._region = reading.next_region if found else None
        return reading if found else None

    def _read_at(self, frame: Image, region: Region) -> FaceReading:
        side = self._network.side
        self._network.run(region.cut(frame, side))
        points = region.to_frame(self._network.output("conv2d_21").reshape(468, 3), side)
        score = float(sigmoid(self._network.output("conv2d_31").reshape(1))[0])
        eyes = points[_LEFT_EYE_CORNER, :2] - points[_RIGHT_EYE_CORNER, :2]
        return FaceReading(points, score, Region.around(points[:, :2], _up_from_eyes(eyes), _REGION_SCALE))


def region_of_head(joints: FloatArray) -> Region:
    """First guess of the face's square from the body's eyes, ears and mouth corners."""
    left_eye, right_eye = joints[_LEFT_EYE, :2], joints[_RIGHT_EYE, :2]
    eye_middle, mouth_middle = (left_eye + right_eye) / 2, joints[_MOUTH, :2].mean(axis=0)
    ears = float(np.linalg.norm(joints[_LEFT_EAR, :2] - joints[_RIGHT_EAR, :2]))
    side = max(1.6 * ears, 4.2 * float(np.linalg.norm(mouth_middle - eye_middle)), 8.0)
    x, y = (eye_middle + mouth_middle) / 2
    return Region.pointing(float(x), float(y), side, _up_from_eyes(left_eye - right_eye))


def _up_from_eyes(right_to_left: FloatArray) -> FloatArray:
    # The person's left is at the picture's right, so up is a quarter turn back from right eye -> left eye.
    return np.array([right_to_left[1], -right_to_left[0]], np.float32)


def _distance(one: Region, other: Region) -> float:
    return float(np.hypot(one.x - other.x, one.y - other.y))
