"""The clean copy: what a player shows, at a constant rate, upright, in square pixels and 8 bits."""

from __future__ import annotations

import tracemalloc
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from av.video.reformatter import Colorspace

import preprocess
from media.dynamic_range import to_standard
from media.errors import MediaError
from media.normalise import normalised_frame_count, normalised_rate, normalised_size, write_normalised
from media.probe import VideoInfo, probe_video, timeline
from media.traits import misread
from tests.flash_and_beep import flash_numbers, flash_times, varying_times, write_flash_and_beep
from tests.media import hide_frames, variable_times, write_clip
from tests.test_traits import KEY_FRAMES, MISREAD

RATES = [16, 24, Fraction(24000, 1001), 25, Fraction(30000, 1001), 30, 50, 60]
SOURCE = preprocess.SOURCE_FPS


def silent(phase: str, done: int, total: int) -> None:
    """Nobody listens."""


def copy_of(
    clip: Path, fps: int = SOURCE, frame_limit: int | None = None
) -> tuple[VideoInfo, list[preprocess.Image]]:
    """Write the copy beside the clip; what it holds."""
    target = clip.with_name("copy.mp4")
    rate = normalised_rate(probe_video(clip), fps)
    write_normalised(clip, target, rate=rate, frame_limit=frame_limit, report=silent)
    count = normalised_frame_count(clip, rate, frame_limit)
    info = preprocess.check_video(target, frame_count=count, size=normalised_size(probe_video(clip)))
    assert info.rate == rate
    return info, list(preprocess.read_frames(target))


def numbers(frames: list[preprocess.Image]) -> list[int]:
    """Which frames of ``numbered_frame`` these are, by their grey."""
    return [round((float(frame[60:, 60:].mean()) - 20) / 5) for frame in frames]


@pytest.mark.parametrize("case", MISREAD)
@pytest.mark.parametrize("fps", [SOURCE, 30])
def test_the_copy_is_one_that_upstream_reads_right(tmp_path, case, fps):
    info, _ = copy_of(MISREAD[case][1](tmp_path), fps)
    assert misread(info) == ()
    assert (info.codec, info.pixel_format) == ("h264", "yuv420p")


@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.ts"])
def test_an_even_clip_keeps_every_frame_once(tmp_path, rate, name):
    clip = write_clip(tmp_path / name, rate=rate, frame_count=35)
    _, frames = copy_of(clip)
    assert numbers(frames) == list(range(35))


def test_a_frame_is_what_a_player_shows_then(tmp_path):
    times = variable_times((6, 24), (5, 8), (8, 50))
    _, frames = copy_of(write_clip(tmp_path / "a.mp4", times=times), 30)
    for place, number in enumerate(numbers(frames)):
        ends = times[number + 1] if number + 1 < len(times) else times[-1] + 1
        assert times[number] - Fraction(1, 60) <= Fraction(place, 30) <= ends


@pytest.mark.parametrize("fps", [SOURCE, 24, 30])
def test_flashes_of_a_variable_rate_stay_within_one_frame(tmp_path, fps):
    times = varying_times(8)
    clip = tmp_path / "a.mp4"
    write_flash_and_beep(clip, times)
    info, _ = copy_of(clip, fps)
    found = flash_times(tmp_path / "copy.mp4")
    expected = [float(times[number]) for number in flash_numbers(times, 1.0)]
    assert len(found) == len(expected) >= 6
    assert np.abs(np.subtract(found, expected)).max() <= float(1 / info.rate)
    line = timeline(clip)
    assert info.duration == pytest.approx(
        float((line.end - line.times[0]) * line.tick), abs=float(1 / info.rate)
    )


def test_what_an_edit_list_hides_is_not_in_the_copy(tmp_path):
    clip = hide_frames(
        write_clip(tmp_path / "a.mp4", frame_count=34, options=KEY_FRAMES), before=15, after=30
    )
    _, frames = copy_of(clip)
    assert numbers(frames) == list(range(15, 30))


@pytest.mark.parametrize(
    ("rotation", "mirrored", "corner"),
    [(0, True, "top right"), (90, True, "bottom right"), (180, True, "bottom left"), (270, True, "top left"),
     (90, False, "bottom left"), (180, False, "bottom right"), (270, False, "top right")],
)  # fmt: skip
def test_the_copy_stands_upright(tmp_path, rotation, mirrored, corner):
    _, frames = copy_of(write_clip(tmp_path / "a.mp4", rotation=rotation, mirrored=mirrored))
    assert frames[0].shape[:2] == ((160, 96) if rotation % 180 else (96, 160))
    rows = {"top": slice(0, 12), "bottom": slice(-12, None)}
    columns = {"left": slice(0, 12), "right": slice(-12, None)}
    red = {
        f"{high} {wide}": float(frames[0][rows[high], columns[wide], 0].mean())
        for high in rows
        for wide in columns
    }
    assert max(red, key=lambda place: red[place]) == corner


@pytest.mark.parametrize(
    ("aspect", "rotation", "size"),
    [(Fraction(4, 3), 0, (212, 96)), (Fraction(1, 2), 0, (160, 192)), (Fraction(4, 3), 90, (96, 212))],
)
def test_pixels_become_square_and_nothing_gets_smaller(tmp_path, aspect, rotation, size):
    clip = write_clip(tmp_path / "a.mp4", sample_aspect=aspect, rotation=rotation)
    _, frames = copy_of(clip)
    assert frames[0].shape[1::-1] == normalised_size(probe_video(clip)) == size


def test_an_odd_size_loses_a_row_and_a_column(tmp_path):
    clip = write_clip(tmp_path / "a.mp4", size=(161, 97), pixel_format="yuv444p")
    _, frames = copy_of(clip)
    assert frames[0].shape[:2] == (96, 160)


def test_transparent_parts_are_black(tmp_path):
    def half(number: int, width: int, height: int) -> preprocess.Image:
        frame = np.full((height, width, 4), 200, np.uint8)
        frame[:, :, 3] = 255
        frame[:, : width // 2, 3] = 0
        return frame

    clip = write_clip(tmp_path / "a.mov", codec="qtrle", pixel_format="argb", frame=half, frame_count=3)
    _, frames = copy_of(clip)
    assert frames[0][:, :70].mean() < 8 and abs(frames[0][:, 90:].mean() - 200) < 4


def combed(number: int, width: int, height: int) -> preprocess.Image:
    """A bar that has moved on between the two fields."""
    frame = np.full((height, width, 3), 30, np.uint8)
    for field in (0, 1):
        start = 20 + 8 * (2 * number + field) % 100
        frame[field::2, start : start + 24] = 220
    return frame


def test_interlaced_pictures_lose_their_combs(tmp_path):
    def combs(frame: preprocess.Image) -> float:
        rows = frame[:, :, 1].astype(np.int16)
        return float(np.abs(rows[1:-1] * 2 - rows[:-2] - rows[2:]).mean())

    options = {"preset": "veryfast", "crf": "5", "x264-params": "tff=1"}
    clip = write_clip(tmp_path / "a.mp4", frame=combed, options=options)
    _, frames = copy_of(clip)
    before = max(combs(frame) for frame in preprocess.read_frames(clip))
    assert max(combs(frame) for frame in frames) < before / 4


@pytest.mark.parametrize(("transfer", "white", "black"), [("pq", 0.5807, 0.0), ("hlg", 0.75, 0.0)])
def test_hdr_becomes_what_a_screen_shows(transfer, white, black):
    """Reference white (203 nits by PQ, 75 % by HLG) lands at three quarters of the scale."""
    codes = np.array([[black, white / 2, white, 1.0]]) * 65535
    grey = np.repeat(codes[:, :, None], 3, axis=2).astype(np.uint16)
    shown = to_standard(grey, transfer)[0]
    assert np.ptp(shown, axis=1).max() < 0.004, "grey stays grey"
    levels = shown[:, 0]
    assert levels[0] == 0 and levels[3] == 1
    assert abs(levels[2] - 0.76) < 0.01
    assert 0 < levels[1] < levels[2]


@pytest.mark.parametrize("case", ["PQ", "HLG"])
def test_the_table_for_hdr_does_what_the_formula_says(tmp_path, case):
    clip = MISREAD[case][1](tmp_path)
    _, frames = copy_of(clip)
    with av.open(str(clip)) as container:
        for frame, shown in zip(container.decode(video=0), frames, strict=True):
            deep = frame.reformat(format="rgb48le", src_colorspace=Colorspace.BT2020).to_ndarray()
            expected = to_standard(np.asarray(deep, np.uint16), "pq" if case == "PQ" else "hlg") * 255
            assert np.abs(shown - expected)[40:, 60:].mean() < 2.5
            assert np.abs(shown - expected)[4:20, 4:36].mean() < 6


def test_hdr_keeps_its_hues():
    red, green = (
        np.array([[[40000, 20000, 20000]]], np.uint16),
        np.array([[[20000, 40000, 20000]]], np.uint16),
    )
    assert to_standard(red, "pq")[0, 0].argmax() == 0
    assert to_standard(green, "hlg")[0, 0].argmax() == 1


@pytest.mark.parametrize(
    ("times", "rate"),
    [
        (variable_times((24, 24), (8, 8)), Fraction(24)),
        (variable_times((20, 30), (1, 2), (20, 30)), Fraction(30)),
        (variable_times((30, 120), (2, 4)), Fraction(60)),
        (variable_times((40, 25), (1, 1), (20, 25)), Fraction(25)),
    ],
)
def test_a_variable_rate_becomes_the_standard_rate_nearest_to_its_usual_one(tmp_path, times, rate):
    info = probe_video(write_clip(tmp_path / "a.mp4", times=times))
    assert normalised_rate(info, SOURCE) == rate
    assert normalised_rate(info, 16) == 16


@pytest.mark.parametrize("rate", [*RATES, 120])
def test_an_even_rate_is_kept(tmp_path, rate):
    assert normalised_rate(probe_video(write_clip(tmp_path / "a.mp4", rate=rate)), SOURCE) == rate


@pytest.mark.parametrize("rate", RATES)
def test_a_limit_leaves_as_many_frames_when_upstream_samples_the_copy_again(tmp_path, rate):
    clip = write_clip(tmp_path / "a.mp4", rate=rate, frame_count=220, size=(32, 32))
    for limit in range(1, 201):
        count = normalised_frame_count(clip, Fraction(rate), limit)
        assert limit <= count <= limit + 1
        for fps in {SOURCE, int(rate) if Fraction(rate).denominator == 1 else SOURCE}:
            assert len(preprocess.sample_indices(count, float(rate), fps)) >= limit


def test_a_limited_copy_has_the_first_frames_and_reads_no_further(tmp_path):
    clip = write_clip(tmp_path / "a.mp4", frame_count=36, rate=30)
    _, frames = copy_of(clip, 30, frame_limit=7)
    assert numbers(frames) == list(range(7))


def test_a_limit_beyond_the_end_changes_nothing(tmp_path):
    clip = write_clip(tmp_path / "a.mp4", frame_count=9)
    _, frames = copy_of(clip, 30, frame_limit=77)
    assert len(frames) == 9


def test_progress_is_reported_frame_by_frame(tmp_path):
    seen: list[tuple[int, int]] = []
    write_normalised(
        write_clip(tmp_path / "a.mp4"),
        tmp_path / "copy.mp4",
        rate=Fraction(30),
        frame_limit=None,
        report=lambda phase, done, total: seen.append((done, total)),
    )
    assert seen == [(number, 12) for number in range(1, 13)]


def test_a_clip_that_does_not_decode_is_an_error(tmp_path):
    clip = write_clip(tmp_path / "a.mp4")
    data = bytearray(clip.read_bytes())
    place = data.index(b"mdat")
    data[place + 4 : place + 2000] = bytes(len(data[place + 4 : place + 2000]))
    clip.write_bytes(bytes(data))
    with pytest.raises(MediaError):
        copy_of(clip)


def test_memory_does_not_grow_with_the_clip(tmp_path):
    def peak(frame_count: int) -> int:
        clip = write_clip(tmp_path / f"{frame_count}.mp4", frame_count=frame_count, size=(320, 192))
        tracemalloc.start()
        write_normalised(clip, tmp_path / "copy.mp4", rate=Fraction(30), frame_limit=None, report=silent)
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return most

    peak(2)
    assert peak(150) < peak(30) + 3 * 320 * 192 * 3
