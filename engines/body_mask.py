"""The preview engine's body mask of one frame, for who wants to know where a person's outline is."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from engines.preview.analysis import start_quality
from engines.preview.body import PERSON_THRESHOLD, BodyReader, BodyReading, PersonDetector
from engines.preview.models import ModelsMissing
from engines.preview.network import Region, sigmoid

Image = NDArray[np.uint8]

_BELONGS = 0.5  # share of the smaller of body and place that they have in common
_STILL_THERE = 0.4  # share of both together from which the last person is the one asked about
_MOST_PERSONS = 4
_FACTORS = (1.5, 2.5)  # sides of the squares looked at / extent of the place
_LEAST_EXTENT = 0.3  # of the frame's shorter side: one click alone has none
_FIRST_GUESS = 0.1  # score in a rough region from which a second look is worth it
_LOOKS = 2


def body_mask() -> BodyMask | None:
    """A reader of body masks; None where the preview engine's models are missing."""
    try:
        return BodyMask()
    except ModelsMissing:
        return None


class BodyMask:
    """Finds the person in a certain place of a frame. Not for use by two threads at a time.

    It remembers the last person's place, so frames that follow on one another cost one look each. What it
    finds does not have to be where it was: every call says where to look.
    """

    def __init__(self) -> None:
        """Load the models. Raises ModelsMissing."""
        self._detector = PersonDetector()
        self._body = BodyReader()
        self._region: Region | None = None

    def __call__(self, frame: Image, near: Image) -> Image | None:
        """Soft mask, uint8 [height, width], 255 = surely the person; None if there is nobody.

        Args:
            frame: uint8 RGB [height, width, 3].
            near: uint8 [height, width], not 0 where the person is believed to be: discs round clicks, a
                filled box, or the mask of the frame before.
        """
        if not near.any():
            return None
        near = np.where(near > 0, np.uint8(255), np.uint8(0))
        if self._region is not None:
            reading = self._body.read(frame, self._region)
            if reading.score >= PERSON_THRESHOLD:
                mask = self._mask(frame, reading)
                if _shares(mask, near)[1] >= _STILL_THERE:
                    self._region = reading.next_region.follow(self._region)
                    return mask
        return self._find(frame, near)

    def _find(self, frame: Image, near: Image) -> Image | None:
        found: list[tuple[BodyReading, Image, float]] = []
        for region in self._regions(frame, near):
            reading = self._settled(frame, region)
            if reading is not None:
                mask = self._mask(frame, reading)
                of_smaller, of_both = _shares(mask, near)
                if of_smaller >= _BELONGS:
                    found.append((reading, mask, of_smaller + of_both + start_quality(reading, mask.shape)))
        self._region = None
        if not found:
            return None
        # Readings from bad squares go wrong each in its own way; the good ones agree.
        agreement = [
            sum(_shares(mask, other)[1] for _, other, _ in found) / len(found) for _, mask, _ in found
        ]
        best = max(range(len(found)), key=lambda index: found[index][2] + agreement[index])
        self._region = found[best][0].next_region
        return found[best][1]

    def _regions(self, frame: Image, near: Image) -> list[Region]:
        """Where to look: at what the detector sees, in the frame and round the place, and at the place."""
        x, y, across, down = cv2.boundingRect(near)
        centre_x, centre_y = x + across / 2, y + down / 2
        extent = max(across, down, min(frame.shape[:2]) * _LEAST_EXTENT)
        regions = [person.region for person in self._detector.detect(frame)[:_MOST_PERSONS]]
        for factor in _FACTORS:
            half = extent * factor / 2
            left, top = int(max(centre_x - half, 0)), int(max(centre_y - half, 0))
            part = np.ascontiguousarray(frame[top : int(centre_y + half), left : int(centre_x + half)])
            for person in self._detector.detect(part)[:1]:
                seen = person.region
                regions.append(Region(seen.x + left, seen.y + top, seen.side, seen.angle))
            regions.append(Region(centre_x, centre_y, extent * factor, 0.0))
        return regions

    def _settled(self, frame: Image, region: Region) -> BodyReading | None:
        """The body in a rough region: the body's own square is what the reader was trained on."""
        reading = self._body.read(frame, region)
        for _ in range(_LOOKS):
            if reading.score < _FIRST_GUESS:
                return None
            reading = self._body.read(frame, reading.next_region)
        return reading if reading.score >= PERSON_THRESHOLD else None

    def _mask(self, frame: Image, reading: BodyReading) -> Image:
        height, width = frame.shape[:2]
        closer = reading.closer_look(width, height)
        if closer is not None:
            second = self._body.read(frame, closer)
            reading = second if second.score >= PERSON_THRESHOLD else reading
        soft = cv2.convertScaleAbs(sigmoid(reading.mask_logits), alpha=255)
        return np.asarray(cv2.warpAffine(soft, reading.mask_transform, (width, height)), np.uint8)


def _shares(mask: Image, near: Image) -> tuple[float, float]:
    """Common share of the smaller of the two, and of both together, 0..1.

    A few clicks on a body have a high first one only, and so has a body in its box. The second tells two
    persons apart of whom one stands behind the other.
    """
    body, place = mask > 127, near > 127
    common, both = int(np.count_nonzero(body & place)), int(np.count_nonzero(body | place))
    smaller = min(int(np.count_nonzero(body)), int(np.count_nonzero(place)))
    return common / max(smaller, 1), common / max(both, 1)
