"""The drivers against the stand-in for upstream: the promises, one by one.

The stages are always processes of their own; the driver is one where a process is what the promise is about.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import preprocess
from engines import source_folder
from tests.media import write_clip
from tests.standin import read_record, standin_environment
from tests.standin.weights import write_torch_file
from tests.workplace import PATIENCE, Workplace, is_alive, wait_until

ANIMATE = set(source_folder.ALWAYS)
REPLACE = ANIMATE | set(source_folder.REPLACE_ONLY)
GENERATE = ("run_generation.py", "--src_root_path", "process_results")
SKIPPED = "up to date, skipped"

posix_only = pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")


def left(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir() if path.name != ".understudy"}


def succeed(place: Workplace, driver: str, *arguments: str, **environment: str) -> str:
    done = place.run_here(driver, *arguments, **environment)
    assert done.returncode == 0, done.stderr
    return done.stderr


# ------------------------------------------------------------------------------------------ it does the work


@pytest.mark.parametrize("flags", [(), ("--replace",)], ids=["animate", "replace"])
def test_a_job_runs_from_end_to_end(workplace, flags):
    done = workplace.run("pipeline.py", *workplace.inputs, *flags, "--sample_steps", "4")
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"{workplace / 'output_wanimate.mp4'}\n"
    assert left(workplace / "process_results") == (REPLACE if flags else ANIMATE)
    assert source_folder.disagreement(workplace / "process_results", replace=bool(flags)) is None
    result = preprocess.check_video(workplace / "output_wanimate.mp4")
    pose = preprocess.probe_video(workplace / "process_results" / "src_pose.mp4")
    assert (result.frame_count, result.width, result.height) == (pose.frame_count, pose.width, pose.height)
    assert "generating 100% (window 1 of 1, step 4 of 4)" in done.stderr
    assert not workplace.scratch_folders()


def test_the_two_stages_apart_make_the_same_as_together(workplace):
    succeed(workplace, "run_preprocessing.py", *workplace.inputs)
    assert not (workplace / "output_wanimate.mp4").exists()
    succeed(workplace, *GENERATE)
    assert succeed(workplace, "pipeline.py", *workplace.inputs).count(SKIPPED) == 3


def test_several_gpus_start_several_ranks_and_one_video_comes_of_it(finished, tmp_path):
    record = tmp_path / "record.jsonl"
    path = standin_environment(finished / "Wan2.2")["PYTHONPATH"]
    flags = ("--multi_gpu", "--nproc_per_node", "2", "--seed", "1")
    succeed(finished, *GENERATE, *flags, STANDIN_RECORD=str(record), PYTHONPATH=path)
    starts = [entry for entry in read_record(record) if entry["event"] == "start"]
    assert sorted(entry["rank"] for entry in starts) == [0, 1]


def test_upstream_gets_its_environment_and_its_own_folder(workplace, tmp_path):
    record = tmp_path / "record.jsonl"
    done = workplace.run("pipeline.py", *workplace.inputs, STANDIN_RECORD=str(record))
    assert done.returncode == 0, done.stderr
    starts = [entry for entry in read_record(record) if entry["event"] == "start"]
    assert len(starts) == 2
    for entry in starts:
        assert entry["cwd"] == str(workplace / "Wan2.2")
        assert entry["env"]["PYTHONUNBUFFERED"] == "1" and entry["env"]["PYTHONIOENCODING"] == "utf-8"
        assert entry["env"]["HF_HUB_OFFLINE"] == "1" and entry["env"]["PYTHONSAFEPATH"] == ""


ODD_NAMES = ["with space", 'quo\'te "$HOME" `x`', "日本語 ñ", "-dash", "[red] {0} %s :bug:", "~$draft"]


@pytest.mark.parametrize("name", ODD_NAMES)
def test_odd_file_names_work_throughout(workplace, name):
    folder = workplace / f"{name} folder"
    folder.mkdir()
    shutil.copy(workplace / workplace.video, folder / f"{name}.mp4")
    shutil.copy(workplace / workplace.picture, workplace / f"{name}.png")
    flags = (
        *(
            "--video_path",
            f"{folder.name}/{name}.mp4",
            "--refer_path",
            f"{name}.png",
            "--resolution",
            "160x96",
        ),
        *("--save_path", f"{name} made", "--output_path", f"{name} out/{name}.mp4", "--sample_steps", "1"),
    )
    succeed(workplace, "pipeline.py", *flags)
    assert preprocess.check_video(workplace / f"{name} out" / f"{name}.mp4").frame_count
    assert workplace.invoke("pipeline.py", *flags).output.count(SKIPPED) == 3


@posix_only
def test_a_name_that_is_no_unicode_is_refused_because_upstream_would_crash(workplace):
    name = os.fsdecode(b"latin \xe9.mp4")
    shutil.copy(workplace / workplace.video, workplace / name)
    refused = workplace.run("pipeline.py", *workplace.inputs, "--video_path", name)
    assert refused.returncode == 2
    assert "not UTF-8" in refused.stderr and "Rename" in refused.stderr and "\\udce9" in refused.stderr


def test_a_result_whose_name_the_terminal_cannot_show_is_no_error(finished):
    done = finished.run(*GENERATE, "--output_path", "é.mp4", PYTHONIOENCODING="ascii")
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith("\\xe9.mp4\n") and (finished / "é.mp4").exists()


def test_quiet_prints_nothing_and_verbose_says_why(finished):
    quiet = finished.run(*GENERATE, "--quiet", "--seed", "3")
    assert (quiet.returncode, quiet.stdout, quiet.stderr) == (0, "", "")
    assert "generate.py" not in succeed(finished, *GENERATE, "--seed", "4")
    assert "log: " in succeed(finished, *GENERATE, "--verbose", "--seed", "5")


# ------------------------------------------------------------- promises 1 and 2: run again, skip, say why


def test_the_same_command_again_skips_everything_and_says_so(finished):
    succeed(finished, "pipeline.py", *finished.inputs)  # the record learns that everything was moved here
    before = finished.contents()
    done = finished.run("pipeline.py", *finished.inputs)
    assert done.returncode == 0 and done.stderr.count(SKIPPED) == 3
    assert done.stdout == f"{finished / 'output_wanimate.mp4'}\n"
    assert finished.contents() == before


@pytest.mark.parametrize(
    ("flags", "reason", "steps_run"),
    [
        (("--fps", "24"), "fps changed from 30 to 24", 3),
        (("--seed", "7"), "seed changed from 42 to 7", 2),
        (("--no_retarget",), "retarget changed from True to False", None),
        (("--force",), "--force was given", 3),
    ],
)
def test_what_changed_is_run_again_with_the_reason(finished, flags, reason, steps_run):
    said = succeed(finished, "pipeline.py", *finished.inputs, *flags)
    assert f"(because {reason})" in said
    if steps_run:
        assert said.count("done in") == steps_run and said.count(SKIPPED) == 3 - steps_run


def spoil_output(place: Workplace) -> None:
    (place / "output_wanimate.mp4").write_bytes(b"tampered")


def drop_output(place: Workplace) -> None:
    (place / "process_results" / "src_face.mp4").unlink()


def change_video(place: Workplace) -> None:
    write_clip(place / place.video, frame_count=14)


def change_upstream(place: Workplace) -> None:
    with (place / "Wan2.2" / "generate.py").open("a") as file:
        file.write("# a later commit\n")


def change_weights(place: Workplace) -> None:
    write_torch_file(place / "Wan2.2-Animate-14B" / "Wan2.1_VAE.pth", b"other weights")


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (spoil_output, "output_wanimate.mp4 is not as the step left it"),
        (drop_output, "src_face.mp4 is missing"),
        (change_video, "the driving video changed"),
        (change_upstream, "the code of the step changed"),
        (change_weights, "the model's weights changed"),
    ],
)
def test_what_was_changed_outside_is_noticed_mended_and_named(finished, change, reason):
    change(finished)
    planned = json.loads(finished.invoke("pipeline.py", *finished.inputs, "--dry_run", "--json").stdout)
    assert reason in [why for step in planned["steps"] for why in step["why"]]
    assert f"(because {reason})" in succeed(finished, "pipeline.py", *finished.inputs)
    assert finished.invoke("pipeline.py", *finished.inputs).output.count(SKIPPED) == 3


def test_a_job_that_moved_as_a_whole_is_still_done(finished, tmp_path):
    """Where things lie is no part of what they are."""
    moved = Workplace(finished.folder.rename(tmp_path / "elsewhere"))
    assert succeed(moved, "pipeline.py", *moved.inputs).count(SKIPPED) == 3


def test_animate_after_replace_leaves_no_mask_and_background_of_the_other_mode(finished):
    succeed(finished, "pipeline.py", *finished.inputs, "--replace")
    assert left(finished / "process_results") == REPLACE
    succeed(finished, "pipeline.py", *finished.inputs)
    assert left(finished / "process_results") == ANIMATE


# --------------------------------------------- promises 3, 4 and 6: failures tell the truth, lose nothing


FAULTS = {
    "preprocess:exit0_no_file": ["ended without an error, but src_face.mp4 was not written"],
    "preprocess:truncated_file": ["src_pose.mp4 is not a video that can be read"],
    "preprocess:empty_file": ["src_pose.mp4 is empty"],
    "preprocess:wrong_frame_count": ["src_face.mp4 has 9 frames and src_pose.mp4 has 12"],
    "preprocess:out_of_memory": ["exit code 1", "GPU ran out of memory", "--t5_cpu", "OutOfMemoryError"],
    "preprocess:crash_midway": ["exit code 1", "RuntimeError: The size of tensor a"],
    "preprocess:killed": ["exit code 137", "signal 9", "lack of memory"],
    "generate:exit0_no_file": ["ended without an error, but output_wanimate.generated.mp4 was not written"],
    "generate:truncated_file": ["output_wanimate.generated.mp4 is not a video that can be read"],
    "generate:empty_file": ["output_wanimate.generated.mp4 is empty"],
    "generate:wrong_frame_count": ["has 9 frames; 12 were expected"],
    "generate:save_failed": ["was not written", "hid the error", "No space left on device"],
    "generate:out_of_memory": ["exit code 1", "GPU ran out of memory", "several GPUs"],
    "generate:crash_midway": ["exit code 1", "RuntimeError: The size of tensor a"],
    "generate:killed": ["exit code 137", "signal 9", "lack of memory"],
    "generate:no_cuda": ["exit code 1", "Torch not compiled with CUDA enabled"],
}


@posix_only
@pytest.mark.parametrize("fault", FAULTS)
def test_a_failure_says_what_happened_and_leaves_what_was_there(finished, fault):
    stage = fault.partition(":")[0]
    driver = ("run_preprocessing.py", *finished.inputs) if stage == "preprocess" else GENERATE
    before = finished.contents(hidden=False)
    failed = finished.run_here(*driver, "--force", STANDIN_FAULT=fault)
    assert failed.returncode == 1, failed.stderr
    for words in FAULTS[fault]:
        assert words in failed.stderr, failed.stderr
    assert failed.stdout == ""
    (cause,) = [line for line in failed.stderr.splitlines() if line.startswith("error: ")]
    assert "scratch@" not in cause, "a path that is gone when the message is read"
    log = Path(failed.stderr.partition("Whole output: ")[2].splitlines()[0])
    assert log.is_file() and log.stat().st_size > 0 and "Last lines of its output:" in failed.stderr
    assert finished.contents(hidden=False) == before
    assert not finished.scratch_folders()
    again = finished.invoke(*driver)
    assert again.exit_code == 0 and SKIPPED in again.output, "the good run before still stands"


@pytest.mark.parametrize("fault", ["generate:chatty", "preprocess:invalid_utf8", "generate:invalid_utf8"])
def test_much_output_and_undecodable_output_do_no_harm(finished, fault):
    stage = fault.partition(":")[0]
    driver = ("run_preprocessing.py", *finished.inputs) if stage == "preprocess" else GENERATE
    assert "done in" in succeed(finished, *driver, "--force", STANDIN_FAULT=fault)
    (log,) = [path for path in finished.folder.rglob("*.log") if path.name.startswith(stage)]
    if fault.endswith("chatty"):
        assert log.stat().st_size > 4_000_000
    else:
        assert b"bad bytes \xff\xfe\xc3\x28 end" in log.read_bytes()


def test_a_failed_first_run_leaves_no_output_and_the_next_one_finishes_the_rest(workplace):
    failed = workplace.run("pipeline.py", *workplace.inputs, STANDIN_FAULT="generate:crash_midway")
    assert failed.returncode == 1
    assert left(workplace / "process_results") == ANIMATE and not (workplace / "output_wanimate.mp4").exists()
    said = succeed(workplace, "pipeline.py", *workplace.inputs)
    assert said.count(SKIPPED) == 1 and said.count("done in") == 2


# ------------------------------------------------------------- interruptions: 130, nothing left behind


def pids(record: Path) -> list[int]:
    found = []
    for entry in read_record(record):
        found += [entry["pid"], *filter(None, [entry.get("child")])]
    return sorted(set(found))


def hanging(place: Workplace, record: Path, fault: str, *flags: str) -> subprocess.Popen[str]:
    """A run of stage 2 that hangs, all its processes known to the record."""
    ranks = 2 if "--multi_gpu" in flags else 1
    environment = {
        "STANDIN_FAULT": f"generate:{fault}",
        "STANDIN_RECORD": str(record),
        "PYTHONPATH": standin_environment(place / "Wan2.2")["PYTHONPATH"],
    }
    running = place.start(*GENERATE, "--force", *flags, **environment)

    def all_hang() -> bool:
        assert running.poll() is None, running.communicate()
        return sum(1 for entry in read_record(record) if entry["event"] == "hang") == ranks

    wait_until(all_hang, "the stand-in hangs")
    return running


def assert_interrupted(place: Workplace, running: subprocess.Popen[str], record: Path) -> str:
    _, said = running.communicate(timeout=PATIENCE)
    assert running.returncode == 130, said
    assert "Interrupted" in said and "Traceback" not in said
    assert not [pid for pid in pids(record) if is_alive(pid)]
    assert not place.scratch_folders()
    return said


SEVERAL = ("--multi_gpu", "--nproc_per_node", "2")


@posix_only
@pytest.mark.parametrize("flags", [(), SEVERAL], ids=["one process", "torchrun"])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["Ctrl-C", "SIGTERM"])
def test_an_interruption_ends_everything_and_exits_130(finished, tmp_path, number, flags):
    before = finished.contents(hidden=False)
    running = hanging(finished, tmp_path / "record", "hang", *flags)
    running.send_signal(number)
    assert_interrupted(finished, running, tmp_path / "record")
    assert finished.contents(hidden=False) == before
    assert SKIPPED in finished.invoke(*GENERATE).output


@posix_only
@pytest.mark.parametrize(
    ("fault", "flags"), [("ignore_sigterm", ()), ("ignore_sigterm_child", ()), ("ignore_sigterm", SEVERAL)]
)
def test_a_second_ctrl_c_kills_what_ignores_the_first(finished, tmp_path, fault, flags):
    running = hanging(finished, tmp_path / "record", fault, *flags)
    running.send_signal(signal.SIGINT)
    assert running.stderr is not None
    for line in running.stderr:
        if "Ctrl-C once more" in line:
            break
    running.send_signal(signal.SIGINT)
    assert_interrupted(finished, running, tmp_path / "record")


@posix_only
def test_two_interruptions_at_once_are_no_more_than_two(finished, tmp_path):
    """An impatient person, or a terminal that sends both SIGINT and SIGTERM."""
    running = hanging(finished, tmp_path / "record", "ignore_sigterm_child")
    running.send_signal(signal.SIGTERM)
    running.send_signal(signal.SIGINT)
    assert_interrupted(finished, running, tmp_path / "record")


@pytest.mark.skipif(sys.platform != "linux", reason="adopting orphans is Linux's")
@pytest.mark.parametrize("flags", [(), SEVERAL], ids=["one process", "torchrun"])
def test_the_orchestrators_death_ends_its_children_and_the_next_run_finishes(finished, tmp_path, flags):
    running = hanging(finished, tmp_path / "record", "hang", *flags)
    running.kill()
    running.communicate(timeout=PATIENCE)
    wait_until(lambda: not any(map(is_alive, pids(tmp_path / "record"))), "its children are gone")
    assert finished.scratch_folders(), "nobody could clean up"
    succeed(finished, *GENERATE, "--force")
    assert not finished.scratch_folders()


@posix_only
def test_an_interrupted_first_stage_is_begun_again(workplace, tmp_path):
    record = tmp_path / "record"
    running = workplace.start(
        "pipeline.py", *workplace.inputs, STANDIN_FAULT="preprocess:hang", STANDIN_RECORD=str(record)
    )
    wait_until(lambda: any(entry["event"] == "hang" for entry in read_record(record)), "stage 1 hangs")
    running.send_signal(signal.SIGINT)
    assert_interrupted(workplace, running, record)
    assert left(workplace / "process_results") == set()
    assert succeed(workplace, "pipeline.py", *workplace.inputs).count("done in") == 3


@posix_only
@pytest.mark.parametrize("delay", [0.0, 0.05, 0.1, 0.2, 0.3, 0.45])
def test_an_interruption_at_any_moment_is_130_or_the_end(finished, delay):
    """Whenever it comes: while Python starts, while it checks, hashes, runs, ends."""
    running = finished.start(*GENERATE, "--force")
    time.sleep(delay)
    running.send_signal(signal.SIGTERM)
    _, said = running.communicate(timeout=PATIENCE)
    # Before and after our own code runs the system's rule holds: ended by the signal.
    assert running.returncode in (0, 130, -signal.SIGTERM), (running.returncode, said)
    assert "Traceback" not in said
    assert preprocess.check_video(finished / "output_wanimate.mp4")
    assert finished.invoke(*GENERATE).exit_code == 0


# --------------------------------------------------------------------------------------------------- dry run


def test_a_dry_run_shows_the_plan_as_data(finished):
    shown = finished.run("pipeline.py", *finished.inputs, "--dry_run", "--json", "--seed", "5")
    assert shown.returncode == 0
    plan = json.loads(shown.stdout)
    first, second, third = plan["steps"]
    keys = {"name", "stage", "argv", "cwd", "env", "inputs", "outputs", "action", "why"}
    assert set(first) == set(second) == set(third) == keys
    assert (first["name"], first["stage"], first["action"]) == ("preprocess", 1, "skip")
    assert (second["name"], second["stage"], second["action"]) == ("generate", 2, "run")
    assert second["why"] == ["seed changed from 42 to 5"]
    assert first["inputs"] == [str(finished / finished.video), str(finished / finished.picture)]
    assert second["outputs"] == [str(finished / ".understudy" / "output_wanimate.generated.mp4")]
    assert (third["name"], third["stage"], third["action"]) == ("finish", 3, "run")
    assert third["outputs"] == [str(finished / "output_wanimate.mp4")]
    assert set(first["outputs"]) == {str(finished / "process_results" / name) for name in ANIMATE}


def test_a_dry_run_of_the_preview_has_no_commands(workplace):
    flags = ("--engine", "preview", "--dry_run", "--json")
    shown = workplace.invoke("pipeline.py", *workplace.inputs, *flags)
    plan = json.loads(shown.stdout)
    assert [step["argv"] for step in plan["steps"]] == [None, None, None]


def test_a_dry_run_writes_nothing_and_starts_nothing(workplace, tmp_path):
    before = workplace.contents()
    record = tmp_path / "record"
    shown = workplace.run("pipeline.py", *workplace.inputs, "--dry_run", STANDIN_RECORD=str(record))
    assert shown.returncode == 0 and shown.stdout.count("\n") == 3
    assert workplace.contents() == before and not record.exists()


def test_a_dry_run_of_a_wrong_request_exits_2_and_says_so_in_the_data(workplace):
    (workplace / workplace.video).write_text("text")
    shown = workplace.run("pipeline.py", *workplace.inputs, "--dry_run", "--json")
    assert shown.returncode == 2
    (finding,) = [each for each in json.loads(shown.stdout)["findings"] if each["level"] == "error"]
    assert "is not a video" in finding["what"] and finding["code"]
