"""Small ONNX models, made by the tests; and driving frames that know a face."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engines.frame.driving import driving_of, made_up
from engines.frame.model import Driving

Image = NDArray[np.uint8]
FREE = "N"


def colours(width: int = 40, height: int = 24, seed: int = 1) -> Image:
    """A picture of which no two colours or places are alike."""
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3)).astype(np.uint8)


def frames(count: int, *, without_face: Sequence[int] = ()) -> list[Driving]:
    """Driving frames of 64 by 48 pixels; some have no face."""
    made = made_up(count, (48, 64))
    for index in without_face:
        body = made[index]["body"]
        made[index] = driving_of(None, body=body, size=(48, 64), index=index, time=index / 30)
    return made


def write_model(
    path: Path,
    *,
    size: tuple[int | str, int | str] = (24, 40),
    points: int | str = 468,
    dims: int = 2,
    batch: int | str | tuple[int | str, int | str] = FREE,
    layout: str = "NCHW",
    dtype: str = "FLOAT",
    bias: bool = True,
    names: tuple[str, str, str] = ("source", "landmarks", "output"),
    metadata: dict[str, str] | None = None,
    opset: int = 17,
    external: str = "",
) -> Path:
    """A model that gives its source back, brighter by the mean of all landmarks (without ``bias``, as it is).

    ``batch`` is the first axis of both inputs, or of each.
    """
    from onnx import TensorProto, helper, save

    kind = getattr(TensorProto, dtype)
    source_batch, points_batch = batch if isinstance(batch, tuple) else (batch, batch)
    shape = [source_batch, 3, *size] if layout == "NCHW" else [source_batch, *size, 3]
    source, landmarks, output = names
    inputs = [helper.make_tensor_value_info(source, kind, shape)]
    inputs.append(helper.make_tensor_value_info(landmarks, kind, [points_batch, points, dims]))
    factor = helper.make_tensor("factor", kind, [1], [1.0 if bias else 0.0])
    nodes = [
        helper.make_node("ReduceMean", [landmarks], ["mean"], axes=[1, 2], keepdims=1),
        helper.make_node("Mul", ["mean", "factor"], ["scaled"]),
        helper.make_node("Unsqueeze", ["scaled", "axis"], ["four"]),
        helper.make_node("Add", [source, "four"], [output]),
    ]
    axis = helper.make_tensor("axis", TensorProto.INT64, [1], [3])
    outputs = [helper.make_tensor_value_info(output, kind, shape)]
    graph = helper.make_graph(nodes, "made", inputs, outputs, [factor, axis])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=9)
    for key, value in (metadata or {}).items():
        entry = model.metadata_props.add()
        entry.key, entry.value = key, value
    keep: dict[str, Any] = {}
    if external:
        for tensor in model.graph.initializer:
            if tensor.name == "factor":
                tensor.raw_data = np.ones(1, np.float32).tobytes()
                tensor.ClearField("float_data")
        keep = {"save_as_external_data": True, "location": external, "size_threshold": 0}
    save(model, str(path), **keep)
    return path


def write_counting_model(path: Path) -> Path:
    """A model that remembers: its picture is ``level`` everywhere, a tenth more with each frame."""
    from onnx import TensorProto, helper, save

    shape = [1, 3, 24, 40]
    inputs = [
        helper.make_tensor_value_info("source", TensorProto.FLOAT, shape),
        helper.make_tensor_value_info("before", TensorProto.FLOAT, [1, 1, 1, 1]),
        helper.make_tensor_value_info("step", TensorProto.FLOAT, []),
    ]
    outputs = [
        helper.make_tensor_value_info("picture", TensorProto.FLOAT, shape),
        helper.make_tensor_value_info("level", TensorProto.FLOAT, [1, 1, 1, 1]),
    ]
    nodes = [
        helper.make_node("Add", ["before", "step"], ["level"]),
        helper.make_node("Mul", ["source", "none"], ["black"]),
        helper.make_node("Add", ["black", "level"], ["picture"]),
    ]
    none = helper.make_tensor("none", TensorProto.FLOAT, [1], [0.0])
    graph = helper.make_graph(nodes, "counting", inputs, outputs, [none])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    save(model, str(path))
    return path
