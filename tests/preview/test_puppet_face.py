"""Lips and lids follow the driver; the outline of the face stays."""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from engines.preview.puppet.face import _INNER_LIPS, _LIDS, _OUTLINE, FaceWarp, face_moves
from engines.preview.track import Track
from tests.preview.made_up_track import made_up_track

Floats = NDArray[np.float32]

_UPPER_LIP, _LOWER_LIP = 13, 14


def _face_points(size: float = 200.0, mouth: float = 0.0, eyes: float = 0.05) -> Floats:
    """468 points of a plain face, pixels: outline, eyes and lips at their places, the rest spread inside."""
    random = np.random.default_rng(7)
    angle, radius = random.uniform(0, 2 * np.pi, 468), np.sqrt(random.uniform(0, 0.75, 468))
    points = 0.5 + 0.42 * np.stack([radius * np.cos(angle), radius * np.sin(angle)], 1)
    turn = np.linspace(0, 2 * np.pi, len(_OUTLINE), endpoint=False) - np.pi / 2
    points[_OUTLINE] = 0.5 + 0.42 * np.stack([np.cos(turn), np.sin(turn)], 1)
    for (upper, lower, _), left in zip(_LIDS, (0.27, 0.61), strict=True):
        x = np.linspace(left + 0.02, left + 0.1, len(upper))
        points[list(upper)] = np.stack([x, np.full(len(x), 0.42 - eyes / 2)], 1)
        points[list(lower)] = np.stack([x, np.full(len(x), 0.42 + eyes / 2)], 1)
    corners = {33: (0.27, 0.42), 133: (0.39, 0.42), 362: (0.61, 0.42), 263: (0.73, 0.42), 168: (0.5, 0.42)}
    for index, place in (corners | {6: (0.5, 0.46), 197: (0.5, 0.5), 195: (0.5, 0.54)}).items():
        points[index] = place
    ring = np.linspace(np.pi, 3 * np.pi, len(_INNER_LIPS), endpoint=False)
    points[_INNER_LIPS] = np.stack([0.5 + 0.09 * np.cos(ring), 0.72 + (0.004 + mouth) * np.sin(ring)], 1)
    return np.asarray(points * size, np.float32)


def _driver(faces: list[Floats]) -> Track:
    track = made_up_track(len(faces), 400, 400)
    face = np.zeros((len(faces), 468, 3), np.float32)
    face[..., :2] = np.stack(faces) * 1.5 + 40
    return replace(track, face=face)


def _moves(driver: Track, reference: Floats) -> Floats:
    moves = face_moves(driver, reference)
    assert moves is not None
    return moves


def test_an_open_mouth_opens_and_the_outline_stays() -> None:
    driver = _driver([_face_points()] * 8 + [_face_points(mouth=0.06)] * 8)
    reference = _face_points()
    moves = _moves(driver, reference)
    opened = (reference + moves[12])[_LOWER_LIP] - (reference + moves[12])[_UPPER_LIP]
    closed = (reference + moves[3])[_LOWER_LIP] - (reference + moves[3])[_UPPER_LIP]
    assert abs(opened[1]) > abs(closed[1]) + 10
    assert np.abs(moves[:, _OUTLINE]).max() < 0.5


def test_the_inside_of_an_open_mouth_is_dark_and_a_closed_one_is_not() -> None:
    reference = _face_points()
    texture = np.full((220, 220, 4), (230, 180, 160, 255), np.uint8)
    driver = _driver([_face_points()] * 8 + [_face_points(mouth=0.06)] * 8)
    moves = _moves(driver, reference)
    warp = FaceWarp(texture, reference)
    left, top, _, _ = warp.area
    x, y = 100 - left, 144 - top
    assert warp.draw(moves[12])[y, x, :3].max() < 100
    assert warp.draw(moves[3])[y, x, :3].min() > 140


def test_a_blink_closes_the_lids() -> None:
    driver = _driver([_face_points()] * 10 + [_face_points(eyes=0.005)] * 6)
    reference = _face_points(eyes=0.1)
    moves = _moves(driver, reference)
    top, bottom = _LIDS[0][2]
    gap = np.linalg.norm((reference + moves)[:, top] - (reference + moves)[:, bottom], axis=1)
    assert gap[2] > 15
    assert gap[13] < 4


def test_a_still_face_is_redrawn_unchanged() -> None:
    random = np.random.default_rng(1)
    texture = random.integers(0, 256, (220, 220, 4), np.uint8)
    warp = FaceWarp(texture, _face_points())
    left, top, right, bottom = warp.area
    again = warp.draw(np.zeros((468, 2), np.float32))
    assert np.abs(again.astype(int) - texture[top:bottom, left:right]).max() <= 8


def test_without_a_face_in_the_driving_video_nothing_moves() -> None:
    driver = replace(_driver([_face_points()] * 3), face_score=np.zeros(3, np.float32))
    assert face_moves(driver, _face_points()) is None
