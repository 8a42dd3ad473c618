"""Hand reader: 21 points of each hand (Zhang et al., 2020, arXiv:2006.10214)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from engines.preview.network import Network, Region
from engines.preview.track import FloatArray, Image

HAND_THRESHOLD = 0.4

_WRIST_CONFIDENCE = 0.3
_FAR = 0.6  # region sides between the hand and where the body has it
_FIRST_SCALE = 4.8
_REGION_SCALE = 2.0
_REGION_SHIFT = 0.1
_PALM = [0, 1, 2, 3, 5, 6, 9, 10, 13, 14, 17, 18]  # points that fingers cannot carry away
_WRIST, _MIDDLE_KNUCKLE = 0, 9

# BlazePose joints of the person's left and right: wrist, index knuckle, little knuckle
SIDES = ((15, 19, 17), (16, 20, 18))


@dataclass(frozen=True)
class HandReading:
    """One hand in one frame: points [21, 3] in frame pixels, presence score, and where to look next."""

    points: FloatArray
    score: float
    next_region: Region


class HandReader:
    """Follows one hand from frame to frame; starts from the body's wrist."""

    def __init__(self, side: int, network: Network) -> None:
        """`side`: 0 = the person's left, 1 = right. `network` ("hand_landmark_full") may serve both."""
        self.wrist, self._index, self._little = SIDES[side]
        self._network = network
        self._region: Region | None = None

    def reset(self) -> None:
        """Forget where the hand was."""
        self._region = None

    def read(self, frame: Image, joints: FloatArray) -> HandReading | None:
        """The hand of the body `joints` [33, 4] in a uint8 RGB frame; None if it is not to be seen."""
        if joints[self.wrist, 3] < _WRIST_CONFIDENCE:
            self._region = None
            return None
        expected = self._region_of_wrist(joints)
        reading = self._read_at(frame, self._region) if self._region else None
        if reading is None or not _is_there(reading, expected):
            reading = self._read_at(frame, expected)
            if _is_there(reading, expected):  # the first look only finds the hand; the second reads it
                reading = self._read_at(frame, reading.next_region)
        found = _is_there(reading, expected)
        self._region = reading.next_region if found else None
        return reading if found else None

    def _region_of_wrist(self, joints: FloatArray) -> Region:
        wrist, index, little = (joints[joint, :2] for joint in (self.wrist, self._index, self._little))
        centre = (2 * index + little) / 3
        up = np.asarray(centre - wrist, np.float32)
        side = max(_FIRST_SCALE * float(np.hypot(up[0], up[1])), 8.0)
        return Region.pointing(float(centre[0]), float(centre[1]), side, up)

    def _read_at(self, frame: Image, region: Region) -> HandReading:
        side = self._network.side
        self._network.run(region.cut(frame, side))
        points = region.to_frame(self._network.output("Identity").reshape(21, 3), side)
        score = float(self._network.output("Identity_1")[0, 0])
        up = points[_MIDDLE_KNUCKLE, :2] - points[_WRIST, :2]
        return HandReading(points, score, Region.around(points[_PALM, :2], up, _REGION_SCALE, _REGION_SHIFT))


def _is_there(reading: HandReading, expected: Region) -> bool:
    palm = reading.points[_PALM, :2].mean(axis=0)
    away = float(np.hypot(palm[0] - expected.x, palm[1] - expected.y))
    return reading.score >= HAND_THRESHOLD and away <= _FAR * expected.side and reading.next_region.side >= 4
