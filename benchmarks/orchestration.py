"""What the orchestration adds to the commands that it runs, with the stand-in for upstream.

Everything counts: start, checks, supervisor, verification, hashing, publishing. Verification decodes every
frame, so its share grows with the clip; this is the demo's 120 frames at 640x360 pixels.
"""

from __future__ import annotations

import statistics
import tempfile
from collections.abc import Iterator
from pathlib import Path

from benchmarks.row import ROOT, Row, python, seconds
from config import load_job
from engines.wan22.plan import steps
from tests.standin import MACHINE, interpreter, make_checkpoints, make_standin

DEMO = ROOT / "scripts" / "demo"
ROUNDS = 5


def rows() -> Iterator[Row]:
    """Overhead of a whole run, and the time of a run with nothing to do."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        checkout, checkpoints = make_standin(folder / "Wan2.2"), make_checkpoints(folder / "weights")
        flags = {
            "video_path": str(DEMO / "driving_video.mp4"),
            "refer_path": str(DEMO / "reference.jpg"),
            "save_path": str(folder / "source"),
            "output_path": str(folder / "result.mp4"),
            "wan22_dir": str(checkout),
            "ckpt_dir": str(checkpoints),
            "wan22_python": str(interpreter(checkout)),
            "resolution": "640 360",
        }
        words = [word for key, value in flags.items() for word in (f"--{key}", value)]
        ours = python("pipeline.py", "--replace", "--quiet", *words)
        alone = list(steps(load_job((1, 2), {**flags, "replace": True})))
        machine = {"PYTHONPATH": str(MACHINE), "UNDERSTUDY_CACHE": str(folder / "cache")}
        (folder / "source").mkdir()
        (folder / ".understudy").mkdir()
        differences, idle = [], []
        for _ in range(ROUNDS):
            bare = sum(seconds(step.command(), env=step.env, cwd=step.cwd or ROOT) for step in alone)
            differences.append(seconds([*ours, "--force"], env=machine) - bare)
            idle.append(seconds(ours, env=machine))
        added, nothing = statistics.median(differences), statistics.median(idle)
        yield Row("orchestration over the stand-in's own time", f"{added:.2f} s", "<= 0.5 s", added <= 0.5)
        yield Row("a run with nothing to do", f"{nothing:.2f} s", "< 0.7 s", nothing < 0.7)
