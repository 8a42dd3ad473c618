"""The puppet's layers: a picture with opacity, a mesh and bone weights for each part.

The arm's layer holds a disc round the shoulder, the body's layer the same disc, and both move it by the same
weights: so there is no seam to tear. The same holds for the hips.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from engines.preview.puppet.matte import edge_colours
from engines.preview.puppet.mesh import Mesh, build_mesh, segment_distance, smoothstep
from engines.preview.puppet.parts import Mask, Parts, half_grid
from engines.preview.puppet.pixels import (
    Extension,
    extend,
    grow,
    half_size,
    paint_in,
    premultiplied,
    soft,
)
from engines.preview.puppet.skeleton import (
    BONE_COUNT,
    FOOT,
    FOREARM,
    HAND,
    LEFT,
    NECK,
    PELVIS,
    RIGHT,
    SHIN,
    SHOULDER,
    SIDES,
    THIGH,
    UPPER_ARM,
    Skeleton,
    bone,
    joint,
)
from engines.preview.puppet.weights import BoneWeights, WeightsAt

Image = NDArray[np.uint8]
Floats = NDArray[np.float32]

_SHOULDER_DISC, _BODY_DISC = 0.20, 0.14


@dataclass(frozen=True)
class Layer:
    """One part: premultiplied RGBA (h, w, 4), its left top corner in the reference picture, and its mesh.

    The mesh's vertices are pixels of ``texture``; ``half`` is the texture at half size, for small figures.
    """

    texture: Image
    half: Image
    left: int
    top: int
    mesh: Mesh


Limb = tuple[Layer, ...]
"""Back to front: the half next to the torso, then the other; empty where the figure has no movable limb.

A bent limb covers itself, so it needs two layers: within one, the transparent margin of a triangle would hide
an opaque one."""


@dataclass(frozen=True)
class Puppet:
    """Layers of the figure; arms and legs by side."""

    body: Layer
    arms: tuple[Limb, Limb]
    legs: tuple[Limb, Limb]


def build_puppet(
    image: Image, alpha: Image, parts: Parts, skeleton: Skeleton, extension: Extension
) -> Puppet:
    """Cut the picture into layers.

    Args:
        image: RGB (H, W, 3); alpha: opacity (H, W) of the figure.
        extension: what to add below where the figure touches the lower edge.
    """
    builder = _Builder(image, alpha, parts, skeleton, extension)
    return Puppet(
        builder.body(),
        arms=(builder.arm(LEFT), builder.arm(RIGHT)),
        legs=(builder.leg(LEFT), builder.leg(RIGHT)),
    )


class _Builder:
    def __init__(
        self, image: Image, alpha: Image, parts: Parts, skeleton: Skeleton, extension: Extension
    ) -> None:
        self.alpha = alpha.astype(np.float32) / 255
        self.colours = edge_colours(image, alpha)
        self.parts = parts
        self.points = skeleton.points[0]
        self.unit = parts.unit
        self.extension = extension
        self.cell = max(6, round(14 * max(image.shape[:2]) / 1280))
        self.bones = BoneWeights(self.points, parts)
        self.joints = self.bones.joints()

    # ---------------------------------------------------------------------------------------------- layers

    def arm(self, side: int) -> Limb:
        mask = self.parts.arms[side]
        if mask is None:
            return ()
        opacity = soft(mask, 0.012 * self.unit, 0.010 * self.unit)
        disc = self._disc(self.points[joint(side, SHOULDER)], _SHOULDER_DISC)
        lit = 1 - soft(self.parts.shade, 0, 0.008 * self.unit)
        opacity = np.asarray(np.maximum(opacity, disc) * self.alpha * lit, np.float32)
        rows = min(self.extension.rows, round(0.35 * self.unit))
        extension = Extension(rows, 0)
        limit = self._arm_reach(side, rows)
        weights = self.bones.arm(side)
        near, far = (
            np.asarray(opacity * share, np.float32) for share in self._halves(*self.bones.arm_segments(side))
        )
        return (
            self._layer(self.colours, near, weights, extension, limit, -_OUTER_RANK),
            self._layer(self.colours, far, weights, extension, limit, _OUTER_RANK),
        )

    def leg(self, side: int) -> Limb:
        mask = self.parts.legs[side]
        if mask is None:
            return ()
        opacity = soft(mask, 0.012 * self.unit, 0.010 * self.unit) * self.alpha
        weights = self.bones.leg(side)
        near, far = (
            np.asarray(opacity * share, np.float32) for share in self._halves(*self.bones.leg_segments(side))
        )
        return (
            self._layer(self.colours, near, weights, self.extension, None, -_OUTER_RANK),
            self._layer(self.colours, far, weights, self.extension, None, _OUTER_RANK),
        )

    def _halves(self, segments: list[tuple[Floats, Floats]], reaches: list[float]) -> tuple[Floats, Floats]:
        """Shares (H, W) of the half next to the torso and of the other; both hold the bend in the middle."""
        height, width = self.alpha.shape
        grid = half_grid(width, height)
        distances = [segment_distance(grid, *segment) for segment in segments[1:]]
        past = (distances[0] - np.minimum(distances[1], distances[2])) / reaches[1]
        shares = (1 - smoothstep(0.1, 0.6, past), smoothstep(-0.6, -0.1, past))
        near, far = (cv2.resize(share, (width, height), interpolation=cv2.INTER_LINEAR) for share in shares)
        return np.asarray(near, np.float32), np.asarray(far, np.float32)

    def body(self) -> Layer:
        """Torso and head; painted in behind the arms, overlapping the limbs at shoulders and hips."""
        arms = _union(self.parts.arms, self.alpha.shape)
        legs = _union(self.parts.legs, self.alpha.shape)
        # The limbs' soft rim is not the body's: it would stay behind as an outline when the limb moves.
        apart = arms | legs | self.parts.shade
        core = (self.alpha > 0.5) & ~apart
        rim = grow(apart, 0.06 * self.unit) & ~core
        opacity = soft(~(apart | rim), 0.012 * self.unit, 0.010 * self.unit)
        for side in SIDES:
            if self.parts.arms[side] is not None:
                opacity = np.maximum(opacity, self._disc(self.points[joint(side, SHOULDER)], _BODY_DISC))
        if legs.any():
            opacity = np.maximum(opacity, self._hip_band() * soft(legs, 0, 0.01 * self.unit))
        opacity *= self.alpha * (1 - soft(self.parts.shade, 0, 0.01 * self.unit))
        hidden = (arms | self.parts.shade) & self.parts.torso
        colours = self.colours
        if hidden.any():
            grown = grow(arms | self.parts.shade, 0.03 * self.unit)
            grown &= grow(self.parts.torso, 0.05 * self.unit)
            near = np.zeros_like(grown)
            for side in SIDES:
                near |= self._disc(self.points[joint(side, SHOULDER)], _SHOULDER_DISC * 0.7) > 0.5
            colours = paint_in(colours, grown & ~near, self.alpha > 0.9)
            # Added, not the larger of the two: half and half along the border must make a whole.
            opacity = np.minimum(opacity + soft(hidden, 0.02 * self.unit, 0.012 * self.unit), 1)
        return self._layer(colours, opacity, self.bones.body, self.extension, None, _BODY_RANK)

    def _layer(
        self,
        colours: Image,
        opacity: Floats,
        weights: WeightsAt,
        extension: Extension,
        limit: Floats | None,
        rank: Floats,
    ) -> Layer:
        if extension.rows > 0 and (opacity[-2:] > 0.3).any():
            colours, opacity = extend(colours, opacity, extension, limit, 0.2 * self.unit)
        rounded = np.rint(opacity * 255).astype(np.uint8)
        left, top, width, height = cv2.boundingRect((rounded > 2).astype(np.uint8))
        left, top = max(0, left - 2), max(0, top - 2)
        area = np.s_[top : top + height + 4, left : left + width + 4]
        rounded = np.ascontiguousarray(rounded[area])
        texture = premultiplied(colours[area], rounded)
        corner = np.array([left, top], np.float32)
        mesh = build_mesh(
            rounded,
            self.cell,
            lambda vertices: weights(vertices + corner),
            rank,
            [(first, second, point - corner) for first, second, point in self.joints],
        )
        return Layer(texture, half_size(texture), left, top, mesh)

    # ---------------------------------------------------------------------------------------------- shapes

    def _disc(self, centre: Floats, radius: float) -> Floats:
        height, width = self.alpha.shape
        y, x = np.ogrid[:height, :width]
        away = np.hypot(x - centre[0], y - centre[1]).astype(np.float32) / self.unit
        return np.asarray(1 - smoothstep(radius * 0.6, radius, away), np.float32)

    def _hip_band(self) -> Floats:
        """1 at the hips, fading out a little way down the thighs."""
        height, width = self.alpha.shape
        spine = self.points[PELVIS] - self.points[NECK]
        y, x = np.mgrid[:height, :width].astype(np.float32)
        along = (x - self.points[NECK, 0]) * spine[0] + (y - self.points[NECK, 1]) * spine[1]
        return 1 - smoothstep(1.0, 1.22, along / (spine @ spine))

    def _arm_reach(self, side: int, rows: int) -> Floats:
        """Soft capsule of the arm over the picture with its added rows: an arm cut by the edge ends round."""
        height, width = self.alpha.shape
        y, x = np.mgrid[height : height + rows, :width].astype(np.float32)
        grid = np.stack([x, y], -1)
        segments, _ = self.bones.arm_segments(side)
        nearest = np.min([segment_distance(grid, *segment) for segment in segments[1:]], 0) / self.unit
        return 1 - smoothstep(0.19, 0.24, nearest)


def _union(masks: tuple[Mask | None, Mask | None], shape: tuple[int, ...]) -> Mask:
    total = np.zeros(shape, np.bool_)
    for mask in masks:
        if mask is not None:
            total |= mask
    return total


# Where a mesh folds, a limb's outer half shows its outer bones, its inner half the inner ones.
_OUTER_RANK = np.zeros(BONE_COUNT, np.float32)
_BODY_RANK = np.zeros(BONE_COUNT, np.float32)
for _side in SIDES:
    for _name, _rank in ((UPPER_ARM, 1), (FOREARM, 2), (HAND, 3), (THIGH, 1), (SHIN, 2), (FOOT, 3)):
        _OUTER_RANK[bone(_side, _name)] = _rank
        _BODY_RANK[bone(_side, _name)] = -1
