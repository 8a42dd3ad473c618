"""Wan-Animate-2: no stage 1, what is refused before anything starts, and the real pipeline (long)."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import config
from config import Job
from engines.wan22.interpreter import Interpreter
from engines.wan_animate_2 import ENGINE, check
from engines.wan_animate_2.plan import held_of
from engines.wan_animate_2.prediction import content_size, fits, window_of
from execution.step import GPU_MEMORY
from preprocess import probe_video, read_frames, write_picture
from tests.media import numbered_frame, write_clip
from tests.wan_diffusers import tiny
from tests.workplace import ROOT, Workplace

BOTH = (1, 4, 2, 3)
INPUTS = ("--video_path", "drive.mp4", "--refer_path", "character.png", "--resolution", "96x64")
ENGINE_FLAGS = ("--engine", "wan_animate_2", "--diffusers_device", "cpu")


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workplace:
    """A clip of 20 frames, a picture, and a folder that looks like the model."""
    monkeypatch.chdir(tmp_path)
    write_clip(tmp_path / "drive.mp4", frame_count=20, sound=True)
    write_picture(tmp_path / "character.png", numbered_frame(0, 160, 90))
    write_outline(tmp_path / "model")
    names = ("diffusers", "torch", "transformers", "accelerate", "safetensors", "ftfy")
    found = dict.fromkeys(names, "1.0")

    def probed(path: Path) -> Interpreter:
        return Interpreter(path, (3, 11, 7), "linux", path.parent, ".so", found, {}, {})

    monkeypatch.setattr(check, "probe_interpreter", probed)
    return Workplace(tmp_path)


def write_outline(folder: Path, pipeline: str = "WanAnimate2ModularPipeline") -> None:
    for part in ("transformer", "text_encoder", "image_encoder", "vae"):
        (folder / part).mkdir(parents=True)
        tiny.save(folder / part / "model.safetensors", {"weight": np.ones((2, 2), np.float32)})
    (folder / "modular_model_index.json").write_text(json.dumps({"_class_name": pipeline}))


def job_of(**flags: Any) -> Job:
    given = {
        "engine": "wan_animate_2",
        "video_path": "drive.mp4",
        "refer_path": "character.png",
        "resolution": "96x64",
        "animate_2_model": "model",
        "diffusers_device": "cpu",
    }
    return config.load_job(BOTH, {**given, **flags})


def errors(job: Job) -> list[str]:
    found = ENGINE.check(job)
    assert all(each.remedy for each in found if each.level == "error")
    return [each.code for each in found if each.level == "error"]


def test_the_engine_declares_that_it_has_no_stage_1_and_plans_none(place):
    assert errors(job_of()) == []
    assert "animate2.no-stage-1" in {each.code for each in ENGINE.check(job_of())}
    assert [step.name for step in ENGINE.plan(job_of())] == ["generate", "finish"]


@pytest.mark.parametrize(
    ("driver", "arguments"),
    [("run_preprocessing.py", INPUTS), ("run_generation.py", ("--src_root_path", "made"))],
)
def test_the_drivers_of_one_stage_say_that_there_is_only_one(place, driver, arguments):
    done = place.invoke(driver, *arguments, "--engine", "wan_animate_2")
    assert done.exit_code == 2 and "has no stage 1" in done.output
    assert "pipeline.py" in done.output


@pytest.mark.parametrize(
    ("flags", "code"),
    [
        ({"replace": True}, "animate2.replace"),
        ({"side_by_side": True}, "animate2.side-by-side"),
        ({"memory": "int8"}, "animate2.memory"),
        ({"frame_num": "65"}, "animate2.short"),
        ({"animate_2_model": "none"}, "diffusers.model"),
    ],
)
def test_what_the_pipeline_cannot_do_is_refused(place, flags, code):
    assert errors(job_of(**flags)) == [code]


def test_another_model_a_cut_off_one_and_a_sampler_without_a_seed_are_refused(place):
    model = place / "model"
    write_outline(place / "other", "WanAnimatePipeline")
    assert errors(job_of(animate_2_model="other")) == ["diffusers.model"]
    (model / "scheduler").mkdir()
    scheduler = model / "scheduler" / "scheduler_config.json"
    scheduler.write_text('{"_class_name": "UniPCMultistepScheduler"}')
    assert errors(job_of()) == ["diffusers.model"]
    scheduler.write_text('{"_class_name": "FlowMatchEulerDiscreteScheduler"}')
    assert errors(job_of()) == []
    weights = model / "vae" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-4])
    assert errors(job_of()) == ["diffusers.model"]


@pytest.mark.parametrize(
    ("frames", "window", "works"),
    [(12, 17, True), (5, 17, False), (2, 9, False), (1, 5, False), (20, 17, True)],
)
def test_clips_that_the_library_cannot_mirror_to_a_window_are_known(frames, window, works):
    """As measured with the library itself."""
    assert fits(frames, window, 1) is works


@pytest.mark.parametrize(("frames", "window"), [(3, 5), (20, 21), (81, 81), (82, 81), (300, 81)])
def test_a_short_clip_gets_one_window_of_its_own_length(place, frames, window):
    assert window_of(job_of(), frames) == window


def test_the_distilled_model_takes_its_few_steps(place):
    predicted = ENGINE.predict(job_of())
    assert predicted is not None
    many = ENGINE.workload(job_of(), predicted)["generate"].amount
    write_outline(place / "distilled", "WanAnimate2DistilledModularPipeline")
    few = ENGINE.workload(job_of(animate_2_model="distilled"), predicted)["generate"].amount
    assert many == 4 * few


def test_the_size_follows_the_picture_and_loses_what_it_does_not_fill():
    assert content_size(40, 64, 64 * 64) == (32, 64)
    assert content_size(900, 1600, 96 * 64) == (48, 85)


def test_auto_keeps_everything_on_a_gpu_only_where_it_fits(place, monkeypatch):
    for gigabytes, offload in ((141, "none"), (80, "group")):
        monkeypatch.setenv("STANDIN_GPUS", f"1x{gigabytes}")
        assert held_of(job_of(diffusers_device="gpu"))["offload"] == offload
    job, rungs = job_of(diffusers_device="gpu", resolution="1280x720"), []
    while (relieved := ENGINE.relief(job, GPU_MEMORY)) is not None:
        job, rung = relieved
        rungs.append(rung)
    assert rungs[:2] == ["--memory group_offload", "--memory fp8"] and len(rungs) == 4


@pytest.mark.long
@pytest.mark.needs("diffusers")
def test_the_real_pipeline_makes_the_video_with_every_plan_of_a_cpu(place, monkeypatch):
    monkeypatch.undo()
    monkeypatch.chdir(place.folder)
    build = [sys.executable, str(Path(__file__).with_name("tiny.py")), str(place / "real")]
    subprocess.run(build, check=True, capture_output=True, env={"PYTHONPATH": str(ROOT)})
    quick = (*ENGINE_FLAGS, "--animate_2_model", "real", "--sample_steps", "2", "--frame_num", "17")
    made = {}
    for plan in ("auto", "group_offload", "fp8"):
        flags = (*INPUTS, *quick, "--memory", plan, "--output_path", f"{plan}.mp4")
        done = place.run_here("pipeline.py", *flags)
        assert done.returncode == 0, done.stderr
        made[plan] = np.stack(list(read_frames(place / f"{plan}.mp4"))).astype(int)
    info = probe_video(place / "auto.mp4")
    record = json.loads((place / "auto.json").read_text())
    assert info.frame_count == 20 and info.has_audio
    assert record["steps"][0]["facts"]["windows"] == 2
    assert all(frames.std() > 1 for frames in made.values())
    assert np.abs(made["auto"] - made["fp8"]).max() > 0
    assert "window 2 of 2, step 2 of 2" in done.stderr
    assert place.run_here("pipeline.py", "--rerun", "auto.json", "--force").returncode == 0
    assert place.run_here("pipeline.py", "--verify", "auto.json").returncode == 0
