"""Run any frame model over a driving clip: batches in order, every picture checked, as many out as in."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import repeat
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np

import preprocess
from engines import source_folder
from engines.frame.configuration import FrameConfiguration, Missing
from engines.frame.driving import driving_frames, pictures
from engines.frame.making import kept_model
from engines.frame.model import (
    BaseAnimationModel,
    Capabilities,
    Clip,
    Driving,
    Image,
    ModelError,
)
from engines.preview import stage2_media
from engines.timing import Timing

Report = Callable[[str, int, int], None]

COMMENT: Final = "Understudy frame engine: the reference image animated frame by frame by the model {0}"
_LOOK_AHEAD: Final = 4
"""Batches of frames that may wait, where many of them need no computing."""


@dataclass
class Made:
    """What a run did, for its record."""

    facts: dict[str, Any] = field(default_factory=dict)


def render(
    configuration: FrameConfiguration,
    folder: Path,
    output: Path,
    timing: Timing,
    report: Report,
    *,
    replace: bool,
    made: Made | None = None,
) -> None:
    """Write the animated reference image: as many frames as ``src_pose.mp4``, of its size and rate.

    Args:
        folder: the preview engine's stage 1.
        report: called as (phase, done, total); may raise to cancel between batches.

    Raises:
        ModelError: the model cannot be loaded, cannot do this job, or fails.
        MediaError: a file cannot be read, or they do not belong together.
    """
    report("load the model", 0, 1)
    model = kept_model(configuration)
    capabilities = model.capabilities()
    _check_job(configuration.model, capabilities, timing, replace=replace)
    info = preprocess.probe_video(folder / source_folder.POSE)
    size = (info.width, info.height)
    track = stage2_media.read_driver(folder / source_folder.TRACK, info.frame_count)
    picture = preprocess.read_picture(folder / source_folder.REFERENCE)
    canvas, content, corner = stage2_media.on_canvas(picture, size)
    runner = Runner(configuration, model, canvas, content, corner)
    runner.begin(Clip(track, info.frame_count, replace, canvas, corner))
    report("load the model", 1, 1)
    scenes: Iterable[Image | None] = (
        stage2_media.scenes(folder) if replace else repeat(None, info.frame_count)
    )
    frames = driving_frames(track, float(info.rate), pictures(timing, track), scenes)
    comment = COMMENT.format(configuration.model)
    writer = preprocess.VideoWriter(output, *size, info.rate, metadata={"comment": comment})
    with writer, stage2_media.write_in_background(writer) as write:
        for done, image in enumerate(runner.run(frames), start=1):
            write(image)
            report("animate", done, info.frame_count)
    if made is not None:
        made.facts = runner.facts()


def _check_job(name: str, capabilities: Capabilities, timing: Timing, *, replace: bool) -> None:
    if replace and not capabilities.can_replace:
        raise ModelError(f"Model '{name}' cannot draw into the driving scene. Leave out --replace.")
    video = timing.sampled_video
    if capabilities.needs_frame and (video is None or not video.is_file()):
        where = "is not known" if video is None else f"is not there any more ({video})"
        raise ModelError(f"Model '{name}' needs the driving pictures; the driving video {where}.")


@dataclass(frozen=True)
class _Slot:
    """What one picture comes from: a frame to animate, or a still to show, or else the picture before."""

    frame: Driving | None = None
    still: Image | None = None


class Runner:
    """One model, one source image, one clip.

    Args:
        canvas: the source image on the result's canvas; ``content`` is it without its bars, at ``corner``.
    """

    def __init__(
        self,
        configuration: FrameConfiguration,
        model: BaseAnimationModel,
        canvas: Image,
        content: Image,
        corner: tuple[int, int],
    ) -> None:
        self._name, self._missing, self._model = configuration.model, configuration.missing, model
        self._capabilities = model.capabilities()
        self._canvas, self._content, self._corner = canvas, content, corner
        self._batch = batch_of(configuration, self._capabilities)
        self._without_face = 0

    def begin(self, clip: Clip) -> None:
        """Give the model the source image and, if it wants it, the clip."""
        swap = self._swapped
        self._call(0, lambda: self._model.set_source_image(swap(self._content)))
        if self._capabilities.needs_clip:
            turned = Clip(clip.track, clip.frames, clip.replace, swap(clip.canvas), clip.corner)
            self._call(0, lambda: self._model.prepare_clip(turned))
        self._call(0, self._model.reset)

    def run(self, frames: Iterable[Driving]) -> Iterator[Image]:
        """One picture of the canvas's size for each frame, in order. RGB, and the caller's own."""
        last = self._canvas
        for group in self._groups(frames):
            made = iter(self._animate([slot.frame for slot in group if slot.frame is not None]))
            for slot in group:
                if slot.frame is not None:
                    last = next(made)
                elif slot.still is not None:
                    last = slot.still
                yield last if slot.frame is not None else last.copy()

    def facts(self) -> dict[str, Any]:
        """For the record."""
        return {
            "frame_model": {**self._model.get_model_info(), "name": self._name},
            "batch_size": self._batch,
            "frames_without_face": self._without_face,
        }

    def _groups(self, frames: Iterable[Driving]) -> Iterator[list[_Slot]]:
        """What to do for each frame, in groups with at most a batch to compute."""
        group: list[_Slot] = []
        computed = 0
        for slot in self._slots(frames):
            group.append(slot)
            computed += slot.frame is not None
            if computed == self._batch or len(group) == _LOOK_AHEAD * self._batch:
                yield group
                group, computed = [], 0
        if group:
            yield group

    def _slots(self, frames: Iterable[Driving]) -> Iterator[_Slot]:
        last: Driving | None = None
        for frame in frames:
            if frame["landmarks"] is not None:
                last = frame
            else:
                self._without_face += 1
            if frame["landmarks"] is not None or not self._capabilities.needs_landmarks:
                yield _Slot(frame)
            else:
                still = self._canvas if frame["canvas"] is None else frame["canvas"]
                yield _without_face(self._name, frame, last, self._missing, still)

    def _animate(self, frames: Sequence[Driving]) -> list[Image]:
        if not frames:
            return []
        turned = [self._turned(frame) for frame in frames]
        first = frames[0]["index"]
        made = self._call(first, lambda: self._model.animate_batch(turned))
        if not isinstance(made, (list, tuple)) or len(made) != len(frames):
            count = len(made) if isinstance(made, (list, tuple)) else "no list of"
            raise ModelError(
                f"Model '{self._name}' was given {len(frames)} frames and answered {count} pictures."
            )
        return [self._on_canvas(image, frame["index"]) for image, frame in zip(made, frames, strict=True)]

    def _on_canvas(self, image: Any, index: int) -> Image:
        """A model's picture, checked, where it belongs."""
        wanted = (self._canvas if self._capabilities.output == "canvas" else self._content).shape
        where = f"Model '{self._name}', frame {index}: the picture"
        if (
            not isinstance(image, np.ndarray)
            or image.dtype != np.uint8
            or image.ndim != 3
            or image.shape[2] != 3
        ):
            what = f"{image.dtype} {image.shape}" if isinstance(image, np.ndarray) else type(image).__name__
            raise ModelError(f"{where} is {what}; uint8 [height, width, 3] was expected.")
        if image.shape != wanted and self._capabilities.output == "own":
            scaled = cv2.resize(image, (wanted[1], wanted[0]), interpolation=cv2.INTER_LINEAR)
            image = np.asarray(scaled, np.uint8)
        if image.shape != wanted:
            sizes = f"{image.shape[1]}x{image.shape[0]}; {wanted[1]}x{wanted[0]} was expected"
            remedy = "Give pictures of the source's size, or say output='own' in capabilities()."
            raise ModelError(f"{where} is {sizes}. {remedy}")
        result = self._canvas.copy()
        left, top = (0, 0) if self._capabilities.output == "canvas" else self._corner
        result[top : top + wanted[0], left : left + wanted[1]] = self._swapped(image)
        return result

    def _turned(self, frame: Driving) -> Driving:
        """A frame's pictures in the model's order of colours."""
        if self._capabilities.color == "RGB":
            return frame
        turned = frame.copy()
        turned["frame"] = None if frame["frame"] is None else self._swapped(frame["frame"])
        turned["canvas"] = None if frame["canvas"] is None else self._swapped(frame["canvas"])
        return turned

    def _swapped(self, image: Image) -> Image:
        """RGB to the model's order of colours, or back."""
        return image if self._capabilities.color == "RGB" else np.ascontiguousarray(image[..., ::-1])

    def _call(self, index: int, work: Callable[[], Any]) -> Any:
        """The model's own errors are no errors of ours: they say whose they are, and are not swallowed."""
        try:
            return work()
        except ModelError:
            raise
        except MemoryError as error:
            raise ModelError(
                f"Model '{self._name}' ran out of memory at frame {index}. Take a smaller batch_size."
            ) from error
        except Exception as error:
            what = f"{type(error).__name__}: {error}"
            raise ModelError(f"Model '{self._name}' failed at frame {index}: {what}") from error


def _without_face(name: str, frame: Driving, last: Driving | None, missing: Missing, still: Image) -> _Slot:
    if missing == "fail":
        raise ModelError(
            f"No face was found in frame {frame['index']}, and model '{name}' needs one. Choose another "
            "clip, or another rule under 'missing'."
        )
    if missing == "skip":
        return _Slot()
    if missing == "source" or last is None:
        return _Slot(still=still)
    held = frame.copy()
    held["landmarks"], held["depth"], held["key_points"] = (
        last["landmarks"],
        last["depth"],
        last["key_points"],
    )
    held["bbox"], held["angles"] = last["bbox"], last["angles"]
    return _Slot(held)


def batch_of(configuration: FrameConfiguration, capabilities: Capabilities) -> int:
    """Frames at once.

    Raises:
        ModelError: more are wanted than the model takes.
    """
    if configuration.batch_size is None:
        from engines.frame.tuning import remembered_batch

        return min(remembered_batch(configuration) or 1, capabilities.max_batch)
    if configuration.batch_size > capabilities.max_batch:
        raise ModelError(
            f"batch_size: model '{configuration.model}' takes up to {capabilities.max_batch} frames at once; "
            f"{configuration.batch_size} are wanted. Make it smaller."
        )
    return configuration.batch_size
