"""AnimateDiff as an engine of the drivers: no stage 1, checked, recorded, made again."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

import preprocess
from commands.examining import examine
from config import FINISHING, GENERATION, MASKING, PREPROCESSING, SettingsError, job_without_media, load_job
from engines.animatediff import interpreter, running
from engines.animatediff.interpreter import Packages
from execution.worker import close_workers
from tests.animatediff.test_run_animatediff import STANDIN, configure
from tests.animatediff.weightless import SDXL_NAMES, write_adapter, write_base_folder, write_named
from tests.workplace import Workplace

ALL = (PREPROCESSING, MASKING, GENERATION, FINISHING)
FLAGS = (
    *("--engine", "animatediff", "--prompt", "a cat", "--animatediff_config", "c.yaml"),
    *("--animatediff_size", "64 64", "--animatediff_frames", "4", "--sample_steps", "2"),
)
PACKAGES = ("torch", "transformers", "accelerate", "safetensors", "numpy", "pillow", "peft")


@pytest.fixture
def place(workplace: Workplace, monkeypatch) -> Iterator[Workplace]:
    """A workplace with SDXL's files by their headers, and the stand-in for the worker."""
    folder = workplace.folder
    write_named(folder / "sdxl.safetensors", SDXL_NAMES)
    write_adapter(folder / "sdxl_adapter.safetensors", 3)
    write_base_folder(folder / "base", sdxl=True)
    configure(folder)
    monkeypatch.setattr(running, "WORKER", STANDIN)
    versions = {**dict.fromkeys(PACKAGES, "1"), "diffusers": "0.42.1"}
    monkeypatch.setattr(interpreter, "packages_of", lambda python: Packages(versions))
    yield workplace
    close_workers()  # the next test's has another environment


def test_a_text_needs_no_driving_video_and_no_picture():
    job = load_job(ALL, {"engine": "animatediff", "prompt": "a cat", "animatediff_fps": "8"})
    assert job.stages == (GENERATION, FINISHING) and job.animatediff_fps == 8
    with pytest.raises(SettingsError, match="no stage 1"):
        load_job((PREPROCESSING,), {"engine": "animatediff"})
    with pytest.raises(SettingsError, match="--video_path is missing"):
        load_job(ALL, {"prompt": "a cat"})


@pytest.mark.parametrize("driver", ["pipeline.py", "run_generation.py"])
def test_the_result_is_finished_recorded_and_up_to_date_afterwards(driver, place):
    assert place.invoke(driver, *FLAGS).exit_code == 0
    result = place / "output_wanimate.mp4"
    info = preprocess.check_video(result, frame_count=4, size=(64, 64))
    assert info.rate == 30 and not info.has_audio
    record = json.loads(result.with_suffix(".json").read_text())
    generate = next(step for step in record["steps"] if step["step"] == "generate")
    assert generate["facts"]["generation_time"] == 4.0 and "realtime_ratio" in generate["facts"]
    assert generate["settings"]["prompt"] == "a cat" and "replace" not in generate["settings"]
    assert {Path(each["path"]).name for each in record["weights"]} == {
        "sdxl.safetensors",
        "sdxl_adapter.safetensors",
    }
    again = place.invoke(driver, *FLAGS)
    assert again.exit_code == 0 and again.output.count("up to date") == 2
    assert "has no stage 1" in again.output and "Something to know." in again.output


def test_a_result_is_made_again_from_its_record(place):
    assert place.invoke("pipeline.py", *FLAGS).exit_code == 0
    result = place / "output_wanimate.mp4"
    before = result.read_bytes()
    record = place / "kept.json"
    record.write_bytes(result.with_suffix(".json").read_bytes())
    (place / ".understudy").rename(place / "away")
    result.unlink()
    made = place.invoke("pipeline.py", "--rerun", "kept.json")
    assert made.exit_code == 0 and "byte for byte" in made.output, made.output
    assert result.read_bytes() == before
    assert place.invoke("pipeline.py", "--verify", "kept.json").exit_code == 0


def test_settings_of_a_driving_video_are_told_to_be_of_no_use(place):
    shown = place.invoke("pipeline.py", *place.inputs, *FLAGS, "--replace", "--check")
    assert shown.exit_code == 0 and "no use for" in shown.output
    assert "--video_path" in shown.output and "--replace" in shown.output


def test_a_check_finds_what_the_script_finds(place):
    (place / "sdxl.safetensors").unlink()
    shown = place.invoke("pipeline.py", *FLAGS, "--check", "--json")
    errors = [each for each in json.loads(shown.stdout)["findings"] if each["level"] == "error"]
    assert shown.exit_code == 2 and [each["code"] for each in errors] == ["animatediff.checkpoint"]


def test_what_is_asked_for_is_what_the_worker_is_given(place):
    assert place.invoke("pipeline.py", *FLAGS, "--seed", "7", "--animatediff_fps", "8").exit_code == 0
    assert preprocess.probe_video(place / "output_wanimate.mp4").rate == 8
    assert place.invoke("pipeline.py", *FLAGS, "--seed", "8", "--output_path", "other.mp4").exit_code == 0
    assert (place / "other.mp4").read_bytes() != (place / "output_wanimate.mp4").read_bytes()


def test_a_black_clip_is_no_result(place, monkeypatch):
    monkeypatch.setenv("STANDIN_FAULT", "black")
    failed = place.invoke("pipeline.py", *FLAGS)
    assert failed.exit_code == 1 and "is black" in failed.output
    assert not (place / "output_wanimate.mp4").exists()


def test_the_doctor_says_what_is_missing(place, monkeypatch):
    monkeypatch.setattr(interpreter, "packages_of", lambda python: Packages({}))
    flags = {"animatediff_config": "c.yaml"}
    areas = {thing.area: thing for thing in examine(job_without_media(flags)).examined["animatediff"]}
    assert areas["weights"].state == "works" and areas["packages"].state == "missing"
    assert "requirements-animatediff.txt" in areas["packages"].mend
