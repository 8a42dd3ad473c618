"""The work of the stage 1 stand-in: upstream's checks, order of lines, frame counts, sizes and files.

The misspelt name is upstream's. Skeletons, faces and masks are moving boxes; what is exact is what other
programs rely on: which files, how many frames, what size and rate, the words on both streams, and the calls
of SAM 2's predictor, whose masks are those that are written.
"""

from __future__ import annotations

import math
import os
import shutil
import sys
import time
from datetime import datetime
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

from sam_utils import build_sam2_video_predictor  # in every mode, as upstream
from standin_faults import MASKS, MIDDLE, POSES, fault_of, spoil, strike
from standin_support import Bar, plane, probe, seconds, walk, write_video

if TYPE_CHECKING:
    import argparse

    import numpy as np

# Where upstream logs, by mode: the line numbers stand in its log lines.
LOG_LINES = {
    "animate": {"reference": 127, "template": 138, "pose": 163},
    "replace": {"pose": 67, "reference": 82, "template": 89},
}
SAM_CHUNK = 400  # frames
PICTURES = 8  # of each video, which go round


def log(line: int, text: str) -> None:
    """One line as loguru writes it to a stream that is no terminal."""
    now = datetime.now().strftime("%Y-%m-%d %H:%M:%S.%f")[:-3]
    print(f"{now} | INFO     | process_pipepline:__call__:{line} - {text}", file=sys.stderr, flush=True)


def warn_no_gpu() -> None:
    """What ONNX Runtime says, in colour even into a pipe, when it has no CUDA provider."""
    now = datetime.now().strftime("%Y-%m-%d %H:%M:%S.%f")
    print(
        f"\x1b[0;93m{now}000 [W:onnxruntime:Default, onnxruntime_pybind_state.cc:856 operator()] "
        "No registered plugin EP device found for 'CUDAExecutionProvider' with device_id=0\x1b[m",
        file=sys.stderr, flush=True,
    )  # fmt: skip


def canvas_size(width: int, height: int, area: int) -> tuple[int, int]:
    """Upstream's effective size rule, in its float order."""
    ratio = width / height
    ideal_height = math.sqrt(area / ratio)
    ideal_width = area / ideal_height
    return int(ideal_width // 16 * 16), int(ideal_height // 16 * 16)


def written_frames(frame_count: int, rate: float) -> int:
    """How many frames moviepy 1.0.3 writes of a list of `frame_count`: the entries of arange(0, D, 1 / rate),
    where D is the float sum of the durations. One too many for many lengths."""
    total = sum([1.0 / rate] * frame_count)
    return math.ceil(total / (1.0 / rate))


def two_levels(mask: np.ndarray, width: int, outside: int, inside: int) -> np.ndarray:
    """A grey picture as `plane` makes, as wide as asked for: `inside` where the mask is, else `outside`."""
    height, masked = mask.shape
    picture = plane(width, height, outside, None, 0)
    picture[:height, :masked][mask] = inside
    return picture


class ProcessPipeline:
    """Upstream's pipeline object: loading checks in the constructor, the work in `run`."""

    def __init__(self, pose: str, detector: str, sam: str | None, flux: str | None) -> None:
        for checkpoint in (detector, pose):
            if not os.path.exists(checkpoint):  # noqa: PTH110
                raise RuntimeError(f"{checkpoint} is not existed!")
            warn_no_gpu()
        if sam is not None:
            self.predictor = build_sam2_video_predictor("sam2_hiera_l.yaml", sam)
        if flux is not None and not os.path.isdir(flux):  # noqa: PTH112
            raise ValueError(
                f'The provided pretrained_model_name_or_path "{flux}" is neither a valid local path '
                "nor a valid repo id."
            )
        self.fault = fault_of("preprocess")
        self.seconds = seconds(self.fault)

    def run(self, arguments: argparse.Namespace) -> None:
        mode = "replace" if arguments.replace_flag else "animate"
        lines = LOG_LINES[mode]
        area = arguments.resolution_area[0] * arguments.resolution_area[1]
        masks: list[np.ndarray] = []
        if mode == "replace":
            source, count, rate = self._sample(arguments)
            canvas = canvas_size(*source, area)
            self._estimate_poses(lines["pose"], count)
            strike(self.fault, POSES)
            self._copy_reference(arguments, lines["reference"])
            log(lines["template"], f"Processing template video: {arguments.video_path}")
            masks = self._segment(count, *canvas)
            if arguments.iterations > 0:  # it is the growing that stumbles over a mask
                strike(self.fault, MASKS)
        else:
            canvas = canvas_size(*self._copy_reference(arguments, lines["reference"]), area)
            log(lines["template"], f"Processing template video: {arguments.video_path}")
            _, count, rate = self._sample(arguments)
            self._estimate_poses(lines["pose"], count)
            strike(self.fault, POSES)
            if arguments.retarget_flag:
                self._retarget(arguments, count)
        self._write_files(Path(arguments.save_path), self._contents(mode, *canvas, masks), count, rate)

    def _copy_reference(self, arguments: argparse.Namespace, line: int) -> tuple[int, int]:
        """Copy the reference image byte for byte (mode bits too); its width and height as shown."""
        import cv2

        log(line, f"Processing reference image: {arguments.refer_path}")
        picture = None if arguments.refer_path is None else cv2.imread(arguments.refer_path)
        shutil.copy(arguments.refer_path, os.path.join(arguments.save_path, "src_ref.png"))  # noqa: PTH118
        height, width = picture[..., ::-1].shape[:2]
        return width, height

    def _sample(self, arguments: argparse.Namespace) -> tuple[tuple[int, int], int, float]:
        """Print the four facts of sampling; the source's size, the number of frames taken, and their rate."""
        frame_count, width, height, source_rate = probe(arguments.video_path)
        print(f"frame_num: {frame_count}")
        print(f"video_fps: {source_rate}")
        print(f"fps: {arguments.fps}")
        rate = source_rate if arguments.fps == -1 else arguments.fps
        count = int(frame_count / source_rate * rate)
        print(f"target_num: {count}")
        return (width, height), count, rate

    @staticmethod
    def _estimate_poses(line: int, count: int) -> None:
        """Silent in upstream, for all its length; no frame at all is an error."""
        log(line, "Processing pose meta")
        if count <= 0:
            raise IndexError("list index out of range")

    def _segment(self, count: int, width: int, height: int) -> list[np.ndarray]:
        """Ask SAM 2 for the masks, chunk by chunk: bool [height, width], those of the first few frames."""
        import numpy as np

        masks: list[np.ndarray] = []
        frame = np.zeros((height, width, 3), np.uint8)
        for start in range(0, count, SAM_CHUNK):
            length = min(SAM_CHUNK, count - start)
            state = self.predictor.init_state_v2(frames=[frame] * length)
            self.predictor.reset_state(state)
            for number in range(0, length, length // 4 if length > 4 else length):
                clicks = {"points": np.zeros((8, 2), np.int32), "labels": np.ones(8, np.int32)}
                self.predictor.add_new_points(inference_state=state, frame_idx=number, obj_id=1, **clicks)
            for number, objects, logits in self.predictor.propagate_in_video(state):
                assert objects == [1]
                if start + number < PICTURES:
                    masks.append((logits[0] > 0.0).cpu().numpy()[0])
        return masks

    def _retarget(self, arguments: argparse.Namespace, count: int) -> None:
        if arguments.use_flux:
            for name in ("refer_edit.png", "tpl_edit.png"):
                walk(Bar(28), self.seconds * 0.2)
                shutil.copy(arguments.refer_path, Path(arguments.save_path, name))
        walk(Bar(count), self.seconds * 0.1)

    def _write_files(
        self, folder: Path, contents: dict[str, list[np.ndarray]], count: int, rate: float
    ) -> None:
        frames = written_frames(count, rate)
        if self.fault == "reference_missing":
            (folder / "src_ref.png").unlink()
        names = [] if self.fault == "exit0_no_file" else list(contents)
        for name, pictures in contents.items():
            short = 3 if self.fault == "wrong_frame_count" and name == "src_face.mp4" else 0
            target = folder / name if name in names else None
            time.sleep(self.seconds * 0.4 / len(contents))
            self._write_one(folder / name, target, pictures, frames - short, rate)
        if names:
            spoil(folder / names[-1], self.fault)

    def _contents(
        self, mode: str, width: int, height: int, masks: list[np.ndarray]
    ) -> dict[str, list[np.ndarray]]:
        """What goes round in each video: boxes for skeleton and face; the masks and a scene without them."""
        wider = width + 16 if self.fault == "wrong_canvas" else width
        downwards = [height * number // (2 * PICTURES) for number in range(PICTURES)]
        limbs = [(width // 2, y, width // 2 + 32, y + 32) for y in downwards]
        pose_width = width if mode == "replace" else wider
        side = 256 if self.fault == "face_wrong_size" else 512
        face = (side // 4, side // 4, side * 3 // 4, side * 3 // 4)
        contents = {
            "src_face.mp4": [plane(side, side, 90 + 10 * i, face, 180) for i in range(PICTURES)],
            "src_pose.mp4": [plane(pose_width, height, 16, place, 200) for place in limbs],
        }
        if mode == "replace":
            late = masks[4:] + masks[:4] if self.fault == "background_late" else masks
            person = 120 if self.fault == "background_not_black" else 16
            empty, full = {"mask_empty": (16, 16), "mask_full": (235, 235)}.get(self.fault, (16, 235))
            scene = 16 if self.fault == "mask_full" else 100
            contents["src_bg.mp4"] = [two_levels(mask, wider, scene, person) for mask in late]
            contents["src_mask.mp4"] = [two_levels(mask, width, empty, full) for mask in masks]
        return contents

    def _write_one(
        self, shown: Path, target: Path | None, pictures: list[np.ndarray], frames: int, rate: float
    ) -> None:
        """One of moviepy's blocks: lines on stdout, a bar on stderr that wipes itself out at its end."""
        print(f"Moviepy - Building video {shown}.")
        print(f"Moviepy - Writing video {shown}\n", flush=True)
        bar = Bar(frames, "t", ", now=None", leave=False)
        bar.step(frames // 2)
        if shown.name == "src_pose.mp4":
            strike(self.fault, MIDDLE)
        if target is not None:
            write_video(target, pictures, frames, Fraction(f"{rate:.2f}"))
        bar.step(frames - frames // 2)
        bar.close()
        print("Moviepy - Done !")
        print(f"Moviepy - video ready {shown}")
