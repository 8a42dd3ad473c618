"""How far each point of the figure goes with each bone."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
from numpy.typing import NDArray

from engines.preview.puppet.mesh import segment_distance, smoothstep
from engines.preview.puppet.parts import Mask, Parts
from engines.preview.puppet.skeleton import (
    ANKLE,
    BONE_COUNT,
    ELBOW,
    FOOT,
    FOREARM,
    HAND,
    HEAD,
    HEAD_BONE,
    HIP,
    KNEE,
    NECK,
    PALM,
    PELVIS,
    SHIN,
    SHOULDER,
    SIDES,
    THIGH,
    TOE,
    TORSO_BONE,
    UPPER_ARM,
    WRIST,
    bone,
    joint,
)

Floats = NDArray[np.float32]
WeightsAt = Callable[[Floats], Floats]
"""Bone weights (V, 14), rows summing to 1, of points (V, 2) of the reference picture."""


class BoneWeights:
    """Weights of the layers of one figure; where layers meet, theirs agree.

    Args:
        points: the reference's joints (19, 2).
        parts: its parts. A limb's pixel in the body's layer goes with the limb round shoulder and hip.
    """

    def __init__(self, points: Floats, parts: Parts) -> None:
        self.points = points
        self.unit = parts.unit
        self.memberships: dict[str, list[Floats | None]] = {
            "arms": [self._arm_membership(parts.arms[side], side) for side in SIDES],
            "legs": [_membership(mask, 0.10 * self.unit) for mask in parts.legs],
        }

    def _arm_membership(self, mask: Mask | None, side: int) -> Floats | None:
        """How far a pixel of the body's layer goes with the arm: round the shoulder only."""
        membership = _membership(mask, 0.10 * self.unit)
        if membership is None:
            return None
        height, width = membership.shape
        y, x = np.ogrid[:height, :width]
        shoulder = self.points[joint(side, SHOULDER)]
        away = np.asarray(np.hypot(x - shoulder[0], y - shoulder[1]) / self.unit, np.float32)
        return np.asarray(membership * (1 - smoothstep(0.18, 0.30, away)), np.float32)

    def arm(self, side: int) -> WeightsAt:
        """Weights in the arm's layer: torso, upper arm, forearm, hand."""

        def weights(points: Floats) -> Floats:
            return self._chain(points, *self.arm_segments(side), (UPPER_ARM, FOREARM, HAND), side)

        return weights

    def leg(self, side: int) -> WeightsAt:
        """Weights in the leg's layer: torso, thigh, shin, foot."""

        def weights(points: Floats) -> Floats:
            return self._chain(points, *self.leg_segments(side), (THIGH, SHIN, FOOT), side)

        return weights

    def arm_segments(self, side: int) -> tuple[list[tuple[Floats, Floats]], list[float]]:
        """Collar, upper arm, forearm, hand; and how wide the bend between each two is, pixels."""
        shoulder, elbow, wrist, palm = (
            self.points[joint(side, name)] for name in (SHOULDER, ELBOW, WRIST, PALM)
        )
        collar = self.points[NECK] * 0.5 + shoulder * 0.5
        reach = 0.22 * min(_length(shoulder, elbow), _length(elbow, wrist))
        tips = wrist + (palm - wrist) * 1.9
        segments = [(collar, shoulder), (shoulder, elbow), (elbow, wrist), (wrist, tips)]
        return segments, [0.22 * self.unit, max(reach, 0.05 * self.unit), 0.12 * self.unit]

    def leg_segments(self, side: int) -> tuple[list[tuple[Floats, Floats]], list[float]]:
        """Waist, thigh, shin, foot; and how wide the bend between each two is, pixels."""
        hip, knee, ankle, toe = (self.points[joint(side, name)] for name in (HIP, KNEE, ANKLE, TOE))
        above = hip + (self.points[NECK] - self.points[PELVIS]) * 0.4
        reach = 0.25 * min(_length(hip, knee), _length(knee, ankle))
        segments = [(above, hip), (hip, knee), (knee, ankle), (ankle, toe)]
        return segments, [0.30 * self.unit, max(reach, 0.05 * self.unit), 0.10 * self.unit]

    def _chain(
        self,
        points: Floats,
        segments: list[tuple[Floats, Floats]],
        reaches: list[float],
        names: tuple[int, int, int],
        side: int,
    ) -> Floats:
        """Weights of torso and three bones: at each joint the share goes over as the distances cross."""
        distances = np.stack([segment_distance(points, *segment) for segment in segments], 1)
        share = np.ones(len(points), np.float32)
        weights = np.zeros((len(points), BONE_COUNT), np.float32)
        indices = [TORSO_BONE, *(bone(side, name) for name in names)]
        for step, reach in enumerate(reaches):
            further = distances[:, step + 1 :].min(1)
            onwards = smoothstep(-reach, reach, distances[:, step] - further)
            weights[:, indices[step]] += share * (1 - onwards)
            share = share * onwards
        weights[:, indices[-1]] += share
        return weights

    def body(self, points: Floats) -> Floats:
        """Weights (V, 14) in the body's layer."""
        weights = np.zeros((len(points), BONE_COUNT), np.float32)
        weights[:, TORSO_BONE] = 1
        for side in SIDES:
            for kind, chain in (("arms", self.arm(side)), ("legs", self.leg(side))):
                membership = self.memberships[kind][side]
                if membership is not None:
                    share = _sample(membership, points)[:, None]
                    weights = weights * (1 - share) + chain(points) * share
        neck, head = self.points[NECK], self.points[HEAD]
        along = (points - neck) @ (head - neck) / max(float((head - neck) @ (head - neck)), 1e-3)
        share = smoothstep(0.12, 0.62, along)[:, None]
        for side in SIDES:  # a raised hand beside the head is not part of it
            membership = self.memberships["arms"][side]
            if membership is not None:
                share = share * (1 - _sample(membership, points)[:, None])
        weights *= 1 - share
        weights[:, HEAD_BONE] += share[:, 0]
        return weights

    def joints(self) -> list[tuple[int, int, Floats]]:
        """(bone, bone, point) where two bones meet."""
        points = self.points
        found = [(TORSO_BONE, HEAD_BONE, points[NECK] * 0.65 + points[HEAD] * 0.35)]
        for side in SIDES:
            for first, second, name in (
                (TORSO_BONE, bone(side, UPPER_ARM), SHOULDER),
                (bone(side, UPPER_ARM), bone(side, FOREARM), ELBOW),
                (bone(side, FOREARM), bone(side, HAND), WRIST),
                (TORSO_BONE, bone(side, THIGH), HIP),
                (bone(side, THIGH), bone(side, SHIN), KNEE),
                (bone(side, SHIN), bone(side, FOOT), ANKLE),
            ):
                found.append((first, second, points[joint(side, name)]))
        return found


def _membership(mask: Mask | None, blur: float) -> Floats | None:
    if mask is None:
        return None
    side = 2 * max(1, round(blur)) + 1
    return np.asarray(cv2.blur(mask.astype(np.float32), (side, side)), np.float32)


def _sample(values: Floats, points: Floats) -> Floats:
    x = np.clip(np.rint(points[:, 0]).astype(int), 0, values.shape[1] - 1)
    y = np.clip(np.rint(points[:, 1]).astype(int), 0, values.shape[0] - 1)
    return np.asarray(values[y, x], np.float32)


def _length(first: Floats, second: Floats) -> float:
    return float(np.linalg.norm(first - second))
