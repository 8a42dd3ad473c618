"""The ladder of --on_oom retry: each rung needs less, none repeats, and it ends."""

from __future__ import annotations

import pytest

from config import GENERATION, PREPROCESSING, Job
from engines.wan22.relief import next_rung
from execution.step import GPU_MEMORY, HOST_MEMORY

BOTH = (PREPROCESSING, GENERATION)


def ladder(job: Job, cause: str) -> list[str]:
    rungs = []
    while (rung := next_rung(job, cause)) is not None:
        job, words = rung
        rungs.append(words)
        assert len(rungs) < 20
    return rungs


def test_the_ladder_for_the_gpus_memory():
    assert ladder(Job(stages=BOTH), GPU_MEMORY) == [
        "--t5_cpu",
        "--frame_num 61",
        "--frame_num 45",
        "--frame_num 33",
        '--resolution "1024 576"',
        '--resolution "832 480"',
        '--resolution "640 368"',
    ]


def test_stage_2_alone_cannot_change_the_area():
    assert ladder(Job(stages=(GENERATION,)), GPU_MEMORY)[-1] == "--frame_num 33"


def test_the_hosts_memory_is_spared_by_a_smaller_area_alone():
    rungs = ladder(Job(stages=BOTH), HOST_MEMORY)
    assert rungs and all(rung.startswith("--resolution") for rung in rungs)


def test_what_is_already_small_is_not_made_larger():
    small = Job(stages=BOTH, t5_cpu=True, frame_num=33, resolution=(480, 832))
    assert ladder(small, GPU_MEMORY) == ['--resolution "640 368"']


def test_several_gpus_are_not_spared_by_the_text_encoder_on_the_cpu():
    job = Job(stages=(GENERATION,), multi_gpu=True, nproc_per_node=2)
    assert ladder(job, GPU_MEMORY)[0] == "--frame_num 61"


def test_other_failures_have_no_ladder():
    assert next_rung(Job(stages=BOTH), "disk-full") is None


@pytest.mark.parametrize("refert_num", [1, 5])
def test_windows_stay_longer_than_twice_the_overlap(refert_num):
    job = Job(stages=(GENERATION,), refert_num=refert_num)
    while (rung := next_rung(job, GPU_MEMORY)) is not None:
        job, _ = rung
    assert job.frame_num is not None and job.frame_num > 2 * refert_num
