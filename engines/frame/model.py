"""What a frame-by-frame model is: a class with four methods, and a few words about what it can do.

``docs/models/TEMPLATE.md`` shows one from end to end. Pictures are uint8 [height, width, 3], RGB unless the
model says BGR.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, ClassVar, Final, Literal, Self, TypedDict

import numpy as np
from numpy.typing import NDArray

from engines.preview.track import Track

Image = NDArray[np.uint8]
Floats = NDArray[np.float32]

UNLIMITED: Final = 2**16
"""Value of ``max_batch`` of a model that takes any number of frames at once."""


class ModelError(Exception):
    """A model cannot do its work. The message is for people: cause first, then remedy."""


class Driving(TypedDict):
    """What is known of one frame of the driving video.

    Coordinates are pixels of that frame, x right and y down, **not** of the source image: divide by ``size``.
    """

    landmarks: Floats | None
    """Face mesh points [468, 2]; None where no face was found."""
    depth: Floats | None
    """Their z [468], in pixels too, smaller = nearer to the camera."""
    key_points: Mapping[str, Floats]
    """left_eye, right_eye (the person's), mouth, nose, face_oval: points [n, 2]. Empty without a face."""
    bbox: tuple[float, float, float, float] | None
    """Box round the landmarks: x, y, width, height."""
    angles: Mapping[str, float]
    """yaw, pitch, roll of the head in degrees, roughly. Empty without a face."""
    confidence: float
    """0 = no face."""
    body: Floats
    """Joints [33, 4] in BlazePose order: x, y, z, confidence."""
    frame: Image | None
    """The driving picture itself, RGB; None where the driving video is not there any more."""
    size: tuple[int, int]
    """Its height and width."""
    index: int
    time: float
    """Seconds from the clip's first frame."""
    canvas: Image | None
    """Replace mode: the driving scene without the actor, of the result's size. Draw on it."""


@dataclass(frozen=True)
class Clip:
    """The whole driving clip, for a model that must see all of it before its first frame."""

    track: Track
    frames: int
    replace: bool
    """Whether the character takes the actor's place in the driving scene."""
    canvas: Image
    """The source image on the result's canvas, with its black bars."""
    corner: tuple[int, int]
    """Left and top of the source image on the canvas."""


@dataclass(frozen=True, kw_only=True)
class Capabilities:
    """What a model needs and gives."""

    needs_landmarks: bool = True
    """Where no face was found the ``missing`` policy decides; else the model is called all the same."""
    needs_frame: bool = False
    """Whether it cannot work without the driving picture."""
    needs_clip: bool = False
    """Whether it must see the whole clip (``prepare_clip``) before its first frame."""
    can_replace: bool = False
    """Whether it draws into the driving scene."""
    max_batch: int = 1
    """Frames that ``animate_batch`` takes at once; a model that remembers the frame before has 1."""
    fixed_batch: bool = False
    """Whether it computes ``max_batch`` frames even when fewer are wanted."""
    output: Literal["source", "canvas", "own"] = "source"
    """Size of its pictures: the source image's, the whole canvas's, or its own (scaled to the source's)."""
    color: Literal["RGB", "BGR"] = "RGB"
    """Order of the colours of all pictures that it is given and gives."""


class BaseAnimationModel(ABC):
    """One frame-by-frame model. The runner calls, in this order:

    ``load_model``, ``set_source_image``, ``prepare_clip``, ``reset``, then ``animate_batch`` with the source
    left out, and ``unload_model``. A subclass writes ``load_model``, ``preprocess_source_image`` and
    ``animate``, and what else it wants to do better than this class.
    """

    path_required: ClassVar[bool] = True
    """Whether it cannot do without ``model_path``."""
    can_replace: ClassVar[bool] = False
    """As in Capabilities, for the check, which makes no model."""

    def __init__(self, model_path: Path | None = None, gpu_id: int = 0) -> None:
        """A subclass may take more keyword arguments: the keys of its section in the YAML file."""
        self.model_path = model_path
        self.gpu_id = gpu_id
        self.initialized = False
        self.last_error = ""
        self.intermediate: Mapping[str, Any] = {}
        """What ``animate`` left on the way, when it was asked to keep it."""
        self._prepared: Any = None

    @abstractmethod
    def load_model(self) -> bool:
        """Load the weights and set ``initialized``. True when it went well.

        Raise ModelError with cause and remedy, or set ``last_error`` and return False.
        """

    @abstractmethod
    def preprocess_source_image(self, image: Image) -> Any:
        """What ``animate`` wants of the source image, computed once."""

    @abstractmethod
    def animate(
        self, source_image: Any, driving_landmarks: Driving, return_intermediate: bool = False
    ) -> Image:
        """The picture for one frame of the driving video.

        Args:
            source_image: what ``preprocess_source_image`` gave; None for that of ``set_source_image``.
            driving_landmarks: the frame. A model gets one without landmarks only if it says it needs none.
            return_intermediate: whether to leave what was computed on the way in ``self.intermediate``.

        Raise what goes wrong: a picture that was not computed must not look like one.
        """

    def capabilities(self) -> Capabilities:
        """What it needs and gives; asked for after ``load_model``."""
        return Capabilities(can_replace=self.can_replace)

    def set_source_image(self, image: Image) -> None:
        """Prepare the source image of all frames to come."""
        self._prepared = self.preprocess_source_image(image)

    def source(self, given: Any) -> Any:
        """The prepared source: the one that ``animate`` was given, else that of ``set_source_image``."""
        prepared = self._prepared if given is None else given
        if prepared is None:
            raise ModelError("There is no source image. Call set_source_image() first, or give one.")
        return prepared

    def prepare_clip(self, clip: Clip) -> None:
        """See the whole clip before its first frame."""
        return

    def animate_batch(self, driving: Sequence[Driving]) -> list[Image]:
        """The pictures of several frames, in their order, with the source of ``set_source_image``."""
        # Copied: a model may give the same buffer every time.
        return [np.array(self.animate(None, frame)) for frame in driving]

    def reset(self) -> None:
        """Forget the frames before: another clip begins."""
        return

    def unload_model(self) -> None:
        """Give the memory back. Twice is harmless."""
        self._prepared = None
        self.initialized = False

    def get_model_info(self) -> dict[str, Any]:
        """For the record, as plain data. What was really used, not what was asked for."""
        return {"name": type(self).__name__, "gpu_id": self.gpu_id, "initialized": self.initialized}

    def __enter__(self) -> Self:
        load(self)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.unload_model()


def load(model: BaseAnimationModel) -> None:
    """Load a model that is not loaded yet.

    Raises:
        ModelError: it cannot be loaded; the reason is not lost, though ``load_model`` may return False.
    """
    if model.initialized:
        return
    if not model.load_model():
        reason = model.last_error or "it gave no reason"
        raise ModelError(f"{type(model).__name__} cannot be loaded: {reason}.")
    model.initialized = True
