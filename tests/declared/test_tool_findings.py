"""The traps of each tool's reference are findings: refused before anything starts, with code and remedy."""

from __future__ import annotations

import json
import shutil

import pytest

import preprocess
from tests.media import numbered_frame, write_clip, write_sound
from tests.standin import remove_package, set_version
from tests.workplace import Workplace

VIDEO = ("--video_path", "drive.mp4", "--refer_path", "character.png")
VOICE = ("--audio", "voice.m4a", "--refer_path", "character.png")


def found(place: Workplace, *words: str, driver: str = "pipeline.py") -> list[dict[str, str]]:
    shown = place.invoke(driver, *words, "--check", "--json")
    findings: list[dict[str, str]] = json.loads(shown.stdout)["findings"]
    return findings


def errors(place: Workplace, engine: str, *words: str, driver: str = "pipeline.py") -> list[str]:
    bad = [
        entry
        for entry in found(place, "--engine", engine, *words, driver=driver)
        if entry["level"] == "error"
    ]
    assert all(entry["what"] and entry["why"] and entry["remedy"] for entry in bad), bad
    return [entry["code"] for entry in bad]


def test_the_installation_is_looked_at_piece_by_piece(tool_place, monkeypatch):
    place = tool_place("liveportrait")
    checkout = place / "LivePortrait"
    assert errors(place, "liveportrait", *VIDEO) == []
    landmark = checkout / "pretrained_weights/liveportrait/landmark.onnx"
    landmark.write_text("version https://git-lfs.github.com/spec/v1\n")
    assert errors(place, "liveportrait", *VIDEO) == ["install.tool-weights-cut"]
    landmark.unlink()
    assert errors(place, "liveportrait", *VIDEO) == ["install.tool-weights"]
    landmark.write_bytes(bytes(1_000_000))
    remove_package(checkout, "tyro")
    assert errors(place, "liveportrait", *VIDEO) == ["install.tool-packages"]
    set_version(checkout, "tyro", "0.8.5")
    assert errors(place, "liveportrait", *VIDEO, "--tool_python", "drive.mp4") == ["install.tool-python"]
    shutil.copy(checkout / "inference.py", place / "kept.py")
    (checkout / "inference.py").unlink()
    assert errors(place, "liveportrait", *VIDEO) == ["install.tool-checkout"]
    shutil.copy(place / "kept.py", checkout / "inference.py")
    monkeypatch.setenv("PATH", "/nowhere")
    assert errors(place, "liveportrait", *VIDEO) == ["install.tool-program"]


def test_options_are_checked_by_name_and_value(tool_place):
    place = tool_place("liveportrait")
    for options in (
        "flag_stiching=true",
        "flag_stitching=yes",
        "animation_region=nose",
        "driving_multiplier=x",
    ):
        assert errors(place, "liveportrait", *VIDEO, "--tool_options", options) == ["settings.tool-option"], (
            options
        )
    (entry,) = (
        entry
        for entry in found(place, "--engine", "liveportrait", *VIDEO, "--tool_options", "flag_stiching=true")
        if entry["level"] == "error"
    )
    assert "did you mean 'flag_stitching'" in entry["what"]
    assert errors(place, "liveportrait", *VIDEO, "--tool_options", "odd") == ["settings.value.tool_options"]


def test_a_driving_video_that_is_not_square_and_an_uneven_rate_are_told(tool_place):
    place = tool_place("liveportrait")
    told = {entry["code"] for entry in found(place, "--engine", "liveportrait", *VIDEO)}
    assert told == {"media.liveportrait-not-square", "media.tool-rate"}
    write_clip(place / "drive.mp4", size=(128, 128), rate=25)
    assert found(place, "--engine", "liveportrait", *VIDEO) == []


def test_sadtalker_needs_a_sound_and_no_video(tool_place, monkeypatch):
    place = tool_place("sadtalker")
    assert errors(place, "sadtalker", *VOICE) == []
    assert errors(place, "sadtalker", "--refer_path", "character.png") == ["settings.no-driving-sound"]
    assert errors(place, "sadtalker", *VOICE[2:], "--audio", "character.png") == ["finish.audio"]
    assert errors(place, "sadtalker", *VOICE, "--tool_options", "still=true") == ["settings.sadtalker-still"]
    told = found(place, "--engine", "sadtalker", *VOICE, "--video_path", "drive.mp4")
    assert [entry["code"] for entry in told] == ["settings.unused"]
    monkeypatch.setenv("STANDIN_GPUS", "")
    assert [entry["code"] for entry in found(place, "--engine", "sadtalker", *VOICE)] == [
        "machine.sadtalker-slow"
    ]


def test_sadtalker_never_falls_back_to_its_old_weights_or_new_libraries(tool_place):
    place = tool_place("sadtalker")
    assert errors(place, "sadtalker", *VOICE, "--tool_options", "size=512") == ["install.tool-weights"]
    assert errors(place, "sadtalker", *VOICE, "--tool_options", "preprocess=full") == ["install.tool-weights"]
    set_version(place / "SadTalker", "numpy", "1.24.0")
    assert errors(place, "sadtalker", *VOICE) == ["install.tool-version"]
    set_version(place / "SadTalker", "numpy", "1.23.5")
    set_version(place / "SadTalker", "torchvision", "0.17.1")
    assert errors(place, "sadtalker", *VOICE) == ["install.tool-version"]


@pytest.mark.parametrize(("engine", "gib"), [("animateanyone", 12), ("musepose", 24)])
def test_a_gpu_that_is_too_small_is_refused(tool_place, monkeypatch, engine, gib):
    place = tool_place(engine)
    monkeypatch.setenv("STANDIN_GPUS", f"1x{gib}")
    assert errors(place, engine, *VIDEO) == ["machine.tool-gpu-memory"]
    monkeypatch.setenv("STANDIN_GPUS", "")
    assert errors(place, engine, *VIDEO) == ["machine.tool-no-gpu"]


def test_a_clip_shorter_than_a_slice_is_told(tool_place):
    place = tool_place("musepose")
    told = [entry["code"] for entry in found(place, "--engine", "musepose", *VIDEO)]
    assert told == ["media.tool-rate", "media.musepose-slice"]


def test_an_engine_without_a_stage_1_says_so(tool_place):
    place = tool_place("liveportrait")
    assert errors(place, "liveportrait", *VIDEO, driver="run_preprocessing.py") == ["settings.no-stage-1"]
    assert errors(place, "liveportrait", driver="run_generation.py") == ["settings.no-stage-1"]
    assert errors(place, "liveportrait", *VIDEO, "--replace") == ["settings.no-replace"]


def test_media_that_cannot_be_read_are_refused_as_for_any_engine(tool_place):
    place = tool_place("musepose")
    assert errors(place, "musepose", "--video_path", "none.mp4", *VIDEO[2:]) == ["media.missing"]
    assert errors(place, "musepose", *VIDEO[:2], "--refer_path", "none.png") == ["reference.missing"]
    assert errors(place, "musepose", *VIDEO[2:]) == ["settings.missing.video_path"]
    write_sound(place / "silent.mp4")
    assert errors(place, "musepose", "--video_path", "silent.mp4", *VIDEO[2:]) == ["media.no-video-stream"]
    preprocess.write_picture(place / "character.png", numbered_frame(0, 128, 160))
    assert errors(place, "musepose", *VIDEO) == []


def test_the_doctor_says_what_a_tool_lacks_and_takes_its_places(tool_place):
    place = tool_place("sadtalker")
    (place / "SadTalker").rename(place / "elsewhere")
    told = place.run("scripts/doctor.py", "--engine", "sadtalker", "--tool_dir", "elsewhere", "--json")
    engines = json.loads(told.stdout)["engines"]
    assert told.returncode == 0 and engines["sadtalker"]["can_run"]
    assert not engines["musepose"]["can_run"]
    lacking = {area["area"]: area["state"] for area in engines["musepose"]["areas"]}
    assert lacking["checkout"] == lacking["weights"] == "missing"
    remedy = engines["musepose"]["areas"][0]["findings"][0]["remedy"]
    assert "github.com/TMElyralab/MusePose" in remedy
