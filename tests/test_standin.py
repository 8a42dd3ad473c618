"""The stand-in Wan2.2 is held against facts taken from upstream itself: its options, the files that its real stage 1
wrote, how bad requests ended, and logs of real runs (`tests/data/upstream_*`, `docs/upstream_on_cpu.md`)."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest

from tests.standin import (
    STAGE_1,
    STAGE_2,
    make_checkpoints,
    make_standin,
    read_record,
    standin_environment,
)

DATA = Path(__file__).parent / "data"
LOGS = DATA / "upstream_logs"
OPTIONS = json.loads((DATA / "upstream_options.json").read_text())["scripts"]
RUNS = json.loads((DATA / "upstream_runs.json").read_text())
PATIENCE = 20  # seconds until a test gives up on a process

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="the stand-in's faults are POSIX signals")


def write_clip(path: Path, frame_count: int, rate: int, width: int, height: int) -> Path:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=rate, options={"preset": "ultrafast"})
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        for index in range(frame_count):
            picture = np.full((height, width, 3), index, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode(None))
    return path


def describe(path: Path) -> dict[str, Any]:
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        frame_count = sum(1 for _ in container.decode(stream))
        codec = stream.codec_context
        return {
            "codec": codec.name, "profile": stream.profile, "pix_fmt": codec.pix_fmt, "width": codec.width,
            "height": codec.height, "rate": str(stream.average_rate), "frames": frame_count,
            "streams": len(container.streams),
        }  # fmt: skip


@dataclass
class World:
    """One stand-in with its inputs; the tests only read what is here."""

    checkout: Path
    checkpoints: Path
    bare: Path
    video: Path
    refer: Path
    text: Path
    source: Path

    def options(self, stage: str, save: Path) -> dict[str, list[str]]:
        """The plain command of a stage, by option."""
        if stage == "preprocess":
            return {
                "--ckpt_path": [str(self.checkpoints / "process_checkpoint")], "--video_path": [str(self.video)],
                "--refer_path": [str(self.refer)], "--save_path": [str(save)],
            }  # fmt: skip
        return {
            "--task": ["animate-14B"], "--ckpt_dir": [str(self.checkpoints)], "--refert_num": ["1"],
            "--src_root_path": [str(self.source)], "--save_file": [str(save / "result.mp4")],
        }  # fmt: skip

    def command(self, stage: str, save: Path, *more: str, without: list[str] | None = None) -> list[str]:
        """Later spellings of an option win, as argparse has it."""
        script = self.checkout / (STAGE_1 if stage == "preprocess" else STAGE_2)
        plain = self.options(stage, save)
        given = [word for name in plain if name not in (without or []) for word in (name, *plain[name])]
        return [sys.executable, str(script), *given, *more]

    def environment(self, **extra: str) -> dict[str, str]:
        return standin_environment(self.checkout, PYTHONUNBUFFERED="1", PYTHONIOENCODING="utf-8", **extra)

    def run(self, stage: str, save: Path, *more: str, **extra: str) -> subprocess.CompletedProcess[bytes]:
        """Both streams in one, as the runner reads them."""
        return subprocess.run(
            self.command(stage, save, *more), stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            env=self.environment(**extra), timeout=PATIENCE, check=False,
        )  # fmt: skip


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    folder = tmp_path_factory.mktemp("world")
    (folder / "text").write_text("neither a video nor a picture\n")
    bare = make_checkpoints(folder / "whole") / "process_checkpoint"
    made = World(
        checkout=make_standin(folder / "Wan2.2"),
        checkpoints=make_checkpoints(folder / "checkpoints"),
        bare=bare,
        video=write_clip(folder / "video.mp4", 24, 24, 320, 180),
        refer=folder / "image.jpeg",
        text=folder / "text",
        source=folder / "source",
    )
    (bare / "sam2/sam2_hiera_large.pt").unlink()
    (bare / "FLUX.1-Kontext-dev/model_index.json").unlink()
    (bare / "FLUX.1-Kontext-dev").rmdir()
    cv2.imwrite(str(made.refer), np.full((720, 1280, 3), 90, np.uint8))
    finished = made.run("preprocess", made.source, "--replace_flag", "--resolution_area", "320", "180")
    assert finished.returncode == 0, finished.stdout.decode()
    return made


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
        [sys.executable, "-c", DUMP_OPTIONS, str(world.checkout / script)], capture_output=True, text=True, check=True
    )
    ours = json.loads(dumped.stdout)
    theirs = {
        name: {**facts, "default": False if facts["action"] == "store_true" else facts["default"], "required": False}
        for name, facts in OPTIONS[script].items()
    }
    assert list(ours.items()) == list(theirs.items())


# ------------------------------------------------------------------------------------------ what it writes


@pytest.mark.parametrize("case", RUNS["written"], ids=lambda case: case["name"])
def test_it_writes_the_files_that_upstream_wrote(world: World, tmp_path: Path, case: dict[str, Any]) -> None:
    source = case["driving_video"]
    video = write_clip(tmp_path / "in.mp4", source["frames"], source["rate"], source["width"], source["height"])
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


def test_generation_writes_as_many_frames_as_the_pose_video_at_30_a_second(world: World, tmp_path: Path) -> None:
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
    assert (finished.returncode, last[: len(fill(case["last_line"]))]) == (case["exit"], fill(case["last_line"]))
    assert sorted(path.name for path in save.glob("*")) == case["files"]


# -------------------------------------------------------------------------------------------- what it prints

NOISE = re.compile(r"onnxruntime|Warning|amp\.autocast|Skipping the post|pred_masks_gpu|\*{41}|OMP_NUM_THREADS")


def outline(output: bytes) -> list[str]:
    """The log without what differs from run to run: times, paths, measurements, how often a bar was drawn, and
    warnings of libraries. What is left is each line's wording and the order."""
    pieces = [piece.rstrip() for piece in re.split(r"[\r\n]+", output.decode())]
    kept: list[str] = []
    for piece in pieces:
        if not piece or NOISE.search(piece):
            continue
        bar = re.fullmatch(r"(?:(.*): )? *\d+%\|.{10}\| \d+/(\d+) \[\d\d:\d\d<(?:\?|\d\d:\d\d), .*?(it/s|s/it)(.*)\]", piece)
        text = f"bar {bar[1]} {bar[4]}" if bar else re.sub(r"\{.*\}|/\S*/", "…", re.sub(r"'[^']*'", "'…'", piece))
        text = re.sub(r"Namespace\((.*)\)", lambda match: " ".join(re.findall(r"(\w+)=", match[1])), text)
        text = re.sub(r"[\d.]+", "0", re.sub(r"Input image: .*", "Input image", text))
        if not (bar and kept and kept[-1] == text):
            kept.append(text)
    return kept


# Where the standin's checkpoints or clip differ from those of the captured run, the outline does not.
STAGE_1_LOGS = {
    "preprocess_animate.log": [],
    "preprocess_animate_retarget.log": ["--retarget_flag"],
    "preprocess_replace.log": ["--replace_flag", "--fps", "12"],
}
STAGE_2_LOGS = {
    "generate_animate.log": ["--base_seed", "42"],
    "generate_replace_relighting.log": ["--replace_flag", "--use_relighting_lora", "--offload_model", "False"],
    "generate_save_failed.log": ["--save_file", "/nowhere/out.mp4"],
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
    [("preprocess", "preprocess_animate_retarget", ["--retarget_flag"]), ("generate", "generate_animate", [])],
)
def test_each_line_goes_to_the_stream_that_it_went_to(
    world: World, tmp_path: Path, stage: str, name: str, more: list[str]
) -> None:
    if stage == "generate":
        more = ["--frame_num", "21"]
    command = world.command(stage, tmp_path, *more)
    finished = subprocess.run(command, capture_output=True, env=world.environment(), timeout=PATIENCE, check=True)
    assert outline(finished.stdout) == outline((LOGS / f"{name}.stdout").read_bytes())
    assert outline(finished.stderr) == outline((LOGS / f"{name}.stderr").read_bytes())


def test_bars_are_drawn_with_carriage_returns_and_heed_tqdms_variables(world: World, tmp_path: Path) -> None:
    often = world.run("generate", tmp_path, STANDIN_SECONDS="1.5").stdout.count(b"\r")
    seldom = world.run("generate", tmp_path, STANDIN_SECONDS="1.5", TQDM_MININTERVAL="1").stdout.count(b"\r")
    never = world.run("generate", tmp_path, TQDM_DISABLE="1").stdout.count(b"\r")
    assert often > seldom > never == 0


# ------------------------------------------------------------------------------------------- how it misbehaves


@pytest.mark.parametrize("stage", ["preprocess", "generate"])
@pytest.mark.parametrize("mode", ["exit0_no_file", "truncated_file", "empty_file"])
def test_bad_files_come_with_exit_0(world: World, tmp_path: Path, stage: str, mode: str) -> None:
    finished = world.run(stage, tmp_path, STANDIN_FAULT=f"{stage}:{mode}")
    last = tmp_path / ("src_pose.mp4" if stage == "preprocess" else "result.mp4")
    assert finished.returncode == 0
    assert last.exists() == (mode != "exit0_no_file")
    if last.exists():
        assert (last.stat().st_size == 0) == (mode == "empty_file")
        with pytest.raises(av.error.FFmpegError):
            describe(last)


def test_wrong_frame_counts_come_with_exit_0(world: World, tmp_path: Path) -> None:
    assert world.run("preprocess", tmp_path, STANDIN_FAULT="preprocess:wrong_frame_count").returncode == 0
    counts = {path.name: describe(path)["frames"] for path in tmp_path.glob("*.mp4")}
    assert counts == {"src_face.mp4": 27, "src_pose.mp4": 30}
    assert world.run("generate", tmp_path, STANDIN_FAULT="generate:wrong_frame_count").returncode == 0
    assert describe(tmp_path / "result.mp4")["frames"] == 27


def test_a_failed_save_is_swallowed(world: World, tmp_path: Path) -> None:
    finished = world.run("generate", tmp_path, STANDIN_FAULT="generate:save_failed")
    assert finished.returncode == 0 and not (tmp_path / "result.mp4").exists()
    assert [line.split(b"INFO: ")[1][:18] for line in finished.stdout.splitlines()[-2:]] == [
        b"save_video failed,", b"Finished."
    ]  # fmt: skip


@pytest.mark.parametrize("stage", ["preprocess", "generate"])
@pytest.mark.parametrize(
    ("mode", "code", "words"),
    [
        ("out_of_memory", 1, b"\ntorch.OutOfMemoryError: CUDA out of memory."),
        ("crash_midway", 1, b"\nRuntimeError: The size of tensor"),
        ("killed", -signal.SIGKILL, b"it/s"),
    ],
)
def test_it_dies_in_the_middle_of_its_work(
    world: World, tmp_path: Path, stage: str, mode: str, code: int, words: bytes
) -> None:
    finished = world.run(stage, tmp_path, STANDIN_FAULT=f"{stage}:{mode}")
    assert finished.returncode == code and words in finished.stdout and b"%|" in finished.stdout
    assert not (tmp_path / "result.mp4").exists() and not (tmp_path / "src_pose.mp4").exists()
    assert (tmp_path / "src_face.mp4").exists() == (stage == "preprocess")


@pytest.mark.parametrize("stage", ["preprocess", "generate"])
def test_it_says_too_much_or_in_no_encoding_and_goes_on_well(world: World, tmp_path: Path, stage: str) -> None:
    chatty = world.run(stage, tmp_path, STANDIN_FAULT=f"{stage}:chatty")
    assert chatty.returncode == 0 and len(chatty.stdout) > 4_000_000
    broken = world.run(stage, tmp_path, STANDIN_FAULT=f"{stage}:invalid_utf8")
    assert broken.returncode == 0
    with pytest.raises(UnicodeDecodeError):
        broken.stdout.decode()


def test_no_gpu_ends_stage_2_before_its_parser(world: World, tmp_path: Path) -> None:
    finished = world.run("generate", tmp_path, "--help", STANDIN_FAULT="generate:no_cuda")
    assert finished.returncode == 1 and finished.stdout.endswith(b"Torch not compiled with CUDA enabled\n")


def test_slow_takes_the_time_asked_for(world: World, tmp_path: Path) -> None:
    started = time.monotonic()
    world.run("generate", tmp_path, STANDIN_FAULT="generate:slow", STANDIN_SECONDS="1")
    assert time.monotonic() - started >= 1


def test_an_unknown_fault_is_an_error(world: World, tmp_path: Path) -> None:
    assert world.run("generate", tmp_path, STANDIN_FAULT="generate:typo").returncode == 70


def wait_for_record(path: Path, event: str, count: int = 1) -> list[dict[str, Any]]:
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        found = [entry for entry in read_record(path) if entry["event"] == event]
        if len(found) >= count:
            return found
        time.sleep(0.02)
    raise AssertionError(f"no {count} records of {event!r} but {[entry['event'] for entry in read_record(path)]}")


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    status = Path(f"/proc/{pid}/stat")
    return not (status.exists() and status.read_text().rpartition(")")[2].split()[0] == "Z")


@pytest.mark.parametrize("stage", ["preprocess", "generate"])
@pytest.mark.parametrize("mode", ["hang", "ignore_sigterm", "ignore_sigterm_child"])
def test_it_hangs(world: World, tmp_path: Path, stage: str, mode: str) -> None:
    record = tmp_path / "record"
    environment = world.environment(STANDIN_FAULT=f"{stage}:{mode}", STANDIN_RECORD=str(record))
    command = world.command(stage, tmp_path)
    with subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment, start_new_session=True
    ) as process:
        (entry,) = wait_for_record(record, "hang")
        assert entry["pid"] == process.pid
        os.killpg(process.pid, signal.SIGTERM)
        if mode == "ignore_sigterm":
            with pytest.raises(subprocess.TimeoutExpired):
                process.wait(0.3)
            process.kill()
        process.wait(PATIENCE)
    if mode == "ignore_sigterm_child":
        assert is_alive(entry["child"])
        os.kill(entry["child"], signal.SIGKILL)


# ---------------------------------------------------------------- what it tells of how it was started, several ranks


def test_it_records_how_it_was_started(world: World, tmp_path: Path) -> None:
    record = tmp_path / "record"
    subprocess.run(
        world.command("generate", tmp_path, "--base_seed", "7"), cwd=tmp_path, capture_output=True, check=True,
        env=world.environment(STANDIN_RECORD=str(record), MARK="here"),
    )  # fmt: skip
    (entry,) = read_record(record)
    assert entry["script"] == "generate" and entry["argv"][-2:] == ["--base_seed", "7"]
    assert entry["cwd"] == str(tmp_path.resolve()) and entry["env"]["MARK"] == "here"
    assert entry["cv2_first"] is False and entry["float32_matmul_precision"] == "highest"


def test_it_sees_what_a_launcher_did(world: World, tmp_path: Path) -> None:
    record = tmp_path / "record"
    launch = (
        "import sys, runpy; sys.argv = sys.argv[1:]; sys.path[0] = sys.argv[0].rpartition('/')[0]; import cv2, torch;"
        "torch.set_float32_matmul_precision('high'); runpy.run_path(sys.argv[0], run_name='__main__')"
    )
    python, *rest = world.command("generate", tmp_path)
    environment = world.environment(STANDIN_RECORD=str(record))
    subprocess.run([python, "-c", launch, *rest], capture_output=True, env=environment, check=True)
    (entry,) = read_record(record)
    assert entry["cv2_first"] is True and entry["float32_matmul_precision"] == "high"
    assert entry["argv"] == rest


def test_a_png_reference_is_fatal_unless_opencv_came_first(world: World, tmp_path: Path) -> None:
    source = tmp_path / "source"
    assert world.run("preprocess", source).returncode == 0
    cv2.imwrite(str(source / "src_ref.png"), np.zeros((64, 64, 3), np.uint8))
    finished = world.run("generate", tmp_path, "--src_root_path", str(source))
    assert finished.returncode == 1 and b"libpng error" in finished.stdout
    assert finished.stdout.endswith(b"TypeError: 'NoneType' object is not subscriptable\n")


def ranks_command(world: World, save: Path, *more: str) -> list[str]:
    python, *script = world.command("generate", save, "--ulysses_size", "2", "--dit_fsdp", "--t5_fsdp", *more)
    return [python, "-m", "torch.distributed.run", "--nnodes", "1", "--nproc_per_node", "2", "--standalone", *script]


def test_two_ranks_draw_bars_and_one_logs_and_saves(world: World, tmp_path: Path) -> None:
    record = tmp_path / "record"
    finished = subprocess.run(
        ranks_command(world, tmp_path, "--frame_num", "21"), capture_output=True, timeout=PATIENCE, check=True,
        env=world.environment(STANDIN_RECORD=str(record)),
    )  # fmt: skip
    entries = sorted(read_record(record), key=lambda entry: entry["rank"])
    assert [entry["rank"] for entry in entries] == [0, 1]
    assert all(entry["session"] == entry["pid"] for entry in entries)
    assert finished.stdout.count(b"Finished.") == 1 and describe(tmp_path / "result.mp4")["frames"] == 30
    golden = (LOGS / "generate_two_ranks.log").read_bytes()
    drawn, real = (set(outline(log)) for log in (finished.stdout + finished.stderr, golden))
    # In the real log a log line follows a bar without a line break: that one line is no bar and no log line.
    assert drawn <= real and all("it/s][0-0-0" in line for line in real - drawn)
    assert finished.stderr.count(b"|") // 2 >= 2 * 2 * 2  # two draws at least, of two windows, by two ranks


def test_ranks_die_of_the_launchers_sigterm_and_survive_its_sigkill(world: World, tmp_path: Path) -> None:
    for number, survive in ((signal.SIGTERM, False), (signal.SIGKILL, True)):
        record = tmp_path / f"record{number}"
        environment = world.environment(STANDIN_RECORD=str(record), STANDIN_FAULT="generate:hang")
        with subprocess.Popen(
            ranks_command(world, tmp_path), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment
        ) as launcher:
            pids = [entry["pid"] for entry in wait_for_record(record, "hang", 2)]
            launcher.send_signal(number)
            launcher.wait(PATIENCE)
            assert launcher.returncode == (-signal.SIGKILL if survive else 1)
        assert [is_alive(pid) for pid in pids] == [survive, survive]
        for pid in pids if survive else []:
            os.kill(pid, signal.SIGKILL)


def test_ranks_that_ignore_sigterm_are_killed_after_the_grace(world: World, tmp_path: Path) -> None:
    record = tmp_path / "record"
    environment = world.environment(
        STANDIN_RECORD=str(record), STANDIN_FAULT="generate:ignore_sigterm", STANDIN_TORCHRUN_GRACE="0.3"
    )
    with subprocess.Popen(
        ranks_command(world, tmp_path), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment
    ) as launcher:
        pids = [entry["pid"] for entry in wait_for_record(record, "hang", 2)]
        launcher.terminate()
        assert launcher.wait(PATIENCE) == 1
    assert not any(is_alive(pid) for pid in pids)


def test_a_failing_rank_fails_the_run(world: World, tmp_path: Path) -> None:
    finished = subprocess.run(
        ranks_command(world, tmp_path, "--refert_num", "3"), capture_output=True, timeout=PATIENCE, check=False,
        env=world.environment(),
    )  # fmt: skip
    assert finished.returncode == 1 and b"refert_num should be 1 or 5." in finished.stderr


def test_the_size_rule_of_several_ranks_is_kept(world: World, tmp_path: Path) -> None:
    source = tmp_path / "source"
    assert world.run("preprocess", source, "--replace_flag", "--resolution_area", "320", "176").returncode == 0
    pose = describe(source / "src_pose.mp4")
    assert (pose["width"], pose["height"]) == (304, 176)  # 21 * 19 * 11 tokens: odd
    finished = subprocess.run(
        ranks_command(world, tmp_path, "--src_root_path", str(source)), capture_output=True, timeout=PATIENCE,
        check=False, env=world.environment(),
    )  # fmt: skip
    assert finished.returncode == 1
    assert b"can't divide axis of length 4390 in chunks of 21" in finished.stderr


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
