"""Which pixel of the figure belongs to which part: arms, legs, body (torso with head)."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from engines.preview.puppet.mesh import segment_distance
from engines.preview.puppet.skeleton import (
    ANKLE,
    ELBOW,
    HEAD,
    HIP,
    KNEE,
    LEFT,
    NECK,
    PALM,
    PELVIS,
    RIGHT,
    SHOULDER,
    SIDES,
    TOE,
    WRIST,
    Skeleton,
    joint,
)
from engines.preview.track import Track

Image = NDArray[np.uint8]
Floats = NDArray[np.float32]
Mask = NDArray[np.bool_]

_RADIUS = {"upper arm": 0.21, "forearm": 0.19, "hand": 0.24, "thigh": 0.26, "shin": 0.20, "foot": 0.20}
_TORSO_RADIUS, _HEAD_RADIUS = 0.16, 0.36
_ARM_CORE, _UPPER_ARM_CORE = 0.15, 0.12
_SHOULDER_INSET = 0.12
_BEHIND = 0.35
_SLEEVE = 1.6  # nothing further than this many radii belongs to an arm, however wide the sleeve


@dataclass(frozen=True)
class Parts:
    """Masks (H, W) of the reference picture; arms and legs by side, None where the figure has no movable one.

    ``torso`` is the outline within which the body goes on behind an arm; ``shade`` is the dark
    inside of sleeves round the hands, which is no part at all.
    """

    arms: tuple[Mask | None, Mask | None]
    legs: tuple[Mask | None, Mask | None]
    torso: Mask
    shade: Mask
    unit: float


def unit_of(skeleton: Skeleton) -> float:
    """The figure's measure in pixels: its shoulder width, or the neck's length in a side view."""
    points = skeleton.points[0]
    neck = float(np.linalg.norm(points[NECK] - points[HEAD]))
    return max(float(skeleton.shoulder_width[0]), 0.6 * neck, 8.0)


def movable_arm(skeleton: Skeleton, side: int) -> bool:
    """An arm that can be cut out: seen from shoulder to wrist."""
    names = (SHOULDER, ELBOW, WRIST)
    return bool(min(skeleton.confidence[0, joint(side, name)] for name in names) >= 0.4)


def movable_leg(skeleton: Skeleton, side: int) -> bool:
    """A leg that can be cut out: seen from hip to knee, at least."""
    return bool(min(skeleton.confidence[0, joint(side, name)] for name in (HIP, KNEE)) >= 0.5)


def find_parts(image: Image, alpha: Image, track: Track, skeleton: Skeleton) -> Parts:
    """Divide the figure: every pixel goes to the nearest limb, distances counted in the limb's radius."""
    height, width = alpha.shape
    unit = unit_of(skeleton)
    points = skeleton.points[0]
    grid = half_grid(width, height)
    inside = cv2.resize(alpha, (grid.shape[1], grid.shape[0]), interpolation=cv2.INTER_AREA) > 20

    quad = _torso_quad(points, unit)
    in_torso = _filled(quad, grid)
    if not any(movable_leg(skeleton, side) for side in SIDES):  # a gown, or hips at the picture's edge
        quad = _to_the_edge(quad, height)
    hull = _filled(_widened(quad, 0.04 * unit), grid)
    torso = np.where(in_torso, 0, _edge_distance(quad, grid)) / (_TORSO_RADIUS * unit)
    head = segment_distance(grid, points[HEAD], points[NECK]) / (_HEAD_RADIUS * unit)
    arms = {
        side: _arm_scores(track, skeleton, side, grid, unit) for side in SIDES if movable_arm(skeleton, side)
    }
    legs = {side: _leg_scores(points, side, grid, unit) for side in SIDES if movable_leg(skeleton, side)}
    below = _spine_position(points, grid) > 0.9

    body = np.minimum(torso, head)
    for scores in legs.values():
        body = np.where(below, np.minimum(body, scores), body)
    arm_masks: dict[int, Mask] = {}
    for side, (scores, core) in arms.items():
        own = np.where(in_torso, core, (scores < body) & (scores < _SLEEVE))
        for other, (other_scores, _) in arms.items():
            if other != side:
                own &= scores <= other_scores
        arm_masks[side] = _connected(own & inside, core & inside)
    _give_armpits(arm_masks, inside, in_torso, points, grid, unit)
    leg_masks: dict[int, Mask] = {}
    for side, scores in legs.items():
        own = below & inside
        for other, other_scores in legs.items():
            if other != side:
                own &= scores <= other_scores
        for mask in arm_masks.values():
            own = own & ~mask
        leg_masks[side] = own

    def full(mask: Mask | None) -> Mask | None:
        if mask is None or not mask.any():
            return None
        large = cv2.resize(mask.astype(np.float32), (width, height), interpolation=cv2.INTER_LINEAR)
        return np.asarray(large > 0.5, np.bool_)

    empty = np.zeros(alpha.shape, np.bool_)
    grey = np.asarray(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), np.uint8)
    shade = empty.copy()
    for side, arm in arm_masks.items():
        whole = full(arm)
        if whole is not None:
            shade |= whole & _sleeve_shade(grey, whole, track, skeleton, side, unit)
    torso_mask = full(hull)

    def lit(mask: Mask | None) -> Mask | None:
        return None if mask is None else mask & ~shade

    return Parts(
        arms=(lit(full(arm_masks.get(LEFT))), lit(full(arm_masks.get(RIGHT)))),
        legs=(full(leg_masks.get(LEFT)), full(leg_masks.get(RIGHT))),
        torso=empty if torso_mask is None else torso_mask,
        shade=shade,
        unit=unit,
    )


def _sleeve_shade(grey: Image, arm: Mask, track: Track, skeleton: Skeleton, side: int, unit: float) -> Mask:
    """The dark hollow of a sleeve beside the hand (H, W): carried along it would look like a hole."""
    nothing = np.zeros(grey.shape, np.bool_)
    if track.hand_score[0, side] < 0.5:
        return nothing
    outline = np.rint(np.nan_to_num(track.hands[0, side, :, :2])).astype(np.int32)
    hand = np.zeros(grey.shape, np.uint8)
    cv2.fillConvexPoly(hand, cv2.convexHull(outline), 1)
    inside = hand > 0
    if not inside.any():
        return nothing
    elbow, wrist = skeleton.points[0, joint(side, ELBOW)], skeleton.points[0, joint(side, WRIST)]
    forearm = (wrist - elbow) / max(float(np.linalg.norm(wrist - elbow)), 1e-3)
    y, x = np.ogrid[: grey.shape[0], : grey.shape[1]]
    past_the_wrist = (x - wrist[0]) * forearm[0] + (y - wrist[1]) * forearm[1] > 0.02 * unit
    dark = (grey < 0.38 * float(np.median(grey[inside]))) & arm & past_the_wrist & ~inside
    side_length = 2 * max(1, round(0.02 * unit)) + 1
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side_length, side_length))
    solid = cv2.morphologyEx(dark.astype(np.uint8), cv2.MORPH_OPEN, kernel)
    hollow = (cv2.dilate(solid, kernel) > 0) & ~inside
    beside = cv2.dilate(hand, kernel) > 0
    return _touching(hollow, beside)


def _give_armpits(
    arms: dict[int, Mask], inside: Mask, in_torso: Mask, points: Floats, grid: Floats, unit: float
) -> None:
    """Hand the thin wedges between arm and torso to the arm, in place: they are the inside of its sleeve.

    Left with the torso they hang there as rags when the arm is lifted.
    """
    side = 2 * max(1, round(0.09 * unit / float(grid[0, 1, 0] - grid[0, 0, 0]))) + 1
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side))
    rest = inside.copy()
    for mask in arms.values():
        rest &= ~mask
    # The torso itself must not count as thin where it is cut by an arm in front of it.
    opened = cv2.morphologyEx((rest | in_torso).astype(np.uint8), cv2.MORPH_OPEN, kernel) > 0
    along = _spine_position(points, grid)
    wedges = rest & ~opened & ~in_torso & (along > 0.08) & (along < 1.0)
    near = {side: cv2.dilate(mask.astype(np.uint8), kernel) > 0 for side, mask in arms.items()}
    for side, mask in arms.items():
        mask |= wedges & near[side]


def half_grid(width: int, height: int) -> Floats:
    """Full-resolution coordinates of the pixels of a half-size picture, (h, w, 2)."""
    columns, rows = max(1, width // 2), max(1, height // 2)
    x, y = np.meshgrid(np.arange(columns) * (width / columns), np.arange(rows) * (height / rows))
    return np.stack([x, y], -1).astype(np.float32) + 0.5


def _arm_scores(
    track: Track, skeleton: Skeleton, side: int, grid: Floats, unit: float
) -> tuple[Floats, Mask]:
    """Distance to the arm in radii, and the core that counts as arm even in front of the torso."""
    points = skeleton.points[0]
    shoulder, elbow, wrist, palm = (points[joint(side, name)] for name in (SHOULDER, ELBOW, WRIST, PALM))
    tips = wrist + (palm - wrist) * 1.9
    upper = segment_distance(grid, shoulder, elbow)
    fore = segment_distance(grid, elbow, wrist)
    hand = segment_distance(grid, wrist, tips)
    scores = np.minimum(upper / _RADIUS["upper arm"], fore / _RADIUS["forearm"])
    scores = np.minimum(scores, hand / _RADIUS["hand"]) / unit
    core = (fore < _ARM_CORE * unit) | (hand < _ARM_CORE * unit)
    core |= segment_distance(grid, shoulder * 0.7 + elbow * 0.3, elbow) < _UPPER_ARM_CORE * unit
    if track.hand_score[0, side] >= 0.5:
        points_of_hand = np.nan_to_num(track.hands[0, side, :, :2]).astype(np.float32)
        outline = np.asarray(cv2.convexHull(points_of_hand), np.float32)[:, 0]
        fingers = np.where(_filled(outline, grid), 0, _edge_distance(outline, grid))
        scores = np.minimum(scores, fingers / (0.12 * unit))
        core |= fingers < 0.05 * unit
    # What fills the crook of a bent arm is background or cloth behind it.
    crook = _filled(np.stack([shoulder, elbow, wrist]), grid) & (scores > 0.7)
    scores = np.where(crook, np.inf, scores)
    depth = skeleton.depth[0]
    if depth[joint(side, WRIST)] > depth[NECK] + _BEHIND * unit:
        core = np.zeros_like(core)
    return np.asarray(scores, np.float32), core


def _leg_scores(points: Floats, side: int, grid: Floats, unit: float) -> Floats:
    hip, knee, ankle, toe = (points[joint(side, name)] for name in (HIP, KNEE, ANKLE, TOE))
    scores = segment_distance(grid, hip, knee) / _RADIUS["thigh"]
    scores = np.minimum(scores, segment_distance(grid, knee, ankle) / _RADIUS["shin"])
    scores = np.minimum(scores, segment_distance(grid, ankle, toe) / _RADIUS["foot"])
    return np.asarray(scores / unit, np.float32)


def _torso_quad(points: Floats, unit: float) -> Floats:
    """Outline of the torso. The arms' joints lie inside the arms, so the shoulders' corners are drawn in."""
    corners = points[
        [joint(LEFT, SHOULDER), joint(RIGHT, SHOULDER), joint(RIGHT, HIP), joint(LEFT, HIP)]
    ].copy()
    neck, middle = points[NECK], points[PELVIS]
    for index in (0, 1):
        inwards = neck - corners[index]
        corners[index] += inwards / max(float(np.linalg.norm(inwards)), 1e-3) * _SHOULDER_INSET * unit
    for index in (2, 3):  # hip joints lie inside the hips
        outwards = corners[index] - middle
        length = float(np.linalg.norm(outwards))
        corners[index] += outwards / max(length, 1e-3) * 0.12 * unit
    return np.asarray(corners, np.float32)


def _to_the_edge(quad: Floats, height: int) -> Floats:
    """The quadrilateral with its hips moved straight down to the picture's lower edge."""
    longer = quad.copy()
    middle = float(quad[2:, 0].mean())
    for index in (2, 3):
        longer[index, 0] = middle + 1.2 * (quad[index, 0] - middle)
        longer[index, 1] = max(longer[index, 1], height + 2)
    return longer


def _widened(quad: Floats, amount: float) -> Floats:
    """The torso's outline moved outwards at the hips, and down."""
    wide = quad.copy()
    across = quad[0] - quad[1]
    across = across / max(float(np.linalg.norm(across)), 1e-3)
    wide[0] += across * amount
    wide[1] -= across * amount
    wide[2] -= across * amount
    wide[3] += across * amount
    return wide


def _filled(polygon: Floats, grid: Floats) -> Mask:
    mask = np.zeros(grid.shape[:2], np.uint8)
    step = grid[0, 1, 0] - grid[0, 0, 0] if grid.shape[1] > 1 else 2.0
    cv2.fillPoly(mask, [np.rint((polygon - 0.5) / step).astype(np.int32)], 1)
    return mask > 0


def _edge_distance(polygon: Floats, grid: Floats) -> Floats:
    nearest = np.full(grid.shape[:2], np.inf, np.float32)
    for first, second in zip(polygon, np.roll(polygon, -1, 0), strict=True):
        nearest = np.minimum(nearest, segment_distance(grid, first, second))
    return nearest


def _spine_position(points: Floats, grid: Floats) -> Floats:
    """0 at the neck, 1 at the pelvis, along the spine."""
    spine = points[PELVIS] - points[NECK]
    return np.asarray((grid - points[NECK]) @ spine / max(float(spine @ spine), 1e-3), np.float32)


def _touching(mask: Mask, other: Mask) -> Mask:
    """The components of ``mask`` that meet ``other``."""
    count, labels = cv2.connectedComponents(mask.astype(np.uint8), connectivity=8)
    hits = np.bincount(np.asarray(labels)[other & mask], minlength=count)
    hits[0] = 0
    return np.asarray((hits > 0)[labels], np.bool_)


def _connected(mask: Mask, core: Mask) -> Mask:
    """The components of ``mask`` that hold some of ``core``; all of it when none does."""
    count, labels = cv2.connectedComponents(mask.astype(np.uint8), connectivity=8)
    hits = np.bincount(labels[core & mask], minlength=count)
    hits[0] = 0
    if not hits.any():
        return mask
    return np.asarray((hits > 0.02 * hits.max())[labels], np.bool_)
