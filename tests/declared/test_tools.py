"""Each declared tool, from flags to the finished video, against a stand-in of its repository."""

from __future__ import annotations

import json
from fractions import Fraction
from typing import Any

import pytest

import preprocess
from tests.workplace import ROOT, Workplace

INPUTS = {
    "liveportrait": ("--video_path", "drive.mp4", "--refer_path", "character.png"),
    "sadtalker": ("--audio", "voice.m4a", "--refer_path", "character.png"),
    "animateanyone": ("--video_path", "drive.mp4", "--refer_path", "character.png"),
    "musepose": ("--video_path", "drive.mp4", "--refer_path", "character.png"),
}
SIZES = {
    "liveportrait": (128, 160),
    "sadtalker": (256, 256),
    "animateanyone": (512, 640),
    "musepose": (614, 768),
}


def run(place: Workplace, name: str, *flags: str, **environment: str):
    return place.run_here("pipeline.py", "--engine", name, *INPUTS[name], *flags, **environment)


SEED = {"musepose": ("--seed", "5")}


@pytest.mark.parametrize("name", INPUTS)
def test_a_tool_makes_a_result_at_the_true_rate_with_the_original_sound(tool_place, name):
    place = tool_place(name)
    done = run(place, name, *SEED.get(name, ()), STANDIN_RECORD=str(place / "calls.jsonl"))
    assert done.returncode == 0, done.stderr
    info = preprocess.check_video(place / "output_wanimate.mp4", size=SIZES[name])
    assert info.rate == (25 if name == "sadtalker" else Fraction(30000, 1001))
    assert info.has_audio
    assert info.frame_count == (12 if name == "sadtalker" else 6)
    record = json.loads((place / "output_wanimate.json").read_text())
    assert record["settings"]["engine"] == name
    assert not place.scratch_folders()
    assert record["predicted"]["frames"] == info.frame_count
    assert (record["predicted"]["width"], record["predicted"]["height"]) == SIZES[name]
    again = run(place, name, *SEED.get(name, ()), "--explain")
    assert "will run" not in again.stdout, again.stdout
    if name == "musepose":  # whose own default leaves out every second frame, and cuts at 300
        align, generate = calls(place, ".")
        assert generate["given"]["skip"] == 0 and generate["given"]["L"] == 6
        assert generate["given"]["seed"] == 5 and align["given"]["max_frame"] == 6


FAULTS: list[Any] = [
    ("liveportrait", "short", "leaves out frames in which it finds nobody"),
    pytest.param("liveportrait", "other_size", "was expected", marks=pytest.mark.long),
    pytest.param("liveportrait", "cut_off", "cut", marks=pytest.mark.long),
    pytest.param("liveportrait", "no_face", "no face in the reference image", marks=pytest.mark.long),
    ("sadtalker", "no_face", "finds no face in the reference image"),
    pytest.param("sadtalker", "no_file", "reports success, but made no video", marks=pytest.mark.long),
    pytest.param("sadtalker", "memory", "GPU ran out of memory", marks=pytest.mark.long),
    pytest.param("sadtalker", "black", "is black", marks=pytest.mark.long),
    pytest.param("musepose", "crash", "exit code 1", marks=pytest.mark.long),
    pytest.param("animateanyone", "other_size", "was expected at", marks=pytest.mark.long),
]


@pytest.mark.parametrize(("name", "fault", "words"), FAULTS)
def test_nothing_gets_the_results_name_unless_it_is_whole(tool_place, name, fault, words):
    place = tool_place(name)
    done = run(place, name, STANDIN_TOOL_FAULT=fault)
    assert done.returncode == 1 and words in done.stderr, done.stderr
    assert not (place / "output_wanimate.mp4").exists()
    assert not place.scratch_folders()
    assert list(place.folder.glob("*/output/*/*/*")) == []


def calls(place: Workplace, folder: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (place / folder / "calls.jsonl").read_text().splitlines()]


def test_nothing_is_left_beside_the_inputs_or_in_the_checkout(tool_place):
    place = tool_place("animateanyone")
    before = set(place.contents())
    done = run(place, "animateanyone")
    assert done.returncode == 0, done.stderr
    made = set(place.contents(hidden=False)) - before
    staged = {
        f"process_results/animateanyone/{name}" for name in ("reference.png", "driving.mp4", "pose.mp4")
    }
    assert made == staged | {"output_wanimate.mp4", "output_wanimate.json"}
    again = run(place, "animateanyone", "--sample_steps", "5")
    steps = json.loads((place / "output_wanimate.json").read_text())["steps"]
    assert again.returncode == 0
    assert [step["step"] for step in steps if "sample_steps changed" in str(step["why"])] == ["generate"]


def test_names_that_a_shell_would_misread_do_no_harm(tool_place):
    place = tool_place("sadtalker")
    flags = ("--save_path", "it's $HOME; made", "--output_path", 'it\'s a "result".mp4')
    done = run(place, "sadtalker", *flags)
    assert done.returncode == 0, done.stderr
    assert (place / 'it\'s a "result".mp4').is_file()


def test_options_become_the_tools_own_flags(tool_place):
    place = tool_place("liveportrait")
    options = "flag_stitching=false, flag_normalize_lip=true, flag_force_cpu=true, animation_region=lip"
    done = run(place, "liveportrait", "--tool_options", options, STANDIN_RECORD="calls.jsonl")
    assert done.returncode == 0, done.stderr
    (call,) = calls(place, "LivePortrait")
    words = " ".join(call["argv"])
    assert "--no-flag-stitching --flag-normalize-lip --flag-force-cpu --animation-region lip" in words
    assert words.endswith("--no-flag-use-half-precision")


def test_a_rerun_makes_the_same_file_and_a_draft_the_beginning(tool_place):
    place = tool_place("liveportrait")
    assert run(place, "liveportrait", "--fps", "10").returncode == 0
    again = place.run_here("pipeline.py", "--rerun", "output_wanimate.json", "--force")
    assert again.returncode == 0 and "byte for byte" in again.stderr, again.stderr
    info = preprocess.probe_video(place / "output_wanimate.mp4")
    assert info.rate == 10 and info.frame_count == 2
    verified = place.run_here("pipeline.py", "--verify", "output_wanimate.json")
    assert verified.returncode == 0, verified.stderr


def test_a_dry_run_shows_the_commands_and_runs_nothing(tool_place):
    place = tool_place("musepose")
    before = place.contents()
    shown = run(place, "musepose", "--dry_run")
    assert shown.returncode == 0 and "test_stage_2.py" in shown.stdout and "pose_align.py" in shown.stdout
    assert place.contents() == before


@pytest.mark.parametrize("name", [*INPUTS])
def test_a_tools_file_is_small(name):
    """Code lines: what one has to write to add a tool. docs/adding_an_engine.md promises under 100."""
    text = (ROOT / "engines" / "declared" / f"{name}.py").read_text(encoding="utf-8")
    code = [line for line in text.splitlines() if line.strip() and not line.lstrip().startswith(("#", '"""'))]
    assert len(code) < 100
