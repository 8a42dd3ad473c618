"""A z-buffer for small triangles in plain numpy: exact spans, one sort, last write wins."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from scripts.demo_figure.mesh import Floats, Ints


@dataclass(frozen=True)
class Hits:
    """What the camera sees, one entry for each covered pixel.

    pixel: number of the pixel, row by row [P]; triangle: the front triangle [P]; weights: its barycentric
    weights [P, 3]; depth: distance from the camera [P].
    """

    pixel: Ints
    triangle: Ints
    weights: Floats
    depth: Floats

    def mix(self, corners: Floats) -> Floats:
        """Values at the triangles' corners [M, 3, C] -> values at the pixels [P, C]."""
        picked: Floats = np.einsum("pk,pkc->pc", self.weights, corners[self.triangle])
        return picked


def rasterise(points: Floats, depth: Floats, triangles: Ints, keep: Floats, size: tuple[int, int]) -> Hits:
    """Visible triangle of every pixel.

    points: [N, 2] pixels (pixel centres at .5); depth: [N], smaller is nearer; triangles: [M, 3];
    keep: [N], cuts holes: a pixel where the mixed value is below 0 is left out; size: (width, height).
    """
    width, height = size
    corners = points[triangles].astype(np.float64)
    rows, owners = _rows(corners[:, :, 1], height)
    left, right = _crossings(corners[owners], rows)
    first = np.clip(np.ceil(left - 0.5), 0, width).astype(np.int64)
    last = np.clip(np.ceil(right - 0.5), 0, width).astype(np.int64)
    lengths = np.maximum(last - first, 0)
    owners, columns = np.repeat(owners, lengths), _ramp(lengths) + np.repeat(first, lengths)
    rows = np.repeat(rows, lengths)

    weights = _barycentric(corners[owners], columns + 0.5, rows + 0.5)
    picked = triangles[owners]
    inside = np.einsum("pk,pk->p", weights, keep[picked]) >= 0
    owners, columns, rows, weights, picked = (
        part[inside] for part in (owners, columns, rows, weights, picked)
    )
    distance = np.einsum("pk,pk->p", weights, depth[picked]).astype(np.float32)

    pixel = rows * width + columns
    order = np.argsort(-distance, kind="stable")  # far to near: the nearest is written last
    front = np.full(width * height, -1)
    front[pixel[order]] = order
    seen = front[front >= 0]
    return Hits(pixel[seen], owners[seen], weights[seen].astype(np.float32), distance[seen])


def _rows(heights: Floats, limit: int) -> tuple[Ints, Ints]:
    first = np.clip(np.ceil(heights.min(axis=1) - 0.5), 0, limit).astype(np.int64)
    last = np.clip(np.ceil(heights.max(axis=1) - 0.5), 0, limit).astype(np.int64)
    counts = np.maximum(last - first, 0)
    return _ramp(counts) + np.repeat(first, counts), np.repeat(np.arange(len(heights)), counts)


def _ramp(counts: Ints) -> Ints:
    """[2, 3] -> 0 1 0 1 2"""
    ends = np.cumsum(counts)
    ramp: Ints = np.arange(ends[-1] if len(ends) else 0) - np.repeat(ends - counts, counts)
    return ramp


def _crossings(corners: Floats, rows: Ints) -> tuple[Floats, Floats]:
    level = rows + 0.5
    left, right = np.full(len(rows), np.inf), np.full(len(rows), -np.inf)
    for start, end in ((0, 1), (1, 2), (2, 0)):
        (x0, y0), (x1, y1) = corners[:, start].T, corners[:, end].T
        spans = (y0 <= level) != (y1 <= level)
        x = x0 + (x1 - x0) * (level - y0) / np.where(spans, y1 - y0, 1)
        left = np.where(spans, np.minimum(left, x), left)
        right = np.where(spans, np.maximum(right, x), right)
    empty = left > right
    return np.where(empty, 0, left), np.where(empty, 0, right)


def _barycentric(corners: Floats, x: Floats, y: Floats) -> Floats:
    (ax, ay), (bx, by), (cx, cy) = corners[:, 0].T, corners[:, 1].T, corners[:, 2].T
    area = (bx - ax) * (cy - ay) - (cx - ax) * (by - ay)
    area = np.where(np.abs(area) < 1e-12, 1e-12, area)
    second = ((x - ax) * (cy - ay) - (cx - ax) * (y - ay)) / area
    third = ((bx - ax) * (y - ay) - (x - ax) * (by - ay)) / area
    weights: Floats = np.clip(np.stack([1 - second - third, second, third], axis=1), 0, 1)
    return weights
