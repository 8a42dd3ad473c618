"""pose_drawing against drawings made by upstream's own function.

`pose_drawings.npz` holds 126 random skeletons on seven canvas sizes (x and y in 1/8 pixel, confidence in
1/1024; many partly off the canvas, some without hands, some confidences exactly at or just below 0.5) and the
SHA-256 of the RGB pixels that the release's drawing function gave for each under OpenCV 4.11.
"""

import hashlib
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from engines.preview.pose_drawing import body_line_width, draw_pose

Floats = NDArray[np.float64]

GOLDEN = Path(__file__).parents[1] / "data" / "preview" / "pose_drawings.npz"


def split(points: Floats) -> tuple[Floats, Floats, Floats]:
    return points[:20], points[20:41], points[41:]


def test_every_drawing_is_upstreams_to_the_pixel() -> None:
    with np.load(GOLDEN, allow_pickle=False) as data:
        sizes, points, hashes = data["sizes"], data["points"] / np.array([8, 8, 1024]), data["sha256"]
    assert len(points) >= 100
    different = []
    for number, (width, height) in enumerate(sizes):
        canvas = draw_pose(np.zeros((height, width, 3), np.uint8), *split(points[number]))
        if hashlib.sha256(canvas.tobytes()).digest() != hashes[number].tobytes():
            different.append(number)
    assert different == []


@pytest.mark.parametrize(
    ("size", "width"), [((1280, 720), 2), ((480, 832), 1), ((1920, 1080), 4), ((96, 160), 1)]
)
def test_line_width_follows_the_shorter_side(size: tuple[int, int], width: int) -> None:
    assert body_line_width(*size) == width


def test_points_below_half_confidence_leave_the_canvas_black() -> None:
    points = np.full((62, 3), 50.0)
    points[:, 2] = 0.499
    assert not draw_pose(np.zeros((100, 100, 3), np.uint8), *split(points)).any()


def test_body_far_off_the_canvas_draws_nothing_and_does_not_fail() -> None:
    points = np.full((62, 3), 5000.0)
    points[::2, :2] = -5000
    canvas = np.zeros((100, 100, 3), np.uint8)
    points[:, 2] = 0
    points[2:5, 2] = 1  # right arm, wholly outside on one side
    points[2:5, :2] = 5000
    assert not draw_pose(canvas, *split(points)).any()
