"""The record beside a result: all that made it, nothing secret, and the same job again."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

import config
from execution import result_writing, weights_hashes
from execution.record import read_record, record_path
from execution.result_record import (
    RecordError,
    is_ours,
    read_result_record,
    result_record_path,
    settings_of,
)
from execution.runner import run_steps
from execution.secrecy import REMOVED
from execution.step import Interrupted, Step, StepRun
from tests.execution.made_up_results import MACHINE, VIDEO, job_of, make, steps_of, write
from tests.execution.made_up_steps import Notes, function_step
from tests.workplace import ROOT


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("UNDERSTUDY_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "work"


def truth(path: Path) -> dict[str, object]:
    content = path.read_bytes()
    return {"path": str(path), "size": len(content), "sha256": hashlib.sha256(content).hexdigest()}


# ------------------------------------------------------------------------------------------------ writing


def test_the_record_tells_everything_that_made_the_result(folder):
    finding = {"code": "media.hdr", "level": "warning", "what": "HDR.", "why": "Dark.", "remedy": "None."}
    record = make(folder, findings=[finding], predicted={"frames": 61}, attempts=["--t5_cpu"])
    assert (record["schema"], record["schema_version"]) == ("understudy.result", 1)
    assert record["understudy"] == config.VERSION and record["command"] == ["pipeline.py", "--replace"]
    assert datetime.fromisoformat(record["created"]).tzinfo is not None
    assert record["stages"] == [1, 2, 3] and record["settings"] == job_of(folder).values()
    assert record["result"] == {**truth(folder / "made" / "clip.mp4"), **VIDEO}
    assert record["inputs"] == [
        {"name": "driving video", **truth(folder / "drive.mp4")},
        {"name": "reference image", **truth(folder / "character.png")},
    ]
    hidden = folder / "made" / ".understudy" / "clip.generated.mp4"
    assert record["intermediates"] == [{"step": "generate", **truth(hidden)}]
    assert record["weights"] == [{"name": "model.safetensors", **truth(folder / "model.safetensors")}]
    assert (record["findings"], record["predicted"]) == ([finding], {"frames": 61})
    assert (record["machine"], record["attempts"]) == (MACHINE, ["--t5_cpu"])
    assert record["libraries"]["python"].startswith("3.") and "click" in record["libraries"]
    first, second = record["steps"]
    assert (first["step"], second["step"]) == ("generate", "finish")
    assert first["facts"] == {"seed": 42, "upstream_commit": "42bf4cf"} and first["settings"] == {"fps": 30}
    assert first["why"] == ["it has not run before"] and first["peak_memory"]["host_bytes"] > 0
    assert first["seconds"] >= 0 and first["started"] <= second["started"]
    assert first["outputs"] == {".understudy/clip.generated.mp4": truth(hidden)["sha256"]}
    assert second["inputs"] == {"generated video": truth(hidden)["sha256"]}


def test_a_file_that_several_steps_read_is_named_as_the_first_one_does(folder):
    """The finish takes the sound from the driving video."""
    first, second = steps_of(folder)
    second = replace(second, inputs={**second.inputs, "sound": first.inputs["driving video"]})
    write(folder, run_steps([first, second], Notes()))
    record = read_result_record(result_record_path(folder / "made" / "clip.mp4"))
    assert [file["name"] for file in record["inputs"]] == ["driving video", "reference image"]


def test_of_a_command_the_record_has_the_arguments(tmp_path):
    from tests.execution.made_up_steps import command_step

    step = command_step(tmp_path / "made")
    done = run_steps([step], Notes())
    result_writing.write_result_record(
        step.outputs[0], stages=[2], settings={}, steps=done, video=VIDEO, command=[]
    )
    record = read_result_record(result_record_path(step.outputs[0]))
    assert record["steps"][0]["argv"] == list(step.command()) and record["earlier_steps"] == []


def copying(folder: Path, name: str, output: str, **inputs: Path) -> Step:
    """A step that makes one file in the folder of stage 1."""

    def work(run: StepRun) -> None:
        (run.folder / output).write_text(name)

    return function_step(
        folder,
        work,
        name=name,
        file_name=name,
        inputs=inputs,
        outputs=(folder / output,),
        verify=lambda scratch: None,
    )


def test_stage_1_of_an_earlier_run_is_told_where_stage_2_ran_alone(tmp_path):
    (tmp_path / "drive.mp4").write_text("drive")
    folder, result = tmp_path / "made", tmp_path / "out" / "clip.mp4"
    normalise = copying(folder, "normalise", "driving_video.mp4", original=tmp_path / "drive.mp4")
    preprocess = copying(folder, "preprocess", "src_pose.mp4", driving=folder / "driving_video.mp4")
    unrelated = copying(folder, "unrelated", "out.txt", driving=folder / "driving_video.mp4")
    run_steps([normalise, preprocess, unrelated], Notes())
    done = run_steps([copying(result.parent, "generate", "clip.mp4", pose=folder / "src_pose.mp4")], Notes())
    result_writing.write_result_record(result, stages=[2], settings={}, steps=done, video=VIDEO, command=[])
    record = read_result_record(result_record_path(result))
    assert [step["step"] for step in record["earlier_steps"]] == ["normalise", "preprocess"]
    assert record["earlier_steps"][0]["inputs"] == {"original": truth(tmp_path / "drive.mp4")["sha256"]}
    assert [file["name"] for file in record["inputs"]] == ["pose"]


def test_a_run_with_nothing_to_do_leaves_the_record_as_it_is(folder):
    make(folder)
    path = result_record_path(folder / "made" / "clip.mp4")
    os.utime(path, ns=(5, 5))
    done = run_steps(steps_of(folder), Notes())
    assert not write(folder, done, machine={"gpus": []}, command=["other"], findings=[{"code": "x"}])
    assert path.stat().st_mtime_ns == 5


def test_a_record_that_was_lost_is_written_again_without_running_anything(folder):
    made = make(folder)
    result_record_path(folder / "made" / "clip.mp4").unlink()
    again = make(folder)
    assert {**again, "created": ""} == {**made, "created": ""}


def test_where_only_a_path_changed_the_making_stays_as_it_was(folder):
    """The same video from another place: nothing runs, and the next rerun must find it."""
    made = make(folder)
    moved = (folder / "drive.mp4").rename(folder / "moved.mp4")
    first, second = steps_of(folder)
    first = replace(first, inputs={**first.inputs, "driving video": moved})
    done = run_steps([first, second], Notes())
    assert write(folder, done, job_of(folder, video_path=moved), machine={"gpus": []}, command=["x"])
    record = read_result_record(result_record_path(folder / "made" / "clip.mp4"))
    assert record["settings"]["video_path"] == record["inputs"][0]["path"] == str(moved)
    assert record["machine"] == MACHINE and record["created"] == made["created"]


def test_a_run_that_made_something_replaces_the_record(folder):
    make(folder)
    done = run_steps(steps_of(folder, settings={"fps": 24}), Notes())
    assert write(folder, done, machine={"gpus": []})
    record = read_result_record(result_record_path(folder / "made" / "clip.mp4"))
    assert record["machine"] == {"gpus": []} and record["steps"][0]["why"] == ["fps changed from 30 to 24"]


@pytest.mark.parametrize(
    "content", ["", "{}", "[]", "notes", '{"schema": "another"}', "\0\1", '{"schema": 1}']
)
def test_a_foreign_file_is_never_overwritten(folder, content):
    done = run_steps(steps_of(folder), Notes())
    path = result_record_path(folder / "made" / "clip.mp4")
    path.write_text(content)
    assert not is_ours(path)
    with pytest.raises(RecordError, match=r"is not a record of ours, and is left as it is\. Move it away"):
        write(folder, done)
    assert path.read_text() == content


@pytest.mark.parametrize(
    "content", ['{"schema": "understudy.result"}', '{"schema": "understudy.result", "schema_version": 99}']
)
def test_a_damaged_or_newer_record_of_ours_is_replaced(folder, content):
    done = run_steps(steps_of(folder), Notes())
    path = result_record_path(folder / "made" / "clip.mp4")
    path.write_text(content)
    assert is_ours(path) and write(folder, done)
    assert read_result_record(path)["schema_version"] == 1


def test_what_is_not_there_is_not_ours(tmp_path):
    assert not is_ours(tmp_path / "no.json") and not is_ours(tmp_path)


def test_broken_off_while_it_is_written_the_old_record_stays(folder, monkeypatch):
    made = make(folder)
    done = run_steps(steps_of(folder, settings={"fps": 24}), Notes())

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        write(folder, done)
    monkeypatch.undo()
    path = result_record_path(folder / "made" / "clip.mp4")
    assert read_result_record(path) == made
    assert {entry.name for entry in (folder / "made").iterdir()} == {"clip.mp4", "clip.json", ".understudy"}
    assert not list((folder / "made" / ".understudy").glob(".clip*"))


KILLED = """
import os, signal, sys
from pathlib import Path
from execution.runner import run_steps
from tests.execution.made_up_results import steps_of, write
from tests.execution.made_up_steps import Notes

folder, moment = Path(sys.argv[1]), sys.argv[2]
done = run_steps(steps_of(folder, settings={"fps": 24}), Notes())

def kill(*arguments):
    os.kill(os.getpid(), signal.SIGKILL)

if moment == "before its end is on the disk":
    os.fsync = kill
else:
    Path.replace = kill
write(folder, done)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")
@pytest.mark.parametrize("moment", ["before its end is on the disk", "before it has its name"])
def test_killed_while_it_is_written_the_old_record_stays_and_the_next_run_writes_it(folder, moment):
    made = make(folder)
    killed = subprocess.run([sys.executable, "-c", KILLED, str(folder), moment], cwd=ROOT, check=False)
    assert killed.returncode == -9
    path = result_record_path(folder / "made" / "clip.mp4")
    assert read_result_record(path) == made
    done = run_steps(steps_of(folder, settings={"fps": 24}), Notes())
    assert [entry.action for entry in done] == ["skip", "skip"]
    assert write(folder, done, command=["the run after"])
    record = read_result_record(path)
    assert record["steps"][0]["settings"] == {"fps": 24} and record["command"] == ["the run after"]
    assert {entry.name for entry in (folder / "made").iterdir()} == {"clip.mp4", "clip.json", ".understudy"}


def test_interrupted_while_the_weights_are_hashed_the_next_run_writes_it(folder, monkeypatch):
    done = run_steps(steps_of(folder), Notes())

    def interrupt(done: int, total: int) -> None:
        raise Interrupted

    with pytest.raises(Interrupted):
        write(folder, done, report=interrupt)
    assert not result_record_path(folder / "made" / "clip.mp4").exists()
    done = run_steps(steps_of(folder), Notes())
    assert [entry.action for entry in done] == ["skip", "skip"] and write(folder, done)


def test_weights_are_read_once_for_many_results(folder, monkeypatch):
    make(folder)
    read: list[Path] = []

    def note(paths: list[Path], *rest: object) -> dict[Path, str]:
        read.extend(paths)
        return {}

    monkeypatch.setattr(weights_hashes, "hash_files", note)
    done = run_steps(steps_of(folder, settings={"fps": 24}), Notes())
    assert write(folder, done) and read == []


def test_nothing_secret_is_recorded(folder, monkeypatch):
    token, password = "no-known-form-at-all", "pa55word"
    monkeypatch.setenv("HF_TOKEN", token)
    monkeypatch.setenv("HARMLESS", "value-of-the-environment")
    prompt = f"see https://me:{password}@host/x?token=abcdef and {token}"
    job = job_of(folder, prompt=prompt)
    steps = steps_of(folder, settings={"prompt": prompt})
    steps[0] = replace(steps[0], facts=lambda log: {"line": prompt}, env={"HF_TOKEN": token})
    done = run_steps(steps, Notes())
    write(folder, done, job, command=["pipeline.py", "--prompt", prompt], findings=[{"what": prompt}])
    written = [result_record_path(folder / "made" / "clip.mp4"), *map(record_path, steps)]
    for path in written:
        text = path.read_text()
        for secret in (token, password, "abcdef", "value-of-the-environment", "HARMLESS", "HF_TOKEN"):
            assert secret not in text, (path, secret)
    record = read_result_record(written[0])
    assert record["settings"]["prompt"].startswith(f"see https://{REMOVED}@host")
    assert "prompt" not in settings_of(record)
    assert [entry.action for entry in run_steps(steps, Notes())] == ["skip", "skip"]


def test_names_that_are_no_unicode_can_be_recorded(tmp_path):
    if os.name != "posix":
        pytest.skip("POSIX file names are bytes")
    folder = Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9"))
    record = make(folder)
    assert record["inputs"][0]["path"] == str(folder / "drive.mp4")


# ------------------------------------------------------------------------------------------------ reading


@pytest.fixture
def path(folder):
    make(folder)
    return result_record_path(folder / "made" / "clip.mp4")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("", "is not a JSON file"),
        ("{", "is not a JSON file"),
        ("[" * 100_000, "is not a JSON file"),
        ("[]", "is not a record of a result"),
        ('{"schema": "other"}', "is not a record of a result"),
        (
            '{"schema": "understudy.result", "schema_version": 7, "understudy": "9.0"}',
            "written by a newer Understudy (9.0): its schema is version 7, and this one knows 1. Update",
        ),
        ('{"schema": "understudy.result", "schema_version": 1}', "is damaged: understudy is missing"),
    ],
)
def test_a_record_that_cannot_be_used_says_why(tmp_path, content, words):
    path = tmp_path / "clip.json"
    path.write_text(content)
    with pytest.raises(RecordError) as refused:
        read_result_record(path)
    assert words in str(refused.value) and str(path) in str(refused.value)


def test_a_record_that_is_not_there_or_too_large_says_so(tmp_path):
    with pytest.raises(RecordError, match=r"cannot be read .* Check the name"):
        read_result_record(tmp_path / "no.json")
    with pytest.raises(RecordError, match="cannot be read"):
        read_result_record(tmp_path)
    with (tmp_path / "large.json").open("wb") as file:
        file.truncate(2**26 + 1)
    with pytest.raises(RecordError, match="too large"):
        read_result_record(tmp_path / "large.json")


DAMAGE: dict[str, tuple[list[str | int], object, str]] = {
    "no settings": (["settings"], None, "settings is not an object"),
    "a number for a path": (["result", "path"], 7, "result.path is not text"),
    "a truth value for a size": (["result", "size"], True, "result.size is not a whole number"),
    "inputs that are none": (["inputs", 1], "x", "inputs[1] is not an object"),
    "an input without a hash": (
        ["inputs", 0],
        {"name": "a", "path": "b", "size": 1},
        "inputs[0].sha256 is missing",
    ),
    "weights that are an object": (["weights"], {}, "weights is not a list"),
    "a step without a stage": (["steps", 0, "stage"], "1", "steps[0].stage is not a whole number"),
    "no stage": (["stages"], [], "stages names a stage that there is not"),
    "a stage that there is not": (["stages"], [1, 7], "stages names a stage that there is not"),
    "a stage that cannot be one": (["stages"], [[1]], "stages names a stage that there is not"),
}


@pytest.mark.parametrize("case", DAMAGE)
def test_a_damaged_record_says_which_field(path, case):
    where, value, words = DAMAGE[case]
    record = json.loads(path.read_text())
    part = record
    for key in where[:-1]:
        part = part[key]
    part[where[-1]] = value
    path.write_text(json.dumps(record))
    with pytest.raises(RecordError) as refused:
        read_result_record(path)
    assert f"is damaged: {words}. Fetch it again" in str(refused.value)


def test_every_field_of_a_record_is_needed_or_explained(path):
    """What is read without a default must be refused when it is missing."""
    record = json.loads(path.read_text())
    for name in record:
        path.write_text(json.dumps({key: value for key, value in record.items() if key != name}))
        if name == "predicted":
            read_result_record(path)
        else:
            with pytest.raises(RecordError):
                read_result_record(path)


def test_a_field_of_a_later_version_is_no_mistake(path):
    record = json.loads(path.read_text())
    path.write_text(json.dumps({**record, "added later": 1}))
    assert read_result_record(path)["added later"] == 1


# --------------------------------------------------------------------------------------------- round trip

ALL_STAGES = (1, 4, 2, 3)
SAMPLES: dict[str, list[object]] = {
    "video_path": ["drive.mp4", "~$drive.mp4"],
    "refer_path": ["character.png", "a 'quoted' \N{SNOWMAN}.png"],
    "save_path": ["process", "-dash"],
    "src_root_path": ["process"],
    "output_path": ["out.mp4", "deep/out one.MP4"],
    "engine": ["wan22", "preview"],
    "replace": [True, False],
    "draft": [True, False],
    "normalize": ["auto", "never"],
    "retarget": [True, False],
    "use_flux": [True, False],
    "resolution": ["1280 720", "832x480"],
    "fps": ["24", "source"],
    "iterations": ["0", "5"],
    "k": ["0", "9"],
    "w_len": ["3"],
    "h_len": ["4"],
    "mask_points": ["points.json"],
    "mask_box": ["10 20 30.5 40"],
    "mask_video": ["mask.mp4"],
    "mask_exclude": ["driver, dog"],
    "mask_grow": ["0", "12"],
    "mask_square": [True, False],
    "mask_blockify": ["0", "16"],
    "mask_blockify_version": ["2025-09"],
    "segmenter": ["sam2", "classic"],
    "sam2_checkpoint": ["sam2.1_hiera_tiny.pt"],
    "prompt": ["a dancer", "-- \N{SNOWMAN} \"'", "[secret", "null", "true", " "],
    "sample_steps": ["4"],
    "sample_guide_scale": ["1.1", "0"],
    "sample_shift": ["0.1"],
    "sample_solver": ["dpm++"],
    "frame_num": ["auto", "61"],
    "frame_num_min": ["65"],
    "frame_num_max": ["73"],
    "refert_num": ["5", "1"],
    "seed": ["0", str(2**64 - 1)],
    "use_relighting_lora": [True, False],
    "no_offload": [True],
    "t5_cpu": [True],
    "convert_model_dtype": [True],
    "on_oom": ["retry", "stop"],
    "price_per_hour": ["2.49", "0"],
    "no_audio": [True, False],
    "audio": ["sound.wav"],
    "side_by_side": [True],
    "credentials": [("chain.pem", "key.pem")],
    "multi_gpu": [True, False],
    "nproc_per_node": ["8"],
    "wan22_dir": ["Wan2.2"],
    "ckpt_dir": ["weights"],
    "wan22_python": ["/usr/bin/python3"],
    "stage_1": ["wan22"],
    "diffusers_model": ["model"],
    "diffusers_python": ["/usr/bin/python3"],
    "diffusers_device": ["cpu"],
    "memory": ["group_offload"],
    "transformer_file": ["animate.gguf"],
    "vae_tiling": [True],
    "lora": ["light.safetensors:0.8, other one.safetensors", "a.safetensors:-1"],
    "animate_2_model": ["second"],
    "relighting_lora": ["light.safetensors"],
    "frame_config": ["model.yaml"],
    "frame_python": ["/usr/bin/python3"],
    "tool_dir": ["LivePortrait"],
    "tool_python": ["/usr/bin/python3"],
    "tool_options": ["still=true, size=512"],
    "densepose_path": ["dense.mp4"],
    "densepose_command": ['["python", "make it.py", "{input}", "{output}"]'],
    "densepose_dir": ["vid2densepose"],
    "animatediff_config": ["animatediff.yaml"],
    "animatediff_python": ["/usr/bin/python3"],
    "animatediff_preset": ["b"],
    "animatediff_frames": ["8"],
    "animatediff_size": ["512 768"],
    "animatediff_fps": ["8"],
    "animatediff_negative": ["blurry"],
    "animatediff_loras": ["zoom-in:0.8, pan-left"],
}
NEEDED = {"video_path": "drive.mp4", "refer_path": "character.png"}
TOGETHER: dict[str, dict[str, object]] = {
    "use_relighting_lora": {"replace": True},
    "mask_points": {"replace": True},
    "mask_box": {"replace": True},
    "mask_video": {"replace": True},
    "mask_exclude": {"replace": True, "mask_points": "points.json"},
    "nproc_per_node": {"multi_gpu": True},
    "multi_gpu": {"nproc_per_node": "2"},
}


def assert_the_same_again(path: Path, job: config.Job) -> None:
    """Through the file and back: the same Job, but for what was typed."""
    record = json.loads(path.read_text())
    record |= {"stages": list(job.stages), "settings": job.values()}
    path.write_text(json.dumps(record))
    read = read_result_record(path)
    again = config.load_job(read["stages"], {}, recorded=settings_of(read))
    assert replace(again, given=frozenset()) == replace(job, given=frozenset())


def test_there_are_samples_of_every_setting():
    assert set(SAMPLES) == set(config.SETTINGS)


@pytest.mark.parametrize("name", [name for name in config.SETTINGS if name != "src_root_path"])
def test_every_setting_comes_back_from_the_record(path, name):
    for value in SAMPLES[name]:
        together = TOGETHER.get(name, {}) if value not in (False, "1") else {}
        assert_the_same_again(path, config.load_job(ALL_STAGES, {**NEEDED, **together, name: value}))


def test_the_folder_of_stage_1_comes_back_where_stage_2_ran_alone(path):
    assert_the_same_again(path, config.load_job((2, 3), {"src_root_path": "process"}))


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_any_settings_together_come_back_from_the_record(path, data):
    chosen = data.draw(st.sets(st.sampled_from([name for name in SAMPLES if name not in NEEDED])))
    stages = data.draw(st.sampled_from([ALL_STAGES, (2, 3)]))
    flags = {name: data.draw(st.sampled_from(SAMPLES[name])) for name in sorted(chosen)}
    offered = config.settings_for(stages)
    flags = {
        name: value for name, value in ({"src_root_path": "p"} | NEEDED | flags).items() if name in offered
    }
    try:
        job = config.load_job(stages, flags)
    except config.SettingsError:
        assume(False)
    assert_the_same_again(path, job)


def test_what_this_version_does_not_know_is_left_out():
    known = {"seed": 7, "audio": None}
    assert settings_of({"settings": {**known, "invented": 1}}) == {"seed": 7}


def test_the_records_of_the_steps_stay_readable(folder):
    make(folder)
    assert all(read_record(record_path(step))["state"] == "done" for step in steps_of(folder))
