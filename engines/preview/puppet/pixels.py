"""Small picture operations of the layers: soft masks, painting in, the lower edge, premultiplied colours."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]
Floats = NDArray[np.float32]
Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Extension:
    """Rows to be added below a picture that cuts the figure, and how many of the last ones fade out."""

    rows: int
    fade: int


def premultiplied(colours: Image, opacity: Image) -> Image:
    """RGBA (h, w, 4) with colours multiplied by opacity."""
    product = cv2.multiply(colours, cv2.merge([opacity] * 3), scale=1 / 255)
    return np.ascontiguousarray(np.dstack([product, opacity]))


def half_size(texture: Image) -> Image:
    """Half-size copy (sizes rounded up), each pixel the mean of four."""
    height, width = texture.shape[:2]
    even = cv2.copyMakeBorder(texture, 0, height % 2, 0, width % 2, cv2.BORDER_REPLICATE)
    return np.asarray(cv2.resize(even, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA), np.uint8)


def paint_in(colours: Image, hole: Mask, usable: Mask) -> Image:
    """Paint a hole from its surroundings (Telea, at half size), using only pixels that are ``usable``."""
    left, top, wide, high = cv2.boundingRect(hole.astype(np.uint8))
    margin = 24
    area = np.s_[max(0, top - margin) : top + high + margin, max(0, left - margin) : left + wide + margin]
    picture, inside = colours[area], hole[area]
    wanted = (inside | ~usable[area]).astype(np.uint8)
    size = (max(1, picture.shape[1] // 2), max(1, picture.shape[0] // 2))
    small = cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
    small_hole = (cv2.resize(wanted, size, interpolation=cv2.INTER_AREA) > 0).astype(np.uint8)
    painted = cv2.inpaint(small, small_hole, 5, cv2.INPAINT_TELEA)
    large = cv2.resize(painted, (picture.shape[1], picture.shape[0]), interpolation=cv2.INTER_CUBIC)
    result = colours.copy()
    share = cv2.GaussianBlur(inside.astype(np.float32), (0, 0), 1.2)[..., None]
    share = np.maximum(share, inside[..., None])
    result[area] = np.rint(picture * (1 - share) + large * share).astype(np.uint8)
    return result


def extend(
    colours: Image, opacity: Floats, extension: Extension, limit: Floats | None, depth: float
) -> tuple[Image, Floats]:
    """Add rows below: a mirror that slows down, so that cloth goes on as folds, not upside down."""
    height, rows = len(opacity), extension.rows
    steps = np.arange(1, rows + 1)
    source = np.clip(height - 1 - np.rint(depth * (1 - np.exp(-steps / depth))), 0, height - 1).astype(int)
    added = opacity[source].copy()
    # The silhouette must not take the mirror's waist: it keeps at least the width of the cut.
    added = np.maximum(added, opacity[-3:].min(0)[None] * (limit is None))
    if limit is not None:
        added *= limit
    if extension.fade > 0:
        added *= np.clip((rows - steps) / extension.fade, 0, 1).astype(np.float32)[:, None]
    mirrored = colours[source]
    return np.concatenate([colours, mirrored]), np.concatenate([opacity, added])


def soft(mask: Mask, margin: float, blur: float) -> Floats:
    """The mask grown by ``margin`` and blurred (sigma ``blur``, at least 0.8), 0..1; both in pixels."""
    grown = grow(mask, margin).astype(np.float32)
    sigma = max(0.8, blur)
    return np.asarray(cv2.GaussianBlur(grown, (0, 0), sigma), np.float32)


def grow(mask: Mask, radius: float) -> Mask:
    """The mask grown by a radius in pixels."""
    side = 2 * round(radius) + 1
    if side <= 1:
        return mask
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side))
    return np.asarray(cv2.dilate(mask.astype(np.uint8), kernel) > 0, np.bool_)
