"""One object on its way from frame to frame, by optical flow, colours and a body mask.

Flow: Kroeger, Timofte, Dai, Van Gool, "Fast optical flow using dense inverse search", ECCV 2016, as OpenCV
runs it (medium preset).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from masks.classic_clicks import Clicks
from masks.classic_cut import BODY_BAND, Body, first_cut, grown, next_cut
from masks.store import Mask
from preprocess import Image

BodyMask = Callable[[Image, Mask], Image | None]
"""(frame, near): soft mask, uint8 [height, width], of the body near the place `near` of a frame, or None."""

_LONGER_SIDE: Final = 640
_SAME: Final = 0.5  # common share of body mask and warped mask from which they are of the same person
_TRUSTED_CLICKS: Final = 0.5  # share of the clicks that a body must hold to be what is meant
_IN_BOX: Final = 0.6  # share of a body that lies in the box that was drawn round it
_LEAST_PIXELS: Final = 24
_LEAST_SHARE: Final = 0.15  # of the mask of the frame before: less left of it is a loss
_CHANGED: Final = 30  # of 255, in the colour that differs most: more along the flow is no motion
_MOST_CHANGED: Final = 0.5  # of the object: more is another picture
_BACK: Final = 0.3  # common share of a body and the place of the loss
_LIKE: Final = 0.5  # Bhattacharyya distance of two colour histograms below which they are alike


class Canvas:
    """Sizes of the clip's frames and of the pictures that are worked on."""

    def __init__(self, width: int, height: int) -> None:
        self.full = (width, height)
        scale = min(1.0, _LONGER_SIDE / max(width, height))
        self.working = (max(round(width * scale), 1), max(round(height * scale), 1))
        self.scale = (self.working[0] / width, self.working[1] / height)

    def down(self, picture: Image) -> Image:
        """A frame, or a soft mask, in the working size."""
        return np.asarray(cv2.resize(picture, self.working, interpolation=cv2.INTER_AREA), np.uint8)

    def up(self, mask: Mask) -> Mask:
        """A working mask in the size of the frames, its outline smooth."""
        soft = cv2.resize(mask * np.uint8(255), self.full, interpolation=cv2.INTER_CUBIC)
        return np.asarray(soft > 127, np.uint8)


class Trail:
    """Where the object is in the last frame that was shown to it. `mask` is None while it is lost."""

    def __init__(self, canvas: Canvas, body_mask: BodyMask | None) -> None:
        self.mask: Mask | None = None
        self._canvas, self._body_mask = canvas, body_mask
        self._flow = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)

    def start(self, frame: Image, clicks: Clicks) -> None:
        """Find the object by clicks that show it. `clicks` are in working pixels."""
        picture = self._canvas.down(frame)
        body = self._body_at(frame, clicks)
        mask, self._colours = first_cut(picture, clicks, body)
        shape = mask.shape
        self._with, self._without = np.zeros(shape, np.uint8), np.zeros(shape, np.uint8)
        self._is_body = body is not None
        self._note_contradictions(mask, body)
        self._remember(picture, mask)

    def copy(self) -> Trail:
        """Another one, from here on."""
        other = Trail(self._canvas, self._body_mask)
        other.__dict__.update(self.__dict__)
        other._colours = self._colours.copy()
        return other

    def advance(self, frame: Image, clicks: Clicks) -> Mask | None:
        """Follow the object into the next frame; `clicks` correct it there."""
        picture = self._canvas.down(frame)
        if self.mask is None:
            mask = self._found_again(frame, picture)
        else:
            mask = self._followed(frame, picture, clicks)
        if mask is not None and np.count_nonzero(mask) < _LEAST_PIXELS:
            mask = None
        self._remember(picture, mask)
        return mask

    def _remember(self, picture: Image, mask: Mask | None) -> None:
        if mask is not None:
            self._last, self._histogram = mask, _histogram(picture, mask)
        self.mask, self._picture = mask, picture

    def _note_contradictions(self, mask: Mask, body: Body | None) -> None:
        """What clicks said of the body mask holds from now on, and moves with the object."""
        if body is not None:
            self._with = self._with | _opened(mask & ~grown(body.likely, BODY_BAND))
            self._without = self._without | _opened(body.likely & ~grown(mask, BODY_BAND))

    # ------------------------------------------------------------------------------------- following

    def _followed(self, frame: Image, picture: Image, clicks: Clicks) -> Mask | None:
        assert self.mask is not None  # noqa: S101 - the caller's condition
        flow = self._flow.calc(
            _grey(picture), _grey(self._picture), np.zeros((*self.mask.shape, 2), np.float32)
        )
        field = _sources(np.asarray(flow, np.float32))
        warped = _warped(self.mask, field)
        self._with, self._without = _warped(self._with, field), _warped(self._without, field)
        if not warped.any():
            return None
        expected = cv2.remap(self._picture, *field, cv2.INTER_LINEAR)
        difference = cv2.blur(cv2.absdiff(picture, expected), (5, 5)).max(axis=2)
        changed = np.asarray(difference > _CHANGED, np.uint8)
        if np.count_nonzero(changed & warped) > _MOST_CHANGED * np.count_nonzero(warped):
            return self._found_again(frame, picture)
        body = self._body_like(frame, warped)
        mask = next_cut(picture, warped, changed, body, clicks, self._colours)
        if clicks.points:
            self._note_contradictions(mask, body)
        if np.count_nonzero(mask) < _LEAST_SHARE * np.count_nonzero(self.mask):
            return None
        return mask

    def _body_like(self, frame: Image, warped: Mask) -> Body | None:
        """The body mask, put right by what the clicks said of it, if it is of the followed person."""
        body = self._body_near(frame, warped) if self._is_body else None
        if body is None:
            return None
        body = body.corrected(self._with, self._without)
        return body if _common_share(body.likely, warped) >= _SAME else None

    def _found_again(self, frame: Image, picture: Image) -> Mask | None:
        body = self._body_near(frame, self._last) if self._is_body else None
        if body is None or not _meets(body.likely, self._last):
            return None
        mask, colours = first_cut(picture, Clicks(), body)
        seen = _histogram(picture, mask)
        if cv2.compareHist(seen, self._histogram, cv2.HISTCMP_BHATTACHARYYA) > _LIKE:
            return None
        self._colours = colours
        self._with, self._without = np.zeros_like(mask), np.zeros_like(mask)
        return mask

    # ---------------------------------------------------------------------------------------- bodies

    def _body_near(self, frame: Image, near: Mask) -> Body | None:
        if self._body_mask is None or not near.any():
            return None
        place = np.asarray(cv2.resize(near, self._canvas.full, interpolation=cv2.INTER_NEAREST), np.uint8)
        soft = self._body_mask(frame, place)
        return None if soft is None else Body.of(self._canvas.down(soft))

    def _body_at(self, frame: Image, clicks: Clicks) -> Body | None:
        """The body that is meant by clicks, if one is."""
        shape = (self._canvas.working[1], self._canvas.working[0])
        discs, inside = clicks.disc_mask(shape, positive=True), clicks.box_mask(shape)
        body = self._body_near(frame, discs if discs.any() else inside)
        if body is None:
            return None
        if discs.any():
            meant = np.count_nonzero(discs & body.likely) >= _TRUSTED_CLICKS * np.count_nonzero(discs)
        else:
            meant = np.count_nonzero(body.likely & inside) >= _IN_BOX * np.count_nonzero(body.likely)
        return body if meant else None


# --------------------------------------------------------------------------------------------- pictures


def _grey(picture: Image) -> Image:
    return np.asarray(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY), np.uint8)


def _sources(flow: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Where each pixel of the new picture was in the one before: x and y, [height, width]."""
    height, width = flow.shape[:2]
    rows, columns = np.mgrid[0:height, 0:width].astype(np.float32)
    return columns + flow[..., 0], rows + flow[..., 1]


def _warped(mask: Mask, field: tuple[NDArray[np.float32], NDArray[np.float32]]) -> Mask:
    # What comes into the picture is like what is next to it: the rest of a person who is cut by the edge.
    soft = cv2.remap(mask * np.uint8(255), *field, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(soft > 127, np.uint8)


def _opened(mask: Mask) -> Mask:
    """Without what is thinner than a few pixels."""
    return np.asarray(cv2.morphologyEx(mask, cv2.MORPH_OPEN, np.ones((5, 5), np.uint8)), np.uint8)


def _common_share(one: Mask, other: Mask) -> float:
    return float(np.count_nonzero(one & other) / max(int(np.count_nonzero(one | other)), 1))


def _meets(body: Mask, place: Mask) -> bool:
    """Whether a body stands where the object was last."""
    smaller = min(int(np.count_nonzero(body)), int(np.count_nonzero(place)))
    return bool(np.count_nonzero(body & grown(place, BODY_BAND)) >= _BACK * smaller)


def _histogram(picture: Image, mask: Mask) -> NDArray[np.float32]:
    """Colours of the object, 8 x 8 x 8, blurred a little."""
    histogram = cv2.calcHist([picture], [0, 1, 2], mask, [8, 8, 8], [0, 256] * 3)
    return np.asarray(histogram / max(float(histogram.sum()), 1.0), np.float32)
