"""Windows: upstream's arithmetic to the frame, and the choice that costs least."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engines.wan22 import windows
from engines.wan22.windows import (
    LINEAR,
    QUADRATIC,
    choose_frame_num,
    clip_cost,
    lengths,
    step_cost,
    tokens,
    windows_of,
)

EVERY_CASE = json.loads((Path(__file__).parents[1] / "data/golden/segments.json").read_text())["cases"]
GOLDEN = [case for case in EVERY_CASE if case["refert"] in (1, 5)]
"""Others upstream refuses, as the setting does."""
LENGTHS = st.integers(3, 180).map(lambda n: 4 * n + 1)
CANVAS = st.tuples(st.integers(1, 120), st.integers(1, 120)).map(lambda size: (16 * size[0], 16 * size[1]))


def test_there_are_golden_cases_of_all_kinds():
    errors = {case.get("error") for case in GOLDEN}
    assert errors == {None, "zero_division", "index", "no_segments", "shape_mismatch"}
    assert all(case["error"] == "assertion" for case in EVERY_CASE if case not in GOLDEN)


@pytest.mark.parametrize(
    "case", GOLDEN, ids=lambda case: f"{case['real_len']}-{case['clip_len']}-{case['refert']}"
)
def test_the_windows_are_upstreams(case):
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
    assert kept - frames < found.frame_num - overlap, "not a window too many"
    assert found.surplus_frames == found.windows * length - frames >= 0


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
    if any(tokens(length, *canvas) % gpus == 0 for length in lengths(61, 77)):
        assert tokens(chosen, *canvas) % gpus == 0


@pytest.mark.parametrize(
    ("frames", "chosen", "count"),
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
def test_examples(frames, chosen, count):
    assert choose_frame_num(frames, 1, 1280, 720, shortest=61, longest=77) == chosen
    assert windows_of(frames, chosen, 1).windows == count


def test_a_tie_goes_to_fewer_windows_then_to_the_length_nearer_77(monkeypatch):
    monkeypatch.setattr(windows, "clip_cost", lambda *_: 1)
    assert choose_frame_num(301, 1, 1280, 720, shortest=61, longest=77) == 77  # 5 windows of 61, 4 of 77
    assert choose_frame_num(50, 1, 1280, 720, shortest=61, longest=93) == 77


def test_the_cost_is_linear_and_quadratic():
    assert step_cost(10) == 10 * LINEAR + 100 * QUADRATIC
    assert tokens(77, 1280, 720) == 75600
    assert QUADRATIC * 75600 > 2 * LINEAR, "at 720p most of the work is attention"


def test_the_linear_part_is_that_of_the_models_matrices():
    width, feed_forward = 5120, 13824
    layer = [(width, width)] * 6 + [(width, feed_forward), (feed_forward, width)]  # q k v o, q o, two more
    adapter = [(width, width)] * 2
    matrices = 40 * layer + 8 * adapter
    attended = 40 * 2 * (2 * 769 * width)  # scores and sums over text and picture
    assert sum(2 * rows * columns for rows, columns in matrices) + attended == LINEAR
    assert 40 * 2 * 2 * width == QUADRATIC
