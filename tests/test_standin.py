"""The stand-in Wan2.2 is held against facts taken from upstream itself: its options, the files that its real
stage 1 wrote, how bad requests ended, and logs of real runs (`tests/data/upstream_*`,
`docs/upstream_on_cpu.md`).
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from tests.standin.world import PATIENCE, World, describe, make_world, outline, write_clip

DATA = Path(__file__).parent / "data"
LOGS = DATA / "upstream_logs"
OPTIONS = json.loads((DATA / "upstream_options.json").read_text())["scripts"]
RUNS = json.loads((DATA / "upstream_runs.json").read_text())


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return make_world(tmp_path_factory.mktemp("world"))


# ---------------------------------------------------------------------------------------------- its options

DUMP_OPTIONS = """
import argparse, json, runpy, sys
def dump(parser, *_):
    kinds = {"_StoreTrueAction": "store_true", "_StoreAction": "store"}
    print(json.dumps({a.option_strings[0]: {
        "type": a.type.__name__ if a.type else None, "action": kinds[type(a).__name__], "default": a.default,
        "choices": a.choices, "nargs": a.nargs if a.nargs != 0 else None, "required": a.required,
    } for a in parser._actions[1:]}))
    raise SystemExit
argparse.ArgumentParser.parse_args = dump
sys.path.insert(0, sys.argv[1].rpartition("/")[0])
runpy.run_path(sys.argv[1], run_name="__main__")
"""


@pytest.mark.parametrize("script", OPTIONS)
def test_the_options_are_upstreams_in_upstreams_order(world: World, script: str) -> None:
    dumped = subprocess.run(
        [sys.executable, "-c", DUMP_OPTIONS, str(world.checkout / script)],
        capture_output=True,
        text=True,
        check=True,
    )
    ours = json.loads(dumped.stdout)
    theirs = {
        name: {
            **facts,
            "default": False if facts["action"] == "store_true" else facts["default"],
            "required": False,
        }
        for name, facts in OPTIONS[script].items()
    }
    assert list(ours.items()) == list(theirs.items())


# ------------------------------------------------------------------------------------------ what it writes


@pytest.mark.parametrize("case", RUNS["written"], ids=lambda case: case["name"])
def test_it_writes_the_files_that_upstream_wrote(world: World, tmp_path: Path, case: dict[str, Any]) -> None:
    source = case["driving_video"]
    video = write_clip(
        tmp_path / "in.mp4", source["frames"], source["rate"], source["width"], source["height"]
    )
    finished = world.run("preprocess", tmp_path / "out", *case["options"], "--video_path", str(video))
    assert finished.returncode == 0, finished.stdout.decode()
    assert {path.name: describe(path) for path in (tmp_path / "out").glob("*.mp4")} == case["files"]
    assert (tmp_path / "out/src_ref.png").read_bytes() == world.refer.read_bytes()


def test_mask_and_background_agree(world: World) -> None:
    def first(name: str) -> np.ndarray:
        with av.open(str(world.source / name)) as container:
            return next(container.decode(video=0)).to_ndarray(format="rgb24")

    mask = first("src_mask.mp4")
    assert mask.min() <= 5 and mask.max() >= 250
    inside = mask[..., 0] > 127
    assert np.median(first("src_bg.mp4")[inside]) <= 5 < np.median(first("src_bg.mp4")[~inside])


def test_generation_writes_as_many_frames_as_the_pose_video_at_30_a_second(
    world: World, tmp_path: Path
) -> None:
    assert world.run("generate", tmp_path).returncode == 0
    pose, result = describe(world.source / "src_pose.mp4"), describe(tmp_path / "result.mp4")
    assert result == {**pose, "rate": "30"}


@pytest.mark.parametrize("case", RUNS["failures"], ids=lambda case: f"{case['stage']}-{case['name']}")
def test_bad_requests_end_as_upstreams_did(world: World, tmp_path: Path, case: dict[str, Any]) -> None:
    def fill(text: str) -> str:
        for name, path in (("text", world.text), ("bare", world.bare), ("save", tmp_path)):
            text = text.replace("{" + name + "}", str(path))
        return text

    save = tmp_path / "out" if case["stage"] == "preprocess" else tmp_path
    command = world.command(case["stage"], save, *map(fill, case["options"]), without=case["without"])
    finished = subprocess.run(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=world.environment(), timeout=PATIENCE,
        check=False, cwd=tmp_path,
    )  # fmt: skip
    last = re.sub(r"^\[.*?\] INFO: ", "", finished.stdout.decode().splitlines()[-1])
    assert (finished.returncode, last[: len(fill(case["last_line"]))]) == (
        case["exit"],
        fill(case["last_line"]),
    )
    assert sorted(path.name for path in save.glob("*")) == case["files"]


def test_rates_are_rounded_as_upstream_writes_them(world: World, tmp_path: Path) -> None:
    video = tmp_path / "ntsc.mp4"
    with av.open(str(video), "w") as container:
        stream = container.add_stream("libx264", rate=Fraction(30000, 1001))
        stream.width, stream.height, stream.pix_fmt = 160, 96, "yuv420p"
        for _ in range(12):
            picture = av.VideoFrame.from_ndarray(np.zeros((96, 160, 3), np.uint8), format="rgb24")
            container.mux(stream.encode(picture))
        container.mux(stream.encode(None))
    assert world.run("preprocess", tmp_path, "--video_path", str(video), "--fps", "-1").returncode == 0
    assert describe(tmp_path / "src_pose.mp4")["rate"] == "2997/100"


# -------------------------------------------------------------------------------------------- what it prints

STAGE_1_LOGS = {
    "preprocess_animate.txt": [],
    "preprocess_animate_retarget.txt": ["--retarget_flag"],
    "preprocess_replace.txt": ["--replace_flag", "--fps", "12"],
}
STAGE_2_LOGS = {
    "generate_animate.txt": ["--base_seed", "42"],
    "generate_replace_relighting.txt": [
        "--replace_flag",
        "--use_relighting_lora",
        "--offload_model",
        "False",
    ],
    "generate_save_failed.txt": ["--save_file", "/nowhere/out.mp4"],
}


@pytest.mark.parametrize("name", STAGE_1_LOGS)
def test_stage_1_prints_the_lines_of_a_real_run_in_order(world: World, tmp_path: Path, name: str) -> None:
    finished = world.run("preprocess", tmp_path / "out", *STAGE_1_LOGS[name])
    assert outline(finished.stdout) == outline((LOGS / name).read_bytes())


@pytest.mark.parametrize("name", STAGE_2_LOGS)
def test_stage_2_prints_the_lines_of_a_real_run_in_order(world: World, tmp_path: Path, name: str) -> None:
    # 30 frames and windows of 21 make two windows, as 106 frames and windows of 77 did.
    finished = world.run("generate", tmp_path, "--frame_num", "21", *STAGE_2_LOGS[name])
    assert outline(finished.stdout) == outline((LOGS / name).read_bytes())


@pytest.mark.parametrize(
    ("stage", "name", "more"),
    [
        ("preprocess", "preprocess_animate_retarget", ["--retarget_flag"]),
        ("generate", "generate_animate", []),
    ],
)
def test_each_line_goes_to_the_stream_that_it_went_to(
    world: World, tmp_path: Path, stage: str, name: str, more: list[str]
) -> None:
    if stage == "generate":
        more = ["--frame_num", "21"]
    command = world.command(stage, tmp_path, *more)
    finished = subprocess.run(
        command, capture_output=True, env=world.environment(), timeout=PATIENCE, check=True
    )
    assert outline(finished.stdout) == outline((LOGS / f"{name}.stdout").read_bytes())
    assert outline(finished.stderr) == outline((LOGS / f"{name}.stderr").read_bytes())


def test_bars_are_drawn_with_carriage_returns_and_heed_tqdms_variables(world: World, tmp_path: Path) -> None:
    often = world.run("generate", tmp_path, STANDIN_SECONDS="1.5").stdout.count(b"\r")
    seldom = world.run("generate", tmp_path, STANDIN_SECONDS="1.5", TQDM_MININTERVAL="1").stdout.count(b"\r")
    never = world.run("generate", tmp_path, TQDM_DISABLE="1").stdout.count(b"\r")
    assert often > seldom > never == 0
