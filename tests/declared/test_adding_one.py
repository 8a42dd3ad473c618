"""The example of docs/adding_an_engine.md is a whole engine: it is taken from the page, and makes a video."""

from __future__ import annotations

import importlib.util
import re
import sys
from dataclasses import replace
from pathlib import Path

import preprocess
from config import load_job
from engines.declared.engine import DeclaredEngine
from execution.display import Display
from execution.runner import run_steps
from tests.workplace import ROOT

PROGRAM = '''
"""A tool's program: a grid of two tiles, named by its inputs."""
import argparse
from pathlib import Path

import numpy as np
import standin_tool as tool

parser = argparse.ArgumentParser()
for name in ("image", "video", "frames", "strength"):
    parser.add_argument(f"--{name}", required=True)
given = parser.parse_args()
width, height = tool.size_of(given.image)
frames = [tool.shown(number, width, height) for number in range(int(given.frames))]
grid = [np.concatenate([np.zeros_like(frame), frame], 1) for frame in frames]
tool.write(Path("output") / f"{Path(given.image).stem}_wave.mp4", grid, 25)
'''


def example(folder: Path) -> tuple[str, DeclaredEngine]:
    page = (ROOT / "docs" / "adding_an_engine.md").read_text(encoding="utf-8")
    _, _, part = page.partition("## A program that makes a whole clip")
    (code,) = re.findall(r"```python\n(.*?)```", part, re.DOTALL)
    path = folder / "waver.py"
    path.write_text(code)
    spec = importlib.util.spec_from_file_location("waver_of_the_page", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    engine = module.ENGINE
    assert isinstance(engine, DeclaredEngine)
    return code, engine


def test_the_example_of_the_page_is_short_and_works(tool_place, tmp_path):
    from rich.console import Console

    place = tool_place("liveportrait")
    code, engine = example(tmp_path)
    assert len(code.splitlines()) < 100
    checkout = place / "waver"
    (place / "LivePortrait").rename(checkout)
    (checkout / "animate.py").write_text(PROGRAM)
    (checkout / "weights").mkdir()
    (checkout / "weights" / "waver.safetensors").write_bytes(bytes(1_000_000))
    flags = {"video_path": "drive.mp4", "refer_path": "character.png", "engine": "liveportrait"}
    job = load_job((1, 2, 3), {**flags, "tool_dir": "waver"})
    job = replace(job, engine="waver", tool_options=(("strength", "1.5"),))
    assert [found.code for found in engine.check(job) if found.level == "error"] == []
    run_steps(engine.plan(job), Display(Console(file=sys.stderr), quiet=True, verbose=False))
    info = preprocess.check_video(job.output_path, frame_count=6, size=(128, 160))
    assert info.has_audio
    assert not list((checkout / "output").glob("*"))
    (wrong,) = (
        found.what
        for found in engine.check(replace(job, tool_options=(("strength", "3"),)))
        if found.level == "error"
    )
    assert "a number from 0 to 2" in wrong
