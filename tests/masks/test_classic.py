"""The segmenter without weights, on made-up scenes, on the demo clip's known mask, and on a real clip."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

import preprocess
from engines.body_mask import BodyMask, body_mask
from engines.preview.models import fetch_models, models_folder
from masks.classic import ClassicSegmenter
from masks.clip import Clip
from masks.prompts import Box, MaskObject, Point, Prompt
from masks.store import Mask, MaskStore
from preprocess import Image

ROOT = Path(__file__).resolve().parents[2]
REAL_CLIP = ROOT.parent / "shared" / "data" / "wan_animate" / "replace" / "video.mp4"
WIDTH, HEIGHT = 320, 256
ORANGE, BLUE, GREEN = (230, 120, 30), (40, 70, 220), (40, 200, 60)


def overlap(found: Mask, true: Mask) -> float:
    """Common share of two masks (intersection over union); 1 where both are empty."""
    union = np.count_nonzero(found | true)
    return float(np.count_nonzero(found & true) / union) if union else 1.0


def segment(
    clip: Clip, folder: Path, *objects: MaskObject, body: Callable[[Image, Mask], Image | None] | None = None
) -> list[Mask]:
    """The mask of every frame."""
    store = MaskStore(folder / "masks.bits", clip.frame_count, clip.width, clip.height)
    ClassicSegmenter(body).segment(clip, objects, store, lambda phase, done, total: None)
    return [store.mask(frame) for frame in range(clip.frame_count)]


def clicked(
    frame: int, *points: tuple[float, float], without: tuple[tuple[float, float], ...] = ()
) -> Prompt:
    """A prompt of positive and negative clicks."""
    positive = tuple(Point(x, y) for x, y in points)
    return Prompt(frame, positive + tuple(Point(x, y, positive=False) for x, y in without))


# ------------------------------------------------------------------------------------------ made-up scenes


@dataclass
class Scene:
    """A clip of textured discs that move over a textured ground, and where each one is."""

    clip: Clip
    frames: list[Image]
    true: dict[str, list[Mask]]

    def at(self, name: str, frame: int) -> tuple[float, float]:
        """The middle of what is seen of a disc."""
        rows, columns = np.nonzero(self.true[name][frame])
        return float(columns.mean() + 0.5), float(rows.mean() + 0.5)


def texture(seed: int, colour: tuple[int, int, int], size: tuple[int, int]) -> Image:
    noise = np.random.default_rng(seed).normal(0, 60, (size[1], size[0]))
    smooth = 2 * cv2.GaussianBlur(noise, (0, 0), 3)
    return np.asarray(np.clip(np.array(colour) + 2 * smooth[..., None], 0, 255), np.uint8)


def make_scene(folder: Path, count: int, **paths: Callable[[int], tuple[float, float] | None]) -> Scene:
    """Discs of radius 42, each where its path says (None: not there), the later one in front."""
    ground = texture(0, (120, 120, 120), (WIDTH, HEIGHT))
    colours = dict(zip(paths, (ORANGE, BLUE, GREEN), strict=False))
    coats = {name: texture(n + 1, colours[name], (91, 91)) for n, name in enumerate(paths)}
    frames: list[Image] = []
    true: dict[str, list[Mask]] = {name: [] for name in paths}
    for number in range(count):
        frame = ground.copy()
        masks: dict[str, Mask] = {}
        for name, path in paths.items():
            mask, place = np.zeros((HEIGHT, WIDTH), np.uint8), path(number)
            if place is not None:
                shift = np.array([[1, 0, place[0] - 45], [0, 1, place[1] - 45]], np.float64)
                coat = cv2.warpAffine(coats[name], shift, (WIDTH, HEIGHT))
                cv2.circle(mask, (round(place[0]), round(place[1])), 42, 1, -1)
                frame = np.where(mask[..., None] > 0, coat, frame)
            masks = {other: np.where(mask > 0, np.uint8(0), seen) for other, seen in masks.items()}
            masks[name] = mask
        frames.append(frame)
        for name, mask in masks.items():
            true[name].append(mask)
    return Scene(write(folder / "scene.mp4", frames), frames, true)


def write(path: Path, frames: list[Image]) -> Clip:
    height, width = frames[0].shape[:2]
    with preprocess.VideoWriter(path, width, height, Fraction(24), crf=8) as writer:
        for frame in frames:
            writer.write(frame)
    return Clip(path, tuple(range(len(frames))), width, height)


def across(frame: int) -> tuple[float, float]:
    return 60 + 10 * frame, 110 + 4 * frame


@pytest.fixture
def moving(tmp_path: Path) -> Scene:
    """One disc that moves to the right and down for 16 frames."""
    return make_scene(tmp_path, 16, disc=across)


def assert_found(found: list[Mask], true: list[Mask], least: float = 0.9) -> None:
    shares = [overlap(one, other) for one, other in zip(found, true, strict=True)]
    assert min(shares) >= least, [round(share, 2) for share in shares]


@pytest.mark.parametrize("frame", [0, 7, 15])
def test_three_clicks_on_any_frame_find_a_moving_thing_in_all(
    moving: Scene, tmp_path: Path, frame: int
) -> None:
    x, y = moving.at("disc", frame)
    thing = MaskObject("disc", (clicked(frame, (x - 22, y - 20), (x + 24, y - 8), (x - 4, y + 24)),))
    assert_found(segment(moving.clip, tmp_path, thing), moving.true["disc"])


def test_a_box_alone_is_enough(moving: Scene, tmp_path: Path) -> None:
    x, y = moving.at("disc", 4)
    thing = MaskObject("disc", (Prompt(4, box=Box(x - 50, y - 49, x + 49, y + 50)),))
    assert_found(segment(moving.clip, tmp_path, thing), moving.true["disc"])


def test_a_box_keeps_the_mask_inside_on_its_frame(moving: Scene, tmp_path: Path) -> None:
    x, y = moving.at("disc", 0)
    half = Box(x - 55, y - 55, x, y + 55)
    (mask, *_) = segment(moving.clip, tmp_path, MaskObject("half", (Prompt(0, (Point(x - 18, y),), half),)))
    assert not mask[:, int(np.ceil(x)) + 2 :].any()
    assert mask[:, : int(x)].sum() > 0.35 * moving.true["disc"][0].sum()


def test_several_objects_are_united_and_excluded_ones_taken_out(tmp_path: Path) -> None:
    scene = make_scene(tmp_path, 12, one=across, other=lambda frame: (260 - 10 * frame, 110 + 4 * frame))
    one = MaskObject("one", (clicked(0, scene.at("one", 0)),))
    other = MaskObject("other", (clicked(11, scene.at("other", 11)),))
    apart = [n for n in range(12) if not 6 <= n <= 11]  # from then on one disc hides the other
    both = segment(scene.clip, tmp_path, one, other)
    assert_found([both[n] for n in apart], [scene.true["one"][n] | scene.true["other"][n] for n in apart])
    hidden = MaskObject("other", other.prompts, excluded=True)
    less = segment(scene.clip, tmp_path, one, hidden)
    assert_found([less[n] for n in apart], [scene.true["one"][n] for n in apart])
    for mask, true in zip(less, scene.true["other"], strict=True):
        assert np.count_nonzero(mask & true) < 0.1 * np.count_nonzero(true)


def test_a_negative_click_separates_things_of_one_colour(tmp_path: Path) -> None:
    frame = texture(0, (120, 120, 120), (WIDTH, HEIGHT))
    frame[60:200, 40:280] = texture(1, ORANGE, (240, 140))
    frame[60:200, 158:162] = (90, 50, 20)  # the seam between two that touch
    clip = write(tmp_path / "pair.mp4", [frame] * 3)
    left = np.zeros((HEIGHT, WIDTH), np.uint8)
    left[60:200, 40:158] = 1
    click, box = Point(100, 130), Box(30, 50, 290, 210)
    alone = segment(clip, tmp_path, MaskObject("left", (Prompt(0, (click,), box),)))
    assert overlap(alone[0], left) < 0.6  # colours cannot tell
    told = MaskObject("left", (Prompt(0, (click, Point(220, 130, positive=False)), box),))
    assert_found(segment(clip, tmp_path, told), [left] * 3, 0.8)


def test_a_prompt_of_negative_clicks_alone_corrects_what_comes_to_it(tmp_path: Path) -> None:
    frame = texture(0, (120, 120, 120), (WIDTH, HEIGHT))
    frame[60:200, 40:160] = texture(1, ORANGE, (120, 140))
    frame[120:170, 160:220] = texture(2, BLUE, (60, 50))
    clip = write(tmp_path / "pair.mp4", [frame] * 4)
    whole = Prompt(0, (Point(100, 130), Point(190, 145)), Box(30, 50, 230, 210))
    assert segment(clip, tmp_path, MaskObject("both", (whole,)))[3][145, 190] == 1
    after = segment(clip, tmp_path, MaskObject("one", (whole, clicked(2, without=((190, 145),)))))
    assert after[1][145, 190] == 1
    for mask in after[2:]:
        assert mask[125:165, 170:215].mean() < 0.1
        assert mask[70:190, 50:150].mean() > 0.9


def test_what_leaves_the_picture_gives_empty_frames_until_the_next_prompt(tmp_path: Path) -> None:
    def there_and_back(frame: int) -> tuple[float, float]:
        return 200 + 20.0 * min(frame, 24 - frame), 120

    scene = make_scene(tmp_path, 25, disc=there_and_back)
    first = clicked(0, scene.at("disc", 0))
    gone = [n for n, true in enumerate(scene.true["disc"]) if not true.any()]
    assert len(gone) > 5
    once = segment(scene.clip, tmp_path, MaskObject("disc", (first,)))
    assert not any(once[n].any() for n in range(gone[0], 25))
    twice = segment(scene.clip, tmp_path, MaskObject("disc", (first, clicked(24, scene.at("disc", 24)))))
    assert not any(twice[n].any() for n in gone)
    seen = [n for n, true in enumerate(scene.true["disc"]) if true.sum() > 1600]
    assert_found([twice[n] for n in seen], [scene.true["disc"][n] for n in seen], 0.8)


@pytest.mark.parametrize("hidden", [range(4, 7), range(13, 16)])
def test_where_one_prompt_loses_the_thing_the_other_one_finds_it(tmp_path: Path, hidden: range) -> None:
    scene = make_scene(tmp_path, 20, disc=lambda n: None if n in hidden else (60 + 10 * n, 120))
    prompts = tuple(clicked(frame, scene.at("disc", frame)) for frame in (0, 19))
    found = segment(scene.clip, tmp_path, MaskObject("disc", prompts))
    assert_found(found, scene.true["disc"], 0.85)


def test_after_a_cut_there_is_nothing(moving: Scene, tmp_path: Path) -> None:
    checks = np.kron(np.indices((32, 40)).sum(axis=0) % 2, np.ones((8, 8))) * 255
    other = np.repeat(checks[..., None], 3, axis=2).astype(np.uint8)
    clip = write(tmp_path / "cut.mp4", moving.frames[:4] + [other] * 3)
    found = segment(clip, tmp_path, MaskObject("disc", (clicked(0, moving.at("disc", 0)),)))
    assert_found(found[:4], moving.true["disc"][:4])
    assert not any(mask.any() for mask in found[4:])


def test_a_repeated_frame_has_the_same_mask(moving: Scene, tmp_path: Path) -> None:
    clip = Clip(moving.clip.video, (0, 1, 1, 2, 2, 2, 3), WIDTH, HEIGHT)
    found = segment(clip, tmp_path, MaskObject("disc", (clicked(3, moving.at("disc", 2)),)))
    assert np.array_equal(found[1], found[2])
    assert np.array_equal(found[3], found[5])
    assert_found(found, [moving.true["disc"][n] for n in clip.numbers])


def test_the_report_counts_to_the_end_and_can_cancel(moving: Scene, tmp_path: Path) -> None:
    store = MaskStore(tmp_path / "masks.bits", 16, WIDTH, HEIGHT)
    thing = MaskObject("disc", (clicked(3, moving.at("disc", 3)),))
    told: list[tuple[int, int]] = []

    def note(phase: str, done: int, total: int) -> None:
        told.append((done, total))
        if cancel and done == 5:
            raise KeyboardInterrupt

    cancel = False
    ClassicSegmenter().segment(moving.clip, [thing], store, note)
    assert told == [(done, 16) for done in range(1, 17)]
    cancel = True
    with pytest.raises(KeyboardInterrupt):
        ClassicSegmenter().segment(moving.clip, [thing], store, note)


def test_few_frames_are_held_at_a_time(moving: Scene, tmp_path: Path) -> None:
    alive: list[weakref.ref[NDArray[np.uint8]]] = []
    most = 0

    class Counted(Clip):
        def frames(self, first: int = 0, end: int | None = None) -> Iterator[Image]:
            nonlocal most
            for frame in super().frames(first, end):
                alive.append(weakref.ref(frame))
                yield frame
                del frame
                most = max(most, sum(reference() is not None for reference in alive))

    clip = Counted(moving.clip.video, moving.clip.numbers, WIDTH, HEIGHT)
    segment(clip, tmp_path, MaskObject("disc", (clicked(0, moving.at("disc", 0)),)))
    assert len(alive) > 16
    assert most <= 4


# ------------------------------------------------------------------------- with a body mask that is made up


class KnownBodies:
    """Says of frames that it knows what their body mask is, near or not."""

    def __init__(self, frames: list[Image], bodies: list[Mask]) -> None:
        self._frames = np.stack(frames).astype(np.int16)
        self._bodies = bodies
        self.asked = 0

    def __call__(self, frame: Image, near: Mask) -> Image | None:
        self.asked += 1
        assert near.any()
        assert near.shape == frame.shape[:2]
        number = int(np.abs(self._frames - frame).mean(axis=(1, 2, 3)).argmin())
        body = self._bodies[number]
        return body * np.uint8(255) if body.any() else None


def test_a_body_where_the_thing_was_lost_is_the_thing_again(tmp_path: Path) -> None:
    scene = make_scene(tmp_path, 14, disc=lambda frame: None if 5 <= frame < 9 else (120 + 2 * frame, 120))
    thing = MaskObject("disc", (clicked(0, scene.at("disc", 0)),))
    assert not segment(scene.clip, tmp_path, thing)[12].any()
    found = segment(scene.clip, tmp_path, thing, body=KnownBodies(scene.frames, scene.true["disc"]))
    assert_found(found, scene.true["disc"])


def test_a_body_of_other_colours_is_somebody_else(tmp_path: Path) -> None:
    scene = make_scene(
        tmp_path,
        14,
        disc=lambda frame: (120.0, 120.0) if frame < 5 else None,
        other=lambda frame: (120.0, 120.0) if frame >= 9 else None,
    )
    bodies = [one | other for one, other in zip(*scene.true.values(), strict=True)]
    thing = MaskObject("disc", (clicked(0, scene.at("disc", 0)),))
    found = segment(scene.clip, tmp_path, thing, body=KnownBodies(scene.frames, bodies))
    assert_found(found, scene.true["disc"])


def test_a_body_that_the_clicks_do_not_mean_is_left_alone(tmp_path: Path) -> None:
    scene = make_scene(tmp_path, 6, disc=lambda n: (80.0 + 6 * n, 80.0), other=lambda n: (220.0, 180.0))
    bodies = KnownBodies(scene.frames, scene.true["other"])
    thing = MaskObject("disc", (clicked(0, scene.at("disc", 0)),))
    found = segment(scene.clip, tmp_path, thing, body=bodies)
    assert_found(found, scene.true["disc"])
    assert bodies.asked == 1  # and it is not asked for again on every frame


# ------------------------------------------------------------------------------------------- the demo clip


@pytest.fixture(scope="session")
def preview_models() -> Path:
    """Folder of the model files, fetched if they are not there yet (16 MB, once a machine)."""
    fetch_models()
    return models_folder()


@dataclass
class Demo:
    """The demo clip, its true masks, and three clicks on each frame: face, chest, thigh."""

    clip: Clip
    true: list[Mask]
    clicks: Callable[[int], Prompt]


def demo(every: int = 1) -> Demo:
    with np.load(ROOT / "tests" / "data" / "demo_truth.npz", allow_pickle=False) as archive:
        truth = dict(archive)
    names = [str(name) for name in truth["names"]]
    numbers = tuple(range(0, 96, every))
    bits = np.unpackbits(truth["masks"], axis=-1)[:, : 480 * 832].reshape(96, 832, 480)

    def clicks(frame: int) -> Prompt:
        joint = dict(zip(names, truth["joints"][numbers[frame]].tolist(), strict=True))
        chest = np.mean([joint["left_shoulder"], joint["right_hip"]], axis=0)
        thigh = np.mean([joint["left_hip"], joint["left_knee"]], axis=0)
        return clicked(frame, tuple(joint["nose"]), tuple(chest.tolist()), tuple(thigh.tolist()))

    clip = Clip(ROOT / "scripts" / "demo" / "driving_video.mp4", numbers, 480, 832)
    return Demo(clip, [bits[number] for number in numbers], clicks)


def assert_demo_is_found(given: Demo, folder: Path, frame: int, mean: float, least: float) -> None:
    person = MaskObject("person", (given.clicks(frame),))
    found = segment(given.clip, folder, person, body=body_mask())
    shares = [overlap(one, other) for one, other in zip(found, given.true, strict=True)]
    assert np.mean(shares) >= mean
    assert min(shares) >= least


@pytest.mark.usefixtures("preview_models")
@pytest.mark.parametrize("frame", [0, pytest.param(8, marks=pytest.mark.long)])
def test_three_clicks_find_the_demo_person_in_every_sixth_frame(tmp_path: Path, frame: int) -> None:
    assert_demo_is_found(demo(6), tmp_path, frame, 0.9, 0.85)


@pytest.mark.long
@pytest.mark.usefixtures("preview_models")
@pytest.mark.parametrize("frame", [0, 48, 95])
def test_three_clicks_find_the_demo_person_in_all_frames(tmp_path: Path, frame: int) -> None:
    assert_demo_is_found(demo(), tmp_path, frame, 0.94, 0.9)


def first_demo_frame() -> tuple[Image, Mask]:
    given = demo(96)
    return next(given.clip.frames()), given.true[0]


@pytest.mark.usefixtures("preview_models")
@pytest.mark.parametrize("side", [0, 1])
def test_of_two_persons_the_body_is_the_one_that_was_asked_about(side: int) -> None:
    frame, true = first_demo_frame()
    pair = np.hstack([frame, frame[:, ::-1]])
    near = np.zeros(pair.shape[:2], np.uint8)
    expected = np.hstack([true * (1 - side), true[:, ::-1] * side])
    rows, columns = np.nonzero(expected)
    cv2.circle(near, (int(columns.mean()), int(rows.mean())), 10, 1, -1)
    soft = BodyMask()(pair, near)
    assert soft is not None
    assert overlap((soft > 127).astype(np.uint8), expected) > 0.9


@pytest.mark.usefixtures("preview_models")
def test_nobody_is_found_where_nobody_is() -> None:
    frame, true = first_demo_frame()
    corner = np.zeros(true.shape, np.uint8)
    corner[:40, :40] = 1
    assert BodyMask()(frame, corner) is None
    noise = texture(3, (120, 120, 120), (480, 832))
    assert BodyMask()(noise, np.ones((832, 480), np.uint8)) is None


def test_without_the_models_there_is_no_body_mask(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UNDERSTUDY_CACHE", str(tmp_path))
    assert body_mask() is None


# ------------------------------------------------------------------------------------------- a real clip


@pytest.mark.long
@pytest.mark.usefixtures("preview_models")
@pytest.mark.skipif(not REAL_CLIP.is_file(), reason="the real clips do not lie beside this checkout")
@pytest.mark.parametrize(
    "prompt",
    [clicked(0, (730, 290), (735, 480), (740, 690)), clicked(100, (560, 330), (570, 470), (490, 640))],
)
def test_three_clicks_hold_a_real_person_and_nothing_else(tmp_path: Path, prompt: Prompt) -> None:
    """By eye: cap, face, collar and coat are the person; the note on the tent and the tent itself are not."""
    clip = Clip(REAL_CLIP, tuple(preprocess.sample_indices(164, 24.0, 30)), 1280, 720)
    found = segment(clip, tmp_path, MaskObject("boy", (prompt,)), body=body_mask())
    boy = {0: ((730, 200), (730, 290), (720, 480)), 100: ((560, 150), (570, 470), (490, 640))}
    tent = {0: ((815, 330), (950, 500)), 100: ((810, 370), (950, 500))}
    for frame in boy:
        assert all(found[frame][y, x] for x, y in boy[frame])
        assert not any(found[frame][y, x] for x, y in tent[frame])
    assert all(0.08 < mask.mean() < 0.45 for mask in found)
