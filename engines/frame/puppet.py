"""Model ``puppet``: the preview engine's moving cut-out, frame by frame."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from engines.frame.model import BaseAnimationModel, Capabilities, Clip, Driving, Image, ModelError
from engines.preview import models, stage2
from engines.preview.puppet.composite import Stage
from engines.preview.track import PersonNotFound


@dataclass
class _Ready:
    """The puppet on its stage, and what is behind it in animate mode."""

    stage: Stage
    background: Image


class PuppetModel(BaseAnimationModel):
    """It needs no file of its own: the preview engine's small models find the figure."""

    path_required: ClassVar[bool] = False
    can_replace: ClassVar[bool] = True

    def __init__(self, model_path: Path | None = None, gpu_id: int = 0) -> None:
        super().__init__(model_path, gpu_id)
        self._ready: _Ready | None = None

    def load_model(self) -> bool:
        """See the base class."""
        try:
            models.check_models()
        except models.ModelsMissing as error:
            raise ModelError(str(error)) from error
        self.initialized = True
        return True

    def capabilities(self) -> Capabilities:
        """See the base class: it retargets the whole motion at once, and draws on the canvas."""
        return Capabilities(needs_landmarks=False, needs_clip=True, can_replace=True, output="canvas")

    def preprocess_source_image(self, image: Image) -> Image:
        """See the base class. The figure is cut out when the canvas is known."""
        return image

    def prepare_clip(self, clip: Clip) -> None:
        """See the base class."""
        try:
            reference = stage2.Reference.of(clip.canvas, self.source(None), clip.corner)
        except PersonNotFound as error:
            raise ModelError(str(error)) from error
        size = clip.canvas.shape[1], clip.canvas.shape[0]
        stage = stage2.prepare(reference, clip.track, size, replace_mode=clip.replace)
        self._ready = _Ready(stage, clip.canvas if clip.replace else reference.background())

    def animate(
        self, source_image: Image | None, driving_landmarks: Driving, return_intermediate: bool = False
    ) -> Image:
        """See the base class. The motion is that of ``prepare_clip``'s clip at the frame's index."""
        if self._ready is None:
            raise ModelError("The puppet must see the whole clip first: call prepare_clip().")
        scene = driving_landmarks["canvas"]
        picture = (self._ready.background if scene is None else scene).copy()
        self._ready.stage.draw(driving_landmarks["index"], picture)
        return picture

    def unload_model(self) -> None:
        """See the base class."""
        super().unload_model()
        self._ready = None
