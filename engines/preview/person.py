"""All about one person, frame after frame: the body first, then face and hands where the body has them."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from types import TracebackType

import numpy as np

from engines.preview.body import PERSON_THRESHOLD, BodyReader, BodyReading, Detection, PersonDetector
from engines.preview.face import FaceReader, FaceReading
from engines.preview.hands import HandReader, HandReading
from engines.preview.network import Network, Region
from engines.preview.track import FloatArray, Image

_SAME_HAND = 0.25  # region sides: two hands that lie closer are one hand, seen twice


@dataclass(frozen=True)
class PersonReading:
    """What one frame says about the person."""

    joints: FloatArray
    score: float
    mask: bytes
    mask_transform: FloatArray
    face: FaceReading | None
    hands: tuple[HandReading | None, HandReading | None]


class PersonReader:
    """Follows one person from frame to frame. A context manager: it has a thread of its own.

    Body regions follow from one frame to the next in the caller's thread; face and hands of a frame are read
    in the second thread meanwhile (LiteRT lets go of the interpreter lock).
    """

    def __init__(self) -> None:
        self.detector = PersonDetector()
        self.body = BodyReader()
        self._close_body = BodyReader()
        self._face = FaceReader()
        hand_network = Network("hand_landmark_full")
        self._hands = (HandReader(0, hand_network), HandReader(1, hand_network))
        self._region: Region | None = None
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="face-and-hands")

    def __enter__(self) -> PersonReader:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._pool.shutdown(wait=True, cancel_futures=True)

    def start_at(self, region: Region | None) -> None:
        """Begin a new run of frames with the person in `region` (None: find one)."""
        self._region = region
        self._pool.submit(self._forget_face_and_hands)

    def read(self, frame: Image) -> Future[PersonReading] | None:
        """Read the next uint8 RGB frame; None if the person is lost in it. The result may still be coming."""
        reading = self._follow(frame)
        if reading is None:
            self._pool.submit(self._forget_face_and_hands)
            return None
        return self._pool.submit(self._complete, frame, reading)

    def find(self, frame: Image) -> BodyReading | None:
        """Look for a person in the whole frame, near the last known place if there is one."""
        for person in _nearest_first(self.detector.detect(frame), self._region):
            reading = self.body.read(frame, person.region)
            if reading.score >= PERSON_THRESHOLD:
                # The detector's square is rough; the body's own is what the reader was trained on.
                closer = self.body.read(frame, reading.next_region)
                return closer if closer.score >= PERSON_THRESHOLD else reading
        return None

    def _follow(self, frame: Image) -> BodyReading | None:
        if self._region is not None:
            reading = self.body.read(frame, self._region)
            if reading.score >= PERSON_THRESHOLD:
                self._region = reading.next_region.follow(self._region)
                return reading
        found = self.find(frame)
        if found is not None:
            self._region = found.next_region
        return found

    def _complete(self, frame: Image, first_look: BodyReading) -> PersonReading:
        body = self._look_closer(frame, first_look)
        hands = [reader.read(frame, body.joints) for reader in self._hands]
        self._drop_doubled_hand(hands, body.joints)
        return PersonReading(
            joints=body.joints,
            score=body.score,
            mask=body.mask_png(),
            mask_transform=body.mask_transform,
            face=self._face.read(frame, body.joints),
            hands=(hands[0], hands[1]),
        )

    def _look_closer(self, frame: Image, body: BodyReading) -> BodyReading:
        height, width = frame.shape[:2]
        region = body.closer_look(width, height)
        if region is None:
            return body
        closer = self._close_body.read(frame, region)
        return closer if closer.score >= PERSON_THRESHOLD else body

    def _drop_doubled_hand(self, hands: list[HandReading | None], joints: FloatArray) -> None:
        left, right = hands
        if left is None or right is None:
            return
        apart = np.linalg.norm(left.points[:, :2] - right.points[:, :2], axis=1).mean()
        if apart > _SAME_HAND * min(left.next_region.side, right.next_region.side):
            return
        away = [
            float(np.linalg.norm(hand.points[0, :2] - joints[reader.wrist, :2]))
            for hand, reader in zip((left, right), self._hands, strict=True)
        ]
        wrong = 0 if away[0] > away[1] else 1
        hands[wrong] = None
        self._hands[wrong].reset()

    def _forget_face_and_hands(self) -> None:
        self._face.reset()
        for hand in self._hands:
            hand.reset()


def _nearest_first(persons: list[Detection], last: Region | None) -> list[Detection]:
    """After a loss the person nearest to the last known place comes first; else in the detector's order."""
    if last is None:
        return persons
    return sorted(persons, key=lambda person: float(np.hypot(*(person.hip_centre - (last.x, last.y)))))
