"""Stage 1 of the preview engine feeds stage 2 of the official one: for people without its stage-1 weights."""

from __future__ import annotations

import pytest

import preprocess
from tests.media import write_beginning
from tests.workplace import ROOT, Workplace

DEMO = ROOT / "scripts" / "demo"


@pytest.mark.usefixtures("preview_models")
@pytest.mark.parametrize(
    "mode", [pytest.param([], marks=pytest.mark.long), ["--replace"]], ids=["animate", "replace"]
)
def test_the_official_stage_2_takes_the_folder_that_preview_made(
    workplace: Workplace, mode: list[str]
) -> None:
    write_beginning(workplace / "clip.mp4", DEMO / "driving_video.mp4", 36)
    flags = ["--video_path", "clip.mp4", "--refer_path", str(DEMO / "reference.jpg")]
    flags += ["--engine", "preview", "--resolution", "240x416", "--fps", "8"]
    made = workplace.run("run_preprocessing.py", *flags, *mode)
    assert made.returncode == 0, made.stderr
    generated = workplace.run_here("run_generation.py", "--src_root_path", "process_results", *mode)
    assert generated.returncode == 0, generated.stderr
    pose = preprocess.probe_video(workplace / "process_results/src_pose.mp4")
    size = (pose.width, pose.height)
    preprocess.check_video(workplace / "output_wanimate.mp4", frame_count=pose.frame_count, size=size)
