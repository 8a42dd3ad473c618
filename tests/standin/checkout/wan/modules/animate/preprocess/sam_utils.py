"""Stand-in for upstream's way to SAM 2: the calls that stage 1 makes, two bars, and boxes for masks."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from standin_faults import fault_of
from standin_support import Bar, record, seconds, walk

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy as np

PERIOD = 8
"""Frames after which the boxes are where they were; a chunk of 400 is a whole number of them."""


def build_sam2_video_predictor(config_file: str, ckpt_path: str) -> Predictor:
    """Read the weights; a missing file is the error that it is in upstream."""
    Path(ckpt_path).open("rb").close()
    record(event="sam2", config=config_file)
    return Predictor()


class Predictor:
    """Finds a box that wanders to the right. Each chunk takes a fixed share of STANDIN_SECONDS."""

    def __init__(self) -> None:
        self.seconds = seconds(fault_of("preprocess"))

    def init_state_v2(self, frames: list[np.ndarray]) -> dict[str, int]:
        walk(Bar(len(frames), "video frame"), self.seconds * 0.1)
        height, width = frames[0].shape[:2]
        return {"count": len(frames), "height": height, "width": width}

    def reset_state(self, state: dict[str, int]) -> None:
        pass

    def add_new_points(
        self, inference_state: dict[str, int], frame_idx: int, obj_id: int, points: Any, labels: Any
    ) -> tuple[int, list[int], Any]:
        assert len(points) == len(labels)
        return frame_idx, [obj_id], _logits(frame_idx, inference_state)

    def propagate_in_video(self, inference_state: dict[str, int]) -> Iterator[tuple[int, list[int], Any]]:
        period = [_logits(number, inference_state) for number in range(PERIOD)]
        walk(Bar(inference_state["count"], "propagate in video"), self.seconds * 0.4)
        for number in range(inference_state["count"]):
            yield number, [1], period[number % PERIOD]


def _logits(number: int, state: dict[str, int]) -> Any:
    """float32 [1, 1, height, width], above 0 in the box."""
    import numpy as np
    import torch

    width, height = state["width"], state["height"]
    logits = np.full((1, 1, height, width), -1, np.float32)
    left = 4 * (number % PERIOD)
    logits[..., height // 8 : height * 7 // 8, width // 4 + left : width // 2 + left] = 1
    return torch.from_numpy(logits)
