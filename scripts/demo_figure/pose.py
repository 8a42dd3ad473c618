"""Posing: turns of the spine and head as angles, arms and legs by two-bone inverse kinematics."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from scripts.demo_figure.mesh import BaseMesh, Floats

Vector = Floats
SIDES = (("Left", 1.0), ("Right", -1.0))


@dataclass
class Pose:
    """One moment. Lengths in decimetres, angles in degrees; pairs are (left, right).

    Turns are (pitch: nod forward, yaw: to the figure's left, roll: tilt to the figure's right).
    wrist: from the shoulder joint, x outwards, y up, z forward, in the chest's frame.
    elbow: direction in which the elbow points, same frame. twist: turn of the forearm about itself.
    foot: (x, lift, z) of the ankle over the floor; toes_out: yaw of the feet.
    """

    shift: tuple[float, float, float] = (0, 0, 0)
    hips: tuple[float, float, float] = (0, 0, 0)
    spine: tuple[float, float, float] = (0, 0, 0)
    head: tuple[float, float, float] = (0, 0, 0)
    wrist: tuple[Vector, Vector] = field(default_factory=lambda: (np.array([1.1, -4.9, 0.35]),) * 2)
    elbow: tuple[Vector, Vector] = field(default_factory=lambda: (np.array([0.5, 0, -1.0]),) * 2)
    twist: tuple[float, float] = (0, 0)
    hand: tuple[float, float] = (0, 0)
    curl: tuple[float, float] = (14, 14)
    foot: tuple[tuple[float, float, float], tuple[float, float, float]] = ((1.0, 0, 0), (-1.0, 0, 0))
    toes_out: float = 9
    face: dict[str, float] = field(default_factory=dict)
    gaze: tuple[float, float] = (0, 0)


def rotation(axis: Vector, degrees: float) -> Vector:
    """Rotation matrix [3, 3] about an axis (Rodrigues' formula)."""
    x, y, z = axis / np.linalg.norm(axis)
    skew = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    angle = np.radians(degrees)
    turned: Vector = np.eye(3) + np.sin(angle) * skew + (1 - np.cos(angle)) * skew @ skew
    return turned


def turn(angles: tuple[float, float, float], share: float = 1.0) -> Vector:
    """(pitch, yaw, roll) in degrees -> rotation matrix [3, 3]."""
    pitch, yaw, roll = (angle * share for angle in angles)
    matrix: Vector = (
        rotation(np.array([0, 1, 0]), yaw)
        @ rotation(np.array([1, 0, 0]), pitch)
        @ rotation(np.array([0, 0, 1]), roll)
    )
    return matrix


def _frame(along: Vector, side: Vector) -> Vector:
    """Orthonormal frame: the first axis is `along`, the second the part of `side` at right angles to it."""
    first = along / np.linalg.norm(along)
    second = side - first * (side @ first)
    second /= np.linalg.norm(second)
    return np.stack([first, second, np.cross(first, second)], axis=1)


class Skeleton:
    """The joints of one shaped figure, [B, 3] at rest, and the transforms [B, 3, 4] of a pose."""

    def __init__(self, mesh: BaseMesh, vertices: Floats, ground: float) -> None:
        self.numbers = mesh.bone_numbers
        self.parents = [bone.parent for bone in mesh.bones]
        self.joints = np.stack([vertices[bone.head].mean(axis=0) for bone in mesh.bones]).astype(np.float64)
        self.ground = ground

    def transforms(self, pose: Pose) -> Floats:
        """Rest space -> posed space for every bone."""
        own = {"Hips": turn(pose.hips), "Neck": turn(pose.head, 0.4), "Head": turn(pose.head, 0.6)}
        own |= {name: turn(pose.spine, 1 / 3) for name in ("Spine", "Spine1", "Spine2")}
        fixed: dict[str, Vector] = {}
        for index, (side, sign) in enumerate(SIDES):
            own |= self._fingers(side, sign, pose.curl[index])
            lift = max(0.0, float(pose.wrist[index][1]) + 2.0) * 5.0
            own[f"{side}Shoulder"] = rotation(np.array([0, 0, 1.0]), sign * lift)
        result = self._chain(pose, own, fixed)
        for index, (side, sign) in enumerate(SIDES):
            fixed |= self._arm(result, side, sign, pose, index) | self._leg(result, side, sign, pose, index)
        return self._chain(pose, own, fixed).astype(np.float32)

    def _chain(self, pose: Pose, own: dict[str, Vector], fixed: dict[str, Vector]) -> Vector:
        """Walk from the root: `own` turns are relative to the parent, `fixed` ones are absolute."""
        result = np.zeros((len(self.parents), 3, 4))
        for name, number in self.numbers.items():
            parent, joint = self.parents[number], self.joints[number]
            above = result[parent] if parent >= 0 else np.hstack([np.eye(3), np.array([pose.shift]).T])
            turned = fixed[name] if name in fixed else above[:, :3] @ own.get(name, np.eye(3))
            place = above[:, :3] @ joint + above[:, 3]
            result[number] = np.hstack([turned, (place - turned @ joint)[:, None]])
        return result

    def _place(self, result: Vector, name: str) -> Vector:
        number = self.numbers[name]
        placed: Vector = result[number, :, :3] @ self.joints[number] + result[number, :, 3]
        return placed

    def _two_bones(
        self, names: tuple[str, str, str], start: Vector, target: Vector, pole: Vector, rest_pole: Vector
    ) -> tuple[Vector, Vector]:
        """Absolute turns of two bones that bring the third joint to the target, bent towards the pole."""
        upper, middle, end = (self.joints[self.numbers[name]] for name in names)
        first, second = np.linalg.norm(middle - upper), np.linalg.norm(end - middle)
        reach = target - start
        distance = np.clip(np.linalg.norm(reach), abs(first - second) + 0.05, (first + second) * 0.999)
        basis = _frame(reach, pole)
        cosine = (first**2 + distance**2 - second**2) / (2 * first * distance)
        bend = basis[:, 0] * cosine + basis[:, 1] * np.sqrt(max(0.0, 1 - cosine**2))
        hinge, rest_hinge = np.cross(reach, pole), np.cross(end - upper, rest_pole)
        lower = basis[:, 0] * distance - bend * first
        return (
            _frame(bend, hinge) @ _frame(middle - upper, rest_hinge).T,
            _frame(lower, hinge) @ _frame(end - middle, rest_hinge).T,
        )

    def _arm(self, result: Vector, side: str, sign: float, pose: Pose, index: int) -> dict[str, Vector]:
        chest = result[self.numbers["Spine2"], :, :3]
        mirror = np.array([sign, 1, 1])
        start = self._place(result, f"{side}Arm")
        names = (f"{side}Arm", f"{side}ForeArm", f"{side}Hand")
        upper, middle, end = (self.joints[self.numbers[name]] for name in names)
        upper_turn, lower_turn = self._two_bones(
            names,
            start,
            start + chest @ (pose.wrist[index] * mirror),
            chest @ (pose.elbow[index] * mirror),
            middle - (upper + end) / 2,
        )
        axis = end - middle
        return {
            names[0]: upper_turn,
            names[1]: lower_turn @ rotation(axis, sign * pose.twist[index] * 0.6),
            names[2]: lower_turn
            @ rotation(axis, sign * pose.twist[index])
            @ rotation(np.array([0, 0, 1.0]), sign * pose.hand[index]),
        }

    def _leg(self, result: Vector, side: str, sign: float, pose: Pose, index: int) -> dict[str, Vector]:
        names = (f"{side}UpLeg", f"{side}Leg", f"{side}Foot")
        ankle = self.joints[self.numbers[names[2]]]
        x, lift, z = pose.foot[index]
        target = np.array([x, ankle[1] + lift, ankle[2] + z])
        out = rotation(np.array([0, 1.0, 0]), sign * pose.toes_out)
        upper_turn, lower_turn = self._two_bones(
            names, self._place(result, names[0]), target, out @ np.array([0, 0, 1.0]), np.array([0, 0, 1.0])
        )
        return {
            names[0]: upper_turn,
            names[1]: lower_turn,
            names[2]: out @ rotation(np.array([1.0, 0, 0]), 9.0 * lift),
        }

    def _fingers(self, side: str, sign: float, curl: float) -> dict[str, Vector]:
        turns: dict[str, Vector] = {}
        knuckles = (
            self.joints[self.numbers[f"{side}HandPinky1"]] - self.joints[self.numbers[f"{side}HandIndex1"]]
        )
        for finger, extra in (("Index", -4), ("Middle", 0), ("Ring", 4), ("Pinky", 7)):
            for joint in (1, 2, 3):
                turns[f"{side}Hand{finger}{joint}"] = rotation(knuckles, -sign * (curl + extra) * 1.0)
        return turns
