"""The points that are drawn, taken from a made-up Track."""

import numpy as np

from engines.preview.pose_points import pose_points
from tests.preview.made_up_track import made_up_track


def test_every_point_comes_from_its_own_joint() -> None:
    track = made_up_track(2, 320, 240)
    track.body[..., 0] = np.arange(33)
    track.body[..., 1] = 100 + np.arange(33)
    joints = [0, 11.5, 12, 14, 16, 11, 13, 15, 24, 26, 28, 23, 25, 27, 5, 2, 8, 7, 31, 32]
    points = pose_points(track)
    np.testing.assert_array_equal(points.body[1, :, 0], joints)
    np.testing.assert_array_equal(points.body[1, :, 1], 100 + np.array(joints))


def test_the_neck_has_the_mean_confidence_of_the_shoulders() -> None:
    track = made_up_track(1, 320, 240)
    track.body[0, 11, 3], track.body[0, 12, 3] = 0.2, 0.6
    np.testing.assert_allclose(pose_points(track).body[0, 1, 2], 0.4, rtol=1e-6)


def test_points_outside_the_frame_have_no_confidence() -> None:
    track = made_up_track(1, 320, 240)
    track.body[0, 27, :2] = 100, 241
    track.hands[0, 0, 4, 0] = -1
    points = pose_points(track)
    assert points.body[0, 13, 2] == 0
    assert points.left_hand[0, 4, 2] == 0
    assert points.left_hand[0, 5, 2] == 1


def test_hands_are_the_persons_own_left_and_right_with_their_presence_as_confidence() -> None:
    track = made_up_track(1, 320, 240)
    track.hand_score[0] = 0.7, 0.8
    points = pose_points(track)
    np.testing.assert_allclose(points.left_hand[0, :, :2], track.hands[0, 0, :, :2])
    np.testing.assert_allclose(points.left_hand[0, :, 2], 0.7, rtol=1e-6)
    np.testing.assert_allclose(points.right_hand[0, :, 2], 0.8, rtol=1e-6)


def test_a_hand_far_from_its_wrist_is_dropped() -> None:
    track = made_up_track(2, 320, 240)
    size = np.ptp(track.hands[0, 1, :, :2], axis=0).max()
    track.hands[0, 1, :, 0] += 0.5 * size
    track.hands[1, 1, :, 0] += 0.7 * size
    confidence = pose_points(track).right_hand[..., 2]
    assert (confidence[0] == 1).all()
    assert (confidence[1] == 0).all()


def test_a_hand_that_was_not_found_is_finite_and_has_no_confidence() -> None:
    track = made_up_track(1, 320, 240)
    track.hands[0, 0], track.hand_score[0, 0] = np.nan, 0
    hand = pose_points(track).left_hand
    assert np.isfinite(hand).all()
    assert not hand[..., 2].any()
