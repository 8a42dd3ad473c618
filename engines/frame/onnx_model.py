"""Model ``onnx``: any per-frame ONNX file, described by its YAML section."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from engines.frame.configuration import ConfigurationError
from engines.frame.model import BaseAnimationModel, Capabilities, Driving, Image, ModelError
from engines.frame.onnx_description import Description, describe
from engines.frame.onnx_file import NotOnnx, OnnxFile, read_onnx
from engines.frame.onnx_pixels import Array, Placement, place, put_back, to_numbers, to_pixels, to_points
from engines.frame.onnx_session import Opened, first_line, open_session

METADATA_KEY: Final = "understudy"
"""Property of the model file that may hold the description, as YAML; the keys of the section win over it."""
_POINTER: Final = b"version https://git-lfs"
_NOT_LOADED: Final = "The model is not loaded. Call load_model() first."


@dataclass
class _Source:
    """The source image, and what the model is given of it; copies for larger batches are made once."""

    image: Image
    placement: Placement | None
    numbers: Array
    """Empty where the model takes no source image."""
    copies: dict[int, Array]

    def batch(self, count: int) -> Array:
        if count not in self.copies:
            self.copies[count] = np.ascontiguousarray(np.repeat(self.numbers, count, axis=0))
        return self.copies[count]


class OnnxModel(BaseAnimationModel):
    """See ``docs/models/onnx.md`` for its keys."""

    def __init__(
        self,
        model_path: Path | None = None,
        gpu_id: int = 0,
        *,
        inputs: Mapping[str, Any] | None = None,
        outputs: Mapping[str, Any] | None = None,
        layout: str | None = None,
        color: str | None = None,
        range: Sequence[float] | None = None,
        mean: Sequence[float] | None = None,
        std: Sequence[float] | None = None,
        size: Sequence[int] | None = None,
        resize: str | None = None,
        output: Mapping[str, Any] | None = None,
        state: Mapping[str, Any] | None = None,
        providers: Sequence[str] | str | None = None,
        threads: int | None = None,
    ) -> None:
        super().__init__(model_path, gpu_id)
        keys = {
            "inputs": inputs, "outputs": outputs, "layout": layout, "color": color, "range": range,
            "mean": mean, "std": std, "size": size, "resize": resize, "output": output, "state": state,
        }  # fmt: skip
        self._options = {name: value for name, value in keys.items() if value is not None}
        self._providers = providers_of(providers)
        self._threads = threads_of(threads)
        self._description: Description | None = None
        self._opened: Opened | None = None
        self._state: dict[str, Array] = {}
        self._constants: dict[str, Array] = {}

    def load_model(self) -> bool:
        """See the base class."""
        if self.model_path is None:
            raise ModelError("model_path is missing: the .onnx file.")
        try:
            file = read_model_file(self.model_path)
            self._description = describe(with_metadata(self._options, file), file)
        except ConfigurationError as error:
            raise ModelError(f"{self.model_path}: {error}") from error
        self._opened = open_session(self.model_path, self._providers, self.gpu_id, self._threads)
        self.reset()
        self.initialized = True
        return True

    def unload_model(self) -> None:
        """See the base class. onnxruntime frees a session that nobody holds any more."""
        super().unload_model()
        self._opened = self._description = None
        self._state, self._constants = {}, {}

    def capabilities(self) -> Capabilities:
        """See the base class: by the description and the model's shapes."""
        described = self._described()
        return Capabilities(
            needs_landmarks=described.landmarks is not None,
            needs_frame=described.frame is not None,
            max_batch=described.max_batch,
            fixed_batch=described.fixed_batch,
        )

    def preprocess_source_image(self, image: Image) -> _Source:
        """See the base class."""
        described = self._described()
        if described.source is None:
            return _Source(image, None, np.zeros(0), {})
        placed, placement = place(image, described.source.size, described.resize)
        return _Source(image, placement, to_numbers(placed, described.source), {})

    def animate(
        self, source_image: _Source | None, driving_landmarks: Driving, return_intermediate: bool = False
    ) -> Image:
        """See the base class. ``intermediate`` gets the model's outputs by name."""
        source = self.source(source_image)
        made = self._run(source, [driving_landmarks], everything=return_intermediate)
        return made[0]

    def animate_batch(self, driving: Sequence[Driving]) -> list[Image]:
        """See the base class: one call of the model for all of them."""
        return self._run(self.source(None), driving, everything=False)

    def reset(self) -> None:
        """See the base class: state begins as zeros."""
        described = self._described()
        self._state = {}
        for output, tensor in described.state.items():
            shape = [1, *(int(size) for size in tensor.shape[1:] if isinstance(size, int))]
            self._state[output] = np.zeros(shape, tensor.dtype)
        self._constants = {}
        for tensor in described.extra_tensors:
            try:
                self._constants[tensor.name] = np.array(described.extra[tensor.name], tensor.dtype)
            except (TypeError, ValueError) as error:
                raise ModelError(
                    f"inputs.extra.{tensor.name} must be {tensor.as_text()}: {error}."
                ) from error

    def get_model_info(self) -> dict[str, Any]:
        """See the base class: the provider that is really used beside those that were asked for."""
        opened = self._opened
        used = {} if opened is None else {"provider": opened.provider, "providers_asked": list(opened.asked)}
        return {**super().get_model_info(), **used}

    def _described(self) -> Description:
        if self._description is None:
            raise ModelError(_NOT_LOADED)
        return self._description

    def _session(self) -> Any:
        if self._opened is None:
            raise ModelError(_NOT_LOADED)
        return self._opened.session

    def _run(self, source: _Source, driving: Sequence[Driving], *, everything: bool) -> list[Image]:
        described, session = self._described(), self._session()
        wanted = len(driving)
        count = described.max_batch if described.fixed_batch else wanted
        if not 0 < wanted <= described.max_batch:
            raise ModelError(
                f"The model takes up to {described.max_batch} frames at once; {wanted} were given."
            )
        feed = self._feed(source, [*driving, *[driving[-1]] * (count - wanted)])
        names = [described.output.tensor.name, *described.state]
        if everything:
            names += [each.name for each in session.get_outputs() if each.name not in names]
        try:
            found = dict(zip(names, session.run(names, feed), strict=True))
        except Exception as error:  # onnxruntime's errors share no class of their own
            raise _as_ours(error, self.model_path) from error
        self._state = {output: found[output] for output in described.state}
        if everything:
            self.intermediate = found
        numbers = found[described.output.tensor.name]
        if len(numbers) != count:
            raise ModelError(f"The model was given {count} frames and answered {len(numbers)}.")
        made = [to_pixels(frame, described.output) for frame in numbers[:wanted]]
        if source.placement is None:
            return made
        return [put_back(image, source.image, source.placement) for image in made]

    def _feed(self, source: _Source, driving: Sequence[Driving]) -> dict[str, Array]:
        """Every input by its name; the batches of all are equal."""
        described, count = self._described(), len(driving)
        feed = dict(self._constants)
        size = source.image.shape[:2] if source.placement is None else source.placement.size
        if described.source is not None:
            feed[described.source.tensor.name] = source.batch(count)
        if (points := described.landmarks) is not None:
            stacked = np.stack([to_points(frame, points, size) for frame in driving])
            feed[points.tensor.name] = stacked.astype(points.tensor.dtype, copy=False)
        if (picture := described.frame) is not None:
            frames = [_frame_of(each, picture.size, described.resize) for each in driving]
            feed[picture.tensor.name] = np.concatenate([to_numbers(frame, picture) for frame in frames])
        for output, tensor in described.state.items():
            feed[tensor.name] = self._state[output]
        return feed


def _frame_of(driving: Driving, size: tuple[int, int] | None, resize: str) -> Image:
    if driving["frame"] is None:
        raise ModelError("The model needs the driving pictures, and the driving video is not there any more.")
    return place(driving["frame"], size, resize)[0]


def _as_ours(error: Exception, path: Path | None) -> ModelError:
    text = first_line(error)
    memory = "memory" in text.lower() or "alloc" in text.lower()
    remedy = (
        "Take a smaller batch_size." if memory else "Check the shapes under its section in the YAML file."
    )
    failed = OutOfMemory if memory else ModelError
    return failed(f"onnxruntime failed in {path}: {text}. {remedy}")


class OutOfMemory(ModelError):
    """The model's memory ran out."""


def read_model_file(path: Path) -> OnnxFile:
    """The model file, with all that belongs to it there.

    Raises:
        ModelError: it is not there, is not whole, or files with its weights are missing.
    """
    try:
        file = read_onnx(path)
    except OSError as error:
        raise ModelError(f"model_path: {path} cannot be read: {error.strerror}. Check its name.") from error
    except NotOnnx as error:
        hint = ""
        with path.open("rb") as stream:
            if stream.read(len(_POINTER)) == _POINTER:
                hint = " It is a pointer of git-lfs: fetch the file itself."
        raise ModelError(f"model_path: {error}.{hint or ' Export or download it again.'}") from error
    missing = [name for name in file.external if not (path.parent / name).is_file()]
    if missing:
        what = f"model_path: {path} keeps its weights in {', '.join(missing)}, which is not beside it."
        raise ModelError(f"{what} Put it there.")
    return file


def with_metadata(options: Mapping[str, Any], file: OnnxFile) -> dict[str, Any]:
    """The description: what the file holds itself, and over it the keys of the section.

    Raises:
        ConfigurationError: the file's own description is no YAML.
    """
    import yaml

    text = file.metadata.get(METADATA_KEY)
    if text is None:
        return dict(options)
    try:
        own = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ConfigurationError(f"its property '{METADATA_KEY}' is no YAML.") from error
    if not isinstance(own, dict):
        raise ConfigurationError(f"its property '{METADATA_KEY}' must hold keys, one a line.")
    return {**own, **options}


def providers_of(value: object) -> tuple[str, ...] | None:
    """The providers in order of preference; None for auto.

    Raises:
        ModelError: it is neither ``auto`` nor names.
    """
    if value in (None, "auto"):
        return None
    names = [value] if isinstance(value, str) else value
    if not isinstance(names, (list, tuple)) or not names or not all(isinstance(name, str) for name in names):
        raise ModelError(f"'providers' must be auto or names of providers; it is {value!r}.")
    return tuple(names)


def threads_of(value: object) -> int | None:
    """Threads of the processor; None for as many as it has cores.

    Raises:
        ModelError: it is no whole number above 0.
    """
    if value is None or (isinstance(value, int) and not isinstance(value, bool) and value > 0):
        return value
    raise ModelError(f"'threads' must be a whole number above 0; it is {value!r}.")
