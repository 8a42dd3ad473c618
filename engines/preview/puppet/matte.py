"""Cut the figure out of the reference image: body mask, capsules, GrabCut, guided filter, edge colours."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from engines.preview.puppet.skeleton import (
    ANKLE,
    ARM_BONES,
    FOOT,
    HEAD,
    HIP,
    LEFT,
    LEG_BONES,
    NECK,
    RIGHT,
    SHOULDER,
    SIDES,
    Skeleton,
    bone_ends,
    joint,
)
from engines.preview.track import Track

Image = NDArray[np.uint8]
Floats = NDArray[np.float32]

_FINGERS = ((0, 1, 2, 3, 4), (0, 5, 6, 7, 8), (0, 9, 10, 11, 12), (0, 13, 14, 15, 16), (0, 17, 18, 19, 20))
_PALM = (0, 5, 9, 13, 17)
_WORKING_SIDE = 640


def cut_out(image: Image, track: Track, skeleton: Skeleton) -> Image:
    """Opacity of the figure, uint8 (H, W), 0..255.

    Args:
        image: RGB (H, W, 3) of the track's size.
        track: analysis of the picture (one frame).
        skeleton: its joints.
    """
    height, width = image.shape[:2]
    mask = track.mask(0)
    scale = min(1.0, _WORKING_SIDE / max(height, width))
    size = (max(8, round(width * scale)), max(8, round(height * scale)))
    small = np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)
    prior = np.asarray(cv2.resize(mask, size, interpolation=cv2.INTER_AREA), np.uint8)
    sure, near_hands = _sure_foreground(track, skeleton, size, scale)
    labels = _trimap(prior, sure, near_hands)
    foreground = _grab_cut(small, labels, prior)
    foreground = _clean(foreground, sure)
    rough = cv2.resize(foreground, (width, height), interpolation=cv2.INTER_LINEAR)
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    radius = max(2, round(8 * max(height, width) / 1280))
    refined = guided_filter(grey.astype(np.float32), rough.astype(np.float32), radius, 6.5)
    # The guide leaks faint opacity into similar background: nothing further than the radius from the figure.
    reach = cv2.dilate(rough, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (radius + 1, radius + 1)))
    refined[reach < 8] = 0
    stretched = np.clip((refined - 40.0) * (255.0 / (225.0 - 40.0)), 0, 255)
    return np.asarray(stretched, np.uint8)


def edge_colours(image: Image, alpha: Image) -> Image:
    """The figure's own colours, continued outwards, so that no background shines at the rim.

    Where the opacity is full the picture is kept; elsewhere the colour is the mean of the nearest opaque
    pixels (normalised blurs of growing radius).
    """
    size = max(image.shape[:2])
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (3, 3))
    sure = cv2.erode((alpha >= 250).astype(np.uint8), kernel).astype(np.float32)
    result = image.astype(np.float32)
    weighted = result * sure[..., None]
    known = sure > 0
    result[~known] = weighted[known].mean(0) if known.any() else 0
    filled = known.copy()
    for part in (0.006, 0.016, 0.05, 0.15):
        side = 2 * max(1, round(size * part / 2)) + 1
        total = cv2.blur(weighted, (side, side))
        share = cv2.blur(sure, (side, side))
        reached = (share > 0.02) & ~filled
        result[reached] = total[reached] / share[reached, None]
        filled |= reached
    return np.asarray(np.clip(result + 0.5, 0, 255), np.uint8)


def guided_filter(guide: Floats, image: Floats, radius: int, epsilon: float) -> Floats:
    """Grey guided filter (He, Sun, Tang 2010): edges of ``image`` snap to those of ``guide``; both 0..255."""
    side = (2 * radius + 1, 2 * radius + 1)

    def mean(values: NDArray[Any]) -> Floats:
        return np.asarray(cv2.blur(values, side), np.float32)

    guide_mean, image_mean = mean(guide), mean(image)
    covariance = mean(guide * image) - guide_mean * image_mean
    variance = mean(guide * guide) - guide_mean * guide_mean
    slope = covariance / (variance + epsilon)
    offset = image_mean - slope * guide_mean
    return mean(slope) * guide + mean(offset)


def _sure_foreground(
    track: Track, skeleton: Skeleton, size: tuple[int, int], scale: float
) -> tuple[Image, Image]:
    """Capsules along limbs and fingers, torso and head, and the neighbourhood of the hands (both 0 or 1)."""
    width, height = size
    sure = np.zeros((height, width), np.uint8)
    near_hands = np.zeros_like(sure)
    points = skeleton.points[0] * scale
    seen = skeleton.confidence[0] >= 0.5
    unit = max(4.0, float(skeleton.shoulder_width[0]) * scale)

    def capsule(image: Image, first: Floats, second: Floats, radius: float) -> None:
        thickness = max(1, round(2 * radius * unit))
        cv2.line(image, _pixel(first), _pixel(second), 1, thickness)

    for side in SIDES:
        for name in ARM_BONES[:2] + LEG_BONES:
            begin, end = bone_ends(side, name)
            if seen[begin] and seen[end]:
                radius = 0.05 if name == FOOT or end == joint(side, ANKLE) else 0.08
                capsule(sure, points[begin], points[end], radius)
        if track.hand_score[0, side] >= 0.5:
            hand = np.nan_to_num(track.hands[0, side, :, :2]) * scale
            for finger in _FINGERS:
                for first, second in pairwise(finger):
                    capsule(sure, hand[first], hand[second], 0.025)
                    capsule(near_hands, hand[first], hand[second], 0.12)
            cv2.fillConvexPoly(sure, cv2.convexHull(np.rint(hand[list(_PALM)]).astype(np.int32)), 1)
    shoulders = [joint(LEFT, SHOULDER), joint(RIGHT, SHOULDER)]
    hips = [joint(RIGHT, HIP), joint(LEFT, HIP)]
    if seen[shoulders].all():
        corners = points[shoulders + hips] if seen[hips].any() else _assumed_torso(points, unit)
        cv2.fillConvexPoly(sure, np.rint(corners).astype(np.int32), 1)
    if seen[HEAD]:
        cv2.circle(sure, _pixel(points[HEAD]), max(1, round(0.18 * unit)), 1, -1)
        if seen[NECK]:
            capsule(sure, points[HEAD], points[NECK], 0.07)
    return sure, near_hands


def _assumed_torso(points: Floats, unit: float) -> Floats:
    left, right = points[joint(LEFT, SHOULDER)], points[joint(RIGHT, SHOULDER)]
    down = np.array([0, 0.9 * unit], np.float32)
    inwards = (left - right) * 0.15
    return np.stack([left, right, right + down + inwards, left + down - inwards])


def _trimap(prior: Image, sure: Image, near_hands: Image) -> Image:
    """GrabCut labels: certain inside and outside, the model's opinion in the band between."""
    reach = 2 * max(2, round(prior.shape[1] * 0.02)) + 1
    ellipse = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (reach, reach))
    inside = cv2.erode((prior > 200).astype(np.uint8), ellipse) > 0
    possible = cv2.dilate((prior > 25).astype(np.uint8), ellipse) > 0
    labels = np.full(prior.shape, cv2.GC_BGD, np.uint8)
    labels[possible | (near_hands > 0)] = cv2.GC_PR_BGD
    labels[prior > 127] = cv2.GC_PR_FGD
    # A mask that ends at a hand's wrist would count the fingers out, so they are undecided.
    labels[inside] = cv2.GC_FGD
    labels[sure > 0] = cv2.GC_FGD
    return labels


def _grab_cut(small: Image, labels: Image, prior: Image) -> Image:
    expected = int((prior > 127).sum())
    if not (labels == cv2.GC_FGD).any() or not (labels == cv2.GC_BGD).any():
        return np.where(prior > 127, 255, 0).astype(np.uint8)
    cv2.setRNGSeed(1)  # GrabCut starts with a random k-means: the same picture must give the same matte
    result = labels.copy()
    bgr = np.ascontiguousarray(small[:, :, ::-1])
    cv2.grabCut(bgr, result, (0, 0, 0, 0), np.zeros((1, 65)), np.zeros((1, 65)), 3, cv2.GC_INIT_WITH_MASK)
    found = (result == cv2.GC_FGD) | (result == cv2.GC_PR_FGD)
    if found.sum() < 0.5 * expected:
        found = prior > 127
    return np.where(found, 255, 0).astype(np.uint8)


def _clean(foreground: Image, sure: Image) -> Image:
    """Drop small islands and fill pinholes; 5x5 median against fringe."""
    count, labels, stats, _ = cv2.connectedComponentsWithStats(foreground, connectivity=8)
    if count > 1:
        areas = stats[1:, cv2.CC_STAT_AREA]
        for index, area in enumerate(areas, start=1):
            if area < 0.02 * areas.max():
                foreground[labels == index] = 0
    holes_count, holes, hole_stats, _ = cv2.connectedComponentsWithStats(255 - foreground, connectivity=4)
    limit = 0.0004 * foreground.size
    for index in range(1, holes_count):
        if hole_stats[index, cv2.CC_STAT_AREA] < limit:
            foreground[holes == index] = 255
    smooth = np.asarray(cv2.medianBlur(foreground, 5), np.uint8)
    smooth[sure > 0] = 255
    return smooth


def _pixel(point: Floats) -> tuple[int, int]:
    limited = np.clip(point, -30000, 30000)
    return round(float(limited[0])), round(float(limited[1]))
