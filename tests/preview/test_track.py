"""A Track survives its file; masks lie where they belong; smoothing is steady, on time, keeps to its run."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest

from engines.preview import smoothing
from engines.preview.network import Region
from engines.preview.smoothing import bridge_gaps, inside_frame, runs, smooth, smooth_track
from engines.preview.track import MASK_SIDE, Track

WIDTH, HEIGHT = 320, 240


def disc_png() -> bytes:
    disc = np.zeros((MASK_SIDE, MASK_SIDE), np.uint8)
    cv2.circle(disc, (MASK_SIDE // 2, MASK_SIDE // 2), 64, 255, -1)
    return bytes(cv2.imencode(".png", disc)[1])


def make_track(frame_count: int, seed: int = 0) -> Track:
    random = np.random.default_rng(seed)
    region = Region(100.0, 90.0, 128.0, 0.4)
    body = random.uniform(60, 180, (frame_count, 33, 4)).astype(np.float32)
    body[..., 3] = 0.9
    return Track(
        width=WIDTH,
        height=HEIGHT,
        body=body,
        face=random.uniform(0, 200, (frame_count, 468, 3)).astype(np.float32),
        face_score=np.ones(frame_count, np.float32),
        hands=random.uniform(0, 200, (frame_count, 2, 21, 3)).astype(np.float32),
        hand_score=np.ones((frame_count, 2), np.float32),
        masks=tuple(disc_png() for _ in range(frame_count)),
        mask_transforms=np.tile(region.transform(MASK_SIDE).astype(np.float32), (frame_count, 1, 1)),
        person_score=np.ones(frame_count, np.float32),
    )


def test_a_saved_track_comes_back_the_same(tmp_path):
    track = replace(make_track(3), masks=(disc_png(), b"", disc_png()))
    track.face[1], track.face_score[1] = np.nan, 0
    track.save(tmp_path / "track.npz")
    again = Track.load(tmp_path / "track.npz")
    assert (again.width, again.height, again.masks) == (WIDTH, HEIGHT, track.masks)
    for name in ("body", "face", "face_score", "hands", "hand_score", "mask_transforms", "person_score"):
        assert getattr(again, name).dtype == np.float32
        np.testing.assert_array_equal(getattr(again, name), getattr(track, name))


def test_the_same_track_makes_the_same_file(tmp_path):
    make_track(2).save(tmp_path / "a.npz")
    make_track(2).save(tmp_path / "b.npz")
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()


@pytest.mark.parametrize("content", [b"", b"text", b"PK\x03\x04 cut off"])
def test_a_file_that_is_no_track_is_named(tmp_path, content):
    path = tmp_path / "broken.npz"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"broken\.npz"):
        Track.load(path)


def test_the_mask_lies_where_its_region_was():
    mask = make_track(1).mask(0)
    assert mask.shape == (HEIGHT, WIDTH)
    assert mask.dtype == np.uint8
    rows, columns = np.nonzero(mask > 127)
    assert abs(columns.mean() - 100) < 0.5
    assert abs(rows.mean() - 90) < 0.5
    assert abs(np.sqrt(rows.size / np.pi) - 32) < 0.5  # 64 crop pixels = 32 frame pixels


def test_a_lost_person_has_an_empty_mask():
    assert not replace(make_track(1), masks=(b"",)).mask(0).any()


def test_a_region_maps_its_cut_back_to_the_same_place():
    frame = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    frame[70:75, 120:125] = 255
    region = Region(110.0, 80.0, 60.0, 0.7)
    rows, columns = np.nonzero(region.cut(frame, 256)[..., 0] > 127)
    centre = np.array([[columns.mean() + 0.5, rows.mean() + 0.5]], np.float32)
    np.testing.assert_allclose(region.to_frame(centre, 256)[0], (122, 72), atol=0.2)


def test_the_bounding_square_is_turned_and_grown():
    corners = np.array([[-1, -2], [1, -2], [1, 2], [-1, 2]], np.float32)
    turn = np.array([[0, -1], [1, 0]], np.float32)  # a quarter turn clockwise as seen: up becomes right
    region = Region.around(corners @ turn.T + 50, np.array([1, 0], np.float32), 1.5, shift=0.1)
    assert region.side == pytest.approx(6)
    assert [region.x, region.y] == pytest.approx([50.6, 50])
    assert region.angle == pytest.approx(np.pi / 2)


def test_small_changes_of_a_region_are_damped_and_large_ones_are_not():
    before = Region(100.0, 100.0, 100.0, 3.1)
    assert Region(101.0, 100.0, 100.0, 3.1).follow(before).x < 100.3
    assert Region(120.0, 100.0, 100.0, 3.1).follow(before).x == pytest.approx(120)
    turned = Region(100.0, 100.0, 100.0, -3.1).follow(before)  # across the half turn, the short way round
    assert 3.1 < turned.angle < 3.19


def test_a_steady_movement_is_not_changed_inside_a_run():
    line = np.linspace(0, 90, 31, dtype=np.float32)[:, np.newaxis, np.newaxis].repeat(2, axis=2)
    smoothed = smooth(line, np.ones((31, 1), np.float32), np.ones(31, bool))
    np.testing.assert_allclose(smoothed[8:-8], line[8:-8], atol=1e-3)


def test_jitter_falls_to_less_than_a_third():
    noise = np.random.default_rng(1).normal(0, 1, (400, 1, 2)).astype(np.float32)
    smoothed = smooth(noise, np.ones((400, 1), np.float32), np.ones(400, bool))
    assert np.abs(np.diff(smoothed, 2, axis=0)).mean() < np.abs(np.diff(noise, 2, axis=0)).mean() / 3


def test_nothing_leaks_across_a_loss():
    values = np.zeros((20, 1, 2), np.float32)
    values[11:] = 100
    alive = np.ones(20, bool)
    alive[10] = False
    smoothed = smooth(values, np.ones((20, 1), np.float32), alive)
    assert smoothed[:10].max() == 0
    assert smoothed[11:].min() == pytest.approx(100)


def test_an_unsure_outlier_hardly_counts():
    values, weights = np.zeros((21, 1, 2), np.float32), np.ones((21, 1), np.float32)
    values[10], weights[10] = 100, 0.01
    assert smooth(values, weights, np.ones(21, bool)).max() < 1


def test_runs_are_found():
    assert runs(np.array([1, 1, 0, 0, 1, 0, 1], bool)) == [(0, 2), (4, 5), (6, 7)]
    assert runs(np.zeros(3, bool)) == []


def test_short_gaps_are_bridged_and_long_ones_are_not():
    hand = np.arange(10, dtype=np.float32)[:, np.newaxis, np.newaxis] + np.eye(21, 3, dtype=np.float32) * 30
    score = np.ones(10, np.float32)
    score[[2, 3, 5, 6, 7, 8]] = 0
    gappy = hand.copy()
    gappy[score == 0] = np.nan
    points, bridged = bridge_gaps(gappy, score)
    np.testing.assert_allclose(points[:5], hand[:5], atol=1e-4)
    assert np.flatnonzero(bridged == 0).tolist() == [5, 6, 7, 8]
    assert np.isnan(points[5:9]).all()


def test_a_gap_over_which_the_hand_jumps_is_not_bridged():
    hand = np.eye(21, 3, dtype=np.float32) * 30 + np.zeros((3, 1, 1), np.float32)
    hand[2] += 200
    assert bridge_gaps(hand, np.array([1, 0, 1], np.float32))[1][1] == 0


def test_smoothing_a_track_leaves_what_is_lost_lost():
    track = make_track(12)
    track.person_score[5], track.body[5] = 0, 0
    track.face[4:9], track.face_score[4:9] = np.nan, 0
    smoothed = smooth_track(track)
    assert (smoothed.body[5, :, 3] == 0).all()
    assert np.isfinite(smoothed.body).all()
    assert smoothed.body[5, :, :2].min() > 50  # between the frames before and after, not at the corner
    assert np.isnan(smoothed.face[4:9]).all()
    assert np.isfinite(smoothed.face[:4]).all()


def test_a_blink_survives_smoothing():
    face = np.zeros((21, 468, 3), np.float32)
    face[9:12, 159, 1] = 10  # one lid, three frames
    track = replace(make_track(21), face=face)
    assert smooth_track(track).face[10, 159, 1] > 8.5


def test_joints_outside_the_frame_count_as_unseen_and_hips_as_a_pair():
    body = np.full((1, 33, 4), 100, np.float32)
    body[0, 15, 0] = -5
    body[0, 23, 1] = HEIGHT + 5
    inside = inside_frame(body, WIDTH, HEIGHT)[0]
    assert np.flatnonzero(~inside).tolist() == [15, 23, 24]
    confident = replace(make_track(1), body=body)
    confident.body[..., 3] = 1
    assert (smoothing.smooth_track(confident).body[0, [15, 23, 24], 3] == 0).all()
