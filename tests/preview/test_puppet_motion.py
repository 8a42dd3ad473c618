"""Skinning and retargeting: the own pose changes nothing, arms turn outside, the unseen stays."""

import numpy as np
import pytest

from engines.preview.puppet import motion
from engines.preview.puppet.mesh import Mesh, Pose, build_mesh, deform
from engines.preview.puppet.skeleton import (
    BONE_COUNT,
    ELBOW,
    FOREARM,
    LEFT,
    NECK,
    TORSO_BONE,
    UPPER_ARM,
    bone,
    joint,
    skeleton_of,
)
from tests.preview.puppet_figure import Floats, drawn_figure, repeated


def _rest_pose(origins: Floats) -> Pose:
    return Pose(
        np.zeros(BONE_COUNT, np.float32), np.tile(np.eye(2, dtype=np.float32), (BONE_COUNT, 1, 1)), origins
    )


def _arm_mesh() -> tuple[Mesh, Floats, int]:
    """A bar of 200 x 40 that bends at x = 100 between two bones."""
    first, second = bone(LEFT, UPPER_ARM), bone(LEFT, FOREARM)

    def weights_at(points: Floats) -> Floats:
        weights = np.zeros((len(points), BONE_COUNT), np.float32)
        share = np.clip((points[:, 0] - 80) / 40, 0, 1)
        weights[:, first], weights[:, second] = 1 - share, share
        return weights

    elbow = np.array([100, 20], np.float32)
    mesh = build_mesh(
        np.full((40, 200), 255, np.uint8),
        10,
        weights_at,
        np.zeros(BONE_COUNT, np.float32),
        [(first, second, elbow)],
    )
    origins = np.tile(elbow, (BONE_COUNT, 1))
    return mesh, origins, second


def test_the_rest_pose_leaves_every_vertex_where_it_is() -> None:
    mesh, origins, _ = _arm_mesh()
    np.testing.assert_allclose(deform(mesh, origins, _rest_pose(origins)), mesh.vertices, atol=1e-3)


@pytest.mark.parametrize("degrees", [60, 120, 165])
def test_a_bent_arm_keeps_its_thickness_at_the_joint(degrees: float) -> None:
    mesh, origins, lower = _arm_mesh()
    pose = _rest_pose(origins)
    pose.angles[lower] = np.radians(degrees)
    moved = deform(mesh, origins, pose)
    at_joint = np.abs(mesh.vertices[:, 0] - 100) < 1
    away = np.linalg.norm(moved[at_joint] - origins[0], axis=1)
    before = np.linalg.norm(mesh.vertices[at_joint] - origins[0], axis=1)
    np.testing.assert_allclose(away, before, atol=1)


def test_a_turned_bone_moves_rigidly() -> None:
    mesh, origins, lower = _arm_mesh()
    pose = _rest_pose(origins)
    pose.angles[lower] = np.pi / 2
    moved = deform(mesh, origins, pose)
    far = mesh.vertices[:, 0] > 130
    turned = (mesh.vertices[far] - origins[0]) @ np.array([[0, 1], [-1, 0]]) + origins[0]
    np.testing.assert_allclose(moved[far], turned, atol=1e-2)


@pytest.mark.parametrize("replace", [False, True])
def test_the_references_own_pose_changes_nothing(replace: bool) -> None:
    _, track = drawn_figure()
    skeleton = skeleton_of(track)
    moved = motion.retarget(skeleton, skeleton_of(repeated(track, 5)), replace=replace, offset=(0, 0))
    assert np.abs(moved.angles).max() < 1e-3
    np.testing.assert_allclose(moved.scale, 1, atol=1e-3)
    np.testing.assert_allclose(moved.stretches, np.tile(np.eye(2), (5, BONE_COUNT, 1, 1)), atol=2e-3)
    np.testing.assert_allclose(moved.origins, np.tile(motion.rest_origins(skeleton), (5, 1, 1)), atol=0.2)


def test_animate_mode_moves_by_the_drivers_way_in_the_references_measure() -> None:
    _, reference = drawn_figure(240, 320)
    _, driver = drawn_figure(480, 640)
    clip = repeated(driver, 9)
    clip.body[6:, :, 0] += 40
    moved = motion.retarget(skeleton_of(reference), skeleton_of(clip), replace=False, offset=(10, 0))
    neck = moved.origins[:, TORSO_BONE, 0]
    rest = skeleton_of(reference).points[0, NECK, 0] + 10
    assert neck[0] == pytest.approx(rest, abs=2)
    assert neck[-1] - neck[0] == pytest.approx(20, abs=2)


def test_replace_mode_takes_the_drivers_place_and_size() -> None:
    _, reference = drawn_figure(240, 320)
    _, driver = drawn_figure(480, 640)
    driven = skeleton_of(repeated(driver, 3))
    moved = motion.retarget(skeleton_of(reference), driven, replace=True, offset=(0, 0))
    np.testing.assert_allclose(moved.scale, 2, rtol=0.02)
    np.testing.assert_allclose(moved.origins[:, TORSO_BONE], driven.points[:, NECK], atol=4)


def test_an_arm_is_raised_through_the_outside_without_a_jump() -> None:
    _, reference = drawn_figure()
    clip = repeated(reference, 40)
    shoulder = clip.body[0, 11, :2]
    for frame, degrees in enumerate(np.linspace(0, 175, 40)):  # from hanging, outwards, to straight up
        direction = np.array([np.sin(np.radians(degrees)), np.cos(np.radians(degrees))])
        clip.body[frame, 13, :2] = shoulder + 40 * direction
        clip.body[frame, 15, :2] = shoulder + 75 * direction
    moved = motion.retarget(skeleton_of(reference), skeleton_of(clip), replace=False, offset=(0, 0))
    turn = np.degrees(moved.angles[:, bone(LEFT, UPPER_ARM)])
    assert np.abs(np.diff(turn)).max() < 10
    assert turn[0] - turn[-1] == pytest.approx(175, abs=3)


def test_a_limb_that_the_driver_does_not_show_keeps_the_references_pose() -> None:
    _, reference = drawn_figure()
    clip = repeated(reference, 5)
    clip.body[:, 13, :2] += 60
    clip.body[:, (13, 15), 3] = 0
    moved = motion.retarget(skeleton_of(reference), skeleton_of(clip), replace=False, offset=(0, 0))
    assert np.abs(moved.angles[:, bone(LEFT, UPPER_ARM)]).max() < 1e-3


def test_a_driver_seen_from_behind_moves_the_arm_on_the_same_side_of_the_picture() -> None:
    _, reference = drawn_figure()
    _, behind = drawn_figure(pose={15: (0.30, -0.45), 13: (0.22, -0.33)})
    pairs = [(left, left + 1) for left in (7, 11, 13, 15, 17, 19, 21, 23, 25, 27, 29, 31)]
    for left, right in pairs:
        behind.body[:, [left, right]] = behind.body[:, [right, left]]
    clip = skeleton_of(repeated(behind, 3))
    moved = motion.retarget(skeleton_of(reference), clip, replace=False, offset=(0, 0))
    assert moved.angles[0, bone(LEFT, FOREARM)] < -0.5
    assert np.abs(moved.angles[:, TORSO_BONE]).max() < 0.1


def test_an_elbow_outside_the_picture_is_guessed_between_shoulder_and_wrist() -> None:
    _, track = drawn_figure()
    track.body[0, 13, 3] = 0
    assert skeleton_of(track).confidence[0, joint(LEFT, ELBOW)] > 0.5
