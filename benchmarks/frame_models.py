"""What running an ONNX model through the frame engine costs, against onnxruntime alone on the same arrays."""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from benchmarks.row import Row
from engines.frame.configuration import FrameConfiguration
from engines.frame.driving import made_up
from engines.frame.onnx_model import OnnxModel
from engines.frame.onnx_pixels import to_points
from engines.frame.runner import Runner

SIDE, FRAMES, ROUNDS, BATCHES = 256, 32, 15, (1, 4)
BOUND = 0.9


def rows() -> Iterator[Row]:
    """Frames a second of the whole runner, for pictures in and out, as a share of onnxruntime's own."""
    if find_spec("onnx") is None or find_spec("onnxruntime") is None:
        yield Row(
            "frame model against plain onnxruntime", "needs onnx and onnxruntime", f">= {BOUND}x", False
        )
        return
    with tempfile.TemporaryDirectory() as folder:
        path = _write_model(Path(folder) / "model.onnx")
        for batch in BATCHES:
            share, ours = _measured(path, batch)
            text = f"{share:.2f}x ({ours:.0f} frames/s at {SIDE}x{SIDE})"
            what = f"frame model against plain onnxruntime, batch {batch}"
            yield Row(what, text, f">= {BOUND}x", share >= BOUND)


def _measured(path: Path, batch: int) -> tuple[float, float]:
    """Our speed as a share of onnxruntime's, and ours in frames a second: medians of alternate runs."""
    driving = made_up(FRAMES)
    image = np.random.default_rng(1).integers(0, 256, (SIDE, SIDE, 3)).astype(np.uint8)
    with OnnxModel(
        path, providers=["CPUExecutionProvider"], threads=1, inputs={"landmarks": {"space": "signed"}}
    ) as model:
        configuration = FrameConfiguration(model="onnx", batch_size=batch)
        runner = Runner(configuration, model, image, image, (0, 0))
        model.set_source_image(image)
        described, session = model._described(), model._session()
        assert described.landmarks is not None
        wanted = described.landmarks
        points = np.stack([to_points(frame, wanted, (SIDE, SIDE)) for frame in driving])
        source = model.source(None).batch(batch)

        def ours() -> None:
            for _ in runner.run(driving):
                pass

        def plain() -> None:
            for start in range(0, FRAMES, batch):
                session.run(None, {"source": source, "landmarks": points[start : start + batch]})

        pairs = [(_speed(ours), _speed(plain)) for _ in range(ROUNDS)][1:]
    return statistics.median(one / other for one, other in pairs), statistics.median(one for one, _ in pairs)


def _speed(work: Callable[[], None]) -> float:
    began = time.perf_counter()
    work()
    return FRAMES / (time.perf_counter() - began)


def _write_model(path: Path) -> Path:
    """Two convolutions of the source, with the landmarks as a bias between them, and a sigmoid."""
    from onnx import TensorProto, helper, numpy_helper, save

    numbers = np.random.default_rng(1)
    weights = {
        "first": numbers.normal(0, 0.2, (16, 3, 3, 3)),
        "points": numbers.normal(0, 0.01, (468 * 2, 16)),
        "second": numbers.normal(0, 0.2, (3, 16, 3, 3)),
    }
    tensors = [numpy_helper.from_array(value.astype(np.float32), name) for name, value in weights.items()]
    tensors.append(numpy_helper.from_array(np.array([0, 16, 1, 1], np.int64), "shape"))
    inputs = [
        helper.make_tensor_value_info("source", TensorProto.FLOAT, ["N", 3, SIDE, SIDE]),
        helper.make_tensor_value_info("landmarks", TensorProto.FLOAT, ["N", 468, 2]),
    ]
    outputs = [helper.make_tensor_value_info("output", TensorProto.FLOAT, ["N", 3, SIDE, SIDE])]
    nodes = [
        helper.make_node("Conv", ["source", "first"], ["seen"], pads=[1, 1, 1, 1]),
        helper.make_node("Flatten", ["landmarks"], ["flat"]),
        helper.make_node("MatMul", ["flat", "points"], ["moved"]),
        helper.make_node("Reshape", ["moved", "shape"], ["bias"]),
        helper.make_node("Add", ["seen", "bias"], ["sum"]),
        helper.make_node("Relu", ["sum"], ["bent"]),
        helper.make_node("Conv", ["bent", "second"], ["drawn"], pads=[1, 1, 1, 1]),
        helper.make_node("Sigmoid", ["drawn"], ["output"]),
    ]
    graph = helper.make_graph(nodes, "small", inputs, outputs, tensors)
    save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), str(path))
    return path
