"""Retargeting against results of upstream's own function.

`retargeted.npz`: 18 clips of 5 frames (whole body, cut off below, hands lost, hands exchanged) and one
reference each; x and y of the inputs in 1/8 pixel, confidence in 1/1024; `expected` is what the release's
function gave.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from engines.preview.pose_points import PosePoints
from engines.preview.retarget import retarget

Floats = NDArray[np.float64]

GOLDEN = Path(__file__).parents[1] / "data" / "preview" / "retargeted.npz"
UNITS = np.array([8, 8, 1024])


def pose(width: int, height: int, points: Floats) -> PosePoints:
    return PosePoints(width, height, points[:, :20], points[:, 20:41], points[:, 41:])


def joined(points: PosePoints) -> Floats:
    return np.concatenate([points.body, points.left_hand, points.right_hand], axis=1)


def golden_cases() -> Iterator[tuple[PosePoints, PosePoints, Floats, Floats]]:
    with np.load(GOLDEN, allow_pickle=False) as data:
        for number, (width, height, canvas_width, canvas_height) in enumerate(data["sizes"].tolist()):
            yield (
                pose(width, height, data["driver"][number] / UNITS),
                pose(canvas_width, canvas_height, data["reference"][number] / UNITS),
                data["expected"][number],
                data["confidence"][number] / 1024,
            )


def test_body_points_are_upstreams() -> None:
    for driver, reference, expected, confidence in golden_cases():
        result = retarget(driver, reference)
        assert (result.width, result.height) == (reference.width, reference.height)
        np.testing.assert_allclose(result.body[..., :2], expected[:, :20], rtol=1e-6, atol=1e-3)
        np.testing.assert_array_equal(result.body[..., 2], confidence[:, :20])


def test_hand_points_are_upstreams_whole_pixels() -> None:
    for driver, reference, expected, confidence in golden_cases():
        result = joined(retarget(driver, reference))[:, 20:]
        np.testing.assert_array_equal(result[..., 2], confidence[:, 20:])
        np.testing.assert_array_equal(result[..., :2], expected[:, 20:])


def test_driver_with_the_references_own_body_is_left_where_it_is() -> None:
    driver, *_ = next(golden_cases())
    same = pose(driver.width, driver.height, joined(driver)[:1])
    result = retarget(driver, same)
    # Pairs of bones take the larger ratio, which is 1 throughout; only the stand may differ, by ankle to
    # foot.
    shift = result.body[0, :, :2] - driver.body[0, :, :2]
    assert np.ptp(shift[:18], axis=0).max() < 1e-6


def test_a_bone_of_no_length_in_the_first_frame_gives_finite_points() -> None:
    driver, reference, *_ = next(golden_cases())
    driver.body[0, 4] = driver.body[0, 3]
    assert np.isfinite(joined(retarget(driver, reference))).all()


def test_the_driving_pictures_scale_does_not_matter() -> None:
    driver, reference, *_ = next(golden_cases())
    doubled = pose(2 * driver.width, 2 * driver.height, joined(driver) * np.array([2, 2, 1]))
    small, large = retarget(driver, reference), retarget(doubled, reference)
    # The reference's size at the driver's scale is cut to whole pixels.
    np.testing.assert_allclose(small.body[..., :2], large.body[..., :2], atol=1.5)
