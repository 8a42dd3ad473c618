"""The launcher in front of stage 1's script: SAM 2 is not loaded, and nothing but the mask is another."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import preprocess
from engines.wan22.plan import STAGE_1_LAUNCHER
from engines.wan22.stage1_launcher import sam_utils
from tests.standin import read_record
from tests.standin.world import World, make_world, outline

SCRIPT = """
import argparse, json, sys
import beside
from sam_utils import build_sam2_video_predictor
print(json.dumps({
    "argv": sys.argv, "name": __name__, "file": __file__, "beside": beside.__file__, "path": sys.path,
    "program": argparse.ArgumentParser().prog, "main": sys.modules["__main__"].__dict__["beside"] is beside,
    "modules": list(sys.modules), "predictor": type(build_sam2_video_predictor("a.yaml", "/no.pt")).__name__,
}))
sys.exit(int(sys.argv[-1]))
"""
REPLACE = ["--replace_flag", "--resolution_area", "320", "180", "--iterations", "0"]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return make_world(tmp_path_factory.mktemp("world"))


@pytest.fixture
def script(tmp_path: Path) -> Path:
    """A script with a neighbour and with a ``sam_utils`` that must not be loaded; odd letters in its path."""
    folder = tmp_path / "check out's ü"
    folder.mkdir()
    (folder / "beside.py").write_text("")
    (folder / "sam_utils.py").write_text("raise RuntimeError('the one beside the script was loaded')")
    (folder / "preprocess_data.py").write_text(SCRIPT)
    return folder / "preprocess_data.py"


def launch(
    script: Path, *arguments: str, environment: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(STAGE_1_LAUNCHER), str(script), *arguments],
        capture_output=True,
        text=True,
        check=False,
        cwd=script.parents[1],
        env=environment,
    )


def run(
    world: World, save: Path, *more: str, launcher: bool, **extra: str
) -> subprocess.CompletedProcess[bytes]:
    """The stand-in's stage 1 in replace mode, as the plan calls it, with the launcher or without."""
    python, *rest = world.command("preprocess", save, *REPLACE, *more)
    return subprocess.run(
        [python, *([str(STAGE_1_LAUNCHER)] if launcher else []), *rest],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=False,
        env=world.environment(**extra),
    )


# --------------------------------------------------------------------- the script does not notice it


@pytest.mark.parametrize("safe_path", ["", "1"], ids=["", "PYTHONSAFEPATH"])
def test_the_script_runs_as_if_python_had_been_given_it(script, safe_path):
    done = launch(script, "--fps", "-1", "0", environment={**os.environ, "PYTHONSAFEPATH": safe_path})
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["argv"] == [str(script), "--fps", "-1", "0"] and found["program"] == "preprocess_data.py"
    assert (found["name"], found["file"], found["main"]) == ("__main__", str(script), True)
    assert found["path"][0] == str(script.parent) and found["beside"] == str(script.with_name("beside.py"))
    assert str(STAGE_1_LAUNCHER.parent) not in found["path"], "a module of ours could hide one of upstream's"


def test_it_imports_nothing_of_ours_and_no_torch_before_upstream_does(script):
    loaded = set(json.loads(launch(script, "0").stdout)["modules"])
    assert not loaded & {"config", "engines", "execution", "preprocess", "click", "av", "numpy", "torch"}


def test_sam_utils_is_ours_and_does_not_look_at_weights(script):
    assert json.loads(launch(script, "0").stdout)["predictor"] == "MaskOfEverything"


@pytest.mark.parametrize("code", [0, 1, 7])
def test_the_exit_code_is_the_scripts(script, code):
    assert launch(script, str(code)).returncode == code


def test_a_crash_ends_with_the_scripts_own_traceback(script):
    script.write_text("raise RuntimeError('of the script')")
    done = launch(script)
    assert done.returncode == 1
    assert done.stderr.rstrip().endswith("RuntimeError: of the script") and str(script) in done.stderr


# ------------------------------------------------------------------------------- the whole of stage 1


def test_pose_and_face_are_the_same_bytes_and_the_mask_is_everything(world, tmp_path):
    for folder in ("with", "without"):
        done = run(world, tmp_path / folder, launcher=folder == "with")
        assert done.returncode == 0, done.stdout.decode()
    files = {path.name for path in (tmp_path / "without").iterdir()}
    assert {path.name for path in (tmp_path / "with").iterdir()} == files and len(files) == 5
    for name in ("src_pose.mp4", "src_face.mp4", "src_ref.png"):
        assert (tmp_path / "with" / name).read_bytes() == (tmp_path / "without" / name).read_bytes()
    for name, expected in (("src_mask.mp4", 255), ("src_bg.mp4", 0)):
        levels = [np.unique(frame) for frame in preprocess.read_frames(tmp_path / "with" / name)]
        assert len(levels) == preprocess.probe_video(tmp_path / "without" / name).frame_count
        assert all(np.all(np.abs(found - float(expected)) <= 2) for found in levels)
    (mask, *_) = preprocess.read_frames(tmp_path / "without" / "src_mask.mp4")
    assert 0 < (mask > 127).mean() < 0.5, "without the launcher it is the person alone"


def test_sam_2_is_loaded_without_the_launcher_and_not_with_it(world, tmp_path):
    for folder, events in (("without", ["start", "sam2"]), ("with", ["start"])):
        record = tmp_path / f"{folder}.jsonl"
        done = run(world, tmp_path / folder, launcher=folder == "with", STANDIN_RECORD=str(record))
        assert [entry["event"] for entry in read_record(record)] == events
        bars = [line for line in outline(done.stdout) if line.startswith("bar ")]
        assert ("bar video frame" in {bar.strip() for bar in bars}) == (folder == "without")


def test_the_weights_of_sam_2_need_not_be_there(world, tmp_path):
    checkpoints = ["--ckpt_path", str(world.bare)]
    without = run(world, tmp_path, *checkpoints, launcher=False)
    assert without.returncode == 1 and b"sam2_hiera_large.pt" in without.stdout
    assert run(world, tmp_path, *checkpoints, launcher=True).returncode == 0


@pytest.mark.parametrize("fault", ["empty_mask", "thin_mask"])
def test_a_mask_that_ends_upstreams_run_does_not_end_this_one(world, tmp_path, fault):
    faulty = {"STANDIN_FAULT": f"preprocess:{fault}"}
    grown = run(world, tmp_path, "--iterations", "3", launcher=False, **faulty)
    assert grown.returncode == 1 and not (tmp_path / "src_pose.mp4").exists()
    assert run(world, tmp_path, launcher=True, **faulty).returncode == 0


def test_more_than_one_chunk_of_frames_is_masked(world, tmp_path):
    done = run(world, tmp_path, "--fps", "410", "--resolution_area", "96", "96", launcher=True)
    assert done.returncode == 0, done.stdout.decode()
    assert preprocess.probe_video(tmp_path / "src_mask.mp4").frame_count >= 410


# ------------------------------------------------------------------------------------- the predictor


@pytest.mark.needs("torch")
def test_every_pixel_of_every_frame_is_masked_in_the_real_torch():
    predictor = sam_utils().build_sam2_video_predictor("sam2_hiera_l.yaml", "/not/there.pt")
    state = predictor.init_state_v2(frames=[np.zeros((48, 64, 3), np.uint8)] * 3)
    predictor.reset_state(state)
    points, labels = np.zeros((8, 2), np.int32), np.ones(8, np.int32)
    frame, objects, _ = predictor.add_new_points(
        inference_state=state, frame_idx=1, obj_id=1, points=points, labels=labels
    )
    assert (frame, objects) == (1, [1])
    found = list(predictor.propagate_in_video(state))
    assert [number for number, _, _ in found] == [0, 1, 2]
    for _, names, logits in found:
        (mask,) = [(logits[place] > 0.0).cpu().numpy()[0].astype(np.uint8) for place, _ in enumerate(names)]
        assert mask.shape == (48, 64) and mask.all()
