"""Face boxes: upstream's rule, and what happens where the face was not found.

`face_boxes.npz` holds 60 extents of face points (left, top; right, bottom) and the boxes that the release's
function gave for them.
"""

from pathlib import Path

import numpy as np
import pytest

from engines.preview.face_crop import SHORT_LOSS, crop_face, face_boxes, grown_corners
from engines.preview.track import Track
from tests.preview.made_up_track import made_up_track

GOLDEN = Path(__file__).parents[1] / "data" / "preview" / "face_boxes.npz"


def lose_face(track: Track, frames: slice) -> None:
    track.face[frames], track.face_score[frames] = np.nan, 0


def test_boxes_are_upstreams() -> None:
    with np.load(GOLDEN, allow_pickle=False) as data:
        cases = list(zip(data["sizes"].tolist(), data["extents"], data["boxes"].tolist(), strict=True))
    assert len(cases) == 60
    for (width, height), extent, expected in cases:
        assert grown_corners(extent, width, height).astype(int).tolist() == expected


def test_a_found_face_is_boxed_by_the_rule() -> None:
    track = made_up_track(3, 640, 480, step=(2, 0))
    boxes = face_boxes(track)
    assert boxes[2].left - boxes[0].left == pytest.approx(4, abs=1)
    box, face = boxes[0], track.face[0]
    assert box.left < face[:, 0].min() and box.right > face[:, 0].max()
    assert face[:, 1].min() - box.top > box.bottom - face[:, 1].max()


def test_a_short_loss_is_bridged_between_the_boxes_before_and_after() -> None:
    track = made_up_track(20, 640, 480, step=(3, 0))
    whole = np.array(face_boxes(track))
    lose_face(track, slice(5, 5 + SHORT_LOSS))
    track.body[5 : 5 + SHORT_LOSS, :11] = 0  # the head's points are not asked
    np.testing.assert_allclose(np.array(face_boxes(track)), whole, atol=1)


def test_a_long_loss_is_boxed_round_the_head_at_the_size_of_a_face() -> None:
    track = made_up_track(40, 640, 480, step=(3, 0))
    found = np.array(face_boxes(track))
    lose_face(track, slice(0, 40))
    fallback = np.array(face_boxes(track))
    centre_difference = (found[:, :2] + found[:, 2:] - fallback[:, :2] - fallback[:, 2:]) / 2
    side = (found[:, 2:] - found[:, :2]).mean()
    assert np.abs(centre_difference).max() < 0.35 * side
    assert 0.6 < (fallback[:, 2:] - fallback[:, :2]).mean() / side < 1.6


def test_a_person_lost_for_long_keeps_the_nearest_box() -> None:
    track = made_up_track(60, 640, 480)
    lose_face(track, slice(20, 60))
    track.body[20:, :, 3] = 0
    boxes = face_boxes(track)
    assert boxes[59] == boxes[19]


@pytest.mark.parametrize("centre", [(3.0, 0.5), (-2.0, 0.5), (0.5, 4.0), (0.5, -4.0), (0.99, 0.5)])
def test_a_box_is_never_empty_wherever_the_face_is(centre: tuple[float, float]) -> None:
    track = made_up_track(2, 320, 240, centre=centre)
    for box in face_boxes(track):
        assert 0 <= box.left < box.right <= 320
        assert 0 <= box.top < box.bottom <= 240


def test_a_face_without_extent_is_no_face() -> None:
    track = made_up_track(1, 320, 240)
    track.face[:] = 50
    track.body[..., 3] = 0
    box = face_boxes(track)[0]
    assert box.right - box.left >= 100


def test_the_crop_is_512_square_and_shows_the_box() -> None:
    frame = np.zeros((240, 320, 3), np.uint8)
    box = face_boxes(made_up_track(1, 320, 240))[0]
    frame[box.top : box.bottom, box.left : box.right] = (10, 200, 30)
    crop = crop_face(frame, box)
    assert crop.shape == (512, 512, 3)
    assert (crop == (10, 200, 30)).all()
