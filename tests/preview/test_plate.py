"""The plate against scenes whose background is known."""

from collections.abc import Iterator, Sequence
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from engines.preview import plate
from engines.preview.camera import camera_stands_still
from engines.preview.plate import Background, PersonArea, fill_unknown, find_background, paint_plate
from engines.preview.track import Track
from tests.preview.made_up_track import made_up_track

Image = NDArray[np.uint8]

WIDTH, HEIGHT = 320, 192


def nothing(phase: str, done: int, total: int) -> None:
    pass


def texture(width: int, height: int, seed: int = 3) -> Image:
    """A smooth random picture with corners enough to follow."""
    generator = np.random.default_rng(seed)
    small = generator.integers(30, 220, (height // 8 + 1, width // 8 + 1, 3)).astype(np.uint8)
    return np.asarray(cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC), np.uint8)


def with_person(scene: Image, track: Track, index: int) -> Image:
    """The scene with a green figure where the track's mask is."""
    frame = scene.copy()
    frame[track.mask(index) > 30] = (20, 250, 20)
    return frame


class Clip:
    """Scenes, the track of a figure walking through them, and the frames that show both."""

    def __init__(self, scenes: Sequence[Image], **walk: Any) -> None:
        self.scenes = scenes
        self.track = made_up_track(len(scenes), WIDTH, HEIGHT, size=0.6, **walk)
        self.shown = [with_person(scene, self.track, index) for index, scene in enumerate(scenes)]
        self.area = PersonArea(self.track)

    def frames(self, positions: Sequence[int]) -> Iterator[Image]:
        return (self.shown[position] for position in positions)

    def background(self) -> Background:
        return find_background(self.frames, self.area, (WIDTH, HEIGHT), nothing)

    def error(self, background: Background, index: int) -> float:
        """Mean difference of the plate from the true scene where the person was."""
        painted = paint_plate(self.shown[index], index, self.area, background)
        hidden = self.area.full(index) > 0
        return float(np.abs(painted.astype(int) - self.scenes[index])[hidden].mean())


WALK: dict[str, Any] = {"centre": (0.25, 0.5), "step": (6.0, 0.0)}


def test_area_holds_the_whole_person_with_a_margin() -> None:
    track = made_up_track(3, WIDTH, HEIGHT, size=0.6)
    person = (track.mask(1) > 30).astype(np.uint8)
    grown = cv2.dilate(person, np.ones((3, 3), np.uint8), iterations=2)
    assert (PersonArea(track).full(1)[grown > 0] == 255).all()


def test_area_holds_the_hands_though_the_mask_lost_them() -> None:
    track = made_up_track(1, WIDTH, HEIGHT, size=0.6)
    track.hands[0, 0, :, :2] += (60, -40)
    column, row = track.hands[0, 0, 10, :2].astype(int)
    assert track.mask(0)[row, column] == 0
    assert PersonArea(track).full(0)[row, column] == 255


def test_nothing_changes_outside_the_persons_area() -> None:
    clip = Clip([texture(WIDTH, HEIGHT)] * 24, **WALK)
    painted = paint_plate(clip.shown[10], 10, clip.area, clip.background())
    outside = clip.area.full(10) == 0
    assert outside.any()
    np.testing.assert_array_equal(painted[outside], clip.shown[10][outside])


def test_a_still_camera_gives_the_true_background() -> None:
    clip = Clip([texture(WIDTH, HEIGHT)] * 24, **WALK)
    background = clip.background()
    assert isinstance(background, plate.StillBackground)
    assert max(clip.error(background, index) for index in (0, 11, 23)) < 2


def test_a_slow_change_of_brightness_is_followed() -> None:
    scene = texture(WIDTH, HEIGHT).astype(np.float32) * 0.8
    clip = Clip([np.clip(scene + 1.5 * index, 0, 255).astype(np.uint8) for index in range(24)], **WALK)
    assert max(clip.error(clip.background(), index) for index in (0, 23)) < 5


def test_a_moving_camera_gives_the_true_background() -> None:
    wide = texture(WIDTH + 120, HEIGHT + 40)
    clip = Clip([wide[index : index + HEIGHT, 3 * index : 3 * index + WIDTH] for index in range(32)], **WALK)
    background = clip.background()
    assert isinstance(background, plate.MovingBackground)
    assert max(clip.error(background, index) for index in (2, 16, 29)) < 6


def test_after_a_cut_the_scene_before_is_not_shown() -> None:
    first, second = texture(WIDTH, HEIGHT, 3), texture(WIDTH, HEIGHT, 4)
    clip = Clip([first] * 20 + [second] * 20, centre=(0.2, 0.5), step=(5.0, 0.0))
    background = clip.background()
    assert max(clip.error(background, index) for index in (3, 36)) < 8


def test_a_person_who_never_moves_is_gone_all_the_same() -> None:
    clip = Clip([texture(WIDTH, HEIGHT)] * 10)
    painted = paint_plate(clip.shown[5], 5, clip.area, clip.background())
    green = (painted[..., 1].astype(int) - painted[..., 0] > 150) & (painted[..., 1] > 230)
    assert not green[clip.area.full(5) > 0].any()


def test_a_frame_without_the_person_is_the_plate() -> None:
    clip = Clip([texture(WIDTH, HEIGHT)] * 6, centre=(5.0, 0.5))
    np.testing.assert_array_equal(paint_plate(clip.shown[2], 2, clip.area, clip.background()), clip.scenes[2])


@pytest.mark.parametrize(("step", "still"), [(0.0, True), (0.05, True), (2.0, False)])
def test_a_camera_is_still_when_the_background_keeps_its_place(step: float, still: bool) -> None:
    wide = texture(WIDTH + 60, HEIGHT)
    empty = np.zeros((HEIGHT, WIDTH), np.uint8)
    samples = []
    for index in range(10):
        move = np.array([[1, 0, -step * index], [0, 1, 0]], np.float32)
        samples.append(np.asarray(cv2.warpAffine(wide, move, (WIDTH, HEIGHT)), np.uint8))
    assert camera_stands_still(samples, [empty] * 10) is still


def test_a_featureless_scene_counts_as_still() -> None:
    plain = np.full((HEIGHT, WIDTH, 3), 90, np.uint8)
    assert camera_stands_still([plain] * 5, [np.zeros((HEIGHT, WIDTH), np.uint8)] * 5)


def test_what_is_known_is_kept_when_the_rest_is_filled_in() -> None:
    image = texture(WIDTH, HEIGHT)
    known = np.ones((HEIGHT, WIDTH), np.bool_)
    known[40:120, 100:180] = False
    filled = fill_unknown(image, known)
    away = cv2.erode(known.astype(np.uint8), np.ones((15, 15), np.uint8)) > 0
    np.testing.assert_array_equal(filled[away], image[away])
    assert 30 < filled[80, 140].mean() < 220
    assert fill_unknown(image, np.zeros_like(known)).shape == image.shape
