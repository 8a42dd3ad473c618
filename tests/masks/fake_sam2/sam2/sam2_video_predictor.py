"""A predictor that keeps the rules of sam2's own, and finds an object by the colour that it had last.

An object is every pixel that is within 6 levels of a colour in its memory: those of its prompts and that of
the frame before. So a thing whose colour drifts is lost unless its memory is handed on, and one that comes
back after a while is found by its prompt's colour only if that was not forgotten.

FAKE_SAM2 in the environment says how it behaves: "old" (as of July 2024), "cuda" (there is a GPU), "limit=N"
(not more than N frames at once), "hang", "crash", "killed", "memory", "skips" (fails while it tracks).
"""

from __future__ import annotations

import importlib
import os
import signal
import sys
import time
from collections.abc import Iterator
from typing import Any

import numpy as np

torch: Any = importlib.import_module("torch")
stretched: Any = importlib.import_module("PIL.Image").stretched
Pixels = np.ndarray[Any, np.dtype[Any]]

FAKE = os.environ["FAKE_SAM2"].split()
MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
TOLERANCE = 6


def load_video_frames(**_: object) -> Any:
    raise NotImplementedError("Only MP4 video and JPEG folder are supported at this moment")


class Predictor:
    """The rules that all versions share."""

    def __init__(self, image_size: int) -> None:
        self.image_size = image_size

    def load_state_dict(self, tensors: dict[str, Any]) -> None:
        if "unknown" in tensors:
            raise RuntimeError("Unexpected key(s) in state_dict: unknown")
        assert all(tensor.dtype == np.float32 for tensor in tensors.values())

    def to(self, device: str) -> Predictor:
        return self

    def eval(self) -> Predictor:
        return self

    def init_state(self, video_path: str, offload_video_to_cpu: bool) -> dict[str, Any]:
        images, height, width = load_video_frames(video_path=video_path, image_size=self.image_size)
        limit = next((int(word[6:]) for word in FAKE if word.startswith("limit=")), 1000)
        assert len(images) <= limit, f"{len(images)} frames at once"
        return {"images": images, "size": (height, width), "objects": {}, "tracked": set()}

    def reset_state(self, state: dict[str, Any]) -> None:
        state["objects"].clear()
        state["tracked"].clear()

    def picture(self, state: dict[str, Any], place: int) -> Pixels:
        """The frame as it was given: the loader's preprocessing taken back, RGB [height, width, 3]."""
        image = np.asarray(state["images"][place])
        assert image.shape == (3, self.image_size, self.image_size)
        assert image.dtype == np.float32
        levels = (image.transpose(1, 2, 0) * DEVIATION + MEAN) * 255
        assert np.abs(levels - levels.round()).max() < 0.01
        height, width = state["size"]
        given: Pixels = stretched(levels.round(), width, height)
        return given

    def object_of(self, state: dict[str, Any], obj_id: int) -> dict[str, Any]:
        fresh: dict[str, Any] = {"remembered": [], "rejected": [], "last": None, "conditioned": {}}
        known: dict[str, Any] = state["objects"].setdefault(obj_id, fresh)
        return known

    def add_new_mask(self, state: dict[str, Any], frame_idx: int, obj_id: int, mask: Pixels) -> None:
        thing = self.object_of(state, obj_id)
        assert mask.dtype == bool
        assert mask.any(), "an empty mask says nothing"
        assert frame_idx not in thing["conditioned"], "points and mask on one frame"
        thing["remembered"].append(self.picture(state, frame_idx)[mask].mean(axis=0))
        thing["conditioned"][frame_idx] = mask

    def point(self, state: Any, frame_idx: int, obj_id: int, points: Any, labels: Any, box: Any) -> None:
        thing, picture = self.object_of(state, obj_id), self.picture(state, frame_idx)
        assert frame_idx not in thing["conditioned"] or frame_idx in state["tracked"]
        found = [(picture[int(y), int(x)], label) for (x, y), label in zip(points, labels, strict=True)]
        if box is not None:
            across, down = int(box[0] + box[2]) // 2, int(box[1] + box[3]) // 2
            found.append((picture[down, across], 1))
        if not any(label == 1 for _, label in found):
            assert frame_idx in state["tracked"], "negative points alone, and nothing tracked yet"
        thing["remembered"] += [colour for colour, label in found if label == 1]
        thing["rejected"] += [colour for colour, label in found if label == 0]
        thing["conditioned"][frame_idx] = self.look(thing, picture)

    def look(self, thing: dict[str, Any], picture: Pixels) -> Pixels:
        def close(colours: list[Pixels]) -> Pixels:
            near = [np.abs(picture - colour).max(axis=2) <= TOLERANCE for colour in colours]
            either: Pixels = np.logical_or.reduce([*near, np.zeros(picture.shape[:2], bool)])
            return either

        known = [*thing["remembered"], *([] if thing["last"] is None else [thing["last"]])]
        found: Pixels = close(known) & ~close(thing["rejected"])
        return found

    def propagate_in_video(
        self, state: dict[str, Any], start_frame_idx: int, max_frame_num_to_track: int
    ) -> Iterator[tuple[int, list[int], Any]]:
        assert torch.MODES == ["inference", "autocast"]
        if not state["objects"]:
            raise RuntimeError("No input points or masks are provided for any object.")
        state["tracking_has_started"] = True
        misbehave()
        end = min(start_frame_idx + max_frame_num_to_track, len(state["images"]) - 1)
        for place in range(start_frame_idx, end + 1):
            picture, masks = self.picture(state, place), []
            for thing in state["objects"].values():
                mask = thing["conditioned"].get(place)
                mask = self.look(thing, picture) if mask is None else mask
                thing["last"] = picture[mask].mean(axis=0) if mask.any() else thing["last"]
                masks.append(mask)
            state["tracked"].add(place)
            if "skips" not in FAKE or place != 3:
                logits = np.where(np.array(masks)[:, None], 5.0, -5.0).astype(np.float32)
                yield place, list(state["objects"]), torch.from_numpy(logits)


class NewPredictor(Predictor):
    """sam2 1.1.0."""

    def add_new_points_or_box(
        self, state: Any, frame_idx: int, obj_id: int, points: Any = None, labels: Any = None, box: Any = None
    ) -> None:
        assert points is not None or box is not None
        points, labels = ([], []) if points is None else (points, labels)
        self.point(state, frame_idx, obj_id, points, labels, box)


class OldPredictor(Predictor):
    """sam2 as Wan2.2 pins it: no boxes, and no new object once tracking has begun."""

    def init_state(self, video_path: str, offload_video_to_cpu: bool) -> dict[str, Any]:
        return super().init_state(video_path, offload_video_to_cpu) | {"tracking_has_started": False}

    def reset_state(self, state: dict[str, Any]) -> None:
        super().reset_state(state)
        state["tracking_has_started"] = False

    def object_of(self, state: dict[str, Any], obj_id: int) -> dict[str, Any]:
        assert obj_id in state["objects"] or not state["tracking_has_started"]
        assert set(state["objects"]) <= {obj_id}, "an object without a prompt would count as absent"
        return super().object_of(state, obj_id)

    def add_new_points(self, state: Any, frame_idx: int, obj_id: int, points: Any, labels: Any) -> None:
        corners = [tuple(point) for point, label in zip(points, labels, strict=True) if label in (2, 3)]
        box = [*corners[0], *corners[1]] if corners else None
        clicks = [label in (0, 1) for label in labels]
        self.point(state, frame_idx, obj_id, points[clicks], labels[clicks], box)


def misbehave() -> None:
    if "hang" in FAKE:
        print("hanging", flush=True)
        time.sleep(600)
    if "crash" in FAKE:
        print("Fatal: the driver is gone", file=sys.stderr, flush=True)
        os._exit(3)
    if "killed" in FAKE:
        os.kill(os.getpid(), signal.SIGKILL)
    if "memory" in FAKE:
        raise RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB.")


MODEL = OldPredictor if "old" in FAKE else NewPredictor
SAM2VideoPredictor = MODEL
