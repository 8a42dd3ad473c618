"""Person detector and body reader: the region of a person, 33 joints and the person mask in it.

Method: BlazePose (Bazarevsky et al., 2020, arXiv:2006.10204) as MediaPipe 0.10 runs it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from engines.preview.network import Network, Region, sigmoid
from engines.preview.track import MASK_SIDE, FloatArray, Image

JOINT_COUNT = 33
PERSON_THRESHOLD = 0.5

_DETECTOR_SIDE = 224
_ANCHOR_LAYERS = ((8, 2), (16, 2), (32, 6))  # stride, anchors in each cell
_OVERLAP = 0.3
_REGION_SCALE = 1.25
_CLOSE_FACTOR = 0.8  # side of the closer look / side of the region
_SEEN_LITTLE, _SEEN_WELL = (
    0.55,
    0.75,
)  # share of the region's length inside the picture: full closer look .. none
_ARM_ROOM = 1.1
_HEATMAP_WINDOW = 3  # cells to each side: 7x7
_HEATMAP_THRESHOLD = 0.5


@dataclass(frozen=True)
class Detection:
    """A person as the detector sees one: hip centre and a point that fixes size and direction, in pixels."""

    score: float
    hip_centre: FloatArray
    size_point: FloatArray

    @property
    def region(self) -> Region:
        return region_of_person(self.hip_centre, self.size_point)


def region_of_person(hip_centre: FloatArray, size_point: FloatArray) -> Region:
    """The square that holds a whole person, turned so that hip centre -> size point is up."""
    up = size_point - hip_centre
    side = 2 * float(np.hypot(up[0], up[1])) * _REGION_SCALE
    return Region.pointing(float(hip_centre[0]), float(hip_centre[1]), max(side, 1.0), up)


class PersonDetector:
    """Finds the persons in a whole frame."""

    def __init__(self) -> None:
        self._network = Network("pose_detection")
        self._anchors = _anchor_centres()

    def detect(self, frame: Image) -> list[Detection]:
        """Persons in a uint8 RGB frame, the most wanted (sure, large, central) first."""
        height, width = frame.shape[:2]
        whole = Region((width - 1) / 2, (height - 1) / 2, max(width, height), 0.0)
        self._network.run(whole.cut(frame, _DETECTOR_SIDE), low=-1.0)
        scores = sigmoid(self._network.output("Identity_1")[0, :, 0])
        kept = scores >= PERSON_THRESHOLD
        rows = self._network.output("Identity")[0, kept].reshape(-1, 6, 2)  # centre, size, four points
        rows[:, [0, 2, 3, 4, 5]] += self._anchors[kept][:, np.newaxis] * _DETECTOR_SIDE
        found = []
        for score, row in _merge_overlaps(scores[kept], rows):
            points = whole.to_frame(row[2:4], _DETECTOR_SIDE)
            found.append(Detection(score, points[0], points[1]))
        return sorted(found, key=lambda person: -_preference(person, width, height))


def _preference(person: Detection, width: int, height: int) -> float:
    """Score x size x centrality: the person that a viewer would call the subject comes first."""
    away = np.hypot(*((person.hip_centre - (width / 2, height / 2)) / (width, height)))
    return person.score * person.region.side * (1.0 - 0.6 * min(float(away), 1.0))


def _anchor_centres() -> FloatArray:
    layers = []
    for stride, repeats in _ANCHOR_LAYERS:
        cells = _DETECTOR_SIDE // stride
        row, column = np.mgrid[0:cells, 0:cells]
        centres = (np.stack([column, row], axis=-1).reshape(-1, 2) + 0.5) / cells
        layers.append(np.repeat(centres, repeats, axis=0))
    return np.concatenate(layers).astype(np.float32)


def _merge_overlaps(scores: FloatArray, rows: FloatArray) -> list[tuple[float, FloatArray]]:
    """Non-maximum suppression with score-weighted means instead of plain removal."""
    merged = []
    remaining = np.argsort(-scores)
    low, high = rows[:, 0] - rows[:, 1] / 2, rows[:, 0] + rows[:, 1] / 2
    area = (high - low).prod(axis=1)
    while remaining.size:
        best = remaining[0]
        inner = np.minimum(high[best], high[remaining]) - np.maximum(low[best], low[remaining])
        shared = np.clip(inner, 0, None).prod(axis=1)
        same = shared / (area[best] + area[remaining] - shared) > _OVERLAP
        same[0] = True
        group = remaining[same]
        merged.append((float(scores[best]), np.average(rows[group], axis=0, weights=scores[group])))
        remaining = remaining[~same]
    return merged


@dataclass(frozen=True)
class BodyReading:
    """One frame's body: joints [33, 4] (x, y, z in frame pixels, confidence), score, mask, next region."""

    joints: FloatArray
    score: float
    mask_logits: FloatArray  # [256, 256] in the crop of `region`
    region: Region
    next_region: Region

    def closer_look(self, width: int, height: int) -> Region | None:
        """The region to read again where the width x height picture cuts the person off; else None.

        Half of the region then lies outside the picture and the person gets few of the crop's pixels:
        shoulders, arms and mask stray into the background. A second look at the head end of the region mends
        that. It must not steer the next region: the model fits the body to the crop, and crops would shrink.
        """
        region = self.region
        up = np.array([math.sin(region.angle), -math.cos(region.angle)])
        along = np.linspace(0.0, 1.0, 65)
        line = (
            np.array([region.x, region.y]) + np.outer(0.5 - along, up) * region.side
        )  # head end -> foot end
        inside = ((line >= 0) & (line < (width, height))).all(axis=1)
        seen = float(along[inside][-1]) if inside.any() else 1.0
        factor = float(np.interp(seen, [_SEEN_LITTLE, _SEEN_WELL], [_CLOSE_FACTOR, 1.0]))
        in_view = (self.joints[:, 3] > 0.5) & (self.joints[:, 1] < height)
        aside = (self.joints[in_view, :2] - (region.x, region.y)) @ np.array([-up[1], up[0]])
        factor = max(factor, 2 * _ARM_ROOM * float(np.abs(aside).max(initial=0.0)) / region.side)
        if factor >= 1.0:
            return None
        x, y = np.array([region.x, region.y]) + up * region.side * (1 - factor) / 2
        return Region(float(x), float(y), region.side * factor, region.angle)

    def mask_png(self) -> bytes:
        """The soft mask in crop space as a grey PNG."""
        soft = cv2.convertScaleAbs(sigmoid(self.mask_logits), alpha=255)
        ok, data = cv2.imencode(".png", soft, [cv2.IMWRITE_PNG_COMPRESSION, 1])
        assert ok  # noqa: S101 - only fails for want of memory
        return bytes(data)

    @property
    def mask_transform(self) -> FloatArray:
        return self.region.transform(MASK_SIDE).astype(np.float32)


class BodyReader:
    """Reads the body inside a region."""

    def __init__(self) -> None:
        self._network = Network("pose_landmark_full")

    def read(self, frame: Image, region: Region) -> BodyReading:
        """Read the body in `region` of a uint8 RGB frame; score under PERSON_THRESHOLD: nobody there."""
        side = self._network.side
        self._network.run(region.cut(frame, side))
        rows = self._network.output("Identity").reshape(39, 5)
        _refine_by_heatmap(rows, self._network.output("Identity_3")[0], side)
        points = region.to_frame(rows[:, :3], side)
        confidence = sigmoid(rows[:, 3:5]).min(axis=1)
        joints = np.concatenate([points, confidence[:, np.newaxis]], axis=1)[:JOINT_COUNT]
        return BodyReading(
            joints=joints.astype(np.float32),
            score=float(self._network.output("Identity_1")[0, 0]),
            mask_logits=self._network.output("Identity_2")[0, :, :, 0],
            region=region,
            next_region=region_of_person(points[33, :2], points[34, :2]),
        )


def _refine_by_heatmap(rows: FloatArray, heatmap: FloatArray, side: int) -> None:
    """Move each point to the weighted mean of its heatmap [64, 64, 39] near it, where that is sure enough."""
    cells = heatmap.shape[0]
    scale = side / cells
    window: NDArray[np.intp] = np.arange(-_HEATMAP_WINDOW, _HEATMAP_WINDOW + 1)
    for index, row in enumerate(rows):
        column, line = int(row[0] / scale), int(row[1] / scale)
        if not (0 <= column < cells and 0 <= line < cells):
            continue
        columns = (column + window)[(column + window >= 0) & (column + window < cells)]
        lines = (line + window)[(line + window >= 0) & (line + window < cells)]
        weights = sigmoid(heatmap[lines[0] : lines[-1] + 1, columns[0] : columns[-1] + 1, index])
        if weights.max() < _HEATMAP_THRESHOLD:
            continue
        total = float(weights.sum())
        row[0] = float(weights.sum(axis=0) @ columns) / total * scale
        row[1] = float(weights.sum(axis=1) @ lines) / total * scale
