"""scripts/run_animatediff.py: refused before anything starts, reports, names, nothing overwritten."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

import preprocess
from engines.animatediff import interpreter, running
from engines.animatediff.interpreter import Packages
from tests.animatediff.weightless import (
    SD15_NAMES,
    SDXL_NAMES,
    write_adapter,
    write_base_folder,
    write_named,
)
from tests.workplace import ROOT

SMALL = ("--width", "64", "--height", "64", "--frames", "4", "--steps", "2")
STANDIN = Path(__file__).with_name("standin_worker.py")


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A folder with a configuration of SDXL files; the worker is the stand-in, and has every package."""
    write_named(tmp_path / "sdxl.safetensors", SDXL_NAMES)
    write_named(tmp_path / "sd15.safetensors", SD15_NAMES)
    write_adapter(tmp_path / "sdxl_adapter.safetensors", 3)
    write_adapter(tmp_path / "v2.safetensors", 4, mid=True)
    write_base_folder(tmp_path / "base", sdxl=True)
    configure(tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(running, "WORKER", STANDIN)
    versions = dict.fromkeys(
        ("torch", "transformers", "accelerate", "safetensors", "numpy", "pillow", "peft"), "1"
    )
    monkeypatch.setattr(
        interpreter, "packages_of", lambda python: Packages({**versions, "diffusers": "0.42.1"})
    )
    return tmp_path


def configure(folder: Path, **changes: str | None) -> None:
    content = {
        "checkpoint_path": str(folder / "sdxl.safetensors"),
        "motion_adapter_path": str(folder / "sdxl_adapter.safetensors"),
        "output_dir": str(folder / "out"),
        "pipeline_config_path": str(folder / "base"),
        **changes,
    }
    kept = {key: value for key, value in content.items() if value is not None}
    (folder / "c.yaml").write_text(yaml.safe_dump(kept), encoding="utf-8")


def run(*flags: str) -> int:
    from scripts import run_animatediff

    try:
        run_animatediff.main(["--config", "c.yaml", *flags], standalone_mode=False)
    except SystemExit as end:
        return int(end.code or 0)
    raise AssertionError("it always exits")


def errors(capsys: pytest.CaptureFixture[str], *flags: str) -> list[str]:
    assert run(*flags) == 2
    return [line for line in capsys.readouterr().err.splitlines() if line.startswith("[X] ")]


def test_a_clip_gets_its_name_its_report_and_its_length(place, capsys):
    assert run(*SMALL, "--json") == 0
    report = json.loads(capsys.readouterr().out)
    made = place / "out" / "animatediff_seed42_64x64_f4_s2.mp4"
    assert report["path"] == str(made)
    assert (report["generation_time"], report["frames"]) == (4.0, 4)
    assert report["duration"] == pytest.approx(4 / 30)
    assert report["realtime_ratio"] == pytest.approx(4 / 30 / 4)
    assert {"loading", "denoising", "decoding", "encoding"} <= set(report["phases"])
    info = preprocess.check_video(made, frame_count=4, size=(64, 64))
    assert info.rate == 30
    assert json.loads(made.with_suffix(".json").read_text()) == report
    assert sorted(path.name for path in made.parent.iterdir()) == [made.with_suffix(".json").name, made.name]


def test_the_report_for_people_has_every_number(place, capsys):
    assert run(*SMALL, "--fps", "8", "--output-basename", "idle") == 0
    text = capsys.readouterr().out
    for line in (
        "generation_time 4.00 s",
        "duration        0.50 s",
        "frames          4",
        "realtime_ratio  0.1250",
    ):
        assert line in text
    assert "idle_seed42_64x64_f4_s2.mp4" in text and "Something to know." in text


def test_nothing_is_overwritten_unasked(place, capsys):
    assert run(*SMALL) == 0
    made = place / "out" / "animatediff_seed42_64x64_f4_s2.mp4"
    before = made.read_bytes()
    assert "exists already" in errors(capsys, *SMALL)[0]
    assert run(*SMALL, "--overwrite") == 0
    assert made.read_bytes() == before, "the same seed, the same bytes"
    assert run(*SMALL, "--seed", "5") == 0
    assert (made.parent / "animatediff_seed5_64x64_f4_s2.mp4").read_bytes() != before


@pytest.mark.parametrize(
    ("preset", "expected"),
    [("a", (8, 8, 768, 768, 7.0)), ("b", (16, 12, 1024, 1024, 7.5)), ("c", (24, 20, 1024, 1024, 8.0))],
)
def test_a_preset_is_what_it_says_and_each_value_can_be_another(preset, expected):
    from engines.animatediff.clip import PRESETS

    kept = PRESETS[preset]
    assert (kept.frames, kept.steps, kept.width, kept.height, kept.guidance) == expected


@pytest.mark.parametrize("key", ["checkpoint_path", "motion_adapter_path", "output_dir"])
def test_a_required_key_has_no_default(key, place, capsys):
    configure(place, **{key: None})
    assert errors(capsys, *SMALL)[0].startswith(f"[X] config key '{key}' is required")


def test_a_key_that_is_not_known_is_refused(place, capsys):
    configure(place, chekpoint_path="x")
    assert "did you mean 'checkpoint_path'?" in errors(capsys)[0]


REFUSED = {
    "a checkpoint that is not there": ({"checkpoint_path": "/none"}, (), "[X] Checkpoint not found: /none"),
    "an adapter that is not there": (
        {"motion_adapter_path": "/none"},
        (),
        "[X] MotionAdapter not found: /none",
    ),
    "an adapter as checkpoint": ({"checkpoint_path": "v2.safetensors"}, (), "is a motion adapter, not a"),
    "a checkpoint as adapter": ({"motion_adapter_path": "sd15.safetensors"}, (), "is no motion adapter"),
    "families that do not fit": ({"motion_adapter_path": "v2.safetensors"}, (), "an SD 1.5 adapter"),
    "another base": ({"checkpoint_path": "sd15.safetensors"}, (), "base is SDXL's"),
    "an empty base": ({"pipeline_config_path": "out"}, (), "holds no model_index.json"),
    "too many frames": ({}, ("--frames", "33"), "at most 32"),
    "no frame": ({}, ("--frames", "0"), "frames must be"),
    "no step": ({}, ("--steps", "0"), "steps must be"),
    "a side that does not divide": ({}, ("--height", "68"), "Give 64."),
    "a seed below nothing": ({}, ("--seed", "-1"), "seed must be"),
    "guidance that is none": ({}, ("--guidance", "nan"), "guidance must be"),
    "a name with a folder": ({}, ("--output-basename", "../x"), "no plain name"),
    "an empty prompt": ({}, ("--prompt", " "), "A prompt is empty"),
    "a travel without frame": ({}, ("--travel", "late: a cat"), "a frame's number"),
    "a travel with SDXL": ({}, ("--travel", "2:a cat"), "SDXL draws a clip at once"),
    "a LoRA that is not there": ({}, ("--lora", "none.ckpt"), "LoRA not found"),
    "a move that was not downloaded": ({}, ("--lora", "zoom-in:0.5"), "v2_lora_ZoomIn.ckpt"),
    "a weight that is none": ({}, ("--lora", "zoom-in:much"), "is no weight"),
    "a picture without a model": ({}, ("--control-image", "0:x.png"), "needs a SparseCtrl model"),
    "a GPU that is not there": ({}, ("--device", "cuda"), "no NVIDIA driver answers"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused_before_anything_starts(case, place, capsys, monkeypatch):
    changes, flags, words = REFUSED[case]
    configure(place, **{key: str(place / value) for key, value in changes.items()})
    monkeypatch.setattr("engines.machine.gpus", lambda: ())
    found = errors(capsys, *SMALL, *flags)
    assert any(words in line for line in found), found
    assert not (place / "out").exists()


def test_a_download_that_broke_off_is_told(place, capsys):
    file = place / "sdxl.safetensors"
    file.write_bytes(file.read_bytes()[:-1])
    assert "is cut off" in errors(capsys, *SMALL)[0]
    file.write_bytes(b"<html>")
    assert "no safetensors file" in errors(capsys, *SMALL)[0]


def test_packages_that_are_missing_are_told_with_the_command(place, capsys, monkeypatch):
    monkeypatch.setattr(interpreter, "packages_of", lambda python: Packages({"diffusers": "0.35.2"}))
    found = errors(capsys, *SMALL)
    assert "lacks torch" in found[0] and "requirements-animatediff.txt" in found[0]
    assert "0.36 or newer" in found[1]


@pytest.mark.parametrize(
    ("fault", "words"),
    [("refused", "loaded nothing. Give another."), ("memory", "memory is full"), ("short", "3, 64, 64, 3")],
)
def test_a_failure_leaves_nothing_and_exits_1(fault, words, place, capsys, monkeypatch):
    monkeypatch.setenv("STANDIN_FAULT", fault)
    assert run(*SMALL) == 1
    told = capsys.readouterr().err
    assert "[X] " in told and words in told
    assert list((place / "out").iterdir()) == []


@pytest.mark.parametrize("arguments", [("--frames", "many"), ("--preset", "d"), ("--fraems", "8")])
def test_a_wrong_command_line_is_told_like_all_else(arguments):
    done = subprocess.run(
        [sys.executable, ROOT / "scripts" / "run_animatediff.py", *arguments], capture_output=True, text=True
    )
    assert done.returncode == 2 and done.stderr.startswith("[X] ")


@pytest.mark.long
@pytest.mark.needs("diffusers")
@pytest.mark.parametrize("family", ["sd15", "sdxl"])
def test_a_clip_by_the_real_worker(family, request, tmp_path):
    """The whole way: command, worker, real pipeline, file. Twice the same, in two processes."""
    clip = request.getfixturevalue(family)
    configure(
        tmp_path,
        checkpoint_path=str(clip.checkpoint),
        motion_adapter_path=str(clip.motion_adapter),
        pipeline_config_path=str(clip.pipeline_config),
    )
    command = [
        sys.executable,
        ROOT / "scripts" / "run_animatediff.py",
        "--config",
        tmp_path / "c.yaml",
        *SMALL,
    ]
    files = []
    for number in range(2):
        flags = ("--output-basename", f"run{number}", *(("--warmup",) if number else ()))
        done = subprocess.run(
            [*command, *flags], capture_output=True, text=True, env={"OMP_NUM_THREADS": "1"}
        )
        assert done.returncode == 0, done.stderr
        files.append((tmp_path / "out" / f"run{number}_seed42_64x64_f4_s2.mp4").read_bytes())
    assert files[0] == files[1]
