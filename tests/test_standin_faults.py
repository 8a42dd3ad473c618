"""Each fault of the stand-in Wan2.2 does what it says, it tells how it was started, and its ranks live and
die as torchrun's do.
"""

from __future__ import annotations

import ast
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest

from engines.verification import verify_generated, verify_source
from engines.wan22.diagnose import diagnose
from execution.step import StepFailed
from tests.standin import read_record
from tests.standin.world import PATIENCE, World, describe, make_world, outline, standin_faults

LOGS = Path(__file__).parent / "data/upstream_logs"
STAGES = ("preprocess", "generate")
FAULTS = standin_faults()
SMALL = ["--resolution_area", "320", "180"]
SAYS = {
    "mask_empty": "is empty in every frame",
    "mask_full": "covers the whole picture",
    "background_not_black": "is not black where src_mask.mp4 is",
    "background_late": "is not black where src_mask.mp4 is",
    "wrong_canvas": "src_bg.mp4 is 336x176; it must be 320x176",
    "face_wrong_size": "src_face.mp4 is 256x256; it must be 512x512",
    "reference_missing": "src_ref.png does not exist",
    "damaged_file": "is damaged",
    "black_video": "is black",
    "half_black_video": "is mostly black",
    "frozen_video": "one frozen picture",
    "wrong_size": "was expected",
}

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="the stand-in's faults are POSIX signals")


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return make_world(tmp_path_factory.mktemp("world"))


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


@pytest.mark.parametrize("mode", sorted(FAULTS["BAD_SOURCES"] | {"damaged_file"}))
def test_bad_sources_come_with_exit_0_and_are_refused(world: World, tmp_path: Path, mode: str) -> None:
    finished = world.run("preprocess", tmp_path, "--replace_flag", *SMALL, STANDIN_FAULT=f"preprocess:{mode}")
    assert finished.returncode == 0, finished.stdout.decode()
    with pytest.raises(StepFailed) as failure:
        verify_source(tmp_path, replace=True, exact_background=False)
    assert SAYS[mode] in str(failure.value)


@pytest.mark.parametrize("mode", sorted((FAULTS["BAD_RESULTS"] - {"save_failed"}) | {"damaged_file"}))
def test_bad_results_come_with_exit_0_and_are_refused(world: World, tmp_path: Path, mode: str) -> None:
    finished = world.run("generate", tmp_path, STANDIN_FAULT=f"generate:{mode}")
    assert finished.returncode == 0, finished.stdout.decode()
    with pytest.raises(StepFailed) as failure:
        verify_generated(tmp_path, name="result.mp4", pose=world.source / "src_pose.mp4")
    assert SAYS[mode] in str(failure.value)


@pytest.mark.parametrize("flags", [[], ["--replace_flag"]], ids=["animate", "replace"])
def test_what_it_makes_without_a_fault_is_verified(world: World, tmp_path: Path, flags: list[str]) -> None:
    assert world.run("preprocess", tmp_path, *flags, *SMALL).returncode == 0
    verify_source(tmp_path, replace=bool(flags), exact_background=False)
    source = ["--src_root_path", str(tmp_path)]
    assert world.run("generate", tmp_path, *flags, *source).returncode == 0
    verify_generated(tmp_path, name="result.mp4", pose=tmp_path / "src_pose.mp4")


SPOKEN = [
    (stage, mode)
    for stage in STAGES
    for mode in sorted(FAULTS["FAULTS"][stage])
    if mode in FAULTS["MESSAGES"]
]


@pytest.mark.parametrize(
    ("stage", "mode"), [*SPOKEN, ("generate", "flash_attn_missing"), ("generate", "libpng")]
)
def test_a_failure_ends_with_1_and_its_cause_is_understood(
    world: World, tmp_path: Path, stage: str, mode: str
) -> None:
    flags = ["--replace_flag", *SMALL] if stage == "preprocess" else []
    finished = world.run(stage, tmp_path, *flags, STANDIN_FAULT=f"{stage}:{mode}")
    assert finished.returncode == 1 and b"Traceback (most recent call last)" in finished.stdout
    if mode in FAULTS["MESSAGES"]:
        _, name, message = FAULTS["MESSAGES"][mode]
        assert f"{name}: {message}".encode() in finished.stdout
    assert diagnose(finished.stdout.decode()) is not None
    assert not (tmp_path / "result.mp4").exists() and not (tmp_path / "src_mask.mp4").exists()


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
def test_it_says_too_much_or_in_no_encoding_and_goes_on_well(
    world: World, tmp_path: Path, stage: str
) -> None:
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
    raise AssertionError(
        f"no {count} records of {event!r} but {[entry['event'] for entry in read_record(path)]}"
    )


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


# ------------------------------------------------ what it tells of how it was started, several ranks


def test_it_records_how_it_was_started(world: World, tmp_path: Path) -> None:
    record = tmp_path / "record"
    subprocess.run(
        world.command("generate", tmp_path, "--base_seed", "7"), cwd=tmp_path, capture_output=True,
        check=True,
        env=world.environment(STANDIN_RECORD=str(record), MARK="here"),
    )  # fmt: skip
    entry = read_record(record)[0]
    assert entry["script"] == "generate" and entry["argv"][-2:] == ["--base_seed", "7"]
    assert entry["cwd"] == str(tmp_path.resolve()) and entry["env"]["MARK"] == "here"
    assert entry["cv2_first"] is False and entry["float32_matmul_precision"] == "highest"


def test_it_sees_what_a_launcher_did(world: World, tmp_path: Path) -> None:
    record = tmp_path / "record"
    launch = (
        "import sys, runpy; sys.argv = sys.argv[1:]; sys.path[0] = sys.argv[0].rpartition('/')[0];"
        "import cv2, torch; torch.set_float32_matmul_precision('high');"
        "runpy.run_path(sys.argv[0], run_name='__main__')"
    )
    python, *rest = world.command("generate", tmp_path)
    environment = world.environment(STANDIN_RECORD=str(record))
    subprocess.run([python, "-c", launch, *rest], capture_output=True, env=environment, check=True)
    entry = read_record(record)[0]
    assert entry["cv2_first"] is True and entry["float32_matmul_precision"] == "high"
    assert entry["argv"] == rest


def encoded(path: Path) -> list[str]:
    return [entry["prompt"] for entry in read_record(path) if entry["event"] == "encode"]


def test_the_prompt_is_read_but_not_handed_to_the_model(world: World, tmp_path: Path) -> None:
    record = tmp_path / "record"
    finished = world.run("generate", tmp_path, "--prompt", "a dance", STANDIN_RECORD=str(record))
    assert b"INFO: Input prompt: a dance\n" in finished.stdout
    assert encoded(record) == ["视频中的人在做动作"]


def test_the_model_encodes_the_text_that_it_is_given(world: World, tmp_path: Path) -> None:
    record = tmp_path / "record"
    launch = (
        "import sys, runpy, functools; sys.argv = sys.argv[1:]; sys.path[0] = sys.argv[0].rpartition('/')[0];"
        "import wan; inner = wan.WanAnimate.generate;"
        "wan.WanAnimate.generate = lambda *a, **k: inner(*a, **{'input_prompt': 'a dance', **k});"
        "runpy.run_path(sys.argv[0], run_name='__main__')"
    )
    python, *rest = world.command("generate", tmp_path, "--base_seed", "3", "--frame_num", "21")
    environment = world.environment(STANDIN_RECORD=str(record))
    subprocess.run([python, "-c", launch, *rest], capture_output=True, env=environment, check=True)
    assert encoded(record) == ["a dance"]
    (called,) = [entry for entry in read_record(record) if entry["event"] == "generate"]
    assert (called["seed"], called["frame_num"], called["refert_num"]) == (3, 21, 1)


def test_seed_and_text_shape_the_result_and_nothing_else_does(world: World, tmp_path: Path) -> None:
    made = []
    for seed in ("1", "1", "2"):
        assert world.run("generate", tmp_path, "--base_seed", seed).returncode == 0
        made.append((tmp_path / "result.mp4").read_bytes())
    assert made[0] == made[1] != made[2]


def test_the_models_calls_have_upstreams_parameters(world: World) -> None:
    code = (
        "import inspect, wan; show = lambda f: print([(n, repr(p.default)) for n, p in "
        "inspect.signature(f).parameters.items() if p.default is not p.empty]);"
        "show(wan.WanAnimate.__init__); show(wan.WanAnimate.generate)"
    )
    shown = subprocess.run(
        [sys.executable, "-c", code], cwd=world.checkout, capture_output=True, text=True, check=True
    )
    made, called = map(dict, map(ast.literal_eval, shown.stdout.splitlines()))
    no = "False"
    assert made == {
        "device_id": "0", "rank": "0", "t5_fsdp": no, "dit_fsdp": no, "use_sp": no, "t5_cpu": no,
        "init_on_cpu": "True", "convert_model_dtype": no, "use_relighting_lora": no,
    }  # fmt: skip
    assert called == {
        "replace_flag": no, "clip_len": "77", "refert_num": "1", "shift": "5.0", "sample_solver": "'dpm++'",
        "sampling_steps": "20", "guide_scale": "1", "input_prompt": "''", "n_prompt": "''", "seed": "-1",
        "offload_model": "True",
    }  # fmt: skip


def test_a_png_reference_is_fatal_unless_opencv_came_first(world: World, tmp_path: Path) -> None:
    source = tmp_path / "source"
    assert world.run("preprocess", source).returncode == 0
    cv2.imwrite(str(source / "src_ref.png"), np.zeros((64, 64, 3), np.uint8))
    finished = world.run("generate", tmp_path, "--src_root_path", str(source))
    assert finished.returncode == 1 and b"libpng error" in finished.stdout
    assert finished.stdout.endswith(b"TypeError: 'NoneType' object is not subscriptable\n")


def ranks_command(world: World, save: Path, *more: str) -> list[str]:
    python, *script = world.command("generate", save, "--ulysses_size", "2", "--dit_fsdp", "--t5_fsdp", *more)
    return [
        python,
        "-m",
        "torch.distributed.run",
        "--nnodes",
        "1",
        "--nproc_per_node",
        "2",
        "--standalone",
        *script,
    ]


def test_two_ranks_draw_bars_and_one_logs_and_saves(world: World, tmp_path: Path) -> None:
    record = tmp_path / "record"
    finished = subprocess.run(
        ranks_command(world, tmp_path, "--frame_num", "21"), capture_output=True, check=True,
        env=world.environment(STANDIN_RECORD=str(record)),
    )  # fmt: skip
    starts = [entry for entry in read_record(record) if entry["event"] == "start"]
    entries = sorted(starts, key=lambda entry: entry["rank"])
    assert [entry["rank"] for entry in entries] == [0, 1]
    assert all(entry["session"] == entry["pid"] for entry in entries)
    assert finished.stdout.count(b"Finished.") == 1 and describe(tmp_path / "result.mp4")["frames"] == 30
    golden = (LOGS / "generate_two_ranks.txt").read_bytes()
    drawn, real = (set(outline(log)) for log in (finished.stdout + finished.stderr, golden))
    assert drawn == real
    assert finished.stderr.count(b"|") // 2 >= 2 * 2 * 2  # two draws at least, of two windows, by two ranks


def test_ranks_die_of_the_launchers_sigterm_and_survive_its_sigkill(world: World, tmp_path: Path) -> None:
    for number, survive in ((signal.SIGTERM, False), (signal.SIGKILL, True)):
        record = tmp_path / f"record{number}"
        environment = world.environment(STANDIN_RECORD=str(record), STANDIN_FAULT="generate:hang")
        with subprocess.Popen(
            ranks_command(world, tmp_path),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env=environment,
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
        ranks_command(world, tmp_path, "--refert_num", "3"), capture_output=True, check=False,
        env=world.environment(),
    )  # fmt: skip
    assert finished.returncode == 1 and b"refert_num should be 1 or 5." in finished.stderr


def test_the_size_rule_of_several_ranks_is_kept(world: World, tmp_path: Path) -> None:
    source = tmp_path / "source"
    assert (
        world.run("preprocess", source, "--replace_flag", "--resolution_area", "320", "176").returncode == 0
    )
    pose = describe(source / "src_pose.mp4")
    assert (pose["width"], pose["height"]) == (304, 176)  # 21 * 19 * 11 tokens: odd
    finished = subprocess.run(
        ranks_command(world, tmp_path, "--src_root_path", str(source)), capture_output=True, timeout=PATIENCE,
        check=False, env=world.environment(),
    )  # fmt: skip
    assert finished.returncode == 1
    assert b"can't divide axis of length 4390 in chunks of 21" in finished.stderr
