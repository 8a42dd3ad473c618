"""What the numbers of an ONNX model mean: the keys of its YAML section, held against what the file says.

A file tells names, shapes and element types, not meaning. What can be taken from the shapes is; what cannot
must be said. ``docs/models/onnx.md`` has every key.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from engines.frame.configuration import ConfigurationError
from engines.frame.model import UNLIMITED
from engines.frame.onnx_file import OnnxFile, Tensor
from engines.frame.onnx_keys import numbers_of, one_of, only, range_of, section_of

Layout = Literal["NCHW", "NHWC"]
MESH_POINTS: Final = 468
"""Face points that stage 1 finds: the mesh without the iris."""
_CHANNELS: Final = {"GRAY": 1, "RGB": 3, "BGR": 3, "RGBA": 4}
_COLOR_OF: Final = {1: "GRAY", 3: "RGB", 4: "RGBA"}
_SPACES: Final = ("pixel", "input", "unit", "signed")
_RESIZES: Final = ("stretch", "letterbox", "crop")
_PICTURES: Final = ("float32", "float16", "float64", "uint8")
KEYS: Final = (
    *("inputs", "outputs", "layout", "color", "range", "mean", "std", "size", "resize", "output", "state"),
)


@dataclass(frozen=True)
class Picture:
    """A tensor that is a picture, and how its numbers come from pixels.

    ``low`` and ``high`` stand for black and white; then ``mean`` is taken away and divided by ``std``, of
    each channel. ``size`` is height and width, None where any will do.
    """

    tensor: Tensor
    layout: Layout
    color: str
    low: float
    high: float
    mean: tuple[float, ...]
    std: tuple[float, ...]
    size: tuple[int, int] | None


@dataclass(frozen=True)
class Landmarks:
    """The tensor of the face points, and how its numbers come from pixels of the driving frame."""

    tensor: Tensor
    indices: tuple[int, ...] | None
    """Which of the 468; None for all, as they are."""
    space: str
    dims: int


@dataclass(frozen=True)
class Description:
    """All of it, fit for the file."""

    source: Picture | None
    frame: Picture | None
    landmarks: Landmarks | None
    extra: Mapping[str, Any]
    """Constants by the names of their inputs."""
    extra_tensors: tuple[Tensor, ...]
    output: Picture
    resize: str
    state: Mapping[str, Tensor]
    """Inputs that are given what an output, the key, had for the frame before."""
    max_batch: int
    fixed_batch: bool


def describe(options: Mapping[str, Any], file: OnnxFile) -> Description:
    """Hold the keys against the file.

    Raises:
        ConfigurationError: they do not fit, or something must be said that is not.
    """
    return _Reader(options, file).description()


class _Reader:
    def __init__(self, options: Mapping[str, Any], file: OnnxFile) -> None:
        only(options, KEYS, "")
        self._options, self._file = options, file
        self._inputs = section_of(options, "inputs")
        only(self._inputs, ("source", "landmarks", "frame", "extra"), "inputs.")
        self._given = {tensor.name: tensor for tensor in file.inputs}

    def description(self) -> Description:
        state = self._state()
        extra = section_of(self._inputs, "extra")
        taken = {*extra, *(tensor.name for tensor in state.values())}
        source, frame, landmarks = self._named("source"), self._named("frame"), self._named("landmarks")
        taken |= {tensor.name for tensor in (source, frame, landmarks) if tensor is not None}
        rest = [tensor for tensor in self._file.inputs if tensor.name not in taken]
        if source is None:
            source = _take(rest, lambda tensor: len(tensor.shape) == 4)
        if landmarks is None:
            landmarks = _take(rest, lambda tensor: len(tensor.shape) == 3 and tensor.shape[2] in (2, 3))
        if rest:
            names = ", ".join(tensor.as_text() for tensor in rest)
            raise ConfigurationError(
                f"nothing says what these inputs of the model get: {names}. Name them under inputs: as "
                "source, landmarks or frame, give a constant under inputs.extra, or pair them under state."
            )
        resize = one_of(self._options.get("resize", "stretch"), _RESIZES, "resize")
        source_picture = None if source is None else self._picture(source)
        frame_picture = None if frame is None else self._picture(frame)
        output = self._output(source_picture or frame_picture)
        points = None if landmarks is None else self._landmarks(landmarks)
        used = [tensor for tensor in (source, frame, landmarks, output.tensor) if tensor is not None]
        most, fixed = _batch(used, bool(state))
        constants = tuple(self._input(name, "inputs.extra") for name in extra)
        return Description(
            source=source_picture,
            frame=frame_picture,
            landmarks=points,
            extra=extra,
            extra_tensors=constants,
            output=output,
            resize=resize,
            state=state,
            max_batch=most,
            fixed_batch=fixed,
        )

    def _named(self, role: str) -> Tensor | None:
        """The input that the keys name for a role, or that has the role's own name."""
        given = self._inputs.get(role)
        name = given.get("name") if isinstance(given, dict) else given
        if name is None:
            return self._given.get(role)
        return self._input(str(name), f"inputs.{role}")

    def _input(self, name: str, key: str) -> Tensor:
        if name not in self._given:
            there = ", ".join(tensor.as_text() for tensor in self._file.inputs) or "none"
            raise ConfigurationError(f"{key}: the model has no input '{name}'; it has {there}.")
        return self._given[name]

    def _found_output(self, name: str, key: str) -> Tensor:
        for tensor in self._file.outputs:
            if tensor.name == name:
                return tensor
        there = ", ".join(tensor.as_text() for tensor in self._file.outputs)
        raise ConfigurationError(f"{key}: the model has no output '{name}'; it has {there}.")

    def _state(self) -> dict[str, Tensor]:
        pairs = section_of(self._options, "state")
        state = {}
        for output, given in pairs.items():
            self._found_output(str(output), "state")
            tensor = self._input(str(given), "state")
            if not all(isinstance(size, int) for size in tensor.shape[1:]):
                what = f"state: only the first axis of {tensor.as_text()} may be free"
                raise ConfigurationError(f"{what}: it begins as zeros of that shape.")
            state[str(output)] = tensor
        return state

    def _picture(self, tensor: Tensor) -> Picture:
        if len(tensor.shape) != 4:
            raise ConfigurationError(f"{tensor.as_text()} is no picture: a picture has 4 axes.")
        layout = self._layout(tensor)
        color = self._options.get("color") or _COLOR_OF.get(_channels(tensor, layout) or 3, "RGB")
        low, high = range_of(self._options.get("range", (0, 1)), "range")
        color = one_of(color, tuple(_CHANNELS), "color")
        self._fits(tensor, layout, color)
        count = _CHANNELS[color]
        return Picture(
            tensor=tensor,
            layout=layout,
            color=color,
            low=low,
            high=high,
            mean=numbers_of(self._options.get("mean", [0.0] * count), count, "mean"),
            std=numbers_of(self._options.get("std", [1.0] * count), count, "std"),
            size=self._size(tensor, layout),
        )

    def _output(self, like: Picture | None) -> Picture:
        if like is None:
            raise ConfigurationError("the model takes no picture: there is no input with 4 axes.")
        keys = section_of(self._options, "output")
        only(keys, ("range", "color", "layout"), "output.")
        named = section_of(self._options, "outputs")
        only(named, ("frame",), "outputs.")
        if "frame" in named:
            tensor = self._found_output(str(named["frame"]), "outputs.frame")
        else:
            pictures = [tensor for tensor in self._file.outputs if len(tensor.shape) in (0, 4)]
            if not pictures:
                there = ", ".join(tensor.as_text() for tensor in self._file.outputs)
                raise ConfigurationError(f"no output of the model is a picture (4 axes); it has {there}.")
            tensor = pictures[0]
        layout = _layout_of(tensor) or one_of(
            keys.get("layout", like.layout), ("NCHW", "NHWC"), "output.layout"
        )
        channels = _channels(tensor, layout)
        color = like.color if channels in (None, _CHANNELS[like.color]) else _COLOR_OF.get(channels or 0, "")
        color = one_of(keys.get("color", color), tuple(_CHANNELS), "output.color")
        self._fits(tensor, layout, color)
        low, high = range_of(keys.get("range", (like.low, like.high)), "output.range")
        count = _CHANNELS[color]
        return Picture(tensor, layout, color, low, high, (0.0,) * count, (1.0,) * count, None)

    def _layout(self, tensor: Tensor) -> Layout:
        found = _layout_of(tensor)
        given = self._options.get("layout")
        if given is None and found is None:
            what = f"layout must be given, NCHW or NHWC: the shape of {tensor.as_text()} does not tell it."
            raise ConfigurationError(what)
        layout: Layout = one_of(given or found, ("NCHW", "NHWC"), "layout")
        return layout

    def _fits(self, tensor: Tensor, layout: Layout, color: str) -> None:
        if tensor.dtype not in _PICTURES:
            raise ConfigurationError(f"{tensor.as_text()}: a picture must be {', '.join(_PICTURES)}.")
        channels = _channels(tensor, layout)
        if channels is not None and channels != _CHANNELS[color]:
            what = f"{tensor.as_text()} has {channels} channels as {layout}; {color} has {_CHANNELS[color]}."
            raise ConfigurationError(f"{what} Mend layout or color.")

    def _size(self, tensor: Tensor, layout: Layout) -> tuple[int, int] | None:
        """Height and width: by the shape, else by ``size``, else any."""
        axes = (2, 3) if layout == "NCHW" else (1, 2)
        shape = tuple(tensor.shape[axis] for axis in axes)
        given = self._options.get("size")
        wanted: tuple[int, int] | None = None
        if given is not None:
            height, width = numbers_of(given, 2, "size")
            wanted = int(height), int(width)
        if not all(isinstance(size, int) for size in shape):
            return wanted
        fixed = int(shape[0] or 0), int(shape[1] or 0)
        if wanted not in (None, fixed):
            raise ConfigurationError(
                f"size: {tensor.as_text()} takes {fixed[0]} by {fixed[1]} and nothing else."
            )
        return fixed

    def _landmarks(self, tensor: Tensor) -> Landmarks:
        given = self._inputs.get("landmarks")
        keys = given if isinstance(given, dict) else {}
        only(keys, ("name", "count", "indices", "space", "dims"), "inputs.landmarks.")
        if len(tensor.shape) != 3 or tensor.dtype not in _PICTURES[:3]:
            raise ConfigurationError(f"inputs.landmarks: {tensor.as_text()} must be float, with 3 axes.")
        if "space" not in keys:
            raise ConfigurationError(
                "inputs.landmarks.space must be given, as no file tells it: pixel (of the driving frame), "
                "input (pixels of the model's picture), unit (0 to 1) or signed (-1 to 1)."
            )
        space = one_of(keys["space"], _SPACES, "inputs.landmarks.space")
        last = tensor.shape[2]
        dims = one_of(keys.get("dims", last if isinstance(last, int) else 2), (2, 3), "inputs.landmarks.dims")
        if isinstance(last, int) and last != dims:
            raise ConfigurationError(f"inputs.landmarks.dims: {tensor.as_text()} takes {last}.")
        return Landmarks(tensor, _indices(keys, tensor), space, dims)


def _indices(keys: Mapping[str, Any], tensor: Tensor) -> tuple[int, ...] | None:
    """Which points, fit for the model's count."""
    wanted = tensor.shape[1] if isinstance(tensor.shape[1], int) else keys.get("count", MESH_POINTS)
    if keys.get("count", wanted) != wanted:
        raise ConfigurationError(f"inputs.landmarks.count: {tensor.as_text()} takes {wanted} points.")
    given = keys.get("indices")
    if given is None:
        if wanted == MESH_POINTS:
            return None
        iris = " The last ten, the iris, are not found." if wanted == MESH_POINTS + 10 else ""
        raise ConfigurationError(
            f"the model takes {wanted} points and stage 1 finds {MESH_POINTS}.{iris} Say which of them under "
            "inputs.landmarks.indices, in the model's order."
        )
    indices = given if isinstance(given, list) else []
    if not indices or not all(isinstance(each, int) and 0 <= each < MESH_POINTS for each in indices):
        raise ConfigurationError(f"inputs.landmarks.indices must be numbers from 0 to {MESH_POINTS - 1}.")
    if len(indices) != wanted:
        what = f"inputs.landmarks.indices names {len(indices)} points; the model takes {wanted}."
        raise ConfigurationError(what)
    return tuple(indices)


def _batch(tensors: Sequence[Tensor], has_state: bool) -> tuple[int, bool]:
    """Most frames at once, and whether it is always so many.

    A model that remembers the frame before takes one at a time. So does one of which some inputs are fixed to
    one: it would answer a larger batch of the others by repeating the one, without an error.
    """
    sizes = {tensor.shape[0] for tensor in tensors if tensor.shape}
    fixed = {size for size in sizes if isinstance(size, int)}
    if len(fixed) > 1:
        shapes = ", ".join(tensor.as_text() for tensor in tensors)
        raise ConfigurationError(f"the model's batches do not agree: {shapes}.")
    if has_state and fixed - {1}:
        raise ConfigurationError(
            f"a model with state computes one frame at a time; its batch is {min(fixed)}."
        )
    if has_state or 1 in fixed:
        return 1, False
    return (min(fixed), True) if fixed else (UNLIMITED, False)


def _layout_of(tensor: Tensor) -> Layout | None:
    """By the axis that is 1, 3 or 4 long, where just one of the two is."""
    if len(tensor.shape) != 4:
        return None
    second, last = (tensor.shape[axis] in _COLOR_OF for axis in (1, 3))
    if second == last:
        return None
    return "NCHW" if second else "NHWC"


def _channels(tensor: Tensor, layout: Layout) -> int | None:
    if len(tensor.shape) != 4:
        return None
    size = tensor.shape[1 if layout == "NCHW" else 3]
    return size if isinstance(size, int) else None


def _take(rest: list[Tensor], fits: Any) -> Tensor | None:
    """The only one that fits, taken out of the list."""
    found = [tensor for tensor in rest if fits(tensor)]
    if len(found) != 1:
        return None
    rest.remove(found[0])
    return found[0]
