"""Give the driving skeleton the reference person's bone lengths (animate mode with retargeting).

The method is upstream's basic retargeting, without FLUX. One ratio a bone, reference length over driving
length, is taken from the FIRST driving frame; every frame keeps its own directions and gets its bones
scaled, walking outwards from the neck. The figure is placed where the reference stands: by the feet and
hips when both show their whole body, else by the neck; from there it moves as the driver moves.

Equal to upstream (the tests hold its results): every body point, and the hands including their truncation
to whole pixels and the order in which they are drawn. Not equal, on purpose: a bone of no length in the
first driving frame takes the shoulders' ratio (upstream divides by zero), and so does a figure of no
height. Points that upstream could mark as missing never are: its detector always gives all of them, as
ours does.

A bone that points at the camera in the first driving frame gives a wrong ratio for the whole clip. That
is so in upstream as well; a preview that hid it would mislead.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from engines.preview.pose_points import LEFT_WRIST, NECK, NOSE, RIGHT_WRIST, Points, PosePoints

# (start, end) of each bone, from the neck outwards: the order in which points are moved.
_BONES = (
    (1, 2), (1, 5), (2, 3), (3, 4), (5, 6), (6, 7), (1, 8), (8, 9), (9, 10), (1, 11), (11, 12), (12, 13),
    (1, 0), (0, 14), (14, 16), (0, 15), (15, 17), (13, 18), (10, 19),
)  # fmt: skip
_SHOULDER_BONES = [0, 1]
_TAKE_LARGER = ((0, 1), (2, 4), (3, 5), (6, 9), (7, 10), (8, 11), (17, 18))
_TAKE_MEAN = ((13, 15), (14, 16))
_FEET_AND_SHINS = ((18, 8), (17, 11))
_LONGEST_FOOT = 0.5  # of the shin

_HIPS, _ANKLES = [8, 11], [10, 13]
_ANKLE_AND_TOE = ([10, 19], [13, 18])

_SURE = 0.5
_THRESHOLD = 0.4


def retarget(driver: PosePoints, reference: PosePoints) -> PosePoints:
    """The driver's motion on the reference's body, in pixels of the reference's canvas.

    Args:
        driver: T >= 1 frames; frame 0 is the one whose bones are measured.
        reference: one frame, measured on the canvas that will be drawn on.
    """
    first, target = driver.body[0], reference.body[0]
    scale = _figure_scale(first, driver, target, reference)
    # Upstream's reference canvas grows to whole pixels, so the two axes can differ a little from the scale.
    stretch = np.array(
        [int(reference.width * scale) / reference.width, int(reference.height * scale) / reference.height]
    )
    target_points = target[:, :2] * stretch
    ratios = _bone_ratios(first[:, :2], target_points)
    placed_first = _rescaled(driver.body[:1, :, :2], ratios, limit_feet=False)[0]
    whole_body = _shows_whole_body(first, driver) and _shows_whole_body(target, reference)
    offset = _standing_offset(placed_first, target_points, whole_body)

    moved = (_rescaled(driver.body[..., :2], ratios, limit_feet=True) - offset) / scale
    body = np.concatenate([moved, driver.body[..., 2:]], axis=2)
    hand_ratio = float(ratios[_SHOULDER_BONES].max() / scale)
    right, left = _placed_hands(driver, moved, hand_ratio)
    # Upstream hands the right hand on under the left one's name; only the order of drawing shows it.
    return PosePoints(reference.width, reference.height, body, left_hand=right, right_hand=left)


def _figure_scale(first: Points, driver: PosePoints, target: Points, reference: PosePoints) -> float:
    """Driving figure's size over the reference's: nose to ankles, else to hips, else the pictures' sides."""
    for lower in (_ANKLES, _HIPS):
        rows = [NOSE, *lower]
        if (first[rows, 2] > _SURE).all() and (target[rows, 2] > _SURE).all():
            driver_height = abs(first[lower, 1].mean() - first[NOSE, 1])
            reference_height = abs(target[lower, 1].mean() - target[NOSE, 1])
            if driver_height > 0 and reference_height > 0:
                return float(driver_height / reference_height)
    return float(np.sqrt(driver.height * driver.width) / np.sqrt(reference.height * reference.width))


def _bone_ratios(first: Points, target: Points) -> Points:
    """Reference length over driving length of each bone [19]; the two sides of the body agree."""
    starts, ends = np.array(_BONES).T
    driver_length = np.linalg.norm(first[starts] - first[ends], axis=1)
    reference_length = np.linalg.norm(target[starts] - target[ends], axis=1)
    usable = driver_length > 0
    ratios = np.ones(len(_BONES))
    ratios[usable] = reference_length[usable] / driver_length[usable]
    if usable[_SHOULDER_BONES].all():
        ratios[~usable] = ratios[_SHOULDER_BONES].mean()
    for pair in _TAKE_LARGER:
        ratios[list(pair)] = ratios[list(pair)].max()
    for pair in _TAKE_MEAN:
        ratios[list(pair)] = ratios[list(pair)].mean()
    return ratios


def _rescaled(body: Points, ratios: Points, *, limit_feet: bool) -> Points:
    """Points [T, 20, 2] with every bone's length times its ratio, directions and the neck kept."""
    starts, ends = np.array(_BONES).T
    bones = (body[:, ends] - body[:, starts]) * ratios[:, np.newaxis]
    if limit_feet:
        lengths = np.linalg.norm(bones, axis=2)
        for foot, shin in _FEET_AND_SHINS:
            longest = lengths[:, shin] * _LONGEST_FOOT
            too_long = lengths[:, foot] > longest
            bones[too_long, foot] *= (longest[too_long] / lengths[too_long, foot])[:, np.newaxis]
    result = body.copy()
    for bone, (start, end) in enumerate(_BONES):
        result[:, end] = result[:, start] + bones[:, bone]
    return result


def _shows_whole_body(points: Points, frame: PosePoints) -> bool:
    rows = [*_HIPS, *_ANKLES]
    return bool((points[rows, 2] >= _THRESHOLD).all() and (points[rows, 1] <= frame.height).all())


def _standing_offset(placed: Points, target: Points, whole_body: bool) -> Points:
    """What to subtract from the driving points so that the first frame stands where the reference stands."""
    if not whole_body:
        return np.asarray(placed[NECK] - target[NECK], np.float64)
    ground = max(float(target[rows, 1].mean()) for rows in _ANKLE_AND_TOE)
    across = placed[_HIPS, 0].mean() - target[_HIPS, 0].mean()
    return np.array([across, placed[_ANKLES, 1].max() - ground])


def _placed_hands(driver: PosePoints, moved: Points, ratio: float) -> tuple[Points, Points]:
    """Right and left hand [T, 21, 3], scaled and set with their roots on the moved wrists, whole pixels.

    Where the right hand's root is nearer to the left wrist than to the right one the two are exchanged.
    """
    wrists = {side: driver.body[:, side, :2] for side in (RIGHT_WRIST, LEFT_WRIST)}
    right, left = driver.right_hand, driver.left_hand
    shift = {
        RIGHT_WRIST: _hand_shift(right, wrists[RIGHT_WRIST], moved[:, RIGHT_WRIST]),
        LEFT_WRIST: _hand_shift(left, wrists[LEFT_WRIST], moved[:, LEFT_WRIST]),
    }
    root = np.where(_seen(right)[:, :1], right[:, 0, :2], -np.array([driver.width, driver.height]))
    to_right = np.linalg.norm(wrists[RIGHT_WRIST] - root, axis=1)
    to_left = np.linalg.norm(wrists[LEFT_WRIST] - root, axis=1)
    exchanged = (to_right > to_left)[:, np.newaxis, np.newaxis]
    at_right = np.where(exchanged, left, right), shift[RIGHT_WRIST]
    at_left = np.where(exchanged, right, left), shift[LEFT_WRIST]
    return _scaled_hand(*at_right, ratio), _scaled_hand(*at_left, ratio)


def _seen(hand: Points) -> NDArray[np.bool_]:
    return np.asarray(hand[..., 2] >= _THRESHOLD, np.bool_)


def _hand_shift(hand: Points, wrist: Points, moved_wrist: Points) -> Points:
    """Displacement [T, 2] of a hand: that of its wrist, and from its root (if seen) to the wrist."""
    start = np.where(_seen(hand)[:, :1], hand[:, 0, :2], wrist)
    return np.asarray(moved_wrist - start, np.float64)


def _scaled_hand(hand: Points, shift: Points, ratio: float) -> Points:
    root = hand[:, :1, :2]
    points = np.trunc(root + (hand[..., :2] - root) * ratio + shift[:, np.newaxis])
    seen = _seen(hand)[..., np.newaxis]
    return np.concatenate([np.where(seen, points, 0), np.where(seen, hand[..., 2:], 0)], axis=2)
