"""Plane geometry over the frames of a clip."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]

TURN = 2 * np.pi


def fill_gaps(values: Floats, seen: NDArray[np.bool_]) -> Floats:
    """Values (T, N) where not seen are interpolated from the frames around."""
    frames = np.arange(len(values))
    columns = [np.interp(frames, frames[seen], column[seen]) for column in values.T]
    return np.stack(columns, 1).astype(np.float32)


def relative(length: Floats, seen: NDArray[np.bool_]) -> Floats:
    """Length over its 85th percentile: 1 = seen at full length, less = fore-shortened."""
    return np.asarray(length / max(float(np.percentile(length[seen], 85)), 1e-3), np.float32)


def angle(vectors: Floats) -> Floats:
    """Directions of vectors (..., 2) in radians, clockwise on the screen from "right"."""
    return np.asarray(np.arctan2(vectors[..., 1], vectors[..., 0]), np.float32)


def wrap(angles: Floats) -> Floats:
    """Angles brought into -pi to pi."""
    return np.asarray(np.mod(angles + np.pi, TURN) - np.pi, np.float32)


def turned(vector: Floats, angles: Floats) -> Floats:
    """One vector (2,) turned by each of T angles, (T, 2)."""
    cosine, sine = np.cos(angles), np.sin(angles)
    return np.asarray(
        np.stack([cosine * vector[0] - sine * vector[1], sine * vector[0] + cosine * vector[1]], 1),
        np.float32,
    )


def stretch_along(vector: Floats, along: Floats, across: Floats) -> Floats:
    """Symmetric stretch (T, 2, 2): ``along`` in the direction of ``vector``, ``across`` at right angles."""
    unit = vector / max(float(np.linalg.norm(vector)), 1e-6)
    projection = np.outer(unit, unit).astype(np.float32)
    eye = np.eye(2, dtype=np.float32)
    return across[:, None, None] * eye + (along - across)[:, None, None] * projection


def polar(linear: Floats) -> tuple[Floats, Floats]:
    """Turn and symmetric stretch of matrices (T, 2, 2): linear = turn @ stretch."""
    angles = np.arctan2(linear[:, 1, 0] - linear[:, 0, 1], linear[:, 0, 0] + linear[:, 1, 1])
    cosine, sine = np.cos(angles), np.sin(angles)
    back = np.stack([np.stack([cosine, sine], 1), np.stack([-sine, cosine], 1)], 1)
    stretches = back @ linear
    return angles.astype(np.float32), ((stretches + stretches.transpose(0, 2, 1)) / 2).astype(np.float32)
