"""Offline smoothing of a Track over the whole clip: no lag, nothing blurred across losses.

All functions take arrays whose first axis is time and leave their arguments untouched.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d

from engines.preview.track import FloatArray, Track

SIGMA = 1.5  # frames; as steady as MediaPipe's own filter, without its lag
EXPRESSION_SIGMA = 0.8  # a blink is over in four frames: 1.5 would flatten it
LONGEST_BRIDGE = 3  # frames; a face or hand lost for no longer is carried across the gap

_LEAST_WEIGHT = 1e-3  # keeps unseen joints defined
_LEFT_HIP, _RIGHT_HIP = 23, 24


def smooth_track(track: Track) -> Track:
    """The same Track, smoothed: body, hands and the face's place with SIGMA, its expression with less.

    Short gaps of face and hands are bridged; body confidence becomes 0 outside the frame.
    """
    alive = track.person_score > 0
    body = fill_lost(track.body, alive)
    weights = np.maximum(body[..., 3], _LEAST_WEIGHT)
    body[..., :3] = smooth(body[..., :3], weights, alive)
    body[..., 3] = smooth(body[..., 3:], np.ones_like(weights), alive)[..., 0]
    body[..., 3] *= alive[:, np.newaxis] * inside_frame(body, track.width, track.height)
    face, face_score = bridge_gaps(track.face, track.face_score)
    hands, hand_score = track.hands.copy(), track.hand_score.copy()
    for side in range(2):
        points, score = bridge_gaps(hands[:, side], hand_score[:, side])
        hands[:, side], hand_score[:, side] = smooth(points, _point_weights(points, score), score > 0), score
    return replace(
        track,
        body=body,
        face=_smooth_face(face, face_score),
        face_score=face_score,
        hands=hands,
        hand_score=hand_score,
    )


def smooth(
    values: FloatArray, weights: FloatArray, alive: NDArray[np.bool_], sigma: float = SIGMA
) -> FloatArray:
    """Gaussian mean over time of values [T, P, C] with weights [T, P], within each run of `alive` [T] frames.

    Frames that are not alive are returned as they are.
    """
    result = values.copy()
    for start, end in runs(alive):
        weight = weights[start:end, :, np.newaxis].astype(np.float64)
        total = gaussian_filter1d(weight * values[start:end], sigma, axis=0, mode="constant")
        result[start:end] = total / gaussian_filter1d(weight, sigma, axis=0, mode="constant")
    return result


def runs(alive: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """Start and end (exclusive) of each unbroken run of True in alive [T]."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], alive, [False]]).astype(np.int8)))
    return [(int(start), int(end)) for start, end in zip(edges[::2], edges[1::2], strict=True)]


def bridge_gaps(points: FloatArray, score: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Fill gaps (score [T] = 0) of at most LONGEST_BRIDGE frames between found ones by straight lines.

    A gap across which the points move by more than their own extent stays: it need not be the same hand.
    """
    points, score = points.copy(), score.copy()
    for start, end in runs(score <= 0):
        before, after = start - 1, end
        if before < 0 or after >= len(score) or end - start > LONGEST_BRIDGE:
            continue
        moved = np.linalg.norm(points[after, :, :2].mean(axis=0) - points[before, :, :2].mean(axis=0))
        if moved > np.ptp(points[before, :, :2], axis=0).max():
            continue
        share = (np.arange(start, end, dtype=np.float32) - before) / (after - before)
        step = points[after] - points[before]
        points[start:end] = points[before] + share[:, np.newaxis, np.newaxis] * step
        score[start:end] = min(score[before], score[after])
    return points, score


def fill_lost(body: FloatArray, alive: NDArray[np.bool_]) -> FloatArray:
    """Body [T, 33, 4] with the lost frames' points on straight lines between the found ones, confidence 0."""
    result = body.copy()
    found, lost = np.flatnonzero(alive), np.flatnonzero(~alive)
    for joint in range(body.shape[1]):
        for axis in range(3):
            result[lost, joint, axis] = np.interp(lost, found, body[found, joint, axis])
    result[lost, :, 3] = 0
    return result


def inside_frame(body: FloatArray, width: int, height: int) -> NDArray[np.bool_]:
    """Which joints of body [T, 33, 4] lie in the frame, as bool [T, 33].

    The body model goes on reporting joints outside with high visibility. The hips count as a pair: one alone
    would make one half of the trunk flicker at the picture's edge.
    """
    x, y = body[..., 0], body[..., 1]
    inside = (x >= 0) & (x <= width - 1) & (y >= 0) & (y <= height - 1)
    both = inside[:, _LEFT_HIP] & inside[:, _RIGHT_HIP]
    inside[:, _LEFT_HIP] = inside[:, _RIGHT_HIP] = both
    return np.asarray(inside, np.bool_)


def _point_weights(points: FloatArray, score: FloatArray) -> FloatArray:
    return np.repeat(score[:, np.newaxis], points.shape[1], axis=1)


def _smooth_face(face: FloatArray, score: FloatArray) -> FloatArray:
    found = score > 0
    place = face.mean(axis=1, keepdims=True)
    steady = smooth(place, _point_weights(place, score), found)
    return steady + smooth(face - place, _point_weights(face, score), found, EXPRESSION_SIGMA)
