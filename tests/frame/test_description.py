"""The description of an ONNX model is held against its file before anything is loaded."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from engines.frame.configuration import ConfigurationError
from engines.frame.model import UNLIMITED
from engines.frame.onnx_description import describe
from engines.frame.onnx_file import OnnxFile, Tensor, read_onnx
from tests.frame.made_models import write_model

SPACE = {"inputs": {"landmarks": {"space": "unit"}}}


def model(
    *,
    source: tuple[Any, ...] = ("N", 3, 24, 40),
    landmarks: tuple[Any, ...] | None = ("N", 468, 2),
    output: tuple[Any, ...] = ("N", 3, 24, 40),
    dtype: str = "float32",
    names: tuple[str, str] = ("source", "landmarks"),
) -> OnnxFile:
    inputs = [Tensor(names[0], dtype, source)]
    inputs += [] if landmarks is None else [Tensor(names[1], "float32", landmarks)]
    return OnnxFile(tuple(inputs), (Tensor("output", dtype, output),), 17, {}, ())


@pytest.mark.needs("onnx")
@pytest.mark.parametrize("external", ["", "weights.bin"])
def test_the_file_is_read_without_onnxruntime(tmp_path: Path, external: str) -> None:
    names = ("picture", "points", "made")
    path = write_model(
        tmp_path / "m.onnx", names=names, points=68, dims=3, metadata={"a": "b"}, external=external
    )
    found = read_onnx(path)
    assert found.inputs[0] == Tensor("picture", "float32", ("N", 3, 24, 40))
    assert found.inputs[1] == Tensor("points", "float32", ("N", 68, 3))
    assert [tensor.name for tensor in found.outputs] == ["made"]
    assert (found.opset, found.metadata["a"]) == (17, "b")
    assert found.external == ((external,) if external else ())


@pytest.mark.needs("onnx")
def test_a_file_cut_off_anywhere_is_no_model_and_no_crash(tmp_path: Path) -> None:
    from engines.frame.onnx_file import NotOnnx

    content = write_model(tmp_path / "m.onnx").read_bytes()
    path = tmp_path / "cut.onnx"
    for length in range(len(content) - 12):
        path.write_bytes(content[:length])
        try:
            read_onnx(path)
        except NotOnnx:
            continue
        pytest.fail(f"{length} of {len(content)} bytes were taken for a whole model")


def test_names_layout_size_and_batch_come_from_the_file() -> None:
    found = describe({"inputs": {"landmarks": {"space": "unit"}}}, model(names=("source", "landmarks")))
    assert found.source is not None and found.landmarks is not None
    assert (found.source.layout, found.source.color, found.source.size) == ("NCHW", "RGB", (24, 40))
    assert (found.landmarks.dims, found.landmarks.indices, found.max_batch) == (2, None, UNLIMITED)


def test_inputs_of_other_names_are_known_by_their_shapes() -> None:
    found = describe({"inputs": {"landmarks": {"space": "unit"}}}, model(names=("x", "y")))
    assert found.source is not None and found.source.tensor.name == "x"
    assert found.landmarks is not None and found.landmarks.tensor.name == "y"


@pytest.mark.parametrize(
    ("shapes", "most", "fixed"),
    [
        ({"source": ("N", 3, 24, 40), "landmarks": (None, 468, 2)}, UNLIMITED, False),
        ({"source": (1, 3, 24, 40), "landmarks": ("N", 468, 2)}, 1, False),
        ({"source": (4, 3, 24, 40), "landmarks": (4, 468, 2), "output": (4, 3, 24, 40)}, 4, True),
    ],
)
def test_the_batch_is_what_all_inputs_take(shapes: dict[str, Any], most: int, fixed: bool) -> None:
    found = describe(SPACE, model(**shapes))
    assert (found.max_batch, found.fixed_batch) == (most, fixed)


WRONG: list[tuple[dict[str, Any], dict[str, Any], str]] = [
    ({}, {}, r"landmarks\.space must be given"),
    ({**SPACE, "rang": [0, 1]}, {}, r"unknown key 'rang'; did you mean 'range'"),
    ({**SPACE, "inputs": {"sauce": "x"}}, {}, r"unknown key 'inputs\.sauce'"),
    ({**SPACE, "range": [1, 0]}, {}, "black and of white"),
    ({**SPACE, "range": [0, 1, 2]}, {}, "must be 2 numbers"),
    ({**SPACE, "std": [1, 1, 0]}, {}, "above 0"),
    ({**SPACE, "mean": 3}, {}, "must be 3 numbers"),
    ({**SPACE, "color": "GRAY"}, {}, "has 3 channels as NCHW; GRAY has 1"),
    ({**SPACE, "layout": "NHWC"}, {}, "has 40 channels as NHWC"),
    ({**SPACE, "size": [10, 10]}, {}, "takes 24 by 40 and nothing else"),
    ({**SPACE, "resize": "squash"}, {}, "one of stretch, letterbox, crop"),
    (
        {**SPACE, "outputs": {"frame": "made"}},
        {},
        r"no output 'made'; it has output \(float32, N x 3 x 24 x 40\)",
    ),
    ({**SPACE, "state": {"output": "before"}}, {}, "no input 'before'"),
    ({"inputs": {"source": "picture"}}, {}, "no input 'picture'; it has source"),
    ({"inputs": {"landmarks": {"space": "screen"}}}, {}, "one of pixel, input, unit, signed"),
    ({"inputs": {"landmarks": {"space": "unit", "dims": 3}}}, {}, "takes 2"),
    ({"inputs": {"landmarks": {"space": "unit", "count": 5}}}, {}, "takes 468 points"),
    (SPACE, {"landmarks": ("N", 478, 2)}, "takes 478 points and stage 1 finds 468. The last ten, the iris"),
    (SPACE, {"landmarks": ("N", 68, 2)}, "takes 68 points and stage 1 finds 468. Say which"),
    (
        {"inputs": {"landmarks": {"space": "unit", "indices": [1, 2]}}},
        {"landmarks": ("N", 3, 2)},
        "names 2 points",
    ),
    (
        {"inputs": {"landmarks": {"space": "unit", "indices": [468]}}},
        {"landmarks": ("N", 1, 2)},
        "from 0 to 467",
    ),
    (SPACE, {"source": ("N", "C", "H", "W")}, "layout must be given"),
    (SPACE, {"source": ("N", 8, 24, 40)}, "layout must be given"),
    (SPACE, {"dtype": "int64"}, "a picture must be float32"),
    (SPACE, {"source": (2, 3, 24, 40), "landmarks": (4, 468, 2)}, "batches do not agree"),
    (SPACE, {"source": ("N", 7)}, "is no picture: a picture has 4 axes"),
    ({"inputs": {"landmarks": "source"}}, {}, "nothing says what these inputs of the model get: landmarks"),
    (SPACE, {"output": ("N", 7)}, "no output of the model is a picture"),
]


@pytest.mark.parametrize(("options", "shapes", "message"), WRONG, ids=[message for _, _, message in WRONG])
def test_what_does_not_fit_is_refused_with_what_the_model_has(
    options: dict[str, Any], shapes: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigurationError, match=message):
        describe(options, model(**shapes))
