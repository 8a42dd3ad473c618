"""Who is to be seen in a single picture: all persons that the models make out.

Nothing is tracked. The detector looks at the whole picture and at overlapping squares of it, so that small
persons are found too; what it finds counts when the body reader finds a body there.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from engines.preview.analysis import start_quality
from engines.preview.body import PERSON_THRESHOLD, BodyReader, BodyReading, Detection, PersonDetector
from engines.preview.face import FaceReader, FaceReading
from engines.preview.network import Region
from engines.preview.smoothing import inside_frame
from engines.preview.track import FloatArray, Image

_SEEN: Final = 0.5
"""Confidence from which a joint counts as seen."""

_SURE: Final = 0.9
"""Score of a body that is only looked for because it was near there in another frame."""

_SQUARE_STEP: Final = 0.5
"""Squares of the frame lie at most this share of their side apart."""

_SAME_PLACE: Final = 0.15
"""Region sides by which two readings of one person may differ."""

_CROP_GROWTH: Final = math.sqrt(1.3)
"""Upstream's face crop has 1.3 times the area of the box round the face's points."""

# BlazePose joints
_NOSE, _EYES, _EARS, _MOUTH = 0, [2, 5], [7, 8], [9, 10]
_HEAD, _TORSO = slice(0, 11), [11, 12, 23, 24]
_KNEES, _ANKLES = [25, 26], [27, 28]
# Face mesh points: the person's right and left cheek, forehead, chin
_RIGHT, _LEFT, _TOP, _CHIN = 234, 454, 10, 152


@dataclass(frozen=True)
class Person:
    """One person in one frame.

    area            square pixels of the box round the joints that are seen
    face_side       mean side of upstream's face crop, in pixels; None where the head is not seen
    face_turn       degrees by which the face is turned from the camera; None where no face is made out
    knees, ankles   whether both are seen inside the frame
    region          square that holds the whole person
    """

    area: float
    face_side: float | None
    face_turn: float | None
    knees: bool
    ankles: bool
    region: Region


class Observer:
    """Finds all persons in single frames."""

    def __init__(self) -> None:
        """Load the models. Raises ModelsMissing."""
        self._detector = PersonDetector()
        self._body = BodyReader()
        self._face = FaceReader()

    def persons(self, image: Image) -> tuple[Person, ...]:
        """Everybody in a uint8 RGB picture, the largest first."""
        bodies = [body for region in self._regions(image) if (body := self._read(image, region))]
        return self._described(image, bodies)

    def persons_near(self, image: Image, regions: Sequence[Region]) -> tuple[Person, ...]:
        """Persons in a picture where the detector sees nobody, looked for where they were in other frames."""
        bodies = [body for region in regions if (body := self._read(image, region)) and body.score >= _SURE]
        return self._described(image, bodies)

    def _regions(self, image: Image) -> list[Region]:
        """Where persons may be: by the detector, in the whole frame and in squares of it."""
        height, width = image.shape[:2]
        found = list(self._detector.detect(image))
        for left, top, side in _squares(width, height):
            part = np.ascontiguousarray(image[top : top + side, left : left + side])
            found += [_moved(person, left, top) for person in self._detector.detect(part)]
        regions: list[Region] = []
        for person in sorted(found, key=lambda person: -person.score):
            if not any(_is_same_region(person.region, region) for region in regions):
                regions.append(person.region)
        return regions

    def _read(self, image: Image, region: Region) -> BodyReading | None:
        """The body in a rough region, read again where the first reading says that it is."""
        rough = self._body.read(image, region)
        if rough.score < PERSON_THRESHOLD:
            return None
        reading = self._body.read(image, rough.next_region)
        if reading.score < PERSON_THRESHOLD:
            reading = rough
        height, width = image.shape[:2]
        closer = reading.closer_look(width, height)
        if closer is not None:
            close = self._body.read(image, closer)
            if close.score >= PERSON_THRESHOLD:
                return replace(close, next_region=reading.next_region)
        return reading

    def _described(self, image: Image, bodies: Sequence[BodyReading]) -> tuple[Person, ...]:
        shape = image.shape[:2]
        distinct: list[BodyReading] = []
        for body in sorted(bodies, key=lambda body: -start_quality(body, shape)):
            if not any(_is_same_person(body, other) for other in distinct):
                distinct.append(body)
        persons = [self._describe(image, body) for body in distinct]
        return tuple(sorted(persons, key=lambda person: -person.area))

    def _describe(self, image: Image, body: BodyReading) -> Person:
        height, width = image.shape[:2]
        joints = body.joints
        seen = inside_frame(joints[np.newaxis], width, height)[0] & (joints[:, 3] >= _SEEN)
        self._face.reset()
        face = self._face.read(image, joints)
        extent = np.ptp(joints[seen, :2], axis=0) if seen.any() else np.zeros(2)
        return Person(
            area=float(extent.prod()),
            face_side=_face_side(joints, seen, face),
            face_turn=None if face is None else _face_turn(face.points),
            knees=bool(seen[_KNEES].all()),
            ankles=bool(seen[_ANKLES].all()),
            region=body.next_region,
        )


def _squares(width: int, height: int) -> list[tuple[int, int, int]]:
    """Left, top and side of overlapping squares along the longer side; none for a picture that is square."""
    side, length = min(width, height), max(width, height)
    count = math.ceil((length / side - 1) / _SQUARE_STEP) + 1
    if count < 2:
        return []
    starts = [round(step * (length - side) / (count - 1)) for step in range(count)]
    return [(start, 0, side) if width > height else (0, start, side) for start in starts]


def _moved(person: Detection, left: int, top: int) -> Detection:
    offset = np.array([left, top], np.float32)
    return Detection(person.score, person.hip_centre + offset, person.size_point + offset)


def _is_same_region(one: Region, other: Region) -> bool:
    away = math.hypot(one.x - other.x, one.y - other.y)
    return away < _SAME_PLACE * min(one.side, other.side) and 0.7 < one.side / other.side < 1.4


def _is_same_person(one: BodyReading, other: BodyReading) -> bool:
    """Whether two readings have the nose or the torso in the same place."""
    near = _SAME_PLACE * min(one.next_region.side, other.next_region.side)
    noses = float(np.linalg.norm(one.joints[_NOSE, :2] - other.joints[_NOSE, :2]))
    torsos = float(
        np.linalg.norm(one.joints[_TORSO, :2].mean(axis=0) - other.joints[_TORSO, :2].mean(axis=0))
    )
    return min(noses / 2, torsos) < near / 2


def _face_side(joints: FloatArray, seen: NDArray[np.bool_], face: FaceReading | None) -> float | None:
    """Mean side of the box that upstream would cut out: from the mesh, else from the head's points."""
    if face is not None:
        across, down = np.ptp(face.points[:, :2], axis=0)
        return float(math.sqrt(across * down) * _CROP_GROWTH)
    if not seen[_HEAD].any():
        return None
    eyes, mouth = joints[_EYES, :2].mean(axis=0), joints[_MOUTH, :2].mean(axis=0)
    ears = float(np.linalg.norm(joints[_EARS[0], :2] - joints[_EARS[1], :2]))
    # The proportions of `face_crop`: turned away, only eyes to mouth keeps its length.
    return max(1.15 * ears, 2.2 * float(np.linalg.norm(eyes - mouth))) * _CROP_GROWTH


def _face_turn(points: FloatArray) -> float:
    """Degrees between the view and the normal of the face's plane, of mesh points [468, 3]."""
    normal = np.cross(points[_LEFT] - points[_RIGHT], points[_CHIN] - points[_TOP])
    length = float(np.linalg.norm(normal))
    return math.degrees(math.acos(min(1.0, abs(float(normal[2])) / length))) if length > 0 else 90.0
