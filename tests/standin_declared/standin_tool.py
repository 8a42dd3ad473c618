"""What the stand-ins of tools share: videos as the tools write them, bars, and misbehaviour on request.

STANDIN_RECORD=FILE        append one JSON line: argv, folder, environment, configuration
STANDIN_TOOL_FAULT=MODE    no_file: exit 0 without a result; short: a frame less; black; other_size; cut_off:
                           half of the file; crash; memory: the GPU's; no_face: in the tool's own words
"""

from __future__ import annotations

import json
import os
import re
import sys
from pathlib import Path
from typing import Any

import av
import numpy as np

FAULT = os.environ.get("STANDIN_TOOL_FAULT", "")


def record(**facts: Any) -> None:
    """What this process was started with."""
    if target := os.environ.get("STANDIN_RECORD"):
        line = {
            "argv": sys.argv,
            "cwd": str(Path.cwd()),
            "cuda": os.environ.get("CUDA_VISIBLE_DEVICES"),
            **facts,
        }
        with Path(target).open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")


def strike() -> None:
    """The faults that end the process."""
    if FAULT == "crash":
        raise ValueError("operands could not be broadcast together")
    if FAULT == "memory":
        raise type("OutOfMemoryError", (RuntimeError,), {"__module__": "torch"})("CUDA out of memory.")
    if FAULT == "no_file":
        sys.exit(0)


def bar(label: str, total: int) -> None:
    """A bar as tqdm draws it, at its beginning and its end."""
    name = f"{label}: " if label else ""
    for done in (0, total):
        sys.stderr.write(
            f"\r{name}{100 * done // total:3d}%|{'█' * (10 * done // total):10}| {done}/{total} [00:00<00:00]"
        )
    sys.stderr.write("\n")
    sys.stderr.flush()


def read(path: str) -> tuple[list[np.ndarray], float]:
    """All frames of a video, RGB, and its rate."""
    with av.open(path) as container:
        stream = container.streams.video[0]
        return [frame.to_ndarray(format="rgb24") for frame in container.decode(stream)], float(
            stream.average_rate or 0
        )


def test_case(text: str) -> tuple[str, str]:
    """The reference and the pose video of a configuration that has one case."""
    found = re.search(r"test_cases: \{'?([^':]+)'?: \['?([^'\]]+)'?\]\}", text)
    assert found, text
    return found[1], found[2]


def size_of(path: str) -> tuple[int, int]:
    """Width and height of a picture."""
    with av.open(path) as container:
        frame = next(container.decode(video=0))
        return frame.width, frame.height


def picture(path: str) -> np.ndarray:
    """A picture as RGB, or with whatever channels it has."""
    with av.open(path) as container:
        frame = next(container.decode(video=0))
        return frame.to_ndarray(format="rgba" if "a" in frame.format.name.removesuffix("le") else "rgb24")


def shown(index: int, width: int, height: int) -> np.ndarray:
    """A frame of a result: its grey tells its number."""
    level = 0 if FAULT == "black" else 40 + index * 5 % 180
    frame = np.full((height, width, 3), level, np.uint8)
    if FAULT != "black":
        frame[: height // 4, : width // 4] = (30, 200, 30)
    return frame


def write(path: Path, frames: list[np.ndarray], rate: int, *, is_result: bool = True) -> None:
    """Write a video in place, spoiled where the fault asks for it."""
    if is_result and FAULT == "short":
        frames = frames[:-1]
    height, width = frames[0].shape[:2]
    if is_result and FAULT == "other_size":
        frames = [frame[: height // 4 * 2, : width // 4 * 2] for frame in frames]
        height, width = frames[0].shape[:2]
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=rate, options={"preset": "ultrafast", "crf": "8"})
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        for frame in frames:
            made = av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="rgb24")
            container.mux(stream.encode(made))
        container.mux(stream.encode(None))
    if is_result and FAULT == "cut_off":
        os.truncate(path, path.stat().st_size // 2)
