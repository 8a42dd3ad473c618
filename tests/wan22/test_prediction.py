"""What will come out: the frames that upstream's writer really writes, and the prediction of a job."""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path

import pytest

import preprocess
from config import GENERATION, PREPROCESSING, Job
from engines.wan22.prediction import predict, predict_after, workload, written_frame_count
from tests.media import numbered_frame, variable_times, write_clip, write_sound

PYTHON = (3, 11)
GOLDEN = json.loads((Path(__file__).parents[1] / "data/golden/written_frames.json").read_text())["cases"]


@pytest.mark.parametrize("case", GOLDEN, ids=lambda case: " ".join(list(case.values())[:3]))
def test_the_count_is_what_moviepy_writes(case):
    rate = float(Fraction(case["rate"]))
    python = tuple(map(int, case["python"].split(".")))
    changed = {
        count: written - count
        for count in (*range(1, 201), 600, 900, 1800, 5000)
        if (written := written_frame_count(count, rate, case["moviepy"], python)) != count
    }
    assert changed == dict.fromkeys(case["lengths"], case["difference"])


@pytest.mark.parametrize(
    ("count", "rate", "version_1", "version_2"),
    [(205, 30, 205, 204), (106, 30, 106, 105), (77, 30, 78, 77), (600, 30, 601, 600), (600, 16, 600, 600)],
)
def test_the_measured_counts_of_moviepy(count, rate, version_1, version_2):
    assert written_frame_count(count, rate, "1.0.3", PYTHON) == version_1
    assert written_frame_count(count, rate, "2.2.1", PYTHON) == version_2


@pytest.mark.parametrize(
    ("rate", "version_1", "version_2"), [(30, 539, 437), (24, 596, 383), (25, 188, 798), (16, 0, 0)]
)
def test_as_many_lengths_are_hit_as_with_the_real_writers(rate, version_1, version_2):
    def hit(version: str) -> int:
        return sum(written_frame_count(count, rate, version, PYTHON) != count for count in range(1, 1001))

    assert (hit("1.0.3"), hit("2.2.1")) == (version_1, version_2)


def test_a_newer_python_hits_fewer():
    def hit(python: tuple[int, int]) -> int:
        return sum(written_frame_count(count, 30, "1.0.3", python) != count for count in range(1, 1001))

    assert hit((3, 12)) < hit(PYTHON)


def test_every_version_of_the_writer_has_its_rule():
    for version in ("0.2.3.5", "1.0.0", "1.0.3"):
        assert written_frame_count(77, 30, version, PYTHON) == 78
    for version in ("2.0.0", "2.1.1", "2.2.1"):
        assert written_frame_count(106, 30, version, PYTHON) == 105


def test_an_unknown_writer_counts_right():
    assert written_frame_count(205, 30, None) == 205


def test_no_frames_are_no_frames():
    assert written_frame_count(0, 30, "1.0.3", PYTHON) == 0


@pytest.mark.parametrize("flags", [(), ("--replace",), ("--fps", "source"), ("--resolution", "320x192")])
def test_the_prediction_is_what_comes_out(workplace, flags):
    arguments = (*workplace.inputs, *flags)
    shown = workplace.invoke("pipeline.py", "--check", "--json", *arguments)
    assert shown.exit_code == 0, shown.output
    predicted = json.loads(shown.stdout)["predicted"]
    assert workplace.run_here("pipeline.py", *arguments).returncode == 0
    made = preprocess.probe_video(workplace / "output_wanimate.mp4")
    assert (predicted["width"], predicted["height"]) == (made.width, made.height)
    assert predicted["frames"] == made.frame_count
    record = json.loads((workplace / "output_wanimate.json").read_text())
    facts = record["steps"][1]["facts"]
    for name in ("frame_num", "windows", "surplus_frames", "tokens"):
        assert facts[name] == predicted[name]


@pytest.mark.parametrize(
    ("flags", "clip"),
    [
        (("--replace",), {"sample_aspect": Fraction(3, 2)}),
        (("--replace",), {"rotation": 90}),
        (("--fps", "source"), {"times": variable_times((20, 30), (10, 15))}),
        ((), {"times": variable_times((20, 30), (10, 15))}),
        (("--replace", "--fps", "24"), {"rate": Fraction(30000, 1001), "frame_count": 40}),
    ],
    ids=["pixels that are not square", "turned", "variable rate", "variable rate to 30", "29.97 to 24"],
)
def test_the_prediction_is_right_for_clips_that_are_no_plain_ones(workplace, flags, clip):
    write_clip(workplace / workplace.video, **clip)
    arguments = (*workplace.inputs, *flags)
    shown = workplace.invoke("run_preprocessing.py", "--check", "--json", *arguments)
    assert shown.exit_code == 0, shown.output
    predicted = json.loads(shown.stdout)["predicted"]
    done = workplace.invoke("run_preprocessing.py", *arguments)
    assert done.exit_code == 0, done.output
    made = preprocess.probe_video(workplace / "process_results" / "src_pose.mp4")
    assert (predicted["width"], predicted["height"]) == (made.width, made.height)
    assert predicted["frames"] == made.frame_count


def test_a_draft_is_one_window_whatever_the_writer_adds(workplace):
    write_clip(workplace / workplace.video, frame_count=100)
    shown = workplace.invoke("pipeline.py", "--check", "--json", "--draft", *workplace.inputs)
    assert shown.exit_code == 0, shown.output
    predicted = json.loads(shown.stdout)["predicted"]
    assert predicted["windows"] == 1 and 75 <= predicted["frames"] <= 77


def test_stage_2_alone_is_predicted_by_its_folder(finished):
    shown = finished.invoke("run_generation.py", "--check", "--json", "--src_root_path", "process_results")
    predicted = json.loads(shown.stdout)["predicted"]
    pose = preprocess.probe_video(finished / "process_results" / "src_pose.mp4")
    assert (predicted["frames"], predicted["width"]) == (pose.frame_count, pose.width)


def test_nothing_is_predicted_of_media_that_cannot_be_read(workplace):
    (workplace / "text.mp4").write_text("no video")
    shown = workplace.invoke(
        "pipeline.py", "--check", "--json", "--video_path", "text.mp4", "--refer_path", workplace.picture
    )
    assert shown.exit_code == 2 and json.loads(shown.stdout)["predicted"] is None


def spoiled_by_text(path: Path) -> None:
    path.write_text("no media")


def spoiled_by_nothing(path: Path) -> None:
    path.unlink()


def spoiled_by_emptiness(path: Path) -> None:
    path.write_bytes(b"")


def spoiled_by_a_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def spoiled_by_a_cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


@pytest.mark.parametrize(
    "spoil",
    [spoiled_by_text, spoiled_by_nothing, spoiled_by_emptiness, spoiled_by_a_folder, spoiled_by_a_cut],
)
@pytest.mark.parametrize(("name", "replace"), [("drive.mp4", False), ("drive.mp4", True), ("c.png", False)])
def test_bad_media_predict_nothing_and_raise_nothing(tmp_path, spoil, name, replace):
    write_clip(tmp_path / "drive.mp4")
    preprocess.write_picture(tmp_path / "c.png", numbered_frame(0, 160, 96))
    job = Job(
        stages=(PREPROCESSING, GENERATION),
        video_path=tmp_path / "drive.mp4",
        refer_path=tmp_path / "c.png",
        save_path=tmp_path / "made",
        src_root_path=tmp_path / "made",
        wan22_python=tmp_path / "no-python",
        replace=replace,
    )
    assert predict(job) is not None
    spoil(tmp_path / name)
    assert predict(job) is None and predict_after(job) is None


@pytest.mark.parametrize("name", ["a" * 5000 + ".mp4", "a/" * 3000 + "v.mp4", "sound.mp4", "\udcff.mp4"])
def test_names_that_no_file_can_have_predict_nothing(tmp_path, name):
    write_sound(tmp_path / "sound.mp4")
    job = Job(stages=(PREPROCESSING,), video_path=tmp_path / name, refer_path=tmp_path / name, replace=True)
    assert predict(job) is None


def test_guidance_doubles_the_work_and_steps_multiply_it(finished):
    def work(**other) -> float:
        job = Job(stages=(GENERATION,), src_root_path=finished / "process_results", **other)
        predicted = predict(job)
        assert predicted is not None
        return workload(job, predicted)["generate"].amount

    assert work(sample_guide_scale=2.0) == 2 * work(sample_guide_scale=1.0) == 2 * work()
    assert work() == work(sample_steps=20) == 5 * work(sample_steps=4)
