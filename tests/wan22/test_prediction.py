"""What will come out: the frames that upstream's writer really writes, and the prediction of a job."""

from __future__ import annotations

import json

import pytest

import preprocess
from engines.wan22.prediction import written_frame_count

PYTHON = (3, 11)


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


def test_an_unknown_writer_counts_right():
    assert written_frame_count(205, 30, None) == 205


@pytest.mark.parametrize("flags", [(), ("--replace",), ("--fps", "source"), ("--resolution", "320x192")])
def test_the_prediction_is_what_comes_out(workplace, flags):
    arguments = (*workplace.inputs, *flags)
    shown = workplace.invoke("pipeline.py", "--check", "--json", *arguments)
    assert shown.exit_code == 0, shown.output
    predicted = json.loads(shown.stdout)["predicted"]
    assert workplace.run("pipeline.py", *arguments).returncode == 0
    made = preprocess.probe_video(workplace / "output_wanimate.mp4")
    assert (predicted["width"], predicted["height"]) == (made.width, made.height)
    assert predicted["frames"] == made.frame_count
    record = json.loads((workplace / "output_wanimate.json").read_text())
    facts = record["steps"][1]["facts"]
    for name in ("frame_num", "windows", "surplus_frames", "tokens"):
        assert facts[name] == predicted[name]


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
