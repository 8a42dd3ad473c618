"""Where the face is in every frame, and the 512x512 crop of it that ``src_face.mp4`` holds.

The box follows upstream's rule wherever the face mesh was found. Upstream takes any box without a test
and fails on an empty one; here a face that the model lost is boxed from the head's own points or from the
frames around it, and a box is never empty.
"""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from engines.preview.smoothing import runs
from engines.preview.track import Track

Image = NDArray[np.uint8]
Floats = NDArray[np.float64]

FACE_SIDE = 512

SHORT_LOSS = 10
"""Frames that a face may be lost for and still be boxed between the boxes before and after."""

LEAST_HEAD_CONFIDENCE = 0.3
LEAST_SIDE = 8

_AREA_GROWTH = 1.3

# Mesh vertices that stand in for the 68 face points (iBUG order: jaw, brows, nose, eyes, outer and inner
# lips).
_FACE_68 = (
    162, 234, 93, 58, 172, 136, 149, 148, 152, 377, 378, 365, 397, 288, 323, 454, 389,
    71, 63, 105, 66, 107, 336, 296, 334, 293, 301, 168, 197, 5, 4, 75, 97, 2, 326, 305,
    33, 160, 158, 133, 153, 144, 362, 385, 387, 263, 373, 380,
    61, 39, 37, 0, 267, 269, 291, 405, 314, 17, 84, 181, 78, 82, 13, 312, 308, 317, 14, 87,
)  # fmt: skip

# BlazePose: nose, three points of each eye, ears, mouth corners.
_HEAD_POINTS = slice(0, 11)
_EYES, _EARS, _MOUTH = [2, 5], [7, 8], [9, 10]


class Box(NamedTuple):
    """Pixels of a frame; ``right`` and ``bottom`` are exclusive."""

    left: int
    top: int
    right: int
    bottom: int


def crop_face(frame: Image, box: Box) -> Image:
    """The box's part of an RGB frame, stretched to 512x512 (linear, aspect not kept, as upstream does)."""
    face = frame[box.top : box.bottom, box.left : box.right]
    return np.asarray(cv2.resize(face, (FACE_SIDE, FACE_SIDE)), np.uint8)


def face_boxes(track: Track) -> list[Box]:
    """Face box of every frame of a Track.

    From the mesh where it was found; else, where it is lost for long, round the head's points; else between
    the nearest boxes before and after. Without any of these: the upper middle of the frame.
    """
    corners = _mesh_corners(track)
    head = _head_corners(track)
    for start, end in runs(np.isnan(corners[:, 0])):
        if end - start > SHORT_LOSS:
            corners[start:end] = head[start:end]
    known = np.flatnonzero(~np.isnan(corners[:, 0]))
    if known.size == 0:
        side = min(track.width, track.height) / 2
        left = (track.width - side) / 2
        corners[:] = left, 0, left + side, side
    else:
        frames = np.arange(len(track))
        for column in range(4):
            corners[:, column] = np.interp(frames, known, corners[known, column])
    return [_whole_box(row, track.width, track.height) for row in corners]


def grown_corners(points: Floats, width: int, height: int) -> Floats:
    """Upstream's box round face points [N, 2]: left, top, right, bottom as float64 [4], cut at the
    frame's edge.

    The tight box grows to 1.3 times its area; left and right take half each, the top three quarters of the
    growth in height, the bottom one.
    """
    (left, top), (right, bottom) = points.min(axis=0), points.max(axis=0)
    tight_width, tight_height = right - left, bottom - top
    area = tight_width * tight_height * _AREA_GROWTH
    beside = (np.sqrt(area * (tight_width / tight_height)) - tight_width) / 2
    quarter = (np.sqrt(area * (tight_height / tight_width)) - tight_height) / 4
    return np.array(
        [
            max(left - beside, 0),
            max(top - 3 * quarter, 0),
            min(right + beside, width),
            min(bottom + quarter, height),
        ]
    )


def _mesh_corners(track: Track) -> Floats:
    """Grown corners [T, 4] where a mesh was found and lies in the frame, NaN elsewhere."""
    corners = np.full((len(track), 4), np.nan)
    for index in np.flatnonzero(track.face_score > 0):
        points = track.face[index, _FACE_68, :2].astype(np.float64)
        corners[index] = _usable_corners(points, track)
    return corners


def _head_corners(track: Track) -> Floats:
    """Corners [T, 4] of a face-sized box round the body model's head points, NaN where these are unsure."""
    corners = np.full((len(track), 4), np.nan)
    head = track.body[:, _HEAD_POINTS].astype(np.float64)
    for index in np.flatnonzero(head[..., 3].mean(axis=1) >= LEAST_HEAD_CONFIDENCE):
        eyes, mouth = head[index, _EYES, :2].mean(axis=0), head[index, _MOUTH, :2].mean(axis=0)
        ear_distance = np.linalg.norm(np.subtract(*head[index, _EARS, :2]))
        # Proportions measured against the mesh on frontal faces; turned away, only eye to mouth keeps its
        # length.
        side = max(1.15 * ear_distance, 2.2 * np.linalg.norm(eyes - mouth))
        centre = (eyes + mouth) / 2 + (0, 0.1 * side)
        corners[index] = _usable_corners(np.array([centre - side / 2, centre + side / 2]), track)
    return corners


def _usable_corners(points: Floats, track: Track) -> Floats:
    """Grown corners, or NaN where the points have no extent or their box lies outside the frame."""
    nowhere = np.full(4, np.nan)
    if np.ptp(points, axis=0).min() < 1:
        return nowhere
    corners = grown_corners(points, track.width, track.height)
    left, top, right, bottom = corners.astype(int)
    return corners if right > left and bottom > top else nowhere


def _whole_box(corners: Floats, width: int, height: int) -> Box:
    """The corners truncated to pixels; a box too thin to show anything is widened inside the frame."""
    left, top, right, bottom = (int(value) for value in corners)
    left, right = _at_least(left, right, width)
    top, bottom = _at_least(top, bottom, height)
    return Box(left, top, right, bottom)


def _at_least(start: int, end: int, limit: int) -> tuple[int, int]:
    if end - start >= LEAST_SIDE:
        return start, end
    start = max(0, min(start, limit - LEAST_SIDE))
    return start, min(limit, start + LEAST_SIDE)
