"""Analysis: both ways from the best frame, each frame once, frames never kept; right on the known figure."""

from __future__ import annotations

import weakref
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from functools import partial
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest

import preprocess
from engines.preview import analysis
from engines.preview.analysis import (
    Report,
    analyse_picture,
    analyse_video,
    oddity_count,
    probe_positions,
    read_ahead,
)
from engines.preview.body import BodyReading, PersonDetector
from engines.preview.network import Region
from engines.preview.person import PersonReading
from engines.preview.track import Image, PersonNotFound, Track
from preprocess import read_frames, read_frames_backwards

ROOT = Path(__file__).parents[2]
WIDTH, HEIGHT = 64, 48


def upright_joints(confidence: float) -> np.ndarray:
    """Joints of an upright body seen from the front, inside a 64 x 48 frame."""
    joints = np.zeros((33, 4), np.float32)
    joints[:, :2], joints[:, 3] = (32, 20), confidence
    joints[7, :2], joints[8, :2] = (36, 10), (28, 10)
    joints[0, :2] = (32, 11)
    joints[11, :2], joints[12, :2] = (40, 18), (24, 18)
    joints[23, :2], joints[24, :2] = (37, 34), (27, 34)
    return joints


class ScriptedReader:
    """Takes PersonReader's place. Frames carry their index; `sure` is the confidence in each, 0 = nobody."""

    sure: ClassVar[dict[int, float]] = {}
    read_indices: ClassVar[list[int]] = []
    starts: ClassVar[list[float]] = []

    def __enter__(self):
        return self

    def __exit__(self, *error):
        pass

    def start_at(self, region):
        self.starts.append(region.x)

    def find(self, frame):
        index = int(frame[0, 0, 0])
        if not self.sure.get(index, 0.9):
            return None
        region = Region(index, 0.0, 1.0, 0.0)
        empty = np.zeros((256, 256), np.float32)
        return BodyReading(upright_joints(self.sure.get(index, 0.9)), 0.9, empty, region, region)

    def read(self, frame):
        index = int(frame[0, 0, 0])
        self.read_indices.append(index)
        if not self.sure.get(index, 0.9):
            return None
        joints = upright_joints(0.9)
        joints[0, 0] = index
        result: Future[PersonReading] = Future()
        transform = np.eye(2, 3, dtype=np.float32)
        result.set_result(PersonReading(joints, 0.9, b"mask %d" % index, transform, None, (None, None)))
        return result


@pytest.fixture
def scripted(monkeypatch):
    monkeypatch.setattr(analysis, "PersonReader", ScriptedReader)
    monkeypatch.setattr(ScriptedReader, "sure", {})
    monkeypatch.setattr(ScriptedReader, "read_indices", [])
    monkeypatch.setattr(ScriptedReader, "starts", [])
    return ScriptedReader


def numbered_frames(indices: Sequence[int]) -> Iterator[Image]:
    for index in indices:
        yield np.full((HEIGHT, WIDTH, 3), index, np.uint8)


def analyse_numbered(indices: Sequence[int], report: Report = lambda phase, done, total: None) -> Track:
    return analyse_video(numbered_frames, numbered_frames, indices, (WIDTH, HEIGHT), report)


def test_the_person_is_followed_both_ways_from_the_surest_frame(scripted):
    scripted.sure = {7: 1.0}
    track = analyse_numbered(range(10))
    assert scripted.read_indices == [7, 8, 9, 6, 5, 4, 3, 2, 1, 0]
    assert scripted.starts == [7, 7]
    assert list(track.masks) == [b"mask %d" % index for index in range(10)]


def test_a_repeated_frame_is_analysed_once_and_appears_as_often_as_asked(scripted):
    track = analyse_numbered([0, 0, 2, 2, 2, 5])
    assert sorted(scripted.read_indices) == [0, 2, 5]
    assert track.masks == (b"mask 0", b"mask 0", b"mask 2", b"mask 2", b"mask 2", b"mask 5")
    assert track.body.shape == (6, 33, 4)


def test_frames_without_the_person_have_score_and_confidence_zero(scripted):
    scripted.sure = {3: 0, 4: 0}
    track = analyse_numbered(range(10))
    assert np.flatnonzero(track.person_score == 0).tolist() == [3, 4]
    assert (track.body[[3, 4], :, 3] == 0).all()
    assert track.masks[3] == b""


def test_a_person_seen_only_between_the_first_probes_is_still_found(scripted):
    seen = set(probe_positions(200, 36)) - set(probe_positions(200, 12))
    scripted.sure = dict.fromkeys(set(range(200)) - seen, 0)
    track = analyse_numbered(range(200))
    assert set(np.flatnonzero(track.person_score)) == seen


def test_nobody_anywhere_is_an_error_that_says_what_to_do(scripted):
    scripted.sure = dict.fromkeys(range(20), 0)
    with pytest.raises(PersonNotFound, match=r"driving video.*Choose a clip"):
        analyse_numbered(range(20))


def test_every_frame_is_reported_and_the_report_may_cancel(scripted):
    seen = []

    def report(phase, done, total):
        seen.append((phase, done, total))
        if phase == "analyse" and done == 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        analyse_numbered(range(8), report)
    assert seen[-1] == ("analyse", 4, 8)


def test_frames_are_not_kept(scripted):
    alive: list[weakref.ref[np.ndarray]] = []
    most = 0

    def frames(indices: Sequence[int]) -> Iterator[Image]:
        nonlocal most
        for index in indices:
            frame = np.full((HEIGHT, WIDTH, 3), index, np.uint8)
            alive.append(weakref.ref(frame))
            most = max(most, sum(reference() is not None for reference in alive))
            yield frame

    analyse_video(frames, frames, range(60), (WIDTH, HEIGHT))
    assert most <= 4


def test_reading_ahead_keeps_order_and_passes_errors_on():
    def frames() -> Iterator[Image]:
        yield from numbered_frames([3, 1, 2])
        raise ValueError("broken file")

    seen = []
    with pytest.raises(ValueError, match="broken file"):
        for frame in read_ahead(frames()):
            seen.append(int(frame[0, 0, 0]))
    assert seen == [3, 1, 2]


def test_probes_are_spread_over_the_whole_clip():
    assert probe_positions(1, 12) == [0]
    assert probe_positions(3, 12) == [0, 1, 2]
    assert probe_positions(120, 12) == list(range(5, 120, 10))


def test_oddities_of_a_body_are_counted():
    joints = upright_joints(1.0)
    assert oddity_count(joints) == 0
    upside_down = joints.copy()
    upside_down[:, 1] *= -1
    assert oddity_count(upside_down) == 2
    too_broad = joints.copy()
    too_broad[11, 0] += 40
    assert oddity_count(too_broad) == 1


def reading_in(region: Region, joints: np.ndarray) -> BodyReading:
    return BodyReading(joints, 1.0, np.zeros((256, 256), np.float32), region, region)


def test_a_person_cut_off_below_gets_a_closer_look_from_the_head_end():
    region = Region(500.0, 700.0, 1000.0, 0.0)  # the picture ends just below its middle
    nobody = np.zeros((33, 4), np.float32)
    closer = reading_in(region, nobody).closer_look(1000, 720)
    assert closer is not None
    assert closer.side == pytest.approx(800)
    assert closer.y - closer.side / 2 == pytest.approx(region.y - region.side / 2)
    assert closer.x == pytest.approx(region.x)


def test_a_closer_look_keeps_the_arms_in_view():
    joints = np.zeros((33, 4), np.float32)
    joints[15] = (60, 300, 0, 1)  # 440 pixels aside: 440 x 2 x 1.1 = 968
    closer = reading_in(Region(500.0, 700.0, 1000.0, 0.0), joints).closer_look(1000, 720)
    assert closer is not None
    assert closer.side == pytest.approx(968)


def test_a_person_wholly_in_the_picture_needs_no_closer_look():
    nobody = np.zeros((33, 4), np.float32)
    assert reading_in(Region(500.0, 500.0, 900.0, 0.1), nobody).closer_look(1000, 1000) is None


def test_a_picture_without_a_person_is_an_error_that_says_what_to_do(preview_models):
    with pytest.raises(PersonNotFound, match=r"reference image.*Choose a picture"):
        analyse_picture(np.full((240, 320, 3), 90, np.uint8))


def test_the_detector_finds_nobody_in_noise(preview_models):
    noise = np.random.default_rng(0).integers(0, 255, (200, 300, 3), np.uint8)
    assert PersonDetector().detect(noise) == []


LIMB_JOINTS = {
    "left_shoulder": 11,
    "right_shoulder": 12,
    "left_elbow": 13,
    "right_elbow": 14,
    "left_wrist": 15,
    "right_wrist": 16,
    "left_hip": 23,
    "right_hip": 24,
    "left_knee": 25,
    "right_knee": 26,
    "left_ankle": 27,
    "right_ankle": 28,
}


@pytest.fixture(scope="module")
def truth():
    with np.load(ROOT / "tests" / "data" / "demo_truth.npz", allow_pickle=False) as data:
        return dict(data)


@pytest.fixture(scope="module")
def demo_track(preview_models):
    path = ROOT / "scripts" / "demo" / "driving_video.mp4"
    info = preprocess.probe_video(path)
    forward, backward = partial(read_frames, path), partial(read_frames_backwards, path)
    return analyse_video(forward, backward, range(info.frame_count), (info.width, info.height))


def true_masks(packed: np.ndarray, width: int, height: int) -> np.ndarray:
    bits = np.unpackbits(packed, axis=-1)[..., : width * height]
    return bits.reshape(*packed.shape[:-1], height, width).astype(bool)


def overlap(one: np.ndarray, other: np.ndarray) -> float:
    return float((one & other).sum() / (one | other).sum())


def limb_errors(body: np.ndarray, joints: np.ndarray, names: np.ndarray) -> np.ndarray:
    """Pixels [..., 12] between the limb joints and the truth, whose first pixel's centre is at .5."""
    order = [list(names).index(name) for name in LIMB_JOINTS]
    found = body[..., list(LIMB_JOINTS.values()), :2] + 0.5
    return np.asarray(np.linalg.norm(found - joints[..., order, :], axis=-1))


def body_height(masks: np.ndarray) -> float:
    """Rows from head to foot in the median frame of bool masks [T, H, W]."""
    return float(np.median([np.ptp(np.nonzero(mask)[0]) for mask in masks]))


def test_every_limb_joint_is_within_a_twentieth_of_the_bodys_height_in_every_frame(demo_track, truth):
    masks = true_masks(truth["masks"], int(truth["width"]), int(truth["height"]))
    errors = limb_errors(demo_track.body, truth["joints"], truth["names"])
    assert errors.shape == (len(masks), 12)
    assert errors.max() <= 0.05 * body_height(masks)


def test_the_person_mask_covers_the_figure_and_no_more(demo_track, truth):
    masks = true_masks(truth["masks"], int(truth["width"]), int(truth["height"]))
    overlaps = [overlap(demo_track.mask(index) > 127, mask) for index, mask in enumerate(masks)]
    assert np.mean(overlaps) >= 0.95
    assert min(overlaps) >= 0.9


def test_face_and_hands_are_found_in_nearly_every_frame(demo_track):
    assert (demo_track.face_score > 0).mean() >= 0.9
    assert ((demo_track.hand_score > 0).mean(axis=0) >= 0.8).all()


def test_the_reference_image_is_read_as_well(preview_models, truth):
    image = preprocess.read_picture(ROOT / "scripts" / "demo" / "reference.jpg")
    track = analyse_picture(image)
    size = int(truth["reference_width"]), int(truth["reference_height"])
    mask = true_masks(truth["reference_mask"], *size)
    errors = limb_errors(track.body[0], truth["reference_joints"], truth["names"])
    assert (track.width, track.height) == size
    assert errors.max() <= 0.05 * body_height(mask[np.newaxis])
    assert overlap(track.mask(0) > 127, mask) >= 0.95
    assert track.face_score[0] > 0
    assert (track.hand_score[0] > 0).all()
