"""Windows: upstream's arithmetic to the frame, and the choice that costs least."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engines.wan22.sharing import nearest_canvases, working_counts
from engines.wan22.windows import (
    LINEAR,
    QUADRATIC,
    choose_frame_num,
    clip_cost,
    lengths,
    shareable_lengths,
    step_cost,
    tokens,
    windows_of,
)
from preprocess import canvas_size

GOLDEN = json.loads((Path(__file__).parents[1] / "data/golden/segments.json").read_text())["cases"]
LENGTHS = st.integers(3, 180).map(lambda n: 4 * n + 1)
CANVAS = st.tuples(st.integers(1, 120), st.integers(1, 120)).map(lambda size: (16 * size[0], 16 * size[1]))


def test_there_are_golden_cases_of_both_kinds():
    assert any("error" in case for case in GOLDEN) and any("error" not in case for case in GOLDEN)


@pytest.mark.parametrize(
    "case", GOLDEN, ids=lambda case: f"{case['real_len']}-{case['clip_len']}-{case['refert']}"
)
def test_the_windows_are_upstreams(case):
    if case["refert"] not in (1, 5):
        pytest.skip("the setting takes 1 and 5 only")
    arguments = (case["real_len"], case["clip_len"], case["refert"])
    if case.get("error"):
        with pytest.raises(ValueError, match="overlap"):
            windows_of(*arguments)
        return
    found = windows_of(*arguments)
    assert (found.padded_frame_count, found.windows) == (case["target_len"], case["segments"])
    assert found.padded_frame_count - found.frame_count == case["padded_frames"]


@given(frames=st.integers(6, 3000), overlap=st.sampled_from([1, 5]), length=LENGTHS)
def test_never_fewer_frames_than_the_clip(frames, overlap, length):
    found = windows_of(frames, length, overlap)
    kept = found.frame_num + (found.windows - 1) * (found.frame_num - overlap)
    assert kept == found.padded_frame_count >= frames
    assert kept - frames < found.frame_num - overlap, "not a window too many" if found.windows > 1 else ""
    assert found.surplus_frames >= 0


@given(
    frames=st.integers(6, 1500),
    overlap=st.sampled_from([1, 5]),
    canvas=CANVAS,
    bounds=st.tuples(LENGTHS, LENGTHS),
)
def test_the_choice_keeps_its_bounds_and_no_other_length_is_cheaper(frames, overlap, canvas, bounds):
    shortest, longest = sorted(bounds)
    chosen = choose_frame_num(frames, overlap, *canvas, shortest=shortest, longest=longest)
    assert shortest <= chosen <= longest and chosen % 4 == 1
    cost = clip_cost(windows_of(frames, chosen, overlap), *canvas)
    every = [clip_cost(windows_of(frames, length, overlap), *canvas) for length in lengths(shortest, longest)]
    assert cost == min(every)


@given(frames=st.integers(6, 3000), overlap=st.sampled_from([1, 5]), canvas=CANVAS)
def test_the_choice_is_never_dearer_than_77(frames, overlap, canvas):
    chosen = choose_frame_num(frames, overlap, *canvas, shortest=61, longest=77)
    ours, fixed = (clip_cost(windows_of(frames, length, overlap), *canvas) for length in (chosen, 77))
    assert ours <= fixed


@given(canvas=CANVAS, gpus=st.sampled_from([2, 4, 5, 8, 10, 20, 40]), frames=st.integers(6, 800))
def test_a_length_that_the_gpus_can_share_is_taken_if_there_is_one(canvas, gpus, frames):
    chosen = choose_frame_num(frames, 1, *canvas, shortest=61, longest=77, gpus=gpus)
    if any(shareable_lengths(*canvas, gpus, 61, 77)):
        assert tokens(chosen, *canvas) % gpus == 0


@pytest.mark.parametrize(
    ("frames", "chosen", "windows"),
    [
        (77, 77, 1),  # fits
        (78, 61, 2),  # 77 would take two whole windows
        (61, 61, 1),
        (12, 61, 1),
        (106, 61, 2),
        (205, 69, 3),
        (153, 77, 2),
    ],
)
def test_examples(frames, chosen, windows):
    assert choose_frame_num(frames, 1, 1280, 720, shortest=61, longest=77) == chosen
    assert windows_of(frames, chosen, 1).windows == windows


def test_the_cost_is_linear_and_quadratic():
    assert step_cost(10) == 10 * LINEAR + 100 * QUADRATIC
    assert tokens(77, 1280, 720) == 75600
    assert QUADRATIC * 75600 > 2 * LINEAR, "at 720p most of the work is attention"


# --------------------------------------------------------------------------------------- several GPUs


@pytest.mark.parametrize(
    ("width", "height", "fails"),
    [
        (1280, 720, []),
        (720, 1280, []),
        (960, 960, []),
        (1280, 704, []),
        (1104, 816, [2, 4, 5, 8, 10, 20, 40]),
        (832, 464, [5, 8, 10, 20, 40]),
        (1472, 608, [5, 10, 20, 40]),
    ],
)
def test_the_reported_failures_of_sharing(width, height, fails):
    working = list(working_counts(width, height, 77))
    for gpus in (2, 4, 5, 8, 10, 20):
        assert (gpus in working) == (gpus not in fails)


@given(
    shape=st.sampled_from([(4, 3), (3, 4), (16, 9), (9, 16), (1, 1), (1920, 804), (832, 480)]),
    area=st.sampled_from([1280 * 720, 832 * 480, 1024 * 576, 640 * 368]),
    gpus=st.sampled_from([2, 4, 5, 8]),
)
def test_an_offered_resolution_gives_a_canvas_that_can_be_shared(shape, area, gpus):
    for width, height in nearest_canvases(shape, area, 77, gpus):
        canvas = canvas_size(*shape, width * height)
        assert canvas == (width, height) and tokens(77, *canvas) % gpus == 0
