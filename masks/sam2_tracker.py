"""SAM 2's video predictor, as the worker process uses it: run by an interpreter that has torch and sam2.

It belongs to ``sam2_worker.py`` and imports nothing of ours. Everything heavy is imported inside, so that its
errors reach who asked.
"""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

_MEAN, _DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Of ImageNet, RGB of 0..1; sam2/utils/misc.py, load_video_frames."""


class Old(Exception):
    """This sam2 package is too old for what is asked."""


class Frames:
    """The frames of a piece, in place of the tensor that sam2 makes of a folder of pictures.

    They are kept as uint8 [image_size, image_size, 3], a quarter of the tensor's memory, and become what
    sam2 would have made of them when it asks: float32 [3, image_size, image_size], less the mean, divided by
    the deviation.
    """

    def __init__(self, image_size: int) -> None:
        self.image_size = image_size
        self.width = self.height = 0
        self._stretched: list[Any] = []

    def append(self, rgb: bytes, width: int, height: int) -> None:
        """Stretch a frame as sam2's own loader does, by Pillow."""
        import numpy
        from PIL import Image  # type: ignore[import-not-found, unused-ignore]

        picture = Image.frombytes("RGB", (width, height), rgb)
        self.width, self.height = width, height
        self._stretched.append(numpy.array(picture.resize((self.image_size, self.image_size))))

    def __len__(self) -> int:
        return len(self._stretched)

    def __getitem__(self, place: int) -> Any:
        import numpy
        import torch  # type: ignore[import-not-found, unused-ignore]

        scaled = (self._stretched[place] / 255.0).astype(numpy.float32)
        scaled -= numpy.array(_MEAN, numpy.float32)
        scaled /= numpy.array(_DEVIATION, numpy.float32)
        return torch.from_numpy(numpy.ascontiguousarray(scaled.transpose(2, 0, 1)))


class Tracker:
    """SAM 2's video predictor, loaded."""

    def __init__(self, checkpoint: str, config: str, image_size: int, device: str) -> None:
        import torch  # type: ignore[import-not-found, unused-ignore]
        from sam2 import sam2_video_predictor
        from sam2.build_sam import build_sam2_video_predictor

        self.device = device if device != "auto" else "cuda" if torch.cuda.is_available() else "cpu"
        if (
            not hasattr(sam2_video_predictor.SAM2VideoPredictor, "add_new_points_or_box")
            and self.device != "cuda"
        ):
            raise Old("this sam2 package is of July 2024, which needs a CUDA device")
        size = [f"++model.image_size={image_size}"]
        try:
            model = build_sam2_video_predictor(config, None, device="cpu", hydra_overrides_extra=size)
        except Exception as error:
            if type(error).__name__ == "MissingConfigException":
                raise Old(
                    f"this sam2 package has no config {config}, so it is older than the checkpoint"
                ) from error
            raise
        if importlib.util.find_spec("sam2._C") is None:
            # Its compiled part fills holes of a few pixels. Without it the old package fails and the new one
            # warns for every frame.
            model.fill_hole_area = 0
        try:
            model.load_state_dict(read_tensors(Path(checkpoint)))
        except Exception as error:
            raise ValueError(f"the tensors of {checkpoint} do not fit {config}: {error}") from error
        self._torch, self._sam2, self._model = torch, sam2_video_predictor, model.to(self.device).eval()
        self._image_size = image_size
        self.frames = Frames(image_size)

    def track(self, tracks: list[dict[str, Any]], masks: bytes) -> Iterator[tuple[int, list[int], Any]]:
        """Place, object numbers, packed masks uint8 [objects, bytes]: every frame from the first start on.

        Under bfloat16 on the CPU too: sam2 keeps its memory as bfloat16, and with float32 beside it fails for
        objects that start on different frames.
        """
        frames, self.frames = self.frames, Frames(self._image_size)
        self._sam2.load_video_frames = lambda *_, **__: (frames, frames.height, frames.width)
        with self._torch.inference_mode(), self._torch.autocast(self.device, dtype=self._torch.bfloat16):
            state = self._model.init_state("", offload_video_to_cpu=True)
            self._unpack(tracks, masks, frames)
            # Until December 2024 objects were tracked as one batch: none could be added later, and one
            # without a prompt on a frame where another has one counted as absent there.
            together = "tracking_has_started" not in state
            for group in [tracks] if together else [[track] for track in tracks]:
                yield from self._track_group(state, group, last=len(frames) - 1)
                self._model.reset_state(state)

    def _unpack(self, tracks: list[dict[str, Any]], masks: bytes, frames: Frames) -> None:
        """Put in place of each "mask" the bool [height, width] that it stands for."""
        import numpy

        pixels = frames.width * frames.height
        packed = numpy.frombuffer(masks, numpy.uint8).reshape(-1, -(-pixels // 8))
        taken = iter(packed)
        for track in tracks:
            if track["mask"]:
                bits = numpy.unpackbits(next(taken), count=pixels)
                track["mask"] = bits.reshape(frames.height, frames.width).astype(bool)
            else:
                track["mask"] = None

    def _track_group(
        self, state: Any, tracks: list[dict[str, Any]], last: int
    ) -> Iterator[tuple[int, list[int], Any]]:
        """Track objects in one go. It stops where one starts or is corrected, and goes on from there."""
        corrections = [
            (prompt["place"], track, prompt) for track in tracks for prompt in track["corrections"]
        ]
        stops = sorted({track["start"] for track in tracks} | {place for place, _, _ in corrections})
        for stop, following in zip(stops, [*stops[1:], last], strict=True):
            for track in tracks:
                if track["start"] == stop:
                    self._start(state, track)
            for place, track, prompt in corrections:
                if place == stop:
                    self._point(state, track["object"], prompt)
            # A correction needs its frame tracked, so each leg ends on the next one's first frame.
            is_last = stop == stops[-1]
            for place, numbers, logits in self._model.propagate_in_video(
                state, start_frame_idx=stop, max_frame_num_to_track=following - stop
            ):
                if place < following or is_last:
                    yield place, list(numbers), self._packed(logits)

    def _packed(self, logits: Any) -> Any:
        import numpy

        masks = (logits > 0).cpu().numpy()
        return numpy.packbits(masks.reshape(len(masks), -1), axis=1)

    def _start(self, state: Any, track: dict[str, Any]) -> None:
        if track["mask"] is not None:
            self._model.add_new_mask(state, track["start"], track["object"], track["mask"])
        for prompt in track["anchors"]:
            self._point(state, track["object"], prompt)

    def _point(self, state: Any, number: int, prompt: dict[str, Any]) -> None:
        """Give points and box of one frame. Where sam2 knows no boxes, it is its corners, labels 2 and 3."""
        import numpy

        points, labels, box = prompt["points"], prompt["labels"], prompt["box"]
        add = getattr(self._model, "add_new_points_or_box", None)
        if box and add is None:
            points, labels = [box[:2], box[2:], *points], [2, 3, *labels]
        given: dict[str, Any] = {}
        if points:
            given = {"points": numpy.array(points, numpy.float32), "labels": numpy.array(labels, numpy.int32)}
        if add is None:
            self._model.add_new_points(state, prompt["place"], number, **given)
        else:
            add(state, prompt["place"], number, box=box and numpy.array(box, numpy.float32), **given)


def read_tensors(path: Path) -> dict[str, Any]:
    """The tensors of a .pt (weights only, nothing else is unpickled) or .safetensors file, as float32."""
    import torch  # type: ignore[import-not-found, unused-ignore]

    with path.open("rb") as file:
        is_zip = file.read(4) == b"PK\x03\x04"
    tensors = (
        dict(torch.load(path, map_location="cpu", weights_only=True)) if is_zip else read_safetensors(path)
    )
    inner = max((value for value in tensors.values() if isinstance(value, dict)), key=len, default=None)
    return {name: value.float() for name, value in (inner or tensors).items()}


def read_safetensors(path: Path) -> dict[str, Any]:
    """By the format's description: 8 bytes length, JSON with type, shape and place of each tensor, data."""
    import torch  # type: ignore[import-not-found, unused-ignore]

    types = {"F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16}
    content = bytearray(path.read_bytes())
    begin = 8 + int.from_bytes(content[:8], "little")
    header = json.loads(content[8:begin])
    header.pop("__metadata__", None)
    tensors = {}
    for name, entry in header.items():
        count = 1
        for length in entry["shape"]:
            count *= length
        flat = torch.frombuffer(
            content, dtype=types[entry["dtype"]], count=count, offset=begin + entry["data_offsets"][0]
        )
        tensors[name] = flat.reshape(entry["shape"])
    return tensors
