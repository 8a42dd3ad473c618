"""MagicAnimate, from flags to the finished video, against a stand-in of its repository."""

from __future__ import annotations

import json
import sys
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

import preprocess
from engines.declared.staging import content_box
from engines.magicanimate.densepose import BACKGROUND
from tests.media import Image, numbered_frame, write_clip
from tests.workplace import Workplace

RATE = Fraction(30000, 1001)
INPUTS = ("--engine", "magicanimate", "--video_path", "drive.mp4", "--refer_path", "character.png")


def parts(number: int, width: int, height: int, background: tuple[int, int, int] = BACKGROUND) -> Image:
    """A figure of two parts in DensePose's colours."""
    frame = np.full((height, width, 3), background, np.uint8)
    left = width // 3 + number
    frame[height // 4 : height // 2, left : left + width // 6] = (253, 231, 37)
    frame[height // 2 : -8, left : left + width // 6] = (33, 145, 140)
    return frame


def on_black(number: int, width: int, height: int) -> Image:
    return parts(number, width, height, (0, 0, 0))


def write_densepose(path: Path, frame_count: int = 6) -> Path:
    return write_clip(path, frame_count=frame_count, rate=RATE, frame=parts)


@pytest.fixture
def place(tool_place) -> Workplace:
    made: Workplace = tool_place("magicanimate")
    write_densepose(made / "densepose.mp4")
    write_clip(made / "drive.mp4", frame_count=6, rate=RATE, sound=True)
    preprocess.write_picture(made / "character.png", numbered_frame(0, 160, 96))
    return made


def run(place: Workplace, *flags: str, **environment: str):
    return place.run_here("pipeline.py", *INPUTS, *flags, **environment)


def recorded(place: Workplace) -> list[dict[str, Any]]:
    """What the stand-in was started with, each time."""
    return [json.loads(line) for line in (place / "magic-animate/calls.jsonl").read_text().splitlines()]


def test_a_densepose_video_makes_a_result_in_its_own_shape_at_its_rate_with_the_sound(place):
    done = run(place, "--densepose_path", "densepose.mp4", "--seed", "7", STANDIN_RECORD="calls.jsonl")
    assert done.returncode == 0, done.stderr
    info = preprocess.check_video(place / "output_wanimate.mp4", frame_count=6, size=(512, 308))
    assert info.rate == RATE and info.has_audio
    assert content_box(160, 96, (512, 512)) == (0, 102, 512, 308)
    (call,) = recorded(place)
    configuration = yaml.safe_load(call["configuration"])
    assert configuration["seed"] == [7] and configuration["size"] == 512 and not call["given"]["dist"]
    assert list((place / "magic-animate").glob("samples/*")) == []
    assert not place.scratch_folders()
    frame = next(preprocess.read_frames(place / "process_results/magicanimate/motion.mp4", [0]))
    assert np.abs(frame[2, 256].astype(int) - BACKGROUND).max() < 12, "padded with its own purple"


def test_the_command_of_a_settings_file_makes_the_densepose_video(place):
    write_densepose(place / "made elsewhere.mp4")
    script = "import shutil, sys; shutil.copy('made elsewhere.mp4', sys.argv[2]); open(sys.argv[1]).close()"
    words = [sys.executable, "-c", script, "{input}", "{output}"]
    settings = {"densepose_command": words, "densepose_dir": "."}
    (place / "run.yaml").write_text(yaml.safe_dump(settings))
    done = run(place, "--config", "run.yaml")
    assert done.returncode == 0, done.stderr
    steps = [step["step"] for step in json.loads((place / "output_wanimate.json").read_text())["steps"]]
    assert steps == ["prepare", "densepose", "square", "generate", "cut", "finish"]
    again = place.run_here("pipeline.py", "--rerun", "output_wanimate.json")
    assert again.returncode == 0 and "byte for byte" in again.stderr, again.stderr


def test_a_command_that_draws_on_black_is_found_out_before_the_model_runs(place):
    write_clip(place / "made.mp4", frame_count=6, rate=RATE, frame=on_black)
    script = "import shutil, sys; shutil.copy('made.mp4', sys.argv[2])"
    words = [sys.executable, "-c", script, "{input}", "{output}"]
    done = run(place, "--densepose_command", json.dumps(words))
    assert done.returncode == 1 and "black background" in done.stderr
    assert not (place / "output_wanimate.mp4").exists()


def test_the_distributed_launch_sees_as_many_gpus_as_were_asked_for(place):
    flags = ("--densepose_path", "densepose.mp4", "--multi_gpu", "--nproc_per_node", "3")
    done = run(place, *flags, STANDIN_RECORD="calls.jsonl")
    assert done.returncode == 0, done.stderr
    (call,) = recorded(place)
    assert call["given"]["dist"] and call["cuda"] == "0,1,2"


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("no_file", "left no"),
        ("unfinished", "config.yaml"),
        pytest.param("short", "6 were expected", marks=pytest.mark.long),
        pytest.param("black", "is black", marks=pytest.mark.long),
        pytest.param("cut_off", "cut", marks=pytest.mark.long),
        pytest.param("other_size", "was expected", marks=pytest.mark.long),
        pytest.param("memory", "GPU ran out of memory", marks=pytest.mark.long),
    ],
)
def test_no_result_gets_its_name_unless_it_is_whole(place, fault, words):
    done = run(place, "--densepose_path", "densepose.mp4", STANDIN_TOOL_FAULT=fault)
    assert done.returncode == 1 and words in done.stderr, done.stderr
    assert not (place / "output_wanimate.mp4").exists()
    assert list((place / "magic-animate").glob("samples/*")) == []


def codes(place: Workplace, *flags: str) -> set[str]:
    shown = place.invoke("pipeline.py", *INPUTS, *flags, "--check", "--json")
    return {found["code"] for found in json.loads(shown.stdout)["findings"] if found["level"] != "note"}


def test_its_traps_are_findings(place, monkeypatch):
    assert codes(place) == {"settings.densepose-missing"}
    assert codes(place, "--densepose_path", "drive.mp4") == {"media.densepose-colours"}
    assert codes(place, "--densepose_path", "none.mp4") == {"media.missing"}
    write_densepose(place / "longer.mp4", frame_count=24)
    assert codes(place, "--densepose_path", "longer.mp4") == {"media.densepose-length"}
    preprocess.write_picture(place / "character.png", numbered_frame(0, 100, 300))
    assert codes(place, "--densepose_path", "densepose.mp4") == {"media.magicanimate-shapes"}
    preprocess.write_picture(place / "character.png", numbered_frame(0, 160, 96))
    good = ("--densepose_path", "densepose.mp4")
    assert codes(place, *good) == set()
    assert codes(place, *good, "--multi_gpu", "--nproc_per_node", "1") == {"gpus.magicanimate"}
    assert codes(place, *good, "--seed", str(2**32)) == {"settings.magicanimate-seed"}
    assert codes(place, *good, "--replace") == {"settings.no-replace"}
    words = '["make", "{input}", "{output}"]'
    assert codes(place, "--densepose_command", words, "--densepose_dir", "none") == {
        "install.densepose-folder"
    }
    assert codes(place, "--densepose_command", '["make"]') == {"settings.value.densepose_command"}
    monkeypatch.setenv("STANDIN_GPUS", "1x8")
    assert codes(place, *good) == {"machine.tool-gpu-memory"}


def test_the_memory_grows_with_the_clip(place, monkeypatch):
    monkeypatch.setenv("STANDIN_GPUS", "1x10.2")
    assert codes(place, "--densepose_path", "densepose.mp4") == set()
    write_clip(place / "long.mp4", frame_count=40, rate=RATE, frame=parts)
    assert "machine.tool-gpu-memory" in codes(place, "--densepose_path", "long.mp4")


def test_a_rate_that_is_asked_for_is_that_of_the_densepose_video_too(place):
    flags = (*INPUTS, "--densepose_path", "densepose.mp4", "--check", "--json")
    assert json.loads(place.invoke("pipeline.py", *flags).stdout)["predicted"]["frames"] == 6
    assert json.loads(place.invoke("pipeline.py", *flags, "--fps", "10").stdout)["predicted"]["frames"] == 2
