"""The committed demo files are whole, as documented, and the truth beside them is true of them."""

from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

import preprocess
from scripts.demo_figure.raster import rasterise

ROOT = Path(__file__).resolve().parent.parent
CLIP = ROOT / "scripts" / "demo" / "driving_video.mp4"
PICTURE = ROOT / "scripts" / "demo" / "reference.jpg"
NOTICE = ROOT / "scripts" / "demo" / "NOTICE"
FLOOR_ROW = 640  # above it the scene holds no shadow of the figure


def _masks(packed: NDArray[np.uint8], width: int, height: int) -> NDArray[np.bool_]:
    bits = np.unpackbits(packed, axis=-1)[..., : width * height]
    return bits.reshape(*packed.shape[:-1], height, width).astype(bool)


@pytest.fixture(scope="module")
def truth():
    with np.load(ROOT / "tests" / "data" / "demo_truth.npz", allow_pickle=False) as archive:
        return dict(archive)


@pytest.fixture(scope="module")
def masks(truth):
    return _masks(truth["masks"], int(truth["width"]), int(truth["height"]))


@pytest.fixture(scope="module")
def frames():
    return np.stack(list(preprocess.read_frames(CLIP)))


def test_clip_decodes_with_the_documented_size_rate_and_length():
    info = preprocess.check_video(CLIP, frame_count=96, size=(480, 832))
    assert info.rate == Fraction(24)
    assert info.has_audio
    assert info.codec == "h264"


def test_reference_decodes_with_the_documented_size():
    assert preprocess.read_picture(PICTURE).shape == (1080, 720, 3)


def test_demo_files_stay_small_and_say_whose_they_are():
    assert CLIP.stat().st_size + PICTURE.stat().st_size < 360_000
    assert "CC0 1.0" in NOTICE.read_text(encoding="utf-8")


def test_truth_has_the_documented_keys_and_shapes(truth):
    assert {key: value.shape for key, value in truth.items()} == {
        "names": (33,),
        "joints": (96, 33, 2),
        "masks": (96, 480 * 832 // 8),
        "width": (),
        "height": (),
        "fps": (),
        "reference_joints": (33, 2),
        "reference_mask": (720 * 1080 // 8,),
        "reference_width": (),
        "reference_height": (),
    }
    assert (truth["width"], truth["height"], truth["fps"]) == (480, 832, 24)
    assert (truth["reference_width"], truth["reference_height"]) == (720, 1080)


def test_joints_are_those_of_a_standing_person_who_faces_the_camera(truth):
    joints = np.concatenate([truth["joints"], truth["reference_joints"][None]])
    at = {name: joints[:, number] for number, name in enumerate(truth["names"])}
    assert [str(truth["names"][number]) for number in (0, 11, 16, 23, 28)] == [
        "nose", "left_shoulder", "right_wrist", "left_hip", "right_ankle"
    ]  # fmt: skip
    for side in ("left", "right"):
        chain = [at["nose"], *(at[f"{side}_{joint}"] for joint in ("shoulder", "hip", "knee", "ankle"))]
        for upper, lower in pairwise(chain):
            assert (upper[:, 1] < lower[:, 1]).all()
    for joint in ("eye", "ear", "shoulder", "hip", "knee", "ankle", "foot_index"):
        assert (at[f"left_{joint}"][:, 0] > at[f"right_{joint}"][:, 0]).all()


def test_joints_lie_on_the_figure(truth, masks):
    reference = _masks(truth["reference_mask"], 720, 1080)
    for mask, joints in [*zip(masks, truth["joints"], strict=True), (reference, truth["reference_joints"])]:
        near = cv2.dilate(mask.astype(np.uint8), np.ones((5, 5), np.uint8))
        column, row = np.floor(joints).astype(int).T
        assert near[row, column].all()


def test_each_mask_is_one_whole_figure(truth, masks):
    for mask in [*masks, _masks(truth["reference_mask"], 720, 1080)]:
        _, _, statistics, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8))
        sizes = np.sort(statistics[1:, cv2.CC_STAT_AREA])
        assert sizes[-1] > 0.995 * mask.sum()
        assert 0.10 < mask.mean() < 0.30


def test_masks_separate_the_moving_figure_from_the_still_background(frames, masks):
    kernel = np.ones((7, 7), np.uint8)
    outside = np.stack([cv2.dilate(mask.astype(np.uint8), kernel) == 0 for mask in masks])
    inside = np.stack([cv2.erode(mask.astype(np.uint8), kernel) == 1 for mask in masks])
    count = outside.sum(axis=0)[..., None]
    background = (frames * outside[..., None]).sum(axis=0) / np.maximum(count, 1)
    known = count[..., 0] >= 5
    known[FLOOR_ROW:] = False
    for frame, shown, covered in zip(frames, outside, inside, strict=True):
        difference = np.abs(frame - background).max(axis=-1)
        assert (difference[shown & known] < 12).mean() > 0.999
        assert (difference[covered & known] > 20).mean() > 0.9


def test_figure_moves_head_arms_and_legs(truth):
    at = {str(name): truth["joints"][:, number] for number, name in enumerate(truth["names"])}
    travel = {name: np.ptp(points, axis=0).max() for name, points in at.items()}
    assert travel["right_wrist"] > 200
    assert travel["left_wrist"] > 80
    assert travel["nose"] > 30
    assert travel["left_ankle"] > 20
    assert np.abs(np.diff(truth["joints"], axis=0)).max() < 60  # and nothing jumps


def test_rasteriser_lets_the_nearer_triangle_win_and_cuts_holes():
    points = np.array([[0, 0], [8, 0], [0, 8], [0, 0], [8, 0], [0, 8]], np.float32)
    depth = np.array([2, 2, 2, 1, 1, 1], np.float32)
    triangles = np.array([[0, 1, 2], [3, 4, 5]])
    keep = np.array([1, 1, 1, 1, -1, 1], np.float32)  # the nearer one ends halfway along x
    hits = rasterise(points, depth, triangles, keep, (10, 10))
    column, row = hits.pixel % 10, hits.pixel // 10
    expected = {(x, y) for x in range(8) for y in range(8) if x + y + 1 < 8}
    assert set(zip(column.tolist(), row.tolist(), strict=True)) == expected
    assert (hits.triangle == np.where(column + 0.5 <= 4, 1, 0)).all()
    assert np.allclose(hits.depth, np.where(hits.triangle == 1, 1, 2))
    assert np.allclose(hits.weights.sum(axis=1), 1)
