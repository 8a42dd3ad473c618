"""The files of the mask step: exact through every reader, in step with the pose video, and seen by people."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import pytest

import preprocess
from engines import masking, source_folder
from masks.clip import Clip
from masks.contact_sheet import ContactSheet
from masks.drawing import draw_mask, draw_prompts
from masks.errors import MaskError
from masks.files import BACKGROUND, MASK, PREVIEW, SHEET, MaskReport, check_mask_files, write_mask_files
from masks.prompts import Box, MaskObject, Point, Prompt
from masks.store import Mask, MaskStore
from preprocess import Image, VideoWriter
from tests.media import write_clip

WIDTH, HEIGHT, FRAMES = 176, 96, 9
RATE = Fraction(30000, 1001)


def colourful(number: int, width: int, height: int) -> Image:
    """Saturated noise: what bleeds into black the most."""
    small = np.random.default_rng(number).integers(0, 2, (height // 4, width // 4, 3), np.uint8) * 255
    return np.asarray(cv2.resize(small, (width, height), interpolation=cv2.INTER_NEAREST), np.uint8)


def mask_of(number: int) -> Mask:
    mask = np.zeros((HEIGHT, WIDTH), np.uint8)
    if number not in (3, 4):
        cv2.circle(mask, (50 + 5 * number, 45), 21, 1, -1)
        mask[number * 3, number * 7] = 1  # a single pixel, at odd places too
    return mask


@pytest.fixture
def clip(tmp_path: Path) -> Clip:
    video = write_clip(tmp_path / "clip.mp4", frame_count=FRAMES, size=(WIDTH, HEIGHT), frame=colourful)
    return Clip(video, tuple(range(FRAMES)), WIDTH, HEIGHT)


@pytest.fixture
def folder(tmp_path: Path, clip: Clip) -> Path:
    """A folder with a pose video, and the mask step's files beside it."""
    made = tmp_path / "made"
    made.mkdir()
    with VideoWriter(made / "src_pose.mp4", WIDTH, HEIGHT, RATE) as writer:
        for _ in range(FRAMES):
            writer.write(np.zeros((HEIGHT, WIDTH, 3), np.uint8))
    write(clip, made)
    return made


def write(clip: Clip, folder: Path, *objects: MaskObject) -> MaskReport:
    done: list[int] = []
    masks: Iterator[Mask] = (mask_of(number) for number in range(clip.frame_count))
    report = write_mask_files(clip, masks, folder, RATE, lambda _, at, total: done.append(at), objects)
    assert done == list(range(1, clip.frame_count + 1))
    return report


def assert_exact(masks: list[Image], backgrounds: list[Image], frames: list[Image]) -> None:
    assert len(masks) == len(backgrounds) == FRAMES
    for number, (mask, background, frame) in enumerate(zip(masks, backgrounds, frames, strict=True)):
        expected = mask_of(number)
        assert np.array_equal(mask, np.repeat(expected[..., np.newaxis] * 255, 3, axis=2)), number
        assert not background[expected == 1].any(), number
        apart = np.abs(background.astype(int) - frame)[expected == 0]
        assert apart.max() <= 4, "a lossless coding of its YUV rounds only"


# ----------------------------------------------------------------------------------------- what is written


def test_mask_and_background_are_exact_through_our_own_reader(clip: Clip, folder: Path) -> None:
    masks, backgrounds = (list(preprocess.read_frames(folder / name)) for name in (MASK, BACKGROUND))
    assert_exact(masks, backgrounds, list(clip.frames()))
    check_mask_files(folder, folder / "src_pose.mp4")


@pytest.mark.needs("decord")
def test_mask_and_background_are_exact_through_upstreams_reader(clip: Clip, folder: Path) -> None:
    import decord  # type: ignore[import-not-found, unused-ignore]

    def read(name: str) -> list[Image]:
        reader = decord.VideoReader(str(folder / name))
        assert abs(reader.get_avg_fps() - float(RATE)) < 1e-6
        return [reader[number].asnumpy() for number in range(len(reader))]

    assert_exact(read(MASK), read(BACKGROUND), list(clip.frames()))


def test_people_get_an_ordinary_video_and_a_sheet(folder: Path) -> None:
    info = preprocess.probe_video(folder / PREVIEW)
    assert (info.pixel_format, info.frame_count, info.rate) == ("yuv420p", FRAMES, RATE)
    sheet = preprocess.read_picture(folder / SHEET)
    assert sheet.std() > 10 and sheet.shape[0] > HEIGHT and sheet.shape[1] > WIDTH


def test_it_says_where_nobody_is(clip: Clip, tmp_path: Path) -> None:
    report = write(clip, tmp_path)
    assert report.empty_frames == [(3, 4)]
    (notice,) = report.notices()
    assert "empty in 2 of 9 frames" in notice and ": 3 to 4." in notice
    covered = sum(int(mask_of(number).sum()) for number in range(FRAMES))
    assert report.mean_coverage == pytest.approx(covered / (FRAMES * WIDTH * HEIGHT))


def test_a_long_list_of_empty_frames_is_cut_short() -> None:
    runs = [(10 * number, 10 * number) for number in range(20)]
    (notice,) = MaskReport(200, 0.1, runs).notices()
    assert "0, 10, 20, 30, 40, 50, 60, 70 and 12 more runs" in notice
    assert MaskReport(FRAMES, 0.2).notices() == []
    assert "whole picture" in MaskReport(FRAMES, 1.0).notices()[0]


def test_one_mask_too_few_is_an_error(clip: Clip, tmp_path: Path) -> None:
    masks = (mask_of(number) for number in range(FRAMES - 1))
    with pytest.raises(ValueError, match="shorter"):
        write_mask_files(clip, masks, tmp_path, RATE, lambda *_: None)


class Cancelled(Exception):
    pass


def test_it_can_be_cancelled_while_it_encodes(clip: Clip, tmp_path: Path) -> None:
    def report(phase: str, done: int, total: int) -> None:
        if done == 4:
            raise Cancelled

    threads = threading.active_count()
    with pytest.raises(Cancelled):
        write_mask_files(clip, (mask_of(number) for number in range(FRAMES)), tmp_path, RATE, report)
    assert threading.active_count() == threads
    for name in (MASK, BACKGROUND, PREVIEW):
        (tmp_path / name).unlink()
    assert not (tmp_path / SHEET).exists()


def test_what_the_masks_raise_comes_through(clip: Clip, tmp_path: Path) -> None:
    def masks() -> Iterator[Mask]:
        yield mask_of(0)
        raise MaskError("It broke.", "", code="mask.broken")

    with pytest.raises(MaskError, match="It broke"):
        write_mask_files(clip, masks(), tmp_path, RATE, lambda *_: None)


def test_the_names_are_those_of_the_folder() -> None:
    assert (MASK, BACKGROUND) == (source_folder.MASK, source_folder.BACKGROUND)
    assert (PREVIEW, SHEET) == (masking.PREVIEW, masking.SHEET)


# ------------------------------------------------------------------------------------------ verification


def rewrite(path: Path, change: str) -> None:
    frames = [frame.copy() for frame in preprocess.read_frames(path)]
    size, rate = (WIDTH, HEIGHT), RATE
    if change == "one frame less":
        frames = frames[:-1]
    elif change == "another rate":
        rate = Fraction(25)
    elif change == "smaller":
        size = (160, 80)
        frames = [np.ascontiguousarray(frame[:80, :160]) for frame in frames]
    elif change == "grey":
        frames[5][10:20, 10:20] = 128
    elif change == "not black":
        frames[5][mask_of(5) == 1] = 90
    with VideoWriter(path, *size, rate, lossless=True, pixel_format="yuv444p") as writer:
        for frame in frames:
            writer.write(frame)


@pytest.mark.parametrize(
    ("name", "change"),
    [
        *(
            (name, change)
            for name in (MASK, BACKGROUND)
            for change in ("one frame less", "another rate", "smaller")
        ),
        (MASK, "grey"),
        (BACKGROUND, "not black"),
    ],
)
def test_files_that_are_not_as_they_should_be_are_noticed(folder: Path, name: str, change: str) -> None:
    rewrite(folder / name, change)
    with pytest.raises(MaskError, match=name) as caught:
        check_mask_files(folder, folder / "src_pose.mp4")
    codes = {"grey": "mask.grey", "not black": "mask.background-shows"}
    assert caught.value.code == codes.get(change, "mask.unlike-pose") and caught.value.remedy


def test_a_lossy_mask_is_noticed(folder: Path) -> None:
    frames = list(preprocess.read_frames(folder / MASK))
    with VideoWriter(folder / MASK, WIDTH, HEIGHT, RATE, crf=23) as writer:
        for frame in frames:
            writer.write(frame)
    with pytest.raises(MaskError, match="grey pixels"):
        check_mask_files(folder, folder / "src_pose.mp4")


# ------------------------------------------------------------------------------------------- the drawing


def test_the_overlay_tints_the_mask_and_leaves_the_rest() -> None:
    frame, mask = np.full((HEIGHT, WIDTH, 3), 100, np.uint8), mask_of(0)
    drawn = draw_mask(frame, mask)
    inside = cv2.erode(mask, np.ones((5, 5), np.uint8)) == 1
    outside = cv2.dilate(mask, np.ones((5, 5), np.uint8)) == 0
    assert (drawn[inside] != 100).any(axis=-1).all() and (drawn[outside] == 100).all()
    assert (frame == 100).all(), "the frame given is left as it is"


def clicks_on_frame_2(*, excluded: bool) -> MaskObject:
    points = (Point(40, 40), Point(80, 40, positive=False))
    return MaskObject("dancer", (Prompt(2, points, Box(20, 20, 120, 80)),), excluded)


def drawn(thing: MaskObject, number: int) -> Image:
    picture = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    draw_prompts(picture, (thing,), number)
    return picture


def test_clicks_are_drawn_on_their_frame_only_each_kind_in_its_colour() -> None:
    thing = clicks_on_frame_2(excluded=False)
    assert not drawn(thing, 1).any()
    picture = drawn(thing, 2)
    inked = {place: tuple(picture[place].tolist()) for place in ((38, 38), (38, 78), (20, 60))}
    assert inked[38, 38][1] > inked[38, 38][0] and inked[38, 78][0] > inked[38, 78][1]
    assert inked[20, 60][1] == max(inked[20, 60])
    assert (drawn(clicks_on_frame_2(excluded=True), 2) != picture).any(), "what is taken out looks otherwise"


def test_the_sheet_shows_both_ends_and_the_frames_with_clicks() -> None:
    sheet = ContactSheet(100, WIDTH, HEIGHT, (MaskObject("dancer", (Prompt(17, (Point(9, 9),)),)),))
    with pytest.raises(ValueError, match="no frame"):
        sheet.picture()
    before = None
    for number in (0, 17, 99):
        sheet.add(number, np.full((HEIGHT, WIDTH, 3), 90, np.uint8), mask_of(3))
        picture = sheet.picture()
        assert before is None or picture.size > before.size, f"frame {number} is on it"
        before = picture
    sheet.add(1, np.full((HEIGHT, WIDTH, 3), 90, np.uint8), mask_of(3))
    assert before is not None and sheet.picture().size == before.size


def test_a_mask_that_is_empty_throughout_is_no_success(clip: Clip, folder: Path) -> None:
    empty = (np.zeros((HEIGHT, WIDTH), np.uint8) for _ in range(FRAMES))
    write_mask_files(clip, empty, folder, RATE, lambda *_: None)
    with pytest.raises(MaskError, match="empty in every frame"):
        check_mask_files(folder, folder / "src_pose.mp4")


# ---------------------------------------------------------------------------------------------- the store


def test_the_store_unites_what_comes_in_any_order_and_takes_out_what_is_excluded(tmp_path: Path) -> None:
    store = MaskStore(tmp_path / "bits", FRAMES, WIDTH, HEIGHT)
    one, other = np.zeros((2, HEIGHT, WIDTH), np.uint8)
    one[:30], other[20:40, :50] = 1, 255
    for frame, mask, excluded in ((8, one, False), (0, other, True), (8, other, True), (0, one, False)):
        store.add(frame, mask, excluded=excluded)
    store.add(1, other)
    for frame in (0, 8):
        assert np.array_equal(store.mask(frame), one & ~(other > 0).astype(np.uint8) & 1)
    assert np.array_equal(store.mask(1), (other > 0).astype(np.uint8)) and not store.mask(2).any()
