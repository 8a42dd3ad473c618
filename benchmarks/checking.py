"""How long it takes to say that a job will fail: one clip, and a hundred."""

from __future__ import annotations

import os
import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import preprocess
from benchmarks.row import ROOT, Row, python, seconds
from config import load_job
from engines import load_engine
from tests.standin import MACHINE, make_checkpoints, make_standin

DEMO = ROOT / "scripts" / "demo"
ROUNDS = 5
CLIPS = 100


def rows() -> Iterator[Row]:
    """The command ``--check`` on one clip, and the checks of a hundred jobs without reading their media."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        installation = {
            "wan22_dir": str(make_standin(folder / "Wan2.2")),
            "ckpt_dir": str(make_checkpoints(folder / "weights")),
            "refer_path": str(DEMO / "reference.jpg"),
        }
        clips = [folder / f"{number}.mp4" for number in range(CLIPS)]
        for clip in clips:
            os.link(DEMO / "driving_video.mp4", clip) if os.name == "posix" else clip.write_bytes(
                (DEMO / "driving_video.mp4").read_bytes()
            )
        words = [word for key, value in installation.items() for word in (f"--{key}", value)]
        command = python("pipeline.py", "--check", "--replace", *words, "--video_path", str(clips[0]))
        machine = {"PYTHONPATH": str(MACHINE), "UNDERSTUDY_CACHE": str(folder / "cache")}
        one = statistics.median(seconds(command, env=machine) for _ in range(ROUNDS))
        yield Row("check of one clip, as a command", f"{one:.2f} s", "< 1 s", one < 1.0)
        engine = load_engine("wan22")
        began = time.perf_counter()
        for clip in clips:
            job = load_job((1, 2, 3), {**installation, "video_path": str(clip), "replace": True})
            engine.check(job)
        checked = time.perf_counter() - began
        began = time.perf_counter()
        for clip in clips:
            preprocess.probe_video(clip)
            preprocess.read_picture(DEMO / "reference.jpg")
        probing = time.perf_counter() - began
        text = f"{checked:.2f} s, of it {probing:.2f} s for reading each clip and picture once"
        yield Row(f"check of {CLIPS} clips", text, "< 1 s + probing", checked - probing < 1.0)
