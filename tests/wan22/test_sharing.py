"""Several GPUs: what they cannot share, and that every way out that is offered leads out."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config import GENERATION, PREPROCESSING, Job
from engines.interface import Prediction
from engines.wan22.sharing import allowed_lengths, can_share, remedies, working_counts
from engines.wan22.windows import choose_frame_num, tokens
from preprocess import canvas_size

BOTH = (PREPROCESSING, GENERATION)
FRAMES = 205


def several(gpus: int, **other) -> Job:
    return Job(**{"stages": BOTH, "multi_gpu": True, "nproc_per_node": gpus, **other})


def predicted(job: Job, shape: tuple[int, int]) -> Prediction:
    width, height = canvas_size(*shape, job.resolution[0] * job.resolution[1])
    bounds = {"shortest": job.frame_num_min, "longest": job.frame_num_max}
    length = job.frame_num or choose_frame_num(
        FRAMES, job.refert_num, width, height, gpus=job.nproc_per_node or 1, **bounds
    )
    count = tokens(length, width, height)
    return Prediction(width=width, height=height, frames=FRAMES, frame_num=length, tokens=count)


def is_shared(job: Job, shape: tuple[int, int]) -> bool:
    count = predicted(job, shape).tokens
    assert count is not None and job.nproc_per_node is not None
    return count % job.nproc_per_node == 0


def ways_out(job: Job, said: str) -> list[Job]:
    """The job changed in each of the ways that were offered."""
    jobs = []
    for counts in re.findall(r"--nproc_per_node ([\d or]+\d)", said):
        jobs += [replace(job, nproc_per_node=int(count)) for count in counts.split(" or ")]
    for length in re.findall(r"--frame_num (\w+)", said):
        jobs.append(replace(job, frame_num=None if length == "auto" else int(length)))
    for width, height in re.findall(r'--resolution "(\d+) (\d+)"', said):
        scale = 2 if job.draft else 1
        jobs.append(replace(job, resolution=(int(width) // scale, int(height) // scale)))
    return jobs


@pytest.mark.parametrize(
    ("canvas", "fails"),
    [
        ((1280, 720), []),
        ((720, 1280), []),
        ((960, 960), []),
        ((1280, 704), []),
        ((1104, 816), [2, 4, 5, 8, 10, 20]),
        ((816, 1104), [2, 4, 5, 8, 10, 20]),
        ((832, 464), [5, 8, 10, 20]),
        ((464, 832), [5, 8, 10, 20]),
        ((1472, 608), [5, 10, 20]),
    ],
)
def test_the_reported_failures_of_sharing(canvas, fails):
    working = working_counts(canvas, [77])
    assert [count for count in (2, 4, 5, 8, 10, 20) if count not in working] == fails


def test_the_reported_token_counts_cannot_be_shared():
    assert tokens(77, 1104, 816) == 73899  # padded to 73900 for 4, 5, 10 or 20 GPUs


@given(
    shape=st.sampled_from([(4, 3), (3, 4), (16, 9), (1, 1), (1920, 800), (1920, 804), (832, 480), (9, 21)]),
    resolution=st.sampled_from([(1280, 720), (832, 480), (1024, 576), (640, 368), (321, 187)]),
    gpus=st.sampled_from([2, 4, 5, 8, 10, 20, 40]),
    frame_num=st.sampled_from([None, 77, 61, 45]),
    draft=st.booleans(),
)
def test_every_way_out_leads_out(shape, resolution, gpus, frame_num, draft):
    job = several(gpus, resolution=resolution, frame_num=frame_num, draft=draft)
    if is_shared(job, shape):
        return
    said = remedies(job, predicted(job, shape), shape)
    for way in ways_out(job, said):
        assert is_shared(way, shape), said


@pytest.mark.parametrize(
    ("job", "said"),
    [
        (
            several(8),  # 1104x816: an odd number of blocks, and no length of 61 to 77 has 8 to divide by
            "Any of these works: --nproc_per_node 2 or 4 or 5 or 10 or 20, --frame_num 57, "
            '--resolution "1088 816", --resolution "1104 837"; or one GPU.',
        ),
        (
            several(2, frame_num=77),
            'Any of these works: --frame_num auto, --resolution "1088 816", --resolution "1104 837"; '
            "or one GPU.",
        ),
        (
            several(8, frame_num=77, stages=(GENERATION,)),
            "Any of these works: --frame_num 57; or one GPU.",
        ),
        (
            several(40, stages=(GENERATION,), frame_num=77),
            "Use one GPU, or make stage 1 again with another --resolution.",
        ),
    ],
)
def test_the_ways_out_of_a_picture_of_four_to_three(job, said):
    """The canvas above is 1104x832; a budget of exactly its size would be rounded down by a block."""
    shape = (4, 3) if PREPROCESSING in job.stages else None
    assert remedies(job, predicted(job, (4, 3)), shape) == said


@given(
    gpus=st.sampled_from([2, 4, 5, 8, 10, 20, 40]), blocks=st.tuples(st.integers(1, 99), st.integers(1, 99))
)
def test_auto_takes_a_length_that_can_be_shared_if_there_is_one(gpus, blocks):
    canvas = 16 * blocks[0], 16 * blocks[1]
    chosen = choose_frame_num(FRAMES, 1, *canvas, shortest=61, longest=77, gpus=gpus)
    assert (tokens(chosen, *canvas) % gpus == 0) == can_share(canvas, allowed_lengths(several(gpus)), gpus)
