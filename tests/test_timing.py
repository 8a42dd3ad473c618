"""The true rate and the sound's place: by the job, by stage 1's record, or by the file alone."""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path

import pytest

from config import GENERATION, PREPROCESSING, SOURCE_FPS, Job
from engines.timing import Timing, timing_of, timing_of_folder
from tests.media import write_clip


def write_record(folder: Path, facts: object) -> None:
    hidden = folder / ".understudy"
    hidden.mkdir(parents=True)
    record = {"schema": 1, "state": "done", "step": "preprocess", "stage": 1, "facts": facts}
    (hidden / "preprocess.json").write_text(json.dumps(record))


@pytest.mark.parametrize("rate", [Fraction(24000, 1001), Fraction(24), Fraction(30000, 1001), Fraction(60)])
def test_the_sources_rate_stays_rational(tmp_path, rate):
    video = write_clip(tmp_path / "v.mp4", rate=rate)
    job = Job(stages=(PREPROCESSING, GENERATION), video_path=video, save_path=tmp_path, fps=SOURCE_FPS)
    found = timing_of(job)
    assert found.rate == rate and found.driving_video == video and found.sampled_video == video


def test_a_given_rate_is_the_rate(tmp_path):
    video = write_clip(tmp_path / "v.mp4", rate=24)
    job = Job(stages=(PREPROCESSING, GENERATION), video_path=video, save_path=tmp_path, fps=16)
    assert timing_of(job).rate == 16


def test_stage_2_alone_reads_the_record(tmp_path):
    told = Timing(Fraction(24000, 1001), tmp_path / "v.mp4", Fraction(1, 3), tmp_path / "c.mp4", -1)
    write_record(tmp_path, {"timing": told.as_facts()})
    assert timing_of(Job(stages=(GENERATION,), src_root_path=tmp_path)) == told


@pytest.mark.parametrize(
    ("rate", "meant"),
    [
        (Fraction(2398, 100), Fraction(24000, 1001)),
        (Fraction(2997, 100), Fraction(30000, 1001)),
        (Fraction(5994, 100), Fraction(60000, 1001)),
        (Fraction(30), Fraction(30)),
        (Fraction(25), Fraction(25)),
        (Fraction(1667, 100), Fraction(1667, 100)),
    ],
)
@pytest.mark.parametrize("facts", [None, {}, {"timing": {"rate": "fast"}}])
def test_without_a_record_the_rounded_rate_is_taken_for_the_one_that_is_meant(tmp_path, rate, meant, facts):
    write_clip(tmp_path / "src_pose.mp4", rate=rate)
    if facts is not None:
        write_record(tmp_path, facts)
    found = timing_of_folder(tmp_path)
    assert found.rate == meant and found.driving_video is None
