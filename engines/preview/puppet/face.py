"""Lips, jaw and blinks: the driver's face points move the reference's, before the head moves."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d
from scipy.spatial import Delaunay

from engines.preview.puppet.mesh import smoothstep
from engines.preview.puppet.raster import source_maps
from engines.preview.track import Track

Floats = NDArray[np.float32]
Image = NDArray[np.uint8]

_STABLE = [33, 133, 263, 362, 168, 6, 197, 195, 127, 356]
_EYE_CORNERS = (33, 263)
_OUTLINE = [10, 338, 297, 332, 284, 251, 389, 356, 454, 323, 361, 288, 397, 365, 379, 378, 400, 377,
            152, 148, 176, 149, 150, 136, 172, 58, 132, 93, 234, 127, 162, 21, 54, 103, 67, 109]  # fmt: skip
_INNER_LIPS = [78, 191, 80, 81, 82, 13, 312, 311, 310, 415, 308, 324, 318, 402, 317, 14, 87, 178, 88, 95]
_LIPS = (13, 14)
_LIDS = (((246, 161, 160, 159, 158, 157, 173), (7, 163, 144, 145, 153, 154, 155), (159, 145)),
         ((466, 388, 387, 386, 385, 384, 398), (249, 390, 373, 374, 380, 381, 382), (386, 374)))  # fmt: skip
_LARGEST_MOVE = 0.35
_MOUTH_OPEN = 0.03


def face_moves(driver: Track, reference: Floats) -> Floats | None:
    """How far each face point of the reference moves, float32 (T, 468, 2), pixels; None without a face.

    Args:
        reference: the reference's face points (468, 2).
    """
    found = driver.face_score >= 0.5
    if found.sum() < 2:
        return None
    eyes = _eye_distance(reference)
    points = driver.face[..., :2].astype(np.float32)
    aligned = _aligned(points[found], reference)
    opening = np.linalg.norm(aligned[:, _LIPS[0]] - aligned[:, _LIPS[1]], axis=1)
    closed = opening <= np.quantile(opening, 1 / 3)
    neutral = np.median(aligned[closed], 0)
    moves = aligned - neutral
    length = np.linalg.norm(moves, axis=2, keepdims=True)
    moves *= np.minimum(1, _LARGEST_MOVE * eyes / np.maximum(length, 1e-6))
    moves *= _inwards(reference, eyes)[None, :, None]
    _blink(moves, aligned, reference)
    frames = np.arange(len(points))
    columns = moves.reshape(len(moves), -1)
    every = np.empty((len(points), columns.shape[1]), np.float32)
    present = frames[found]
    for column in range(columns.shape[1]):
        every[:, column] = np.interp(frames, present, columns[:, column])
    trust = gaussian_filter1d(found.astype(np.float32), 2.0, mode="nearest")
    every *= smoothstep(0.2, 0.8, trust)[:, None]
    smooth = gaussian_filter1d(every, 0.8, axis=0, mode="nearest")
    return np.asarray(smooth.reshape(len(points), -1, 2), np.float32)


class FaceWarp:
    """Redraws the face region of a layer's texture for one frame's moves.

    Args:
        texture: premultiplied RGBA of the layer (kept as it is).
        points: the reference's face points (468, 2) in pixels of the texture.
    """

    def __init__(self, texture: Image, points: Floats) -> None:
        height, width = texture.shape[:2]
        eyes = _eye_distance(points)
        low, high = points.min(0) - 0.2 * eyes, points.max(0) + 0.2 * eyes
        left, top = np.clip(low, 0, [width - 2, height - 2]).astype(int) // 2 * 2
        right, bottom = np.clip(np.ceil(high), [left + 2, top + 2], [width, height]).astype(int)
        self.area = (int(left), int(top), int(right), int(bottom))
        self._still = texture[top:bottom, left:right].copy()
        self._eyes = eyes
        frame = np.array([[0, 0], [1, 0], [0, 1], [1, 1]], np.float32) * np.array(
            [right - left, bottom - top], np.float32
        )
        self._points = np.concatenate([points - np.array([left, top], np.float32), frame]).astype(np.float32)
        self._triangles = np.asarray(Delaunay(self._points).simplices, np.int32)
        self._rest_opening = _opening(points) / eyes
        self._inside = self._mouth_colour()

    def draw(self, moves: Floats) -> Image:
        """The face region, RGBA, with the points moved by (468, 2) pixels."""
        target = self._points.copy()
        target[: len(moves)] += moves
        height, width = self._still.shape[:2]
        map_x, map_y = source_maps(self._points, target, self._triangles, (0, 0, width, height))
        uncovered = map_x < -1  # slivers that closed lids fold away: they stay as they are
        if uncovered.any():
            rows, columns = np.nonzero(uncovered)
            map_x[rows, columns], map_y[rows, columns] = columns, rows
        picture = np.asarray(
            cv2.remap(self._still, map_x, map_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE), np.uint8
        )
        opening = _opening(target) / self._eyes
        if opening - self._rest_opening > _MOUTH_OPEN and self._rest_opening < 2 * _MOUTH_OPEN:
            self._open_mouth(picture, target, opening)
        return picture

    def _open_mouth(self, picture: Image, target: Floats, opening: float) -> None:
        shape = np.rint(target[_INNER_LIPS] * 16).astype(np.int32)
        mask = np.zeros(picture.shape[:2], np.uint8)
        cv2.fillPoly(mask, [shape], 255, cv2.LINE_AA, 4)
        soft = cv2.GaussianBlur(mask, (0, 0), max(0.6, 0.012 * self._eyes))
        share = np.asarray(soft, np.float32)[..., None] / 255
        share *= float(smoothstep(_MOUTH_OPEN, 3 * _MOUTH_OPEN, np.array(opening, np.float32)))
        opacity = picture[..., 3:].astype(np.float32) / 255
        inside = self._inside * opacity
        picture[..., :3] = np.rint(picture[..., :3] * (1 - share) + inside * share).astype(np.uint8)

    def _mouth_colour(self) -> Floats:
        """Dark, of the hue of the lips."""
        mask = np.zeros(self._still.shape[:2], np.uint8)
        lips = cv2.convexHull(np.rint(self._points[_INNER_LIPS]).astype(np.int32))
        cv2.fillPoly(mask, [lips], 1)
        cv2.dilate(mask, np.ones((3, 3), np.uint8), dst=mask)
        mean = np.array(cv2.mean(self._still[..., :3], mask)[:3], np.float32)
        return np.asarray(mean * 0.22 + np.array([10, 2, 2], np.float32), np.float32)


def _opening(points: Floats) -> float:
    return float(np.linalg.norm(points[_LIPS[0]] - points[_LIPS[1]]))


def _eye_distance(points: Floats) -> float:
    return max(float(np.linalg.norm(points[_EYE_CORNERS[0]] - points[_EYE_CORNERS[1]])), 1.0)


def _aligned(points: Floats, reference: Floats) -> Floats:
    """Points (N, 468, 2), turned, scaled and moved: the stable ones fit the reference's (least squares)."""
    own = points[:, _STABLE, 0] + 1j * points[:, _STABLE, 1]
    goal = reference[_STABLE, 0] + 1j * reference[_STABLE, 1]
    own_mean, goal_mean = own.mean(1, keepdims=True), goal.mean()
    centred = own - own_mean
    factor = (np.conj(centred) * (goal - goal_mean)).sum(1) / np.maximum((np.abs(centred) ** 2).sum(1), 1e-6)
    every = (points[..., 0] + 1j * points[..., 1] - own_mean) * factor[:, None] + goal_mean
    return np.stack([every.real, every.imag], -1).astype(np.float32)


def _inwards(reference: Floats, eyes: float) -> Floats:
    """0 at the outline of the face, 1 from .35 eye distances inwards: the outline must not move."""
    outline = reference[_OUTLINE].astype(np.float32)
    depth = [cv2.pointPolygonTest(outline, (float(x), float(y)), True) for x, y in reference]
    return smoothstep(0.0, 0.35, np.array(depth, np.float32) / eyes)


def _blink(moves: Floats, aligned: Floats, reference: Floats) -> None:
    """Upper lids close by the driver's share, whatever the size of the reference's eyes."""
    for upper, lower, (top, bottom) in _LIDS:
        opening = np.linalg.norm(aligned[:, top] - aligned[:, bottom], axis=1)
        usual = max(float(np.quantile(opening, 0.7)), 1e-3)
        share = np.clip((opening / usual - 0.25) / 0.6, 0.05, 1.0)[:, None, None]
        gap = reference[list(upper)] - reference[list(lower)]
        moves[:, list(upper)] = moves[:, list(lower)] + gap * (share - 1)
