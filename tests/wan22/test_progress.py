"""Progress read from upstream's own output: golden logs of real runs, and text that nobody expects."""

from __future__ import annotations

import re
from collections.abc import Iterable
from itertools import groupby, pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engines.wan22 import windows
from engines.wan22.diagnose import diagnose
from engines.wan22.progress import GenerateReader, PreprocessReader
from execution.step import Progress, ProgressReader

DATA = Path(__file__).parents[1] / "data"
LOGS = DATA / "upstream_logs"


def lines(text: str) -> list[str]:
    """As the process reader splits them."""
    return re.split(r"[\r\n]+", text)


def read_log(name: str) -> str:
    return (LOGS / f"{name}.txt").read_bytes().decode("utf-8", "replace")


def follow(reader: ProgressReader, text: Iterable[str]) -> list[Progress]:
    return [found for line in text if (found := reader.read(line))]


def generate_reader(text: str, ranks: int = 1) -> GenerateReader:
    frame_num = re.search(r"frame_num=(\d+)", text)
    overlap = re.search(r"refert_num=(\d+)", text)
    assert frame_num and overlap
    return GenerateReader(frame_num=int(frame_num[1]), refert_num=int(overlap[1]), ranks=ranks)


def phases(found: list[Progress]) -> list[str]:
    return [phase for phase, _ in groupby(found, key=lambda progress: progress.phase)]


def assert_goes_forward(found: list[Progress]) -> None:
    """Within a phase nothing goes back, and no share leaves 0 to 1."""
    for before, after in pairwise(found):
        assert 0.0 <= (after.fraction or 0.0) <= 1.0
        if before.phase == after.phase:
            assert (after.fraction or 0.0) >= (before.fraction or 0.0), (before, after)


STAGE_1 = {
    "preprocess_animate": ["loading models", "finding poses", "writing"],
    "preprocess_animate_retarget": ["loading models", "finding poses", "retargeting", "writing"],
    "preprocess_animate_retarget_moviepy2": ["loading models", "finding poses", "retargeting", "writing"],
    "preprocess_animate_retarget_one_bar_a_second": [
        *("loading models", "finding poses", "retargeting", "writing"),
    ],
    "preprocess_replace": ["loading models", "finding poses", "following the person", "writing"],
    "preprocess_replace_two_chunks": ["loading models", "finding poses", "following the person", "writing"],
}

STAGE_2 = {  # windows, steps in each, ranks
    "generate_animate": (2, 20, 1),
    "generate_replace_relighting": (2, 20, 1),
    "generate_seconds_per_step": (2, 4, 1),
    "generate_save_failed": (2, 1, 1),
    "generate_two_ranks": (2, 20, 2),
}


def test_every_golden_log_is_read_here():
    assert {path.stem for path in LOGS.glob("*.txt")} == {*STAGE_1, *STAGE_2}


@pytest.mark.parametrize("name", STAGE_1)
def test_stage_1_goes_through_its_phases_and_never_back(name):
    found = follow(PreprocessReader(replace="replace" in name), lines(read_log(name)))
    assert phases(found) == STAGE_1[name]
    assert_goes_forward(found)
    written = {progress.detail for progress in found if progress.phase == "writing"}
    expected = {"src_face.mp4", "src_pose.mp4"}
    assert written == (expected | {"src_bg.mp4", "src_mask.mp4"} if "replace" in name else expected)


def test_the_chunks_of_the_mask_are_told_apart():
    found = follow(PreprocessReader(replace=True), lines(read_log("preprocess_replace_two_chunks")))
    shares = [(step.detail, step.fraction) for step in found if step.phase == "following the person"]
    assert ("frame 400 of 400", 0.5) in shares and ("frame 25 of 50", 0.75) in shares
    assert shares[-1] == ("frame 50 of 50", 1.0)


def test_the_number_of_frames_is_told_before_the_long_silence():
    found = follow(PreprocessReader(replace=False), lines(read_log("preprocess_animate")))
    assert [step.detail for step in found if step.phase == "finding poses"][-1] == "106 frames"


@pytest.mark.parametrize("name", STAGE_2)
def test_stage_2_counts_windows_and_steps_and_never_back(name):
    windows, steps, ranks = STAGE_2[name]
    text = read_log(name)
    found = follow(generate_reader(text, ranks), lines(text))
    assert phases(found) == ["loading models", "reading inputs", "generating", "saving"]
    assert_goes_forward(found)
    generating = [step for step in found if step.phase == "generating"]
    assert generating[-1] == Progress(
        "generating", 1.0, f"window {windows} of {windows}, step {steps} of {steps}"
    )
    told = [step.detail.split(", ")[0] for step in generating]
    assert list(dict.fromkeys(told)) == [f"window {n} of {windows}" for n in range(1, windows + 1)]


def test_loading_names_the_file():
    text = read_log("generate_animate")
    found = follow(generate_reader(text), lines(text))
    assert "Wan2.1_VAE.pth" in [step.detail for step in found]


@pytest.mark.parametrize("stream", ["stdout", "stderr"])
def test_one_stream_alone_is_no_error(stream):
    """Which stream comes first is not to be relied on."""
    for name, reader in (
        ("preprocess_animate_retarget", PreprocessReader(replace=False)),
        ("generate_animate", GenerateReader(frame_num=77, refert_num=1, ranks=1)),
    ):
        text = (LOGS / f"{name}.{stream}").read_bytes().decode("utf-8", "replace")
        assert all(0.0 <= (step.fraction or 0.0) <= 1.0 for step in follow(reader, lines(text)))


def bar(done: int, total: int = 20) -> str:
    return f"{done / total:4.0%}|██   | {done}/{total} [00:01<00:02,  9.00it/s]"


def window_lines(target: int = 153) -> list[str]:
    return [f"[2026-01-01 00:00:00,000] INFO: real frames: 106 target frames: {target}"]


def test_fast_steps_of_several_ranks_do_not_freeze_the_line():
    """Bars are drawn once a second at most, so a step can be far beyond the last one that was seen."""
    reader = GenerateReader(frame_num=77, refert_num=1, ranks=2)
    text = [*window_lines(), bar(0), bar(0), bar(9), bar(9), bar(18), bar(20), bar(20)]
    assert follow(reader, text)[-1].detail == "window 1 of 2, step 20 of 20"


def test_a_slow_rank_does_not_throw_the_next_window_forward():
    reader = GenerateReader(frame_num=77, refert_num=1, ranks=2)
    text = [*window_lines(), bar(0), bar(0), bar(20), bar(0), bar(19), bar(20), bar(0), bar(1)]
    found = follow(reader, text)
    assert found[-1].detail == "window 2 of 2, step 1 of 20"
    assert_goes_forward(found)


@pytest.mark.parametrize("ranks", [2, 4, 8])
def test_any_number_of_ranks_draws_each_bar(ranks):
    reader = GenerateReader(frame_num=77, refert_num=1, ranks=ranks)
    steps = [bar(step) for _ in range(3) for step in range(21) for _ in range(ranks)]
    found = follow(reader, [*window_lines(229), *steps])
    assert_goes_forward(found)
    assert found[-1].detail == "window 3 of 3, step 20 of 20"


def test_two_ranks_bars_in_one_line_are_both_seen():
    reader = GenerateReader(frame_num=77, refert_num=1, ranks=2)
    found = follow(reader, [*window_lines(), bar(0) + bar(0), bar(3) + bar(4)])
    assert found[-1].detail == "window 1 of 2, step 4 of 20"


@pytest.mark.parametrize(
    ("target", "frame_num", "overlap", "windows"),
    [(153, 77, 1, 2), (149, 77, 5, 2), (229, 77, 1, 3), (5, 5, 1, 1)],
)
def test_windows_are_counted_as_upstream_counts_them(target, frame_num, overlap, windows):
    reader = GenerateReader(frame_num=frame_num, refert_num=overlap, ranks=1)
    assert follow(reader, window_lines(target))[-1].detail == f"window 1 of {windows}"


def test_windows_agree_with_the_golden_arithmetic():
    import json

    cases = json.loads((DATA / "golden" / "segments.json").read_text())["cases"]
    good = [case for case in cases if "error" not in case]
    assert len(good) > 40
    for case in good:
        reader = GenerateReader(frame_num=case["clip_len"], refert_num=case["refert"], ranks=1)
        (found,) = follow(reader, window_lines(case["target_len"]))
        assert found.detail == f"window 1 of {case['segments']}", case


fragments = st.sampled_from(
    [
        *(
            "100%|",
            "|",
            " 5/20 [",
            "0/0 [",
            "\x1b[31m",
            "target_num: ",
            "real frames: ",
            " target frames: ",
            "[/x]",
        ),
        *(
            "Moviepy - Writing video ",
            "INFO: loading ",
            "{'ckpt_path'",
            "propagate in video: ",
            "9" * 5000,
            "t:",
        ),
    ]
)


@given(text=st.lists(st.one_of(st.text(max_size=30), fragments), max_size=8).map("".join))
def test_any_line_can_come(text):
    for reader in (
        PreprocessReader(replace=True),
        GenerateReader(frame_num=77, refert_num=1, ranks=1),
        GenerateReader(frame_num=77, refert_num=5, ranks=4),
    ):
        for line in ("target_num: 30", *window_lines(), text, text):
            found = reader.read(line)
            assert found is None or 0.0 <= (found.fraction or 0.0) <= 1.0
    assert diagnose(text) is None or diagnose(text)


def test_a_bar_of_absurd_numbers_is_no_error():
    digits = "9" * 5000
    for reader in (PreprocessReader(replace=True), GenerateReader(frame_num=77, refert_num=1, ranks=1)):
        follow(reader, [*window_lines(), f"target_num: {digits}", f"100%|x| {digits}/{digits} [00:00<00:00]"])
        follow(reader, ["INFO: real frames: 1 target frames: " + digits])


def test_upstreams_default_window_is_what_the_logs_say():
    assert f"frame_num={windows.UPSTREAM_FRAME_NUM}" in read_log("generate_animate")


# ----------------------------------------------------------------------------------------------- diagnosis


def test_the_golden_log_of_a_swallowed_error_is_understood():
    explained = diagnose(read_log("generate_save_failed"))
    assert explained and "could not write its video" in explained.text


def test_a_good_log_has_no_diagnosis():
    assert diagnose(read_log("generate_animate")) is None
