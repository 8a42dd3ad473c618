"""What the tests of the stand-in share: one stand-in with its inputs, and how to look at files and logs."""

from __future__ import annotations

import re
import runpy
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np

from tests.standin import STAGE_1, STAGE_2, TEMPLATE, make_checkpoints, make_standin, standin_environment

PATIENCE = 20  # seconds until a test gives up on a process


def standin_faults() -> dict[str, Any]:
    """What `standin_faults.py` defines: FAULTS by stage, MESSAGES, and the groups of faults."""
    sys.path.append(str(TEMPLATE))
    try:
        return runpy.run_path(str(TEMPLATE / "standin_faults.py"))
    finally:
        sys.path.remove(str(TEMPLATE))
        sys.modules.pop("standin_support", None)


def write_clip(path: Path, frame_count: int, rate: int, width: int, height: int) -> Path:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=rate, options={"preset": "ultrafast"})
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        for index in range(frame_count):
            picture = np.full((height, width, 3), index, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode(None))
    return path


def describe(path: Path) -> dict[str, Any]:
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        frame_count = sum(1 for _ in container.decode(stream))
        codec = stream.codec_context
        return {
            "codec": codec.name, "profile": stream.profile, "pix_fmt": codec.pix_fmt, "width": codec.width,
            "height": codec.height, "rate": str(stream.average_rate), "frames": frame_count,
            "streams": len(container.streams),
        }  # fmt: skip


@dataclass
class World:
    """One stand-in with its inputs; the tests only read what is here."""

    checkout: Path
    checkpoints: Path
    bare: Path
    video: Path
    refer: Path
    text: Path
    source: Path

    def options(self, stage: str, save: Path) -> dict[str, list[str]]:
        """The plain command of a stage, by option."""
        if stage == "preprocess":
            return {
                "--ckpt_path": [str(self.checkpoints / "process_checkpoint")],
                "--video_path": [str(self.video)],
                "--refer_path": [str(self.refer)], "--save_path": [str(save)],
            }  # fmt: skip
        return {
            "--task": ["animate-14B"], "--ckpt_dir": [str(self.checkpoints)], "--refert_num": ["1"],
            "--src_root_path": [str(self.source)], "--save_file": [str(save / "result.mp4")],
        }  # fmt: skip

    def command(self, stage: str, save: Path, *more: str, without: list[str] | None = None) -> list[str]:
        """Later spellings of an option win, as argparse has it."""
        script = self.checkout / (STAGE_1 if stage == "preprocess" else STAGE_2)
        plain = self.options(stage, save)
        given = [word for name in plain if name not in (without or []) for word in (name, *plain[name])]
        return [sys.executable, str(script), *given, *more]

    def environment(self, **extra: str) -> dict[str, str]:
        return standin_environment(self.checkout, PYTHONUNBUFFERED="1", PYTHONIOENCODING="utf-8", **extra)

    def run(self, stage: str, save: Path, *more: str, **extra: str) -> subprocess.CompletedProcess[bytes]:
        """Both streams in one, as the runner reads them."""
        return subprocess.run(
            self.command(stage, save, *more), stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            env=self.environment(**extra), timeout=PATIENCE, check=False,
        )  # fmt: skip


def make_world(folder: Path) -> World:
    """Lay out in `folder` a stand-in, its checkpoints, inputs and a finished stage-1 folder (replace)."""
    (folder / "text").write_text("neither a video nor a picture\n")
    bare = make_checkpoints(folder / "whole") / "process_checkpoint"
    made = World(
        checkout=make_standin(folder / "Wan2.2"),
        checkpoints=make_checkpoints(folder / "Wan2.2-Animate-14B"),
        bare=bare,
        video=write_clip(folder / "video.mp4", 24, 24, 320, 180),
        refer=folder / "image.jpeg",
        text=folder / "text",
        source=folder / "source",
    )
    (bare / "sam2/sam2_hiera_large.pt").unlink()
    (bare / "FLUX.1-Kontext-dev/model_index.json").unlink()
    (bare / "FLUX.1-Kontext-dev").rmdir()
    cv2.imwrite(str(made.refer), np.full((720, 1280, 3), 90, np.uint8))
    finished = made.run("preprocess", made.source, "--replace_flag", "--resolution_area", "320", "180")
    assert finished.returncode == 0, finished.stdout.decode()
    return made


NOISE = re.compile(
    r"onnxruntime|Warning|amp\.autocast|Skipping the post|pred_masks_gpu|\*{41}|OMP_NUM_THREADS"
)


def outline(output: bytes) -> list[str]:
    """The log without what differs from run to run: times, paths, measurements, how often a bar was drawn,
    and warnings of libraries. What is left is each line's wording and the order."""
    # With several ranks a log line can follow a bar without a line break.
    pieces = [piece.rstrip() for piece in re.split(r"[\r\n]+|(?=\[\d{4}-\d\d-\d\d )", output.decode())]
    kept: list[str] = []
    for piece in pieces:
        if not piece or NOISE.search(piece):
            continue
        bar = re.fullmatch(
            r"(?:(.*): )? *\d+%\|.{10}\| \d+/(\d+) \[\d\d:\d\d<(?:\?|\d\d:\d\d), .*?(it/s|s/it)(.*)\]", piece
        )
        text = (
            f"bar {bar[1]} {bar[4]}"
            if bar
            else re.sub(r"\{.*\}|/\S*/", "…", re.sub(r"'[^']*'", "'…'", piece))
        )
        text = re.sub(r"Namespace\((.*)\)", lambda match: " ".join(re.findall(r"(\w+)=", match[1])), text)
        text = re.sub(r"[\d.]+", "0", re.sub(r"Input image: .*", "Input image", text))
        if not (bar and kept and kept[-1] == text):
            kept.append(text)
    return kept
