"""ONNX models through onnxruntime itself: what goes in, what comes out, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from engines.frame import onnx_session
from engines.frame.model import ModelError, load
from engines.frame.onnx_model import OnnxModel
from tests.frame.made_models import Image, colours, frames, write_counting_model, write_model

pytestmark = [pytest.mark.needs("onnx"), pytest.mark.needs("onnxruntime")]
CPU = ["CPUExecutionProvider"]
SIGNED = {"landmarks": {"space": "signed"}}


def loaded(path: Path, image: Image | None = None, **options: Any) -> OnnxModel:
    options = {"inputs": SIGNED, "providers": CPU, "threads": 1, **options}
    model = OnnxModel(path, **options)
    load(model)
    model.set_source_image(colours() if image is None else image)
    return model


@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
@pytest.mark.parametrize("color", ["RGB", "BGR"])
@pytest.mark.parametrize("span", [(0, 1), (-1, 1), (0, 255)])
def test_a_model_that_returns_its_input_returns_the_source_within_one(
    tmp_path: Path, layout: str, color: str, span: tuple[float, float]
) -> None:
    path = write_model(tmp_path / "same.onnx", layout=layout, bias=False)
    model = loaded(path, color=color, range=span)
    made = model.animate(None, frames(1)[0])
    assert np.abs(made.astype(int) - colours()).max() <= 1


def test_the_order_of_colours_is_the_models(tmp_path: Path) -> None:
    model = loaded(write_model(tmp_path / "m.onnx", bias=False), color="BGR")
    red = np.zeros((24, 40, 3), np.uint8)
    red[..., 0] = 255
    model.set_source_image(red)
    model.animate(None, frames(1)[0], return_intermediate=True)
    assert model.intermediate["output"][0, :, 0, 0].tolist() == [0, 0, 1]


def test_mean_and_std_are_of_each_channel(tmp_path: Path) -> None:
    path = write_model(tmp_path / "m.onnx", bias=False)
    model = loaded(path, mean=[0.5, 0.25, 0], std=[0.5, 0.5, 2], output={"range": [-1, 2]})
    model.set_source_image(np.full((24, 40, 3), 255, np.uint8))
    model.animate(None, frames(1)[0], return_intermediate=True)
    assert np.allclose(model.intermediate["output"][0, :, 0, 0], [1.0, 1.5, 0.5])


@pytest.mark.parametrize("dtype", ["FLOAT", "FLOAT16"])
def test_numbers_are_converted_to_the_models_type(tmp_path: Path, dtype: str) -> None:
    model = loaded(write_model(tmp_path / "m.onnx", dtype=dtype, bias=False))
    assert np.abs(model.animate(None, frames(1)[0]).astype(int) - colours()).max() <= 1


@pytest.mark.parametrize(
    ("space", "expected"),
    [
        ("pixel", lambda points: points),
        ("unit", lambda points: points / (64, 48)),
        ("signed", lambda points: points / (32, 24) - 1),
        ("input", lambda points: points / (64, 48) * (40, 24)),
    ],
)
def test_landmarks_are_in_the_space_that_the_model_wants(tmp_path: Path, space: str, expected: Any) -> None:
    path = write_model(tmp_path / "m.onnx")
    model = loaded(path, inputs={"landmarks": {"space": space}})
    model.set_source_image(np.zeros((24, 40, 3), np.uint8))
    frame = frames(1)[0]
    model.animate(None, frame, return_intermediate=True)
    mean = expected(frame["landmarks"]).mean()
    assert np.allclose(model.intermediate["output"], mean, rtol=1e-4, atol=1e-5)


def test_chosen_points_are_taken_in_the_models_order(tmp_path: Path) -> None:
    path = write_model(tmp_path / "m.onnx", points=3)
    model = loaded(path, inputs={"landmarks": {"space": "unit", "indices": [10, 152, 1]}})
    model.set_source_image(np.zeros((24, 40, 3), np.uint8))
    frame = frames(1)[0]
    model.animate(None, frame, return_intermediate=True)
    points = frame["landmarks"]
    assert points is not None
    assert np.allclose(model.intermediate["output"], (points[[10, 152, 1]] / (64, 48)).mean(), rtol=1e-4)


@pytest.mark.parametrize("resize", ["stretch", "letterbox", "crop"])
@pytest.mark.parametrize("shape", [(60, 80), (80, 60), (24, 40), (41, 17)])
def test_the_picture_has_the_sources_size_and_place_whatever_the_model_takes(
    tmp_path: Path, resize: str, shape: tuple[int, int]
) -> None:
    height, width = shape
    rows, columns = np.mgrid[0:height, 0:width]
    smooth = np.stack([rows * 255 / height, columns * 255 / width, rows * 0 + 90], axis=2).astype(np.uint8)
    model = loaded(write_model(tmp_path / "m.onnx", bias=False), smooth, resize=resize)
    made = model.animate(None, frames(1)[0])
    assert made.shape == smooth.shape
    inside = (slice(2, -2), slice(2, -2))
    assert np.abs(made.astype(int) - smooth)[inside].max() <= 16


def test_a_free_size_is_the_sources_own(tmp_path: Path) -> None:
    image = colours(33, 57)
    model = loaded(write_model(tmp_path / "m.onnx", size=("H", "W"), bias=False), image)
    assert np.abs(model.animate(None, frames(1)[0]).astype(int) - image).max() <= 1


@pytest.mark.parametrize("batch", [1, 2, 3, 8])
def test_batches_of_any_size_give_the_same_pictures(tmp_path: Path, batch: int) -> None:
    model = loaded(write_model(tmp_path / "m.onnx"))
    wanted = [model.animate(None, frame) for frame in frames(8)]
    assert len({image.tobytes() for image in wanted}) > 1
    made = [image for at in range(0, 8, batch) for image in model.animate_batch(frames(8)[at : at + batch])]
    assert all(np.array_equal(one, other) for one, other in zip(made, wanted, strict=True))


def test_a_fixed_batch_is_filled_up_and_cut_off(tmp_path: Path) -> None:
    model = loaded(write_model(tmp_path / "m.onnx", batch=4))
    alone = loaded(write_model(tmp_path / "one.onnx", batch=1))
    assert (model.capabilities().max_batch, model.capabilities().fixed_batch) == (4, True)
    made = model.animate_batch(frames(3))
    assert len(made) == 3
    for image, frame in zip(made, frames(3), strict=True):
        assert np.array_equal(image, alone.animate(None, frame))
    with pytest.raises(ModelError, match="up to 4 frames at once; 5"):
        model.animate_batch(frames(5))


def test_a_batch_of_one_input_is_never_broadcast_in_silence(tmp_path: Path) -> None:
    """onnxruntime answers source 1 and landmarks 2 with 2 pictures, without an error."""
    model = loaded(write_model(tmp_path / "m.onnx", batch=(1, "N")))
    assert model.capabilities().max_batch == 1
    with pytest.raises(ModelError, match="up to 1 frames"):
        model.animate_batch(frames(2))


def test_state_is_carried_from_frame_to_frame_and_forgotten_between_clips(tmp_path: Path) -> None:
    path = write_counting_model(tmp_path / "m.onnx")
    options: dict[str, Any] = {"inputs": {"extra": {"step": 0.1}}, "state": {"level": "before"}}
    model = loaded(path, **options)
    assert model.capabilities().max_batch == 1 and not model.capabilities().needs_landmarks
    levels = [int(model.animate(None, frame)[0, 0, 0]) for frame in frames(3)]
    assert np.abs(np.array(levels) - (25.5, 51, 76.5)).max() <= 1
    model.reset()
    assert abs(int(model.animate(None, frames(1)[0])[0, 0, 0]) - 25.5) <= 1


def test_the_source_is_that_of_set_source_image_not_of_one_of_the_same_size(tmp_path: Path) -> None:
    model = loaded(write_model(tmp_path / "m.onnx", bias=False))
    for seed in (1, 2):
        model.set_source_image(colours(seed=seed))
        assert np.abs(model.animate(None, frames(1)[0]).astype(int) - colours(seed=seed)).max() <= 1


def test_a_picture_stays_when_the_next_one_is_made(tmp_path: Path) -> None:
    model = loaded(write_model(tmp_path / "m.onnx"))
    first = model.animate(None, frames(2)[0])
    kept = first.copy()
    model.animate(None, frames(2)[1])
    assert np.array_equal(first, kept)


def test_numbers_that_are_none_are_an_error_and_no_black_picture(tmp_path: Path) -> None:
    model = loaded(write_model(tmp_path / "m.onnx"))
    frame = frames(1)[0]
    assert frame["landmarks"] is not None
    frame["landmarks"] = np.full_like(frame["landmarks"], np.nan)
    with pytest.raises(ModelError, match="NaN"):
        model.animate(None, frame)


def test_without_landmarks_or_source_it_says_so(tmp_path: Path) -> None:
    model = loaded(write_model(tmp_path / "m.onnx"))
    with pytest.raises(ModelError, match="without landmarks"):
        model.animate(None, frames(1, without_face=[0])[0])
    model.unload_model()
    model.unload_model()
    assert not model.initialized
    with pytest.raises(ModelError, match="set_source_image"):
        model.animate(None, frames(1)[0])


def test_the_provider_that_is_really_used_is_told(tmp_path: Path) -> None:
    model = loaded(write_model(tmp_path / "m.onnx"), providers="auto")
    info = model.get_model_info()
    assert info["provider"] in info["providers_asked"]


def test_a_provider_that_is_not_there_is_an_error_and_not_the_processor(tmp_path: Path) -> None:
    """onnxruntime itself only warns, for a made-up name too."""
    path = write_model(tmp_path / "m.onnx")
    with pytest.raises(ModelError, match=r"None of the providers MadeUpProvider .* it has .*CPU"):
        loaded(path, providers=["MadeUpProvider"])


def test_a_provider_that_is_listed_and_does_not_come_up_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import onnxruntime

    path = write_model(tmp_path / "m.onnx")
    there = ["CUDAExecutionProvider", "CPUExecutionProvider"]
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: there)
    asked: list[Any] = []

    def fall_back(path: str, options: Any, providers: Any) -> FallenBack:
        asked.extend(providers)
        return FallenBack()

    monkeypatch.setattr(onnxruntime, "InferenceSession", fall_back)
    with pytest.raises(ModelError, match="run it on CPUExecutionProvider without a word"):
        loaded(path, providers=["CUDAExecutionProvider"], gpu_id=1)
    assert asked == [("CUDAExecutionProvider", {"device_id": "1"})]
    allowed = onnx_session.open_session(path, there, 0, 2)
    assert (allowed.provider, allowed.asked) == ("CPUExecutionProvider", tuple(there))


class FallenBack:
    """What onnxruntime gives where a provider's libraries are missing: a session on the processor."""

    def get_providers(self) -> list[str]:
        return ["CPUExecutionProvider"]


def test_two_models_of_one_file_share_a_session_and_the_last_one_frees_it(tmp_path: Path) -> None:
    path = write_model(tmp_path / "m.onnx")
    one, other = loaded(path), loaded(path)
    assert one._session() is other._session()
    before = len(onnx_session._sessions)
    one.unload_model()
    assert len(onnx_session._sessions) == before
    other.unload_model()
    assert len(onnx_session._sessions) == before - 1


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"this is no model", "not a whole ONNX model"),
        (b"version https://git-lfs.github.com/spec/v1\n", "git-lfs"),
    ],
)
def test_a_file_that_is_no_model_is_refused_with_its_cause(
    tmp_path: Path, content: bytes, message: str
) -> None:
    path = tmp_path / "m.onnx"
    path.write_bytes(content)
    with pytest.raises(ModelError, match=message):
        loaded(path)


def test_a_model_that_is_cut_off_is_refused(tmp_path: Path) -> None:
    path = write_model(tmp_path / "m.onnx")
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(ModelError, match="not a whole ONNX model"):
        loaded(path)


def test_weights_that_are_not_beside_the_model_are_named(tmp_path: Path) -> None:
    path = write_model(tmp_path / "m.onnx", external="m.weights")
    assert loaded(path).animate(None, frames(1)[0]).shape == (24, 40, 3)
    (tmp_path / "m.weights").unlink()
    with pytest.raises(ModelError, match=r"m\.weights, which is not beside it"):
        loaded(path)


def test_an_opset_that_onnxruntime_does_not_know_has_a_remedy(tmp_path: Path) -> None:
    path = write_model(tmp_path / "m.onnx", opset=17)
    content = path.read_bytes()
    assert content.count(b"\x10\x11") == 1  # field 2 of the operator set: version 17
    path.write_bytes(content.replace(b"\x10\x11", b"\x10\x7f"))
    with pytest.raises(ModelError, match="update it, or export the model with an older opset"):
        loaded(path)


def test_the_file_may_describe_itself_and_the_keys_win_over_it(tmp_path: Path) -> None:
    own = "inputs: {landmarks: {space: unit}}\nrange: [0, 255]\n"
    path = write_model(tmp_path / "m.onnx", metadata={"understudy": own}, bias=False)
    model = OnnxModel(path, providers=CPU, range=[-1, 1])
    load(model)
    model.set_source_image(np.zeros((24, 40, 3), np.uint8))
    model.animate(None, frames(1)[0], return_intermediate=True)
    assert model.intermediate["output"].max() == -1
