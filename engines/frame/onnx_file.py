"""What an .onnx file says of itself, read without onnxruntime and without loading its weights.

The file is a protocol buffer: fields of (number, wire type, value). Only the few that are wanted are read;
what is skipped is never looked at, so a file of gigabytes takes as long as one of kilobytes.
Source of the numbers: onnx.proto, ModelProto and what is in it.
"""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

Dimension = int | str | None
"""A size, a name for a free one, or None for a free one without name."""

# Fields of ModelProto, GraphProto, ValueInfoProto, TypeProto, TensorProto.
_GRAPH, _OPSET, _METADATA = 7, 8, 14
_INITIALIZER, _INPUT, _OUTPUT = 5, 11, 12
_ELEMENT_TYPES: Final = {
    1: "float32", 2: "uint8", 3: "int8", 4: "uint16", 5: "int16", 6: "int32", 7: "int64", 9: "bool",
    10: "float16", 11: "float64", 12: "uint32", 13: "uint64",
}  # fmt: skip
_VARINT, _FIXED_64, _BYTES, _FIXED_32 = 0, 1, 2, 5


class NotOnnx(Exception):
    """The file is no whole ONNX model."""


@dataclass(frozen=True)
class Tensor:
    """An input or an output of the model: its name, element type in NumPy's words, and shape."""

    name: str
    dtype: str
    shape: tuple[Dimension, ...]

    def as_text(self) -> str:
        """ "landmarks (float32, N x 68 x 2)"."""
        shape = " x ".join("?" if size is None else str(size) for size in self.shape)
        return f"{self.name} ({self.dtype}, {shape})"


@dataclass(frozen=True)
class OnnxFile:
    """What is wanted of a model file."""

    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    opset: int
    metadata: dict[str, str]
    external: tuple[str, ...]
    """Names of the files beside it that hold its weights."""


def read_onnx(path: Path) -> OnnxFile:
    """Read a model file.

    Raises:
        OSError: it cannot be read.
        NotOnnx: it is empty, cut off, or something else.
    """
    if path.stat().st_size == 0:
        raise NotOnnx(f"{path} is empty")
    with path.open("rb") as stream:
        data = mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ)
    try:
        return _model(memoryview(data), path)
    except (IndexError, KeyError, ValueError) as error:
        raise NotOnnx(f"{path} is not a whole ONNX model") from error


def _model(view: memoryview, path: Path) -> OnnxFile:
    inputs, outputs, external, weights = [], [], set[str](), set[str]()
    metadata: dict[str, str] = {}
    opset = 0
    has_graph = False
    for number, value in _fields(view):
        if number == _GRAPH:
            has_graph = True
            for inner, part in _fields(_bytes(value)):
                if inner == _INPUT:
                    inputs.append(_tensor(_bytes(part)))
                elif inner == _OUTPUT:
                    outputs.append(_tensor(_bytes(part)))
                elif inner == _INITIALIZER:
                    name, location = _weight(_bytes(part))
                    weights.add(name)
                    external |= {location} - {""}
        elif number == _OPSET:
            domain, version = _pair(_bytes(value))
            opset = opset if domain else int(version or 0)
        elif number == _METADATA:
            key, text = _pair(_bytes(value))
            metadata[key] = str(text)
    if not has_graph or not outputs:
        raise NotOnnx(f"{path} holds no graph")
    # Old models name their weights among the inputs.
    given = tuple(tensor for tensor in inputs if tensor.name not in weights)
    return OnnxFile(given, tuple(outputs), opset, metadata, tuple(sorted(external)))


def _fields(view: memoryview) -> Iterator[tuple[int, int | memoryview]]:
    """Number and value of each field: a number, or the bytes of text or of a message."""
    place = 0
    while place < len(view):
        tag, place = _varint(view, place)
        wire = tag & 7
        if wire == _VARINT:
            number, place = _varint(view, place)
            yield tag >> 3, number
            continue
        if wire == _BYTES:
            length, place = _varint(view, place)
        elif wire in (_FIXED_64, _FIXED_32):
            length = 8 if wire == _FIXED_64 else 4
        else:
            raise ValueError(f"wire type {wire}")
        if place + length > len(view):
            raise ValueError("cut off")
        yield tag >> 3, view[place : place + length]
        place += length


def _varint(view: memoryview, place: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = view[place]
        value |= (byte & 127) << shift
        place, shift = place + 1, shift + 7
        if byte < 128:
            return value, place
        if shift > 63:
            raise ValueError("a number too long")


def _bytes(value: int | memoryview) -> memoryview:
    if isinstance(value, int):
        raise ValueError("a number in place of a message")
    return value


def _text(value: int | memoryview) -> str:
    return bytes(_bytes(value)).decode("utf-8")


def _pair(view: memoryview) -> tuple[str, int | str]:
    """Key and value of an entry: OperatorSetIdProto and StringStringEntryProto have them in 1 and 2."""
    fields = dict(_fields(view))
    value = fields.get(2, 0)
    return _text(fields.get(1, memoryview(b""))), value if isinstance(value, int) else _text(value)


def _tensor(view: memoryview) -> Tensor:
    """ValueInfoProto: 1 name, 2 type; TypeProto: 1 tensor; of it 1 element type, 2 shape."""
    fields = dict(_fields(view))
    name = _text(fields[1]) if 1 in fields else ""
    described = dict(_fields(_bytes(fields.get(2, memoryview(b"")))))
    tensor = dict(_fields(_bytes(described.get(1, memoryview(b"")))))
    element = tensor.get(1, 0)
    shape = [_dimension(_bytes(part)) for _, part in _fields(_bytes(tensor.get(2, memoryview(b""))))]
    dtype = _ELEMENT_TYPES.get(element, "unknown") if isinstance(element, int) else "unknown"
    return Tensor(name, dtype, tuple(shape))


def _dimension(view: memoryview) -> Dimension:
    """TensorShapeProto.Dimension: 1 a size, 2 a name."""
    for number, value in _fields(view):
        if number == 1 and isinstance(value, int):
            return value
        if number == 2:
            return _text(value) or None
    return None


def _weight(view: memoryview) -> tuple[str, str]:
    """TensorProto: 8 name, 13 entries of external data, of which "location" is the file."""
    name, location = "", ""
    for number, value in _fields(view):
        if number == 8:
            name = _text(value)
        elif number == 13:
            key, text = _pair(_bytes(value))
            location = str(text) if key == "location" else location
    return name, location
