"""The puppet's layers: for each part a picture with opacity, a mesh, and bone weights that agree where parts meet.

The arm's layer holds a disc round the shoulder, the body's layer the same disc, and both move it by the same weights:
so there is no seam to tear. The same holds for the hips.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from engines.preview.puppet.matte import edge_colours
from engines.preview.puppet.mesh import Mesh, build_mesh, segment_distance, smoothstep
from engines.preview.puppet.parts import Mask, Parts, half_grid
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
    LEFT,
    NECK,
    PALM,
    PELVIS,
    RIGHT,
    SHIN,
    SHOULDER,
    SIDES,
    THIGH,
    TOE,
    TORSO_BONE,
    UPPER_ARM,
    WRIST,
    Skeleton,
    bone,
    joint,
)

Image = NDArray[np.uint8]
Floats = NDArray[np.float32]
Weights = Callable[[Floats], Floats]

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
"""Back to front: the half next to the torso, then the other. A bent limb covers itself, so it needs two layers: in
one, the transparent margin of a triangle would hide an opaque one. Empty where the figure has no movable limb."""


@dataclass(frozen=True)
class Puppet:
    """Layers of the figure; arms and legs by side."""

    body: Layer
    arms: tuple[Limb, Limb]
    legs: tuple[Limb, Limb]


@dataclass(frozen=True)
class Extension:
    """Rows to be added below a picture that cuts the figure, and how many of the last ones fade out."""

    rows: int
    fade: int


def build_puppet(image: Image, alpha: Image, parts: Parts, skeleton: Skeleton, extension: Extension) -> Puppet:
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
        self.memberships = {
            "arms": [self._arm_membership(side) for side in SIDES],
            "legs": [_membership(mask, 0.10 * self.unit) for mask in parts.legs],
        }
        self.joints = self._joints()

    # ---------------------------------------------------------------------------------------------- layers

    def arm(self, side: int) -> Limb:
        mask = self.parts.arms[side]
        if mask is None:
            return ()
        opacity = _soft(mask, 0.012 * self.unit, 0.010 * self.unit)
        disc = self._disc(self.points[joint(side, SHOULDER)], _SHOULDER_DISC)
        opacity = np.maximum(opacity, disc) * self.alpha
        rows = min(self.extension.rows, round(0.35 * self.unit))
        extension = Extension(rows, 0)
        limit = self._arm_reach(side, rows)
        weights = self._arm_weights(side)
        return tuple(
            self._layer(self.colours, opacity * share, weights, extension, limit, _LIMB_RANK)
            for share in self._halves(*self._arm_segments(side))
        )

    def leg(self, side: int) -> Limb:
        mask = self.parts.legs[side]
        if mask is None:
            return ()
        opacity = _soft(mask, 0.012 * self.unit, 0.010 * self.unit) * self.alpha
        weights = self._leg_weights(side)
        return tuple(
            self._layer(self.colours, opacity * share, weights, self.extension, None, _LIMB_RANK)
            for share in self._halves(*self._leg_segments(side))
        )

    def _halves(self, segments: list[tuple[Floats, Floats]], reaches: list[float]) -> tuple[Floats, Floats]:
        """Shares (H, W) of the half next to the torso and of the other; both hold the bend in the middle."""
        height, width = self.alpha.shape
        grid = half_grid(width, height)
        distances = [segment_distance(grid, *segment) for segment in segments[1:]]
        past = (distances[0] - np.minimum(distances[1], distances[2])) / max(reaches[1], 0.2 * self.unit)
        shares = (1 - smoothstep(0.7, 1.1, past), smoothstep(-0.9, -0.5, past))
        near, far = (cv2.resize(share, (width, height), interpolation=cv2.INTER_LINEAR) for share in shares)
        return np.asarray(near, np.float32), np.asarray(far, np.float32)

    def body(self) -> Layer:
        """Torso and head; behind the arms the torso is painted in, at shoulders and hips it overlaps the limbs."""
        arms = _union(self.parts.arms, self.alpha.shape)
        legs = _union(self.parts.legs, self.alpha.shape)
        # The limbs' soft rim is not the body's: it would stay behind as an outline when the limb moves.
        core = (self.alpha > 0.5) & ~(arms | legs)
        rim = _grow(arms | legs, 0.06 * self.unit) & ~core
        opacity = _soft(~(arms | legs | rim), 0.012 * self.unit, 0.010 * self.unit)
        for side in SIDES:
            if self.parts.arms[side] is not None:
                opacity = np.maximum(opacity, self._disc(self.points[joint(side, SHOULDER)], _BODY_DISC))
        if legs.any():
            opacity = np.maximum(opacity, self._hip_band() * _soft(legs, 0, 0.01 * self.unit))
        opacity *= self.alpha
        hidden = arms & self.parts.torso
        colours = self.colours
        if hidden.any():
            grown = _grow(arms, 0.03 * self.unit) & (_grow(self.parts.torso, 0.05 * self.unit))
            near = np.zeros_like(grown)
            for side in SIDES:
                near |= self._disc(self.points[joint(side, SHOULDER)], _SHOULDER_DISC * 0.7) > 0.5
            colours = paint_in(colours, grown & ~near, self.alpha > 0.9)
            opacity = np.maximum(opacity, _soft(hidden, 0.0, 0.012 * self.unit))
        return self._layer(colours, opacity, self._body_weights, self.extension, None, _BODY_RANK)

    def _layer(
        self,
        colours: Image,
        opacity: Floats,
        weights: Weights,
        extension: Extension,
        limit: Floats | None,
        rank: Floats,
    ) -> Layer:
        if extension.rows > 0 and (opacity[-2:] > 0.3).any():
            colours, opacity = _extend(colours, opacity, extension, limit, 0.35 * self.unit)
        rounded = np.rint(opacity * 255).astype(np.uint8)
        left, top, width, height = cv2.boundingRect((rounded > 2).astype(np.uint8))
        left, top = max(0, left - 2), max(0, top - 2)
        area = np.s_[top : top + height + 4, left : left + width + 4]
        rounded = np.ascontiguousarray(rounded[area])
        texture = premultiplied(colours[area], rounded)
        corner = np.float32([left, top])
        mesh = build_mesh(
            rounded,
            self.cell,
            lambda vertices: weights(vertices + corner),
            rank,
            [(first, second, point - corner) for first, second, point in self.joints],
        )
        return Layer(texture, half_size(texture), left, top, mesh)

    # --------------------------------------------------------------------------------------------- weights

    def _arm_weights(self, side: int) -> Weights:
        def weights(points: Floats) -> Floats:
            return self._chain(points, *self._arm_segments(side), (UPPER_ARM, FOREARM, HAND), side)

        return weights

    def _leg_weights(self, side: int) -> Weights:
        def weights(points: Floats) -> Floats:
            return self._chain(points, *self._leg_segments(side), (THIGH, SHIN, FOOT), side)

        return weights

    def _arm_segments(self, side: int) -> tuple[list[tuple[Floats, Floats]], list[float]]:
        shoulder, elbow, wrist, palm = (self.points[joint(side, name)] for name in (SHOULDER, ELBOW, WRIST, PALM))
        collar = self.points[NECK] * 0.5 + shoulder * 0.5
        reach = 0.22 * min(_length(shoulder, elbow), _length(elbow, wrist))
        tips = wrist + (palm - wrist) * 1.9
        segments = [(collar, shoulder), (shoulder, elbow), (elbow, wrist), (wrist, tips)]
        return segments, [0.22 * self.unit, max(reach, 0.05 * self.unit), 0.12 * self.unit]

    def _leg_segments(self, side: int) -> tuple[list[tuple[Floats, Floats]], list[float]]:
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

    def _body_weights(self, points: Floats) -> Floats:
        weights = np.zeros((len(points), BONE_COUNT), np.float32)
        weights[:, TORSO_BONE] = 1
        for side in SIDES:
            for kind, chain in (("arms", self._arm_weights(side)), ("legs", self._leg_weights(side))):
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

    def _joints(self) -> list[tuple[int, int, Floats]]:
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

    # ---------------------------------------------------------------------------------------------- shapes

    def _disc(self, centre: Floats, radius: float) -> Floats:
        height, width = self.alpha.shape
        y, x = np.ogrid[:height, :width]
        away = np.hypot(x - centre[0], y - centre[1]).astype(np.float32) / self.unit
        return 1 - smoothstep(radius * 0.6, radius, away)

    def _arm_membership(self, side: int) -> Floats | None:
        """How far a pixel of the body's layer goes with the arm: round the shoulder only."""
        membership = _membership(self.parts.arms[side], 0.10 * self.unit)
        return None if membership is None else membership * self._disc(self.points[joint(side, SHOULDER)], 0.30)

    def _hip_band(self) -> Floats:
        """1 at the hips, fading out a little way down the thighs."""
        height, width = self.alpha.shape
        spine = self.points[PELVIS] - self.points[NECK]
        y, x = np.mgrid[:height, :width].astype(np.float32)
        along = ((x - self.points[NECK, 0]) * spine[0] + (y - self.points[NECK, 1]) * spine[1]) / (spine @ spine)
        return 1 - smoothstep(1.0, 1.22, along)

    def _arm_reach(self, side: int, rows: int) -> Floats:
        """Soft capsule of the arm over the picture with its added rows: an arm cut by the edge ends round."""
        height, width = self.alpha.shape
        y, x = np.mgrid[height : height + rows, :width].astype(np.float32)
        grid = np.stack([x, y], -1)
        segments, _ = self._arm_segments(side)
        nearest = np.min([segment_distance(grid, *segment) for segment in segments[1:]], 0) / self.unit
        return 1 - smoothstep(0.19, 0.24, nearest)


def premultiplied(colours: Image, opacity: Image) -> Image:
    """RGBA (h, w, 4) with colours multiplied by opacity."""
    product = cv2.multiply(colours, cv2.merge([opacity] * 3), scale=1 / 255)
    return np.ascontiguousarray(np.dstack([product, opacity]))


def half_size(texture: Image) -> Image:
    """Half-size copy (sizes rounded up), each pixel the mean of four."""
    height, width = texture.shape[:2]
    even = cv2.copyMakeBorder(texture, 0, height % 2, 0, width % 2, cv2.BORDER_REPLICATE)
    return np.asarray(cv2.resize(even, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA), np.uint8)


def paint_in(colours: Image, hole: Mask, usable: Mask) -> Image:
    """Paint a hole from its surroundings (Telea, at half size), using only pixels that are ``usable``."""
    height, width = hole.shape
    left, top, wide, high = cv2.boundingRect(hole.astype(np.uint8))
    margin = 24
    area = np.s_[max(0, top - margin) : top + high + margin, max(0, left - margin) : left + wide + margin]
    picture, inside = colours[area], hole[area]
    wanted = (inside | ~usable[area]).astype(np.uint8)
    size = (max(1, picture.shape[1] // 2), max(1, picture.shape[0] // 2))
    small = cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
    small_hole = (cv2.resize(wanted, size, interpolation=cv2.INTER_AREA) > 0).astype(np.uint8)
    painted = cv2.inpaint(small, small_hole, 5, cv2.INPAINT_TELEA)
    large = cv2.resize(painted, (picture.shape[1], picture.shape[0]), interpolation=cv2.INTER_CUBIC)
    result = colours.copy()
    share = cv2.GaussianBlur(inside.astype(np.float32), (0, 0), 1.2)[..., None]
    share = np.maximum(share, inside[..., None])
    result[area] = np.rint(picture * (1 - share) + large * share).astype(np.uint8)
    return result


def _extend(
    colours: Image, opacity: Floats, extension: Extension, limit: Floats | None, depth: float
) -> tuple[Image, Floats]:
    """Add rows below: a mirror that slows down, so that cloth goes on as folds and nothing comes back upside down."""
    height, rows = len(opacity), extension.rows
    steps = np.arange(1, rows + 1)
    source = np.clip(height - 1 - np.rint(depth * (1 - np.exp(-steps / depth))), 0, height - 1).astype(int)
    added = opacity[source].copy()
    # The silhouette must not take the mirror's waist: it keeps at least the width of the cut.
    added = np.maximum(added, opacity[-3:].min(0)[None] * (limit is None))
    if limit is not None:
        added *= limit
    if extension.fade > 0:
        added *= np.clip((rows - steps) / extension.fade, 0, 1).astype(np.float32)[:, None]
    mirrored = colours[source]
    return np.concatenate([colours, mirrored]), np.concatenate([opacity, added])


def _soft(mask: Mask, grow: float, blur: float) -> Floats:
    grown = _grow(mask, grow).astype(np.float32)
    sigma = max(0.8, blur)
    return np.asarray(cv2.GaussianBlur(grown, (0, 0), sigma), np.float32)


def _grow(mask: Mask, radius: float) -> Mask:
    side = 2 * round(radius) + 1
    if side <= 1:
        return mask
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side))
    return np.asarray(cv2.dilate(mask.astype(np.uint8), kernel) > 0, np.bool_)


def _membership(mask: Mask | None, blur: float) -> Floats | None:
    if mask is None:
        return None
    side = 2 * max(1, round(blur)) + 1
    return np.asarray(cv2.blur(mask.astype(np.float32), (side, side)), np.float32)


def _union(masks: tuple[Mask | None, Mask | None], shape: tuple[int, ...]) -> Mask:
    total = np.zeros(shape, np.bool_)
    for mask in masks:
        if mask is not None:
            total |= mask
    return total


def _sample(values: Floats, points: Floats) -> Floats:
    x = np.clip(np.rint(points[:, 0]).astype(int), 0, values.shape[1] - 1)
    y = np.clip(np.rint(points[:, 1]).astype(int), 0, values.shape[0] - 1)
    return values[y, x]


def _length(first: Floats, second: Floats) -> float:
    return float(np.linalg.norm(first - second))


_LIMB_RANK = np.zeros(BONE_COUNT, np.float32)
_BODY_RANK = np.zeros(BONE_COUNT, np.float32)
for _side in SIDES:
    for _name, _rank in ((UPPER_ARM, 1), (FOREARM, 2), (HAND, 3), (THIGH, 1), (SHIN, 2), (FOOT, 3)):
        _LIMB_RANK[bone(_side, _name)] = _rank
        _BODY_RANK[bone(_side, _name)] = -1
