"""Check, plan, finish, record, from the drivers' side: what a user asks for is what comes out."""

from __future__ import annotations

import json
import re
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

import preprocess
from engines import load_all_findings
from media.credentials import read_credentials
from media.labels import read_label
from tests.certificates import make_pair
from tests.media import write_clip, write_sound
from tests.standin import read_record
from tests.workplace import Workplace

RESULT = "output_wanimate.mp4"
GENERATE = ("run_generation.py", "--src_root_path", "process_results")


def as_data(place: Workplace, *arguments: str, code: int = 0, driver: str = "pipeline.py") -> dict[str, Any]:
    shown = place.invoke(driver, "--json", *arguments)
    assert shown.exit_code == code, shown.output
    data: dict[str, Any] = json.loads(shown.stdout)
    return data


def succeed(place: Workplace, *arguments: str, driver: str = "pipeline.py", **environment: str) -> str:
    done = place.run_here(driver, *arguments, **environment)
    assert done.returncode == 0, done.stderr
    return done.stderr


def codes(data: dict[str, Any]) -> set[str]:
    return {finding["code"] for finding in data["findings"]}


def record_of(place: Workplace, result: str = RESULT) -> dict[str, Any]:
    record: dict[str, Any] = json.loads((place / result).with_suffix(".json").read_text(encoding="utf-8"))
    return record


# -------------------------------------------------------------------------------------------- checking


def test_check_says_what_will_come_out_and_touches_nothing(workplace):
    before = workplace.contents()
    shown = workplace.invoke("pipeline.py", "--check", *workplace.inputs)
    assert shown.exit_code == 0 and "Nothing stands in the way" in shown.output
    assert "160x80, 12 frames" in shown.output and "1 window of 61 frames" in shown.output
    assert workplace.contents() == before


def test_check_as_data_has_every_field(workplace):
    data = as_data(workplace, "--check", *workplace.inputs)
    assert data["predicted"] == {
        "width": 160,
        "height": 80,
        "frames": 12,
        "frame_num": 61,
        "windows": 1,
        "surplus_frames": 49,
        "tokens": 17 * 10 * 5,
        "windows_at_77": 1,
        "surplus_frames_at_77": 65,
    }
    (workplace / "text.mp4").write_text("no video")
    refused = as_data(workplace, "--check", *workplace.inputs, "--video_path", "text.mp4", code=2)
    (finding,) = (finding for finding in refused["findings"] if finding["level"] == "error")
    assert set(finding) == {"code", "level", "what", "why", "remedy"} and all(finding.values())
    assert finding["code"] in load_all_findings() and refused["predicted"] is None


def test_a_request_that_is_no_job_is_data_too(workplace):
    refused = as_data(workplace, "--check", "--fps", "29.97", code=2)
    assert codes(refused) == {
        "settings.value.fps",
        "settings.missing.video_path",
        "settings.missing.refer_path",
    }


def test_an_error_with_a_code_can_be_ignored(workplace):
    arguments = (*workplace.inputs, "--check")
    refused = workplace.run("pipeline.py", *arguments, STANDIN_GPUS="")
    assert refused.returncode == 2 and "[machine.no-gpu]" in refused.stderr
    ignored = workplace.run("pipeline.py", *arguments, "--ignore", "machine.no-gpu", STANDIN_GPUS="")
    assert ignored.returncode == 0 and "warning: " in ignored.stderr and "[machine.no-gpu]" in ignored.stderr


def test_a_code_that_does_not_exist_cannot_be_ignored(workplace):
    refused = workplace.invoke("pipeline.py", *workplace.inputs, "--check", "--ignore", "machine.no-gpus")
    assert refused.exit_code == 2 and "did you mean 'machine.no-gpu'" in refused.output


def test_no_check_imports_torch_or_cuda(workplace):
    record = workplace / "record.jsonl"
    done = workplace.run("pipeline.py", "--check", *workplace.inputs, STANDIN_RECORD=str(record))
    assert done.returncode == 0, done.stderr
    assert not record.exists(), "upstream was not started"


def test_explain_says_why_each_step_runs_or_not(finished):
    arguments = (*finished.inputs, "--explain")
    assert finished.invoke("pipeline.py", *arguments).stdout.count("up to date, made on") == 3
    shown = finished.invoke("pipeline.py", *arguments, "--seed", "7").stdout
    assert "because seed changed from 42 to 7" in shown
    assert re.search(r"finish.*will run\n  because .* runs before it", shown)
    steps = as_data(finished, *arguments, "--no_audio")["steps"]
    assert [step["action"] for step in steps] == ["skip", "skip", "skip"], "there was no sound before either"


# ---------------------------------------------------------------------------------------------- windows


def test_the_window_follows_what_stage_1_really_wrote(workplace):
    """77 frames: upstream's writer makes 78 of them, for which 77 would be the dearest choice."""
    write_clip(workplace / "long.mp4", frame_count=77)
    arguments = (*workplace.inputs, "--video_path", "long.mp4")
    predicted = as_data(workplace, "--check", *arguments)["predicted"]
    succeed(workplace, *arguments)
    pose = preprocess.probe_video(workplace / "process_results" / "src_pose.mp4")
    facts = record_of(workplace)["steps"][1]["facts"]
    assert (predicted["frames"], predicted["frame_num"]) == (pose.frame_count, facts["frame_num"])
    cheapest = {77: 77, 78: 61}
    assert facts["frame_num"] == cheapest[pose.frame_count]


def test_a_given_window_is_taken(workplace):
    succeed(workplace, *workplace.inputs, "--frame_num", "77")
    assert record_of(workplace)["steps"][1]["facts"]["frame_num"] == 77


def test_a_draft_is_short_small_quick_and_never_the_result(workplace):
    write_clip(workplace / "long.mp4", frame_count=100, rate=24, size=(640, 384))
    arguments = (*workplace.inputs, "--video_path", "long.mp4", "--resolution", "640x384", "--replace")
    succeed(workplace, *arguments, "--draft")
    assert not (workplace / RESULT).exists() and not (workplace / "process_results").exists()
    draft = preprocess.probe_video(workplace / "output_wanimate_draft.mp4")
    assert draft.width * draft.height <= 640 * 384 / 4
    assert draft.frame_count in (76, 77), "upstream's writer may add one; it stays one window"
    record = record_of(workplace, "output_wanimate_draft.mp4")
    assert "--sample_steps" in record["steps"][2]["argv"] and record["settings"]["draft"] is True
    assert "Draft" in container_tags(workplace / "output_wanimate_draft.mp4")["title"]
    succeed(workplace, *arguments)
    assert preprocess.probe_video(workplace / RESULT).frame_count >= 124


def container_tags(path: Path) -> dict[str, str]:
    import av

    with av.open(str(path)) as container:
        return dict(container.metadata)


def test_the_next_run_is_estimated_by_this_one(workplace, tmp_path, monkeypatch):
    monkeypatch.setenv("UNDERSTUDY_CACHE", str(tmp_path / "cache"))
    arguments = (*workplace.inputs, "--check", "--price_per_hour", "3600")
    assert "No estimate" in workplace.invoke("pipeline.py", *arguments).output
    succeed(workplace, *workplace.inputs)
    known = workplace.invoke("pipeline.py", *arguments).output
    assert re.search(r"About [\d.]+ s by 1 earlier run on .*, [\d.]+ at 3600 an hour", known)


# ----------------------------------------------------------------------------------------------- finish


@pytest.mark.parametrize("rate", [Fraction(24000, 1001), Fraction(24), Fraction(25), Fraction(60)])
def test_the_result_plays_at_the_true_rate_with_the_driving_videos_sound(workplace, rate):
    write_clip(workplace / "v.mp4", frame_count=30, rate=rate, sound=True)
    succeed(workplace, *workplace.inputs, "--video_path", "v.mp4", "--fps", "source")
    made = preprocess.probe_video(workplace / RESULT)
    assert made.rate == rate and made.has_audio
    assert record_of(workplace)["result"]["rate"] == str(rate)
    assert abs(made.frame_count - 30) <= 1


def test_stage_2_alone_knows_rate_and_sound_from_stage_1s_record(workplace):
    write_clip(workplace / "v.mp4", frame_count=30, rate=Fraction(24000, 1001), sound=True)
    inputs = ("--video_path", "v.mp4", "--refer_path", workplace.picture, "--resolution", "160x96")
    succeed(workplace, *inputs, "--fps", "source", driver="run_preprocessing.py")
    succeed(workplace, *GENERATE[1:], driver=GENERATE[0])
    made = preprocess.probe_video(workplace / RESULT)
    assert made.rate == Fraction(24000, 1001) and made.has_audio


def test_a_folder_of_unknown_making_gives_a_silent_result_and_says_so(finished):
    (finished / "process_results" / ".understudy" / "preprocess.json").unlink()
    said = succeed(finished, *GENERATE[1:], "--output_path", "again.mp4", driver=GENERATE[0])
    assert "[finish.no-sound]" in said and "[finish.rate-from-file]" in said
    assert preprocess.probe_video(finished / "again.mp4").rate == 30


def test_other_sound_or_none_costs_the_finish_alone(workplace):
    write_clip(workplace / "v.mp4", frame_count=30, sound=True)
    write_sound(workplace / "other.m4a")
    arguments = (*workplace.inputs, "--video_path", "v.mp4")
    succeed(workplace, *arguments)
    for flags, sounds in ((("--no_audio",), False), (("--audio", "other.m4a"), True)):
        said = succeed(workplace, *arguments, *flags)
        assert said.count("up to date, skipped") == 2 and "The finish" in said
        assert preprocess.probe_video(workplace / RESULT).has_audio is sounds


@pytest.mark.parametrize(
    ("flags", "source_type"),
    [((), "trainedAlgorithmicMedia"), (("--replace",), "compositeWithTrainedAlgorithmicMedia")],
)
def test_every_result_says_that_it_is_generated_and_by_which_settings(workplace, flags, source_type):
    succeed(workplace, *workplace.inputs, *flags)
    label = read_label(workplace / RESULT)
    assert label is not None and label.rpartition("/")[2] == source_type
    tags = container_tags(workplace / RESULT)
    assert json.loads(tags["comment"])["seed"] == 42 and str(workplace.folder) not in tags["comment"]


def test_side_by_side_is_a_second_video(workplace):
    succeed(workplace, *workplace.inputs, "--side_by_side")
    result = preprocess.check_video(workplace / RESULT)
    beside = preprocess.check_video(workplace / "output_wanimate_side_by_side.mp4")
    assert beside.frame_count == result.frame_count and beside.rate == result.rate
    assert beside.width > 2 * result.width


# ----------------------------------------------------------------------------------------------- prompt


def test_the_prompt_arrives_where_upstream_encodes_it(workplace, tmp_path):
    for flags in ((), ("--prompt", "a dancer in the rain, 雨")):
        record = tmp_path / f"record{len(flags)}"
        succeed(workplace, *workplace.inputs, *flags, STANDIN_RECORD=str(record))
        (encoded,) = [entry["prompt"] for entry in read_record(record) if entry["event"] == "encode"]
        if flags:
            assert encoded == flags[1]
        else:
            assert encoded and encoded != "a dancer in the rain, 雨", "upstream's own text"


def test_the_prompt_arrives_on_every_gpu(workplace, tmp_path):
    flags = ("--prompt", "rain", "--multi_gpu", "--nproc_per_node", "2")
    checkout = str(workplace / "Wan2.2")
    record = tmp_path / "record"
    succeed(
        workplace,
        *workplace.inputs,
        *("--resolution", "256x256"),
        *flags,
        STANDIN_RECORD=str(record),
        PYTHONPATH=checkout,
    )
    assert [entry["prompt"] for entry in read_record(record) if entry["event"] == "encode"] == ["rain"] * 2


# --------------------------------------------------------------------------------------- out of memory


def test_without_being_asked_it_stops_when_memory_runs_out(workplace):
    done = workplace.run_here("pipeline.py", *workplace.inputs, STANDIN_FAULT="generate:out_of_memory")
    assert done.returncode == 1 and "ran out of memory" in done.stderr and "--t5_cpu" in done.stderr
    assert "trying again" not in done.stderr


def test_retry_goes_down_the_ladder_says_so_and_records_it(workplace):
    """The stand-in has memory enough once windows are short."""
    generate = workplace / "Wan2.2" / "generate.py"
    spared = 'import os, sys\nif "45" in sys.argv:\n    os.environ.pop("STANDIN_FAULT", None)\n'
    text = generate.read_text(encoding="utf-8")
    generate.write_text(text.replace("import sys\n", spared, 1), encoding="utf-8")
    said = succeed(workplace, *workplace.inputs, "--on_oom", "retry", STANDIN_FAULT="generate:out_of_memory")
    rungs = ["--t5_cpu", "--frame_num 61", "--frame_num 45"]
    assert re.findall(r"trying again with (.*)\.", said) == rungs
    record = record_of(workplace)
    assert record["attempts"] == rungs and record["settings"]["t5_cpu"] is True
    assert said.count("Stage 1") == 1 + 1 + 3, "run once, then skipped"


def test_retry_gives_up_at_the_end_of_the_ladder(workplace):
    done = workplace.run_here(
        "pipeline.py", *workplace.inputs, "--on_oom", "retry", STANDIN_FAULT="generate:out_of_memory"
    )
    assert done.returncode == 1 and done.stderr.count("trying again with") >= 3
    assert not (workplace / RESULT).exists()


# ----------------------------------------------------------------------------------------------- record


def test_rerun_makes_a_byte_identical_video(workplace):
    write_clip(workplace / "v.mp4", frame_count=30, rate=24, sound=True)
    succeed(
        workplace, *workplace.inputs, "--video_path", "v.mp4", "--replace", "--prompt", "x", "--seed", "9"
    )
    first = (workplace / RESULT).read_bytes()
    said = succeed(workplace, "--rerun", "output_wanimate.json", "--output_path", "again.mp4")
    assert "byte for byte" in said and (workplace / "again.mp4").read_bytes() == first
    said = succeed(workplace, "--rerun", "output_wanimate.json", "--force")
    assert "byte for byte" in said and (workplace / RESULT).read_bytes() == first


def test_rerun_says_what_differs_and_flags_win(workplace):
    succeed(workplace, *workplace.inputs)
    write_clip(workplace / "drive.mp4", frame_count=14)
    said = succeed(workplace, "--rerun", "output_wanimate.json", "--seed", "7")
    assert "The driving video" in said and "changed" in said and "differs from the recorded" in said
    assert record_of(workplace)["settings"]["seed"] == 7


def test_rerun_of_stage_2_alone_is_stage_2_alone(finished):
    succeed(finished, *GENERATE[1:], "--output_path", "again.mp4", driver=GENERATE[0])
    record = record_of(finished, "again.mp4")
    assert record["stages"] == [2, 3] and [step["step"] for step in record["earlier_steps"]] == ["preprocess"]
    said = succeed(finished, "--rerun", "again.json")
    assert "Stage 1" not in said and "byte for byte" in said


def test_verify_says_what_changed(workplace):
    finished = workplace
    succeed(finished, *finished.inputs)
    assert finished.invoke("pipeline.py", "--verify", "output_wanimate.json").exit_code == 0
    (finished / RESULT).write_bytes((finished / RESULT).read_bytes() + b"x")
    (finished / finished.picture).unlink()
    changed = finished.invoke("pipeline.py", "--verify", "output_wanimate.json")
    assert changed.exit_code == 1
    assert "The result" in changed.output and "The reference image" in changed.output
    shown = finished.invoke("pipeline.py", "--verify", "output_wanimate.json", "--json")
    found = {entry["kind"] for entry in json.loads(shown.stdout)["differences"]}
    assert found == {"changed", "missing"}


@pytest.mark.parametrize("flag", ["--rerun", "--verify"])
@pytest.mark.parametrize("content", [None, "no json", "{}", '{"schema": "understudy.result"}'])
def test_what_is_no_record_is_refused(workplace, flag, content):
    if content is not None:
        (workplace / "record.json").write_text(content)
    refused = workplace.invoke("pipeline.py", flag, "record.json")
    assert refused.exit_code == 2 and "[record.unreadable]" in refused.output


def test_a_foreign_file_is_not_taken_for_the_record(workplace):
    (workplace / "output_wanimate.json").write_text('{"mine": true}')
    refused = workplace.invoke("pipeline.py", *workplace.inputs)
    assert refused.exit_code == 2 and "[output.record-name]" in refused.output
    assert (workplace / "output_wanimate.json").read_text() == '{"mine": true}'


def test_nothing_secret_is_recorded(workplace):
    hidden = "hf_verysecrettoken1234567890abcdef"
    succeed(workplace, *workplace.inputs, HF_TOKEN=hidden, MY_PASSWORD="open sesame 123")  # noqa: S106
    for path in workplace.folder.rglob("*.json"):
        text = path.read_text(encoding="utf-8", errors="replace")
        assert hidden not in text and "open sesame" not in text, path


def test_a_second_run_in_the_same_folder_is_refused(workplace):
    first = workplace.start("pipeline.py", *workplace.inputs, STANDIN_FAULT="preprocess:hang")
    try:
        log = workplace / "process_results" / ".understudy" / "preprocess.log"
        from tests.workplace import wait_until

        wait_until(lambda: log.exists() and b"it/s" in log.read_bytes(), "the first run at work")
        refused = workplace.run("pipeline.py", *workplace.inputs)
        assert refused.returncode == 2 and "[machine.folder-in-use]" in refused.stderr
        assert f"process {first.pid}" in refused.stderr
    finally:
        first.terminate()
        first.communicate(timeout=40)
    succeed(workplace, *workplace.inputs)


def test_a_result_is_signed_with_its_ingredients_and_the_key_is_nowhere(workplace, tmp_path):
    pair = make_pair(tmp_path / "signer")
    signing = ("--credentials", str(pair.certificate), str(pair.key))
    succeed(workplace, *workplace.inputs, "--replace", *signing)
    credentials = read_credentials(workplace / RESULT)
    assert credentials is not None and credentials["validation_state"] in ("Valid", "Trusted")
    told = json.dumps(credentials)
    assert "driving video" in told and "reference image" in told
    assert "compositeWithTrainedAlgorithmicMedia" in told
    secret = pair.key.read_text().splitlines()[1]
    for path in workplace.folder.rglob("*"):
        assert not path.is_file() or secret.encode() not in path.read_bytes(), path
    again = succeed(workplace, *workplace.inputs, "--replace", *signing)
    assert again.count("up to date") == 3
    unsigned = succeed(workplace, *workplace.inputs, "--replace")
    assert unsigned.count("up to date") == 2 and "the signing certificate is no longer asked for" in unsigned
    assert read_credentials(workplace / RESULT) is None
