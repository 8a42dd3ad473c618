"""The segmenter that asks SAM 2, in a process of its own: torch never runs in ours."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from masks.clip import Clip
from masks.errors import MaskError
from masks.prompts import MaskObject, Prompt
from masks.sam2_checkpoint import Sam2Model, find_checkpoint, recognise_checkpoint
from masks.sam2_plan import Pass, Piece, Placed, Track, first_anchor, plan_passes
from masks.sam2_process import Sam2Process, find_python
from masks.segmenter import Report
from masks.store import MaskStore
from preprocess import Image

__all__ = ["PIECE_LENGTH", "Sam2Segmenter", "find_checkpoint", "find_python", "speed_notice"]

PIECE_LENGTH: Final = 240
"""Frames that the worker holds at once, but for the edge and the reminders."""

_PHASE: Final = "masking with SAM 2"
_SECONDS_ON_CPU: Final = {"tiny": 5.0, "small": 6.0, "base_plus": 9.0, "large": 19.0}
"""CPU seconds that one frame takes at image size 1024 for one object."""


class Sam2Segmenter:
    """Tracks what was clicked with SAM 2, forwards and backwards, in pieces of bounded memory.

    Memory of the worker: about 4 MB for each frame of a piece and one object (the frame as SAM 2 sees it
    3.1 MB, what it remembers of an object 0.8 MB) at image size 1024: with 240 frames 1 GB, beside the model.

    Args:
        python: interpreter that has torch and sam2: see ``sam2_process.find_python``.
        checkpoint: of SAM 2 or 2.1, any size, .pt or .safetensors.
        image_size: side of the square that SAM 2 sees. Its weights are made for 1024.
        piece: frames of a piece.
        device: cpu, cuda, or auto: cuda where torch has it, else cpu. Apple's GPUs are not used.
        notice: is told, once, in a full sentence, when it will be slow.
    """

    name = "sam2"

    def __init__(
        self,
        python: Path,
        checkpoint: Path,
        *,
        image_size: int = 1024,
        piece: int = PIECE_LENGTH,
        device: str = "auto",
        notice: Callable[[str], None] = lambda text: None,
    ) -> None:
        self.python, self.checkpoint = python, checkpoint
        self.image_size, self.piece, self.device, self.notice = image_size, piece, device, notice

    def segment(self, clip: Clip, objects: Sequence[MaskObject], store: MaskStore, report: Report) -> None:
        """Put the mask of every object in every frame into the store; see ``masks.segmenter.Segmenter``.

        Raises:
            MaskError: the checkpoint is no SAM 2, the worker cannot be started or fails, or an object has
                negative points only.
            preprocess.MediaError: the video cannot be read.
        """
        model = recognise_checkpoint(self.checkpoint)
        _check_anchors(objects)
        passes = plan_passes(objects, clip.frame_count, self.piece)
        report(f"loading {model.name}", 0, 1)
        with Sam2Process(self.python) as process:
            process.send(
                {
                    "do": "load",
                    "checkpoint": str(self.checkpoint),
                    "config": model.config_name,
                    "image_size": self.image_size,
                    "device": self.device,
                }
            )
            loaded, _ = process.receive(lambda: report(f"loading {model.name}", 0, 1))
            if loaded["device"] == "cpu":
                self.notice(speed_notice(model, clip.frame_count, self.image_size))
            work = _Work(clip, objects, store, report, process)
            for one in passes:
                work.go_through(one)
            work.check_all_covered()


class _Work:
    """One clip on its way through the worker."""

    def __init__(
        self,
        clip: Clip,
        objects: Sequence[MaskObject],
        store: MaskStore,
        report: Report,
        process: Sam2Process,
    ) -> None:
        self._clip, self._objects, self._store = clip, objects, store
        self._report, self._process = report, process
        self._first = [first_anchor(thing) for thing in objects]
        self._covered = np.zeros((len(objects), clip.frame_count), np.bool_)
        self._kept: dict[int, Image] = {}
        """Frames that later pieces see again: on which something is pointed out, and the last one."""
        self._edges: dict[int, bytes] = {}
        """Packed mask of each object on the last frame of the piece before."""

    def go_through(self, one: Pass) -> None:
        """Track all that the pass covers."""
        self._kept.clear()
        self._edges.clear()
        order = one.frames
        if one.backwards:
            frames = self._clip.frames_backwards(0, order[0] + 1)
        else:
            frames = self._clip.frames(order[0])
        for piece, following in zip(one.pieces, [*one.pieces[1:], None], strict=True):
            needed_again = set(following.frames[: following.first_new]) if following else set()
            self._send_frames(piece, frames, needed_again)
            self._track(piece, backwards=one.backwards)

    def check_all_covered(self) -> None:
        """See that every object was tracked through every frame.

        Raises:
            MaskError: it was not.
        """
        if not self._covered.all():
            number, frame = np.argwhere(~self._covered)[0]
            what = f"SAM 2 gave no answer for {self._objects[number].name} on frame {frame}."
            raise MaskError(
                what, "Install sam2 1.1.0 for it, or use --segmenter classic.", code="mask.sam2-failed"
            )

    def _send_frames(self, piece: Piece, frames: Iterator[Image], needed_again: set[int]) -> None:
        kept = {}
        for place, number in enumerate(piece.frames):
            frame = self._kept[number] if place < piece.first_new else next(frames)
            if number in needed_again:
                kept[number] = frame
            height, width = frame.shape[:2]
            self._process.send({"do": "frame", "width": width, "height": height}, frame.tobytes())
            self._tick()
        self._kept = kept

    def _track(self, piece: Piece, *, backwards: bool) -> None:
        tracks = [self._described(track) for track in piece.tracks]
        masks = b"".join(self._edges[track["object"]] for track in tracks if track["mask"])
        self._process.send({"do": "track", "tracks": tracks}, masks)
        while True:
            answer, content = self._process.receive(self._tick)
            if "tracked" in answer:
                return
            size = len(content) // max(len(answer["objects"]), 1)
            for position, number in enumerate(answer["objects"]):
                packed = content[position * size : (position + 1) * size]
                self._edges[number] = packed
                if answer["place"] >= piece.first_new:
                    self._found(number, piece.frames[answer["place"]], packed, backwards=backwards)
            self._tick()

    def _described(self, track: Track) -> dict[str, Any]:
        return {
            "object": track.number,
            "start": track.start,
            "mask": track.handed_over and any(self._edges[track.number]),
            "anchors": [_described(placed) for placed in track.anchors],
            "corrections": [_described(placed) for placed in track.corrections],
        }

    def _found(self, number: int, frame: int, packed: bytes, *, backwards: bool) -> None:
        """Store a mask. The frame from which an object goes both ways is the forward pass's."""
        if backwards and frame >= self._first[number]:
            return
        self._covered[number, frame] = True
        width, height = self._store.width, self._store.height
        bits = np.unpackbits(np.frombuffer(packed, np.uint8), count=width * height)
        mask: NDArray[np.uint8] = bits.reshape(height, width)
        self._store.add(frame, mask, excluded=self._objects[number].excluded)

    def _tick(self) -> None:
        self._report(_PHASE, int(self._covered.sum()), self._covered.size)


def speed_notice(model: Sam2Model, frame_count: int, image_size: int = 1024) -> str:
    """How long SAM 2 takes on the CPU, in full sentences."""
    seconds = _SECONDS_ON_CPU[model.size] * (image_size / 1024) ** 2
    total = seconds * frame_count
    takes = f"{total / 60:.0f} minutes" if total >= 90 else f"{total:.0f} seconds"
    return (
        f"{model.name} runs on the CPU, which takes about {seconds:.2g} seconds of one core for each frame: "
        f"{takes} for {frame_count} frames and one object, less on several cores. A GPU takes a fraction; "
        "--segmenter classic needs none."
    )


def _check_anchors(objects: Sequence[MaskObject]) -> None:
    for thing in objects:
        try:
            first_anchor(thing)
        except ValueError as error:
            raise MaskError(
                f'"{thing.name}" has negative points only, which do not say where it is.',
                "Give it a positive point or a box.",
                code="mask.points-no-positive",
            ) from error


def _described(placed: Placed) -> dict[str, Any]:
    place, prompt = placed
    return {"place": place, **_clicks(prompt)}


def _clicks(prompt: Prompt) -> dict[str, Any]:
    box = prompt.box
    return {
        "points": [[point.x, point.y] for point in prompt.points],
        "labels": [int(point.positive) for point in prompt.points],
        "box": box and [box.left, box.top, box.right, box.bottom],
    }
