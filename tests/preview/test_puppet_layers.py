"""The puppet as a picture: itself at rest, no holes when it moves, no floating lower edge, no light rims."""

import numpy as np
import pytest

from engines.preview import stage2
from engines.preview.puppet import composite, motion
from engines.preview.puppet.layers import build_puppet
from engines.preview.puppet.matte import cut_out, edge_colours
from engines.preview.puppet.parts import find_parts
from engines.preview.puppet.pixels import Extension
from engines.preview.puppet.skeleton import LEFT, RIGHT, skeleton_of
from engines.preview.track import Track
from tests.preview.puppet_figure import WALL, Image, Places, draw, drawn_figure, repeated


def _stage(picture: Image, track: Track, driver: Track) -> tuple[composite.Stage, Image]:
    skeleton, driving = skeleton_of(track), skeleton_of(driver)
    alpha = cut_out(picture, track, skeleton)
    moved = motion.retarget(skeleton, driving, replace=False, offset=(0, 0))
    rest = motion.rest_origins(skeleton)
    size = (picture.shape[1], picture.shape[0])
    extension = stage2.lower_extension(skeleton, alpha, moved, rest, driving, size, False)
    puppet = build_puppet(picture, alpha, find_parts(picture, alpha, track, skeleton), skeleton, extension)
    return composite.Stage(puppet, moved, rest, None, None), alpha


def _wall(picture: Image) -> Image:
    return np.full_like(picture, WALL)


def test_the_matte_is_the_figure() -> None:
    picture, track = drawn_figure()
    alpha = cut_out(picture, track, skeleton_of(track)) > 127
    figure = draw(track.body[0], 240, 320)[1] > 0
    assert (alpha & figure).sum() / (alpha | figure).sum() > 0.94


def test_a_picture_that_the_mask_fills_wholly_is_still_cut_out() -> None:
    picture, track = drawn_figure(cut=True)
    alpha = cut_out(picture, track, skeleton_of(track))
    assert alpha.dtype == np.uint8
    assert (alpha > 127).any()


def test_edge_colours_hold_nothing_of_the_background() -> None:
    picture = np.full((60, 60, 3), 250, np.uint8)
    picture[20:40, 20:40] = (200, 30, 40)
    alpha = np.zeros((60, 60), np.uint8)
    alpha[19:41, 19:41] = 128
    alpha[20:40, 20:40] = 255
    rim = edge_colours(picture, alpha)[19:41, 19:41].astype(int)
    assert np.abs(rim - (200, 30, 40)).max() <= 2


def test_the_references_own_pose_gives_the_reference_back() -> None:
    picture, track = drawn_figure()
    stage, _ = _stage(picture, track, repeated(track, 2))
    canvas = _wall(picture)
    stage.draw(1, canvas)
    difference = np.abs(canvas.astype(int) - picture).max(2)
    assert difference.mean() < 2.5
    assert (difference > 60).mean() < 0.01


@pytest.mark.parametrize(
    "pose",
    [
        {13: (0.22, -0.33), 15: (0.36, -0.33), 14: (-0.22, -0.33), 16: (-0.36, -0.33)},
        {13: (0.16, -0.46), 15: (0.18, -0.60), 14: (-0.19, -0.20), 16: (-0.02, -0.22)},
        {25: (0.16, 0.18), 27: (0.20, 0.40), 26: (-0.06, 0.22), 28: (-0.06, 0.44)},
    ],
    ids=["arms out", "arm up, other across", "leg out"],
)
def test_a_moved_figure_shows_no_black_and_no_hole_in_its_torso(pose: Places) -> None:
    picture, track = drawn_figure()
    _, driver = drawn_figure(pose=pose)
    stage, _ = _stage(picture, track, repeated(driver, 3))
    canvas = _wall(picture)
    stage.draw(1, canvas)
    assert canvas.max(2).min() > 120  # neither the figure nor the wall holds anything darker
    shoulders, hips = track.body[0, (11, 12), :2], track.body[0, (23, 24), :2]
    middle = np.concatenate([shoulders, hips]).mean(0).astype(int)
    chest = canvas[middle[1] - 20 : middle[1] + 20, middle[0] - 10 : middle[0] + 10].astype(int)
    assert np.abs(chest - WALL).sum(2).min() > 60


def test_a_raised_arm_reaches_where_the_drivers_arm_is() -> None:
    picture, track = drawn_figure()
    pose = {13: (0.22, -0.33), 15: (0.36, -0.33)}
    _, driver = drawn_figure(pose=pose)
    stage, _ = _stage(picture, track, repeated(driver, 3))
    canvas = _wall(picture)
    stage.draw(1, canvas)
    shoulder, wrist = driver.body[0, 11, :2], driver.body[0, 15, :2]
    for share in np.linspace(0.1, 0.9, 9):  # no gap at the shoulder, none at the elbow
        x, y = (shoulder + (wrist - shoulder) * share).astype(int)
        assert np.abs(canvas[y, x].astype(int) - WALL).sum() > 60, f"hole at {share:.1f} of the arm"
    old = track.body[0, 15, :2].astype(int)
    assert np.abs(canvas[old[1], old[0]].astype(int) - WALL).sum() < 40


def test_a_figure_cut_by_the_lower_edge_never_floats() -> None:
    picture, track = drawn_figure(cut=True)
    clip = repeated(track, 8)
    clip.body[4:, :, 1] -= 40
    stage, alpha = _stage(picture, track, clip)
    cut = np.nonzero(alpha[-1] > 200)[0]
    assert cut.size > 20
    canvas = _wall(picture)
    stage.draw(7, canvas)
    middle = slice(int(np.median(cut)) - 10, int(np.median(cut)) + 10)
    below = np.abs(canvas[-60:, middle].astype(int) - WALL).sum(2)
    assert below.min() > 60


def test_a_whole_figure_is_not_extended() -> None:
    picture, track = drawn_figure()
    skeleton = skeleton_of(track)
    alpha = cut_out(picture, track, skeleton)
    moved = motion.retarget(skeleton, skeleton, replace=False, offset=(0, 0))
    rest = motion.rest_origins(skeleton)
    assert stage2.lower_extension(skeleton, alpha, moved, rest, skeleton, (240, 320), False) == Extension(
        0, 0
    )


def test_in_replace_mode_the_garment_ends_softly_where_the_driver_shows_legs() -> None:
    _, track = drawn_figure(cut=True)
    _, driver = drawn_figure()
    skeleton, driving = skeleton_of(track), skeleton_of(driver)
    alpha = np.full((320, 240), 255, np.uint8)
    moved = motion.retarget(skeleton, driving, replace=True, offset=(0, 0))
    rest = motion.rest_origins(skeleton)
    extension = stage2.lower_extension(skeleton, alpha, moved, rest, driving, (240, 320), True)
    assert extension.fade > 0
    assert extension.rows >= extension.fade


def test_arms_that_the_picture_does_not_show_stay_part_of_the_body() -> None:
    picture, track = drawn_figure()
    track.body[0, (15, 16), 3] = 0
    skeleton = skeleton_of(track)
    alpha = cut_out(picture, track, skeleton)
    parts = find_parts(picture, alpha, track, skeleton)
    assert parts.arms == (None, None)
    puppet = build_puppet(picture, alpha, parts, skeleton, Extension(0, 0))
    assert puppet.arms == ((), ())
    assert len(puppet.legs[LEFT]) == len(puppet.legs[RIGHT]) == 2


def test_the_background_keeps_what_the_figure_did_not_hide() -> None:
    picture, track = drawn_figure()
    alpha = cut_out(picture, track, skeleton_of(track))
    background = composite.background_without(picture, alpha, np.zeros((0, 2), np.float32))
    assert np.abs(background.astype(int) - WALL).max() < 30
    np.testing.assert_array_equal(background[:10, :10], picture[:10, :10])


def test_the_scene_takes_the_plate_inside_the_mask_and_the_background_outside() -> None:
    background = np.full((80, 120, 3), 50, np.uint8)
    plate = np.full_like(background, 200)
    mask = np.zeros((80, 120), np.uint8)
    mask[20:60, 30:90] = 255
    background[mask > 0] = 0
    seen = composite.scene(background, mask, plate)
    assert (seen[25:55, 35:85] == 200).all()
    assert (seen[:10] == 50).all()
    assert seen.min() >= 50  # the black of the background's hole shows nowhere
