"""A layer's mesh: a regular grid over its opaque part, moved by blended bones.

Skinning blends each vertex's *rotation angle* and stretch, about a centre between the bones that pull at it
(after Le and Hodgins 2016, "Real-time skeletal skinning with optimized centers of rotation", reduced to the
plane). Plain blending of matrices would collapse a shoulder that turns by more than a right angle.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Ints = NDArray[np.int32]
Image = NDArray[np.uint8]

_RIGID = 0.01  # a vertex of one bone alone turns about itself


@dataclass(frozen=True)
class Pose:
    """Where the 14 bones are in one frame, relative to the reference.

    Attributes:
        angles: float32 (14,), turn in radians, positive = clockwise on the screen.
        stretches: float32 (14, 2, 2), symmetric, applied before the turn.
        origins: float32 (14, 2), where the bone's rest origin goes, canvas pixels.
    """

    angles: Floats
    stretches: Floats
    origins: Floats


@dataclass(frozen=True)
class Mesh:
    """Vertices (V, 2) in texture pixels, triangles (N, 3) as drawn, weights (V, 14), centres (V, 2)."""

    vertices: Floats
    triangles: Ints
    weights: Floats
    centres: Floats


def build_mesh(
    opacity: Image,
    cell: int,
    weights_at: Callable[[Floats], Floats],
    rank: Floats,
    joints: list[tuple[int, int, Floats]],
) -> Mesh:
    """Grid over the pixels of ``opacity`` (H, W) that are not 0.

    Args:
        cell: side of a grid cell, pixels.
        weights_at: bone weights (V, 14), rows summing to 1, of points (V, 2).
        rank: (14,) drawing order of the bones: where the mesh folds, a higher rank covers a lower one.
        joints: (bone, bone, point) for each pair of bones that meet at a point.
    """
    height, width = opacity.shape
    rows, columns = -(-height // cell), -(-width // cell)
    padded = np.zeros((rows * cell, columns * cell), np.uint8)
    padded[:height, :width] = cv2.dilate(opacity, np.ones((3, 3), np.uint8))
    used = padded.reshape(rows, cell, columns, cell).max((1, 3)) > 0
    row, column = np.nonzero(used)
    stride = columns + 1
    corner = row * stride + column
    flip = (row + column) % 2 == 0
    first = np.where(flip[:, None], corner[:, None] + [0, 1, stride], corner[:, None] + [0, 1, stride + 1])
    second = np.where(
        flip[:, None], corner[:, None] + [1, stride + 1, stride], corner[:, None] + [0, stride + 1, stride]
    )
    triangles = np.concatenate([first, second])
    kept, inverse = np.unique(triangles, return_inverse=True)
    triangles = inverse.reshape(-1, 3).astype(np.int32)
    vertices = np.stack([kept % stride, kept // stride], 1).astype(np.float32) * cell
    weights = weights_at(vertices)
    order = np.argsort((weights @ rank)[triangles].mean(1), kind="stable")
    return Mesh(vertices, triangles[order], weights, _centres(vertices, weights, joints))


def deform(mesh: Mesh, rest_origins: Floats, pose: Pose) -> Floats:
    """Positions (V, 2) of the mesh's vertices on the canvas."""
    cosine, sine = np.cos(pose.angles), np.sin(pose.angles)
    turns = np.stack([np.stack([cosine, -sine], 1), np.stack([sine, cosine], 1)], 1)
    linear = turns @ pose.stretches
    shifts = pose.origins - np.einsum("bij,bj->bi", linear, rest_origins)
    blended = (mesh.weights @ linear.reshape(-1, 4)).reshape(-1, 2, 2)
    centres = np.einsum("vij,vj->vi", blended, mesh.centres) + mesh.weights @ shifts
    angles = mesh.weights @ pose.angles
    stretches = (mesh.weights @ pose.stretches.reshape(-1, 4)).reshape(-1, 2, 2)
    arms = np.einsum("vij,vj->vi", stretches, mesh.vertices - mesh.centres)
    cosine, sine = np.cos(angles), np.sin(angles)
    turned = np.stack([cosine * arms[:, 0] - sine * arms[:, 1], sine * arms[:, 0] + cosine * arms[:, 1]], 1)
    return np.asarray(centres + turned, np.float32)


def _centres(vertices: Floats, weights: Floats, joints: list[tuple[int, int, Floats]]) -> Floats:
    total = np.full(len(vertices), _RIGID, np.float32)
    centres = vertices * _RIGID
    for first, second, point in joints:
        share = weights[:, first] * weights[:, second]
        centres = centres + share[:, None] * point
        total = total + share
    return (centres / total[:, None]).astype(np.float32)


def smoothstep(low: float, high: float, values: Floats) -> Floats:
    """0 below ``low``, 1 above ``high``, smooth between."""
    position = np.clip((values - low) / (high - low), 0, 1)
    return np.asarray(position * position * (3 - 2 * position), np.float32)


def segment_distance(points: Floats, first: Floats, second: Floats) -> Floats:
    """Distance of points (..., 2) to the segment between two points."""
    line = second - first
    length = float(line @ line)
    along = np.clip(((points - first) @ line) / max(length, 1e-6), 0, 1)
    nearest = points - first - along[..., None] * line
    return np.asarray(np.sqrt((nearest * nearest).sum(-1)), np.float32)
