"""The runner around any model: order, batches, frames without a face, and what a model may not do."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from engines.frame import making, registry
from engines.frame.configuration import FrameConfiguration
from engines.frame.model import BaseAnimationModel, Capabilities, Clip, Driving, Image, ModelError, load
from engines.frame.runner import Runner
from tests.frame.made_models import colours, frames
from tests.preview.made_up_track import made_up_track


class Numbering(BaseAnimationModel):
    """Its pictures are the frame's number everywhere; without landmarks it fails."""

    path_required = False
    given = Capabilities(max_batch=4)
    lives: list[str]

    def __init__(self, model_path: Path | None = None, gpu_id: int = 0, *, factor: int = 1) -> None:
        super().__init__(model_path, gpu_id)
        self.factor = factor
        self.batches: list[int] = []

    def load_model(self) -> bool:
        return True

    def capabilities(self) -> Capabilities:
        return self.given

    def preprocess_source_image(self, image: Image) -> Image:
        return image

    def animate(
        self, source_image: Any, driving_landmarks: Driving, return_intermediate: bool = False
    ) -> Image:
        if driving_landmarks["landmarks"] is None and self.given.needs_landmarks:
            raise AssertionError("a model that needs landmarks got none")
        return np.full_like(self.source(source_image), self.factor * driving_landmarks["index"])

    def animate_batch(self, driving: Sequence[Driving]) -> list[Image]:
        self.batches.append(len(driving))
        return super().animate_batch(driving)


def run(model: BaseAnimationModel, clip: Sequence[Driving], **settings: Any) -> list[Image]:
    load(model)
    configuration = FrameConfiguration(model="numbering", **settings)
    canvas = colours(48, 32)
    content = np.ascontiguousarray(canvas[4:28, 8:40])
    made = Runner(configuration, model, canvas, content, (8, 4))
    made.begin(Clip(made_up_track(1, 64, 48), len(clip), False, canvas, (8, 4)))
    return list(made.run(iter(clip)))


def numbers(pictures: Sequence[Image]) -> list[int | str]:
    source = colours(48, 32)
    return ["source" if np.array_equal(each, source) else int(each[10, 20, 0]) for each in pictures]


@pytest.mark.parametrize("batch", [1, 2, 3, 4])
@pytest.mark.parametrize("count", [1, 7, 8])
def test_as_many_pictures_come_out_as_frames_go_in_and_in_their_order(batch: int, count: int) -> None:
    assert numbers(run(Numbering(), frames(count), batch_size=batch)) == list(range(count))


def test_a_picture_lies_where_the_source_lies_on_the_canvas() -> None:
    picture = run(Numbering(), frames(1))[0]
    around = colours(48, 32)
    around[4:28, 8:40] = 0
    assert np.array_equal(picture, around)


@pytest.mark.parametrize(
    ("policy", "expected"),
    [
        ("hold", ["source", 1, 2, 3, 4, 5]),
        ("source", ["source", 1, "source", "source", 4, "source"]),
        ("skip", ["source", 1, 1, 1, 4, 4]),
    ],
)
@pytest.mark.parametrize("batch", [1, 2, 4])
def test_frames_without_a_face_are_filled_by_the_policy(policy: Any, expected: list[Any], batch: int) -> None:
    clip = frames(6, without_face=[0, 2, 3, 5])
    assert numbers(run(Numbering(), clip, missing=policy, batch_size=batch)) == expected


def test_holding_gives_the_model_the_landmarks_before() -> None:
    class Seeing(Numbering):
        def animate(
            self, source_image: Any, driving_landmarks: Driving, return_intermediate: bool = False
        ) -> Image:
            points = driving_landmarks["landmarks"]
            assert points is not None
            return np.full_like(self.source(None), round(float(points[0, 0])))

    made = run(Seeing(), frames(3, without_face=[2]))
    assert np.array_equal(made[1], made[2])


def test_the_policy_fail_names_the_frame() -> None:
    with pytest.raises(ModelError, match="frame 2"):
        run(Numbering(), frames(4, without_face=[2]), missing="fail")


def test_a_model_that_needs_no_landmarks_is_called_for_every_frame() -> None:
    model = Numbering()
    model.given = Capabilities(needs_landmarks=False)
    assert numbers(run(model, frames(3, without_face=[0, 1, 2]))) == [0, 1, 2]


def test_a_clip_without_any_face_waits_for_no_batch_that_never_fills() -> None:
    model = Numbering()
    assert numbers(run(model, frames(40, without_face=range(40)), batch_size=4)) == ["source"] * 40
    assert model.batches == []


def test_a_long_clip_is_streamed_and_not_held_in_memory() -> None:
    model = Numbering()
    load(model)
    taken = 0

    def endless() -> Iterator[Driving]:
        nonlocal taken
        clip = frames(40, without_face=range(8, 30))
        while True:
            yield {**clip[taken % 40], "index": taken}
            taken += 1

    canvas = colours(48, 32)
    made = Runner(FrameConfiguration(model="numbering", batch_size=4), model, canvas, canvas, (0, 0))
    made.begin(Clip(made_up_track(1, 64, 48), 1, False, canvas, (0, 0)))
    for given, _ in zip(range(100), made.run(endless()), strict=False):
        assert taken - given <= 4 * 4


def test_larger_batches_than_the_model_takes_are_refused() -> None:
    with pytest.raises(ModelError, match="up to 4 frames at once; 5"):
        run(Numbering(), frames(1), batch_size=5)


def test_pictures_are_bgr_for_a_model_that_says_so_and_rgb_again_after_it() -> None:
    class Blue(Numbering):
        given = Capabilities(color="BGR")

        def animate(
            self, source_image: Any, driving_landmarks: Driving, return_intermediate: bool = False
        ) -> Image:
            source: Image = self.source(source_image)
            assert np.array_equal(source, colours(48, 32)[4:28, 8:40, ::-1])
            assert driving_landmarks["frame"] is not None and driving_landmarks["frame"][0, 0, 0] == 3
            return source

    clip = frames(1)
    driving = clip[0]["frame"] = np.full((48, 64, 3), (1, 2, 3), np.uint8)
    assert numbers(run(Blue(), clip)) == ["source"]
    assert driving[0, 0].tolist() == [1, 2, 3]


def broken(answer: Callable[[Image], Any], **capabilities: Any) -> Numbering:
    class Broken(Numbering):
        given = Capabilities(**capabilities)

        def animate_batch(self, driving: Sequence[Driving]) -> Any:
            return answer(self.source(None))

    return Broken()


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (lambda source: [source.astype(np.float32)], r"frame 0: the picture is float32"),
        (lambda source: [source[..., 0]], r"uint8 \[height, width, 3\] was expected"),
        (lambda source: [None], "is NoneType"),
        (lambda source: [source[:10]], "32x10; 32x24 was expected"),
        (lambda source: [], "given 1 frames and answered 0"),
        (lambda source: source[0], "answered no list of"),
        (lambda source: 1 / 0, "failed at frame 0: ZeroDivisionError"),
        (lambda source: (_ for _ in ()).throw(MemoryError), "ran out of memory at frame 0"),
    ],
)
def test_a_broken_model_is_an_error_and_never_a_still_picture(answer: Any, message: str) -> None:
    with pytest.raises(ModelError, match=message):
        run(broken(answer), frames(1))


def test_pictures_of_the_models_own_size_are_scaled_to_the_source() -> None:
    made = run(broken(lambda source: [np.full((8, 8, 3), 7, np.uint8)], output="own"), frames(1))
    assert made[0].shape == (32, 48, 3) and made[0][4, 8].tolist() == [7, 7, 7]


def test_a_model_that_gives_one_buffer_again_and_again_still_gives_every_picture() -> None:
    class OneBuffer(Numbering):
        def animate(
            self, source_image: Any, driving_landmarks: Driving, return_intermediate: bool = False
        ) -> Image:
            self.source(None)[:] = driving_landmarks["index"]
            buffer: Image = self.source(None)
            return buffer

    assert numbers(run(OneBuffer(), frames(4), batch_size=4)) == [0, 1, 2, 3]


def test_the_reason_why_a_model_cannot_be_loaded_is_not_lost() -> None:
    class Unloadable(Numbering):
        def load_model(self) -> bool:
            self.last_error = "the weights are of another model"
            return False

    with pytest.raises(ModelError, match="Unloadable cannot be loaded: the weights are of another model"):
        load(Unloadable())


def test_a_model_is_a_context_that_loads_and_unloads() -> None:
    with Numbering() as model:
        assert model.initialized
    assert not model.initialized


@pytest.fixture
def registered() -> Any:
    registry.register("numbering", Numbering)
    yield
    making.forget_model()
    registry.unregister("numbering")


@pytest.mark.usefixtures("registered")
def test_a_model_stays_loaded_for_the_next_job_and_goes_when_another_is_wanted() -> None:
    one = making.kept_model(FrameConfiguration(model="numbering"))
    assert making.kept_model(FrameConfiguration(model="numbering")) is one
    other = making.kept_model(FrameConfiguration(model="numbering", options={"factor": 2}))
    assert other is not one and not one.initialized


@pytest.mark.usefixtures("registered")
def test_unknown_keys_and_missing_files_are_refused_before_the_model_is_made(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"no key 'facto'; did you mean 'factor'\? \(its keys: factor\)"):
        making.make_model(FrameConfiguration(model="numbering", options={"facto": 2}))
    with pytest.raises(ModelError, match="does not exist"):
        making.make_model(FrameConfiguration(model="numbering", model_path=tmp_path / "none.bin"))
    with pytest.raises(ModelError, match="'model_path' is missing"):
        making.make_model(FrameConfiguration(model="onnx"))
