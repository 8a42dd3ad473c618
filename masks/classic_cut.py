"""Cut an object out of one picture: what is sure, what is not, and GrabCut for the rest.

GrabCut: Rother, Kolmogorov, Blake, "GrabCut: interactive foreground extraction using iterated graph cuts",
SIGGRAPH 2004, as OpenCV runs it. Pictures are uint8 RGB [height, width, 3], masks uint8 [height, width] with
1 = the object, lengths in pixels of the working picture (its longer side has about 640).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from masks.classic_clicks import Clicks
from masks.store import Mask
from preprocess import Image

BODY_BAND: Final = 10
"""How far to each side of a body mask's outline the real outline is looked for."""
NEXT_BAND: Final = 5
"""The same for the outline that comes from the frame before."""
_CLICK_REACH: Final = 48  # so far round a click that contradicts the body mask, the colours decide
_FIRST_ROUNDS: Final = 5
_ROOM: Final = 32  # background round the unknown area from which its colours are learnt
_SURROUNDED: Final = 0.6  # share of the ring round a negative click that is mask: colours did not help
_SPECK: Final = 0.005  # share of the largest piece; smaller pieces are dropped

_NO_BOX: Final = (0, 0, 1, 1)  # OpenCV wants one and ignores it
_NO, _YES, _PERHAPS_NOT, _PERHAPS = cv2.GC_BGD, cv2.GC_FGD, cv2.GC_PR_BGD, cv2.GC_PR_FGD


@dataclass(frozen=True)
class Body:
    """A body mask: what is likely the person, and beyond what it surely is not."""

    likely: Mask
    possible: Mask

    @classmethod
    def of(cls, soft: Image) -> Body:
        """From a soft mask, uint8 [height, width]."""
        return cls((soft > 127).astype(np.uint8), (soft > 25).astype(np.uint8))

    def corrected(self, more: Mask, less: Mask) -> Body:
        """With what clicks put to it and without what they took from it."""
        return Body((self.likely & ~less) | more, (self.possible & ~less) | more)


@dataclass
class Colours:
    """The colour models of object and background, learnt further with every cut."""

    background: NDArray[np.float64] = field(default_factory=lambda: np.zeros((1, 65)))
    foreground: NDArray[np.float64] = field(default_factory=lambda: np.zeros((1, 65)))

    def copy(self) -> Colours:
        """A model of its own with the same content."""
        return Colours(self.background.copy(), self.foreground.copy())


def first_cut(picture: Image, clicks: Clicks, body: Body | None) -> tuple[Mask, Colours]:
    """The object on a frame with clicks, and the colours of it and of what is round it.

    With a body mask only a band along its outline and round clicks that contradict it is open. Without,
    everything in the box (or in the picture) is.
    """
    colours = Colours()
    labels = (
        _labels_of_outline(body.likely, BODY_BAND) if body is not None else _labels_of_clicks(picture, clicks)
    )
    _apply_clicks(labels, clicks)
    mask = _grab_cut(picture, labels, colours, _FIRST_ROUNDS, learnt=False)
    mask = _pieces_with_clicks(mask, clicks) if body is None else _without_specks(mask)
    discs = clicks.disc_mask(mask.shape, positive=True)
    return _split_from_negative(picture, mask, clicks, discs), colours


def next_cut(
    picture: Image, warped: Mask, changed: Mask, body: Body | None, clicks: Clicks, colours: Colours
) -> Mask:
    """The object on a frame, from where the frame before says it is (`warped`) and from the body mask.

    Where the two agree, but for a band along the outline, they are believed; elsewhere the colours decide.
    Without a body mask they do so too where the picture is not what the flow says (`changed`): what a thing
    uncovers as it moves on looks to the flow like the thing.
    """
    labels = _labels_of_outline(warped, NEXT_BAND)
    if body is None:
        labels[(labels == _YES) & (changed > 0)] = _PERHAPS
    else:
        _open_where_they_differ(labels, warped, body)
    _apply_clicks(labels, clicks)
    mask = _without_specks(_grab_cut(picture, labels, colours, 1, learnt=True))
    near = clicks.disc_mask(mask.shape, positive=False, radius=_CLICK_REACH)
    own = np.where(near > 0, clicks.disc_mask(mask.shape, positive=True), warped)
    return _split_from_negative(picture, mask, clicks, own)


# ----------------------------------------------------------------------------------------------- labels


def grown(mask: Mask, radius: int) -> Mask:
    """The mask and what lies up to `radius` outside it."""
    return np.asarray(cv2.dilate(mask, _disc(radius)), np.uint8)


def shrunk(mask: Mask, radius: int) -> Mask:
    """The mask without what lies up to `radius` inside its outline; the picture's edge is no outline."""
    return np.asarray(cv2.erode(mask, _disc(radius)), np.uint8)


def _disc(radius: int) -> NDArray[np.uint8]:
    side = 2 * radius + 1
    return np.asarray(cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side)), np.uint8)


def _labels_of_outline(mask: Mask, band: int) -> Mask:
    labels = np.full(mask.shape, _NO, np.uint8)
    labels[grown(mask, band) > 0] = _PERHAPS_NOT
    labels[mask > 0] = _PERHAPS
    labels[shrunk(mask, band) > 0] = _YES
    return labels


def _labels_of_clicks(picture: Image, clicks: Clicks) -> Mask:
    shape = picture.shape[:2]
    labels = np.full(shape, _PERHAPS_NOT, np.uint8)
    near = clicks.disc_mask(shape, positive=True, radius=_CLICK_REACH // 2)
    labels[near > 0 if clicks.box is None else clicks.box_mask(shape) > 0] = _PERHAPS
    return labels


def _open_where_they_differ(labels: Mask, warped: Mask, body: Body) -> None:
    """Neither is right everywhere: flow drags the outline along, a body mask cuts off hats and hands.

    What is no body at all is believed, though: else the mask creeps into things of the person's colours.
    """
    inside, outside = shrunk(body.likely, NEXT_BAND), grown(body.likely, NEXT_BAND)
    labels[(warped > 0) & (labels == _YES) & (inside == 0)] = _PERHAPS
    labels[(warped == 0) & (outside > 0) & (labels == _NO)] = _PERHAPS_NOT
    labels[grown(body.possible, BODY_BAND) == 0] = _NO


def _apply_clicks(labels: Mask, clicks: Clicks) -> None:
    shape = labels.shape
    for positive, contrary, opened in ((True, _NO, _PERHAPS_NOT), (False, _YES, _PERHAPS)):
        for point in clicks.points:
            if point.positive == positive:
                centre = (round(point.x - 0.5), round(point.y - 0.5))
                x, y = np.clip(centre, 0, (shape[1] - 1, shape[0] - 1))
                if labels[y, x] == contrary:
                    reach = Clicks((point,)).disc_mask(shape, positive=positive, radius=_CLICK_REACH)
                    labels[(reach > 0) & (labels == contrary)] = opened
    labels[clicks.box_mask(shape) == 0] = _NO
    labels[clicks.disc_mask(shape, positive=True) > 0] = _YES
    labels[clicks.disc_mask(shape, positive=False) > 0] = _NO


# ------------------------------------------------------------------------------------------------- cuts


def _grab_cut(picture: Image, labels: Mask, colours: Colours, rounds: int, *, learnt: bool) -> Mask:
    """Decide the open pixels. Only the part of the picture round them is looked at."""
    mask = np.asarray((labels == _YES) | (labels == _PERHAPS), np.uint8)
    part = _part_round(labels)
    if part is None:
        return mask
    inner = np.ascontiguousarray(labels[part])
    object_share = int(np.count_nonzero(inner & 1))  # _YES and _PERHAPS are the odd ones
    if not 0 < object_share < inner.size or not ((inner == _PERHAPS) | (inner == _PERHAPS_NOT)).any():
        return mask
    cv2.setRNGSeed(0)  # the first colour models come from random seeds
    mode = cv2.GC_EVAL if learnt else cv2.GC_INIT_WITH_MASK
    crop = np.ascontiguousarray(picture[part])
    cv2.grabCut(crop, inner, _NO_BOX, colours.background, colours.foreground, rounds, mode)
    mask[part] = inner & 1
    return mask


def _part_round(labels: Mask) -> tuple[slice, slice] | None:
    rows, columns = np.flatnonzero((labels != _NO).any(axis=1)), np.flatnonzero((labels != _NO).any(axis=0))
    if rows.size == 0:
        return None
    return (
        slice(max(int(rows[0]) - _ROOM, 0), int(rows[-1]) + 1 + _ROOM),
        slice(max(int(columns[0]) - _ROOM, 0), int(columns[-1]) + 1 + _ROOM),
    )


def _without_specks(mask: Mask) -> Mask:
    """Smooth the outline by a pixel or two and drop pieces that are tiny beside the largest."""
    smooth = np.asarray(cv2.medianBlur(mask, 5), np.uint8)
    count, pieces, statistics, _ = cv2.connectedComponentsWithStats(smooth)
    if count <= 2:
        return smooth
    areas = statistics[:, cv2.CC_STAT_AREA].copy()
    areas[0] = 0
    return np.asarray((areas >= _SPECK * areas.max())[pieces] & (smooth > 0), np.uint8)


def _pieces_with_clicks(mask: Mask, clicks: Clicks) -> Mask:
    discs = clicks.disc_mask(mask.shape, positive=True)
    if not discs.any():
        return _without_specks(mask)
    _, pieces = cv2.connectedComponents(mask)
    wanted = np.unique(pieces[(discs > 0) & (mask > 0)])
    return _without_specks(np.asarray(np.isin(pieces, wanted), np.uint8))


def _split_from_negative(picture: Image, mask: Mask, clicks: Clicks, positive: Mask) -> Mask:
    """Give the negative clicks the part of the mask that is theirs.

    Colours alone cut only a small hole round a negative click on something of the object's own colours.
    Then they and what is surely the object (`positive`) grow until they meet, which they do at edges
    (watershed; Meyer, 1992).
    """
    negative = np.zeros(mask.shape, np.uint8)
    for point in clicks.points:
        if not point.positive:
            disc = Clicks((point,)).disc_mask(mask.shape, positive=False)
            ring = grown(disc, 3) & ~disc & 1
            if np.count_nonzero(ring & mask) > _SURROUNDED * np.count_nonzero(ring):
                negative |= disc
    if not positive.any() or not negative.any():
        return mask
    markers = np.zeros(mask.shape, np.int32)
    markers[mask == 0] = 3
    markers[(positive > 0) & (mask > 0)] = 1
    markers[negative > 0] = 2
    cv2.watershed(np.ascontiguousarray(picture), markers)
    return _without_specks(np.asarray((markers != 2) & (mask > 0), np.uint8))
