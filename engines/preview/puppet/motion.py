"""Retarget the driver's motion to the reference's bones: the driver's directions, the reference's lengths."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d

from engines.preview.puppet.mesh import Pose, smoothstep
from engines.preview.puppet.planar import TURN, angle, fill_gaps, polar, relative, stretch_along, turned, wrap
from engines.preview.puppet.skeleton import (
    ANKLE,
    ARM_BONES,
    BONE_COUNT,
    FOOT,
    FOREARM,
    HAND,
    HEAD,
    HEAD_BONE,
    HIP,
    KNEE,
    LEFT,
    LEG_BONES,
    NECK,
    PELVIS,
    RIGHT,
    SHIN,
    SHOULDER,
    SIDES,
    THIGH,
    TORSO_BONE,
    UPPER_ARM,
    WRIST,
    Skeleton,
    bone,
    bone_ends,
    distance,
    joint,
)

Floats = NDArray[np.float32]

_LARGEST_BEND = {UPPER_ARM: 4.4, FOREARM: 2.9, HAND: 0.9, THIGH: 2.4, SHIN: 2.4, FOOT: 0.9}


@dataclass(frozen=True)
class Motion:
    """Poses of T frames, and which way the arms lie over the body.

    Attributes:
        angles: float32 (T, 14); stretches: float32 (T, 14, 2, 2); origins: float32 (T, 14, 2): see ``Pose``.
        scale: float32 (T,), size of the figure relative to the reference.
        arm_behind: bool (T, 2), the arm is behind the body.
        nearness: float32 (T, 2, 2), larger is nearer, for (arm, leg) of each side.
    """

    angles: Floats
    stretches: Floats
    origins: Floats
    scale: Floats
    arm_behind: NDArray[np.bool_]
    nearness: Floats

    def pose(self, index: int) -> Pose:
        """The pose of one frame."""
        return Pose(self.angles[index], self.stretches[index], self.origins[index])


def rest_origins(reference: Skeleton) -> Floats:
    """Point of the reference about which each bone is described, float32 (14, 2)."""
    points = reference.points[0]
    origins = np.zeros((BONE_COUNT, 2), np.float32)
    origins[TORSO_BONE], origins[HEAD_BONE] = points[NECK], points[HEAD]
    for side in SIDES:
        for name in ARM_BONES + LEG_BONES:
            origins[bone(side, name)] = points[bone_ends(side, name)[0]]
    return origins


def retarget(reference: Skeleton, driver: Skeleton, *, replace: bool, offset: tuple[float, float]) -> Motion:
    """The figure's motion on the canvas.

    Args:
        reference: joints of the reference picture (one frame), reference pixels.
        driver: joints of the driving video. In replace mode in canvas pixels, else in any pixels.
        replace: the figure takes the driver's place and size; otherwise it keeps its own and moves with him.
        offset: where the reference picture lies on the canvas (animate mode), pixels.
    """
    driver = _facing_like(reference, driver)
    planner = _Planner(reference, driver, replace, np.asarray(offset, np.float32))
    return planner.motion()


class _Planner:
    def __init__(self, reference: Skeleton, driver: Skeleton, replace: bool, offset: Floats) -> None:
        self.rest = reference.points[0]
        self.rest_confidence = reference.confidence[0]
        self.rest_roll = float(reference.roll[0])
        self.rest_roll_confidence = float(reference.roll_confidence[0])
        self.driver = driver
        self.replace = replace
        self.offset = offset
        self.count = len(driver.points)
        self.seen = _frames_seen(driver)
        self.size = self._driver_size()
        self.unit = float(np.median(self.size[self.seen]))
        self.legs = self._leg_confidence()
        self.scale = self._figure_scale()
        self.angles = np.zeros((self.count, BONE_COUNT), np.float32)
        self.stretches = np.zeros((self.count, BONE_COUNT, 2, 2), np.float32)
        self.origins = np.zeros((self.count, BONE_COUNT, 2), np.float32)

    def motion(self) -> Motion:
        neck = self._neck()
        torso = self._place_torso(neck)
        self._place_head(neck)
        for side in SIDES:
            self._place_limb(side, ARM_BONES, torso, neck)
            self._place_limb(side, LEG_BONES, torso, neck)
        self.origins += self._feet_correction()[:, None]
        depth = self.driver.depth
        wrists = depth[:, [joint(LEFT, WRIST), joint(RIGHT, WRIST)]]
        wrists = gaussian_filter1d(wrists, 2.0, axis=0, mode="nearest")
        behind = wrists > depth[:, NECK, None] + 0.35 * self.size[:, None]
        legs = depth[:, [joint(LEFT, KNEE), joint(RIGHT, KNEE)]]
        legs = gaussian_filter1d(legs, 2.0, axis=0, mode="nearest")
        nearness = -np.stack([wrists, legs], -1)
        return Motion(self.angles, self.stretches, self.origins, self.scale, behind, nearness)

    # ------------------------------------------------------------------------------------ size and place

    def _driver_size(self) -> Floats:
        """Driver's size per frame: shoulder width, or the neck's length where he turns aside."""
        width = self.driver.shoulder_width
        neck = distance(self.driver.points[:, NECK], self.driver.points[:, HEAD])
        share = float(np.median((width / np.maximum(neck, 1e-3))[self.seen]))
        size = np.maximum(width, 0.9 * share * neck)
        size = fill_gaps(size[:, None], self.seen)[:, 0]
        return np.asarray(np.maximum(gaussian_filter1d(size, 3.0, mode="nearest"), 1.0), np.float32)

    def _figure_scale(self) -> Floats:
        change = self.size / self.unit
        if not self.replace:
            return np.asarray(np.clip(change, 0.5, 2.0), np.float32)
        return np.asarray(change * self._size_ratio(), np.float32)

    def _size_ratio(self) -> float:
        """How much larger the driver is than the reference figure, from what both of them show.

        Shoulder width alone would make a broad-shouldered character a dwarf in a narrow driver's place, so
        heights count too; and where both stand on visible feet, only the height counts.
        """
        sized = self.driver.points[self.seen] / self.size[self.seen, None, None] * self.unit
        confidence = np.median(self.driver.confidence[self.seen], 0)

        def height(points: Floats, begin: int, end: int) -> float:
            return float(np.percentile(distance(points[..., begin, :], points[..., end, :]), 75))

        rest = self.rest[None]
        ratios = [self.unit / max(_rest_unit(self.rest), 1e-3)]
        ratios += [height(sized, NECK, HEAD) / max(height(rest, NECK, HEAD), 1e-3)] * 2
        torso_seen = min(confidence[PELVIS], self.rest_confidence[PELVIS]) > 0.4
        if torso_seen:
            torso = height(sized, NECK, PELVIS) / max(height(rest, NECK, PELVIS), 1e-3)
            ratios.append(torso)
        if torso_seen and float(np.median(self.legs)) > 0.5:
            chain = [(NECK, PELVIS)]
            for side in SIDES:
                chain += [(joint(side, HIP), joint(side, KNEE)), (joint(side, KNEE), joint(side, ANKLE))]
            parts = np.array([1.0] + [0.5] * 4)
            ratios = [
                float(parts @ [height(sized, *ends) for ends in chain])
                / float(parts @ [height(rest, *ends) for ends in chain])
            ]
        return float(np.exp(np.mean(np.log(np.clip(ratios, 0.02, 50)))))

    def _neck(self) -> Floats:
        neck = fill_gaps(self.driver.points[:, NECK], self.seen)
        if self.replace:
            return neck
        ratio = _rest_unit(self.rest) / self.unit
        moved = (neck - np.median(neck[self.seen], 0)) * ratio
        return np.asarray(self.rest[NECK] + self.offset + moved, np.float32)

    def _leg_confidence(self) -> Floats:
        """How surely both ankles are seen, in the reference and in each frame, 0..1."""
        ankles = [joint(LEFT, ANKLE), joint(RIGHT, ANKLE)]
        confidence = self.driver.confidence[:, ankles].min(1) * float(
            self.rest_confidence[ankles].min() > 0.5
        )
        sure = smoothstep(0.3, 0.6, confidence)
        return np.asarray(gaussian_filter1d(sure, 3.0, mode="nearest"), np.float32)

    def _feet_correction(self) -> Floats:
        """Shift that puts the feet where the driver's are: a figure that stands must not float or slide.

        Upright it is the lower foot that counts, sideways the middle of both.
        """
        standing = self.legs > 0.5
        if not standing.any():
            return np.zeros((self.count, 2), np.float32)
        puppet = _footing(self.origins[:, [bone(LEFT, FOOT), bone(RIGHT, FOOT)]])
        ankles = [joint(LEFT, ANKLE), joint(RIGHT, ANKLE)]
        target = _footing(self.driver.points[:, ankles])
        if not self.replace:
            ratio = _rest_unit(self.rest) / self.unit
            moved = (target - np.median(target[standing], 0)) * ratio
            target = np.asarray(_footing(self.rest[None, ankles]) + self.offset + moved, np.float32)
        shift = target - puppet
        if not self.replace:  # where he stands is his own affair; that he does not slide is ours
            shift[:, 0] -= np.median(shift[standing, 0])
        limit = 0.8 * _rest_unit(self.rest) * self.scale[:, None]
        limited = np.clip(shift * self.legs[:, None], -limit, limit)
        return np.asarray(gaussian_filter1d(limited, 1.5, axis=0, mode="nearest"), np.float32)

    # ----------------------------------------------------------------------------------------------- parts

    def _place_torso(self, neck: Floats) -> Floats:
        """Affine of the torso from shoulders and spine; returns its linear part (T, 2, 2)."""
        points, confidence = self.driver.points, self.driver.confidence
        shoulders = (joint(RIGHT, SHOULDER), joint(LEFT, SHOULDER))
        across = self.rest[shoulders[1]] - self.rest[shoulders[0]]
        spine = self.rest[PELVIS] - self.rest[NECK]
        driver_across = points[:, shoulders[1]] - points[:, shoulders[0]]
        driver_spine = points[:, PELVIS] - points[:, NECK]
        width = distance(driver_across, np.zeros(2, np.float32)) / self.size
        tilt = wrap(angle(driver_across) - angle(across))
        sure = smoothstep(0.3, 0.7, width) * smoothstep(0.25, 0.55, confidence[:, list(shoulders)].min(1))
        hips = smoothstep(0.25, 0.55, confidence[:, PELVIS]) * float(self.rest_confidence[PELVIS] > 0.3)
        lean = np.clip(wrap(angle(driver_spine) - angle(spine)), -1.3, 1.3)
        tilt = np.clip(tilt, -1.3, 1.3) * sure + lean * (1 - sure) * hips
        lean = lean * hips + 0.3 * tilt * (1 - hips)
        tilt = lean + np.clip(tilt - lean, -0.45, 0.45)
        narrow = np.clip(relative(width, self.seen), 0.6, 1.1) * sure + (1 - sure)
        length = distance(driver_spine, np.zeros(2, np.float32)) / self.size
        short = np.clip(relative(length, self.seen), 0.6, 1.08) * hips + (1 - hips)
        scale = self.scale
        new_across = turned(across, tilt) * (narrow * scale)[:, None]
        new_spine = turned(spine, lean) * (short * scale)[:, None]
        before = np.linalg.inv(np.stack([across, spine], 1))
        linear = (np.stack([new_across, new_spine], 2) @ before).astype(np.float32)
        self.angles[:, TORSO_BONE], self.stretches[:, TORSO_BONE] = polar(linear)
        self.origins[:, TORSO_BONE] = neck
        return linear

    def _place_head(self, neck: Floats) -> None:
        points, confidence = self.driver.points, self.driver.confidence
        vector = self.rest[HEAD] - self.rest[NECK]
        driver_vector = points[:, HEAD] - points[:, NECK]
        sure = smoothstep(0.25, 0.55, confidence[:, HEAD]) * float(self.rest_confidence[HEAD] > 0.3)
        tilt = np.clip(wrap(angle(driver_vector) - angle(vector)), -0.9, 0.9)
        torso = self.angles[:, TORSO_BONE]
        tilt = tilt * sure + torso * (1 - sure)
        length = distance(driver_vector, np.zeros(2, np.float32)) / self.size
        middle = float(np.median(length[self.seen]))
        factor = np.clip(length / max(middle, 1e-3), 0.85, 1.12) * sure + (1 - sure)
        self.origins[:, HEAD_BONE] = neck + turned(vector, tilt) * (factor * self.scale)[:, None]
        rolls = smoothstep(0.25, 0.55, self.driver.roll_confidence) * float(self.rest_roll_confidence > 0.3)
        rolls = gaussian_filter1d(rolls, 2.0, mode="nearest")
        roll = np.clip(wrap(self.driver.roll - self.rest_roll), -1.0, 1.0)
        self.angles[:, HEAD_BONE] = roll * rolls + torso * (1 - rolls)
        self.stretches[:, HEAD_BONE] = np.eye(2, dtype=np.float32) * self.scale[:, None, None]

    def _place_limb(self, side: int, names: tuple[int, ...], torso: Floats, neck: Floats) -> None:
        """Chain of three bones from a joint of the torso: the driver's directions where they are seen."""
        start = self.rest[bone_ends(side, names[0])[0]]
        position = neck + torso @ (start - self.rest[NECK])
        parent_angle = self.angles[:, TORSO_BONE]
        for name in names:
            begin, end = bone_ends(side, name)
            vector = self.rest[end] - self.rest[begin]
            driver_vector = self.driver.points[:, end] - self.driver.points[:, begin]
            sure = self._certainty(begin, end, name)
            if name == UPPER_ARM:
                bend = self._shoulder_bend(side, vector, driver_vector, parent_angle)
            else:
                bend = wrap(angle(driver_vector) - angle(vector) - parent_angle)
                if name in (HAND, FOOT):  # small and often blurred: steadier than the rest
                    bend = gaussian_filter1d(bend, 2.0, mode="nearest")
            limit = _LARGEST_BEND[name]
            turn = parent_angle + np.clip(bend, -limit, limit) * sure
            length = distance(driver_vector, np.zeros(2, np.float32)) / self.size
            lowest = 0.75 if name in (HAND, FOOT) else 0.3
            factor = np.clip(relative(length, self.seen), lowest, 1.12) * sure + (1 - sure)
            index = bone(side, name)
            self.angles[:, index] = turn
            self.stretches[:, index] = stretch_along(vector, self.scale * factor, self.scale)
            self.origins[:, index] = position
            position = position + turned(vector, turn) * (self.scale * factor)[:, None]
            parent_angle = turn

    def _certainty(self, begin: int, end: int, name: int) -> Floats:
        confidence = self.driver.confidence[:, [begin, end]].min(1)
        known = float(self.rest_confidence[[begin, end]].min() > 0.3)
        sure = smoothstep(0.25, 0.55, confidence) * known * (0.7 if name == FOOT else 1.0)
        return np.asarray(gaussian_filter1d(sure, 2.0, mode="nearest"), np.float32)

    def _shoulder_bend(self, side: int, vector: Floats, driver_vector: Floats, torso: Floats) -> Floats:
        """Turn of the upper arm against the torso, always through the outside: never through the body.

        Both directions are measured from "hanging" outwards, in -110 to 250 degrees.
        """
        outwards = np.sign(self.rest[joint(side, SHOULDER), 0] - self.rest[NECK, 0]) or 1.0

        def lift(angles: Floats | float) -> Floats:
            down = np.pi / 2 - np.asarray(angles, np.float32)
            return np.asarray(np.mod(outwards * down + 1.92, TURN) - 1.92, np.float32)

        bend = lift(angle(driver_vector) - torso) - lift(angle(vector))
        return np.asarray(-outwards * bend, np.float32)


def _footing(ankles: Floats) -> Floats:
    """Middle of both ankles (T, 2, 2) sideways, the lower of them upright: (T, 2)."""
    return np.stack([ankles[..., 0].mean(1), ankles[..., 1].max(1)], 1)


def _rest_unit(points: Floats) -> float:
    shoulders = float(np.linalg.norm(points[joint(LEFT, SHOULDER)] - points[joint(RIGHT, SHOULDER)]))
    return max(shoulders, 0.6 * float(np.linalg.norm(points[NECK] - points[HEAD])), 1.0)


def _facing_like(reference: Skeleton, driver: Skeleton) -> Skeleton:
    """Swap the driver's sides when he is mostly seen from behind and the reference is not, or the reverse."""
    left, right = joint(LEFT, SHOULDER), joint(RIGHT, SHOULDER)
    own = reference.points[0, left, 0] - reference.points[0, right, 0]
    other = float(np.median(driver.points[:, left, 0] - driver.points[:, right, 0]))
    if own * other >= 0:
        return driver
    order = np.r_[0:3, 11:19, 3:11]
    return Skeleton(
        driver.points[:, order],
        driver.depth[:, order],
        driver.confidence[:, order],
        np.asarray(wrap(driver.roll + np.pi), np.float32),
        driver.roll_confidence,
    )


def _frames_seen(driver: Skeleton) -> NDArray[np.bool_]:
    shoulders = driver.confidence[:, [joint(LEFT, SHOULDER), joint(RIGHT, SHOULDER)]].min(1)
    for least in (0.5, 0.2, -1.0):
        seen = shoulders > least
        if seen.any():
            return np.asarray(seen, np.bool_)
    raise ValueError("a track without frames")
