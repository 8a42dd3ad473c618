"""The frames that are masked are those of stage 1's other files: upstream's sampling, reader and resize.

Upstream reads with decord, we with PyAV. Where decord is installed the two are compared bit for bit.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import preprocess
from masks.clip import Clip, frame_numbers
from media.normalise import normalised_rate, write_normalised
from tests.media import write_clip
from tests.test_traits import MISREAD, OPEN_GROUPS

TESTS = Path(__file__).parents[1]
SHARED_CLIPS = TESTS.parents[1] / "shared" / "data" / "wan_animate"
SOURCE = preprocess.SOURCE_FPS
RUNS = json.loads((TESTS / "data" / "upstream_runs.json").read_text(encoding="utf-8"))["written"]
GOLDEN = json.loads((TESTS / "data" / "golden" / "frame_indices.json").read_text(encoding="utf-8"))["cases"]
WRITTEN = [
    (case, more)
    for case in GOLDEN
    for more in (-1, 0, 1)
    if min(case["target_num"], case["target_num"] + more) > 0
]
"""Cases in which upstream goes on, and by how much its writer's count differs from the sampled one."""


def textured(number: int, width: int, height: int) -> preprocess.Image:
    """A picture with colour and detail everywhere, and a red block that wanders."""
    y, x = np.mgrid[:height, :width]
    channels = (2 * x + 3 * number, 3 * y + 5 * number, x + y + 7 * number)
    picture = (np.stack(channels, axis=2) % 256).astype(np.uint8)
    picture[height // 4 : height // 2, 10 + 3 * number : 40 + 3 * number] = (250, 20, 30)
    return picture


# --------------------------------------------------------------------------------------- frame numbers


@pytest.mark.parametrize(
    ("case", "more"), WRITTEN, ids=lambda value: value if isinstance(value, int) else value["frame_num"]
)
def test_the_numbers_are_upstreams_and_its_writer_may_lose_or_repeat_the_last_one(case, more):
    count, written = case["target_num"], case["target_num"] + more
    numbers = frame_numbers(case["frame_num"], case["video_fps"], case["fps"], written)
    assert len(numbers) == written
    upstreams = list(numbers[:count])
    if more == 1:
        assert numbers[-1] == numbers[-2] == case["last"]
    if more == -1:
        upstreams.append(case["last"])
    assert sum((place + 1) * number for place, number in enumerate(upstreams)) == case["checksum"]
    assert upstreams[0] == case["first"]


@pytest.mark.parametrize("case", RUNS, ids=lambda case: case["name"])
def test_the_counts_that_the_real_upstream_wrote_are_accepted(case):
    source, options = case["driving_video"], case["options"]
    fps = int(options[options.index("--fps") + 1]) if "--fps" in options else 30
    written = case["files"]["src_pose.mp4"]["frames"]
    numbers = frame_numbers(source["frames"], source["rate"], fps, written)
    assert len(numbers) == written and numbers[-1] < source["frames"]


@pytest.mark.parametrize("written", [8, 12, 0])
def test_other_counts_belong_to_another_video(written):
    with pytest.raises(ValueError, match=f"{written} frames were written and 10 are sampled"):
        frame_numbers(10, 30.0, 30, written)


def test_a_video_of_which_no_frame_is_sampled_has_no_numbers():
    with pytest.raises(ValueError, match="0 are sampled"):
        frame_numbers(1, 60.0, 30, 0)


# --------------------------------------------------------------------------------------------- the clip


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Clip:
    """24 a second sampled at 30, so that frames repeat; the last one once more; letterboxed by its canvas."""
    options = {"preset": "veryfast", "x264-params": "keyint=9:bframes=3:b-adapt=0"}
    path = tmp_path_factory.mktemp("film") / "film.mp4"
    write_clip(path, frame_count=24, rate=24, options=options, frame=textured)
    return Clip(path, frame_numbers(24, 24.0, 30, 31), 128, 96)


def same(one: Iterator[preprocess.Image], other: Iterator[preprocess.Image]) -> bool:
    return all(np.array_equal(*pair) for pair in zip(one, other, strict=True))


def test_frames_are_sampled_and_fitted_to_the_canvas(film):
    every = list(preprocess.read_frames(film.video))
    expected = (preprocess.fit_to_canvas(every[number], 128, 96) for number in film.numbers)
    assert same(film.frames(), expected)
    first = next(film.frames())
    assert film.frame_count == 31 and first.shape == (96, 128, 3) and first.dtype == np.uint8
    assert not first[:9].any() and first[10:80].any(), "the picture lies between black bars"


@pytest.mark.parametrize(("first", "end"), [(0, None), (0, 31), (5, 20), (29, 31), (30, None), (7, 7)])
def test_backwards_is_forwards_reversed_in_every_piece(film, first, end):
    forwards = list(film.frames(first, end))
    assert len(forwards) == len(film.numbers[first:end])
    assert same(film.frames_backwards(first, end), iter(forwards[::-1]))
    whole = list(film.frames())
    assert same(iter(forwards), iter(whole[first:end]))


@pytest.mark.parametrize("read", [Clip.frames, Clip.frames_backwards])
def test_a_repeated_frame_is_the_same_array(film, read):
    frames = list(read(film))
    numbers = film.numbers if read is Clip.frames else film.numbers[::-1]
    repeats = [place for place in range(1, 31) if numbers[place] == numbers[place - 1]]
    assert len(repeats) == 7
    for place in range(1, 31):
        assert (frames[place] is frames[place - 1]) == (place in repeats)


@pytest.mark.parametrize("read", [Clip.frames, Clip.frames_backwards])
def test_a_video_that_is_shorter_than_it_was_is_an_error(film, read):
    longer = Clip(film.video, (*film.numbers, 24), 128, 96)
    with pytest.raises(preprocess.MediaError, match="frame 24"):
        list(read(longer))


# -------------------------------------------------------------------------------------- against decord

UPSTREAM = """
import json, sys
import decord, numpy as np
clip, fps, kept = sys.argv[1], int(sys.argv[2]), sys.argv[3]
video = decord.VideoReader(clip)
count, rate = len(video), video.get_avg_fps()
expected = int(video.get_frame_timestamp(-1)[-1] * rate + 0.5)
if abs((count - expected) / count) > 0.1:
    count = expected
fps = rate if fps == -1 else fps
times = np.arange(0, int(count / rate * fps)) / fps
numbers = np.clip(np.round(times * rate).astype(int), 0, count - 1)
np.save(kept, video.get_batch(numbers).asnumpy())
"""
"""What upstream's stage 1 does to read its frames, with decord's own count and rate."""


def by_decord(clip: Path, fps: int) -> preprocess.Image | None:
    """The frames that upstream reads, [count, height, width, 3]; None where it ends with an error.

    In a process of its own: decord brings libraries with it that do not go well with OpenCV's and PyAV's.
    """
    kept = clip.with_suffix(".npy")
    run = subprocess.run(
        [sys.executable, "-c", UPSTREAM, str(clip), str(fps), str(kept)], capture_output=True, check=False
    )
    if run.returncode == 0:
        frames: preprocess.Image = np.load(kept)
        kept.unlink()
        return frames
    assert b"ModuleNotFoundError" not in run.stderr, run.stderr.decode()
    return None


def by_us(video: Path, fps: int, area: int) -> Clip:
    """The clip, as if stage 1 had written as many frames as it samples."""
    info = preprocess.probe_video(video)
    sampled = preprocess.sample_indices(info.frame_count, float(info.rate), fps)
    numbers = frame_numbers(info.frame_count, float(info.rate), fps, len(sampled))
    return Clip(video, numbers, *preprocess.canvas_size(info.width, info.height, area))


def agree(video: Path, fps: int, area: int = 128 * 72) -> bool:
    """Whether both readers give the same frames, in every bit, on the canvas and backwards too."""
    theirs, ours = by_decord(video, fps), by_us(video, fps, area)
    assert theirs is not None
    if len(theirs) != ours.frame_count:
        return False
    fitted = [preprocess.fit_to_canvas(frame, ours.width, ours.height) for frame in theirs]
    return same(ours.frames(), iter(fitted)) and same(ours.frames_backwards(), iter(fitted[::-1]))


def _film(name: str, **made: Any) -> Callable[[Path], Path]:
    made = {"frame": textured, "frame_count": 24, **made}
    return lambda folder: write_clip(folder / name, **made)


LONG_GROUPS = {"preset": "veryfast", "x264-params": "keyint=250:bframes=3:b-pyramid=normal"}
ORDINARY = {
    "H.264": _film("a.mp4"),
    "H.264 with B-frames in one long group": _film("a.mp4", options=LONG_GROUPS, frame_count=40),
    "H.264 in open groups": _film("a.mp4", options=OPEN_GROUPS, frame_count=60),
    "Matroska": _film("a.mkv", options=LONG_GROUPS),
    "QuickTime with sound": _film("a.mov", options=LONG_GROUPS, sound=True),
    "MPEG-4 in AVI": _film("a.avi", codec="mpeg4"),
    "begins late": _film("a.mp4", times=[10 + Fraction(number, 30) for number in range(24)]),
    "fragmented": _film("a.mp4", container_options={"movflags": "frag_keyframe+empty_moov"}),
    "odd sides, full colour": _film("a.mp4", size=(161, 97), pixel_format="yuv444p"),
    "odd width": _film("a.webm", size=(161, 96), codec="libvpx-vp9"),
    "4:2:2": _film("a.mp4", pixel_format="yuv422p"),
    "full range": _film("a.mp4", pixel_format="yuvj420p"),
    "grey": _film("a.mp4", pixel_format="gray"),
    "HEVC, 8 bits": _film("a.mp4", codec="libx265"),
    "VP9": _film("a.webm", codec="libvpx-vp9"),
    "MJPEG": _film("a.avi", codec="mjpeg", pixel_format="yuvj422p"),
    "FFV1": _film("a.mkv", codec="ffv1"),
    "23.976 a second": _film("a.mp4", rate=Fraction(24000, 1001)),
    "29.97 a second, of which floats lose one": _film("a.mp4", rate=Fraction(30000, 1001), frame_count=61),
    "60 a second": _film("a.mp4", rate=60, frame_count=30),
    "one frame": _film("a.mp4", frame_count=1),
    "turned by 90": _film("a.mp4", rotation=90),
    "turned by 180": _film("a.mp4", rotation=180),
    "turned by 270": _film("a.mp4", rotation=270),
}


@pytest.mark.needs("decord")
@pytest.mark.parametrize("fps", [SOURCE, 30])
@pytest.mark.parametrize("kind", ORDINARY)
def test_ordinary_clips_are_read_as_upstream_reads_them(tmp_path, kind, fps):
    assert agree(ORDINARY[kind](tmp_path), fps)


@pytest.mark.needs("decord")
@pytest.mark.parametrize("mode", ["animate", "replace"])
def test_the_real_clips_are_read_as_upstream_reads_them(tmp_path, mode):
    source = SHARED_CLIPS / mode / "video.mp4"
    if not source.is_file():
        pytest.skip("the example clips are not beside this checkout")
    clip = tmp_path / "video.mp4"
    clip.write_bytes(source.read_bytes())
    assert agree(clip, 30, area=640 * 360)


READ_BY_DECORD = {
    "variable rate": "as by us",  # but at an even pace, which is wrong
    "a pause": "not",
    "edit list": "otherwise",
    "cut in an open group": "otherwise",
    "bare stream": "not",
    "transport stream": "otherwise",
    "H.264 in AVI": "not",
    "odd number of rows": "otherwise",
    "AV1": "not",
    "GIF": "not",
    "transparent": "as by us",  # what is hidden shows
    "10-bit H.264": "otherwise",
    "10-bit HEVC": "otherwise",
    "PQ": "otherwise",
    "HLG": "otherwise",
    "interlaced": "otherwise",
    "mirrored": "otherwise",
    "mirrored and turned": "otherwise",
    "tilted": "as by us",  # lying askew
    "wide pixels": "as by us",  # stretched
}
"""How decord reads a clip of each kind that is not ordinary."""


@pytest.mark.needs("decord")
@pytest.mark.parametrize("kind", MISREAD)
def test_how_decord_reads_what_is_not_ordinary(tmp_path, kind):
    """None of these gets to it: each has a finding, and a copy or a refusal (``test_media_checks.py``)."""
    made = MISREAD[kind][1](tmp_path)
    if kind == "transport stream":  # it goes wrong where frames are coded in another order
        made = write_clip(tmp_path / "b.ts", frame_count=90, options=LONG_GROUPS)
    if by_decord(made, 30) is None:
        assert READ_BY_DECORD[kind] == "not"
    else:
        assert READ_BY_DECORD[kind] == ("as by us" if agree(made, 30) else "otherwise")


@pytest.mark.needs("decord")
@pytest.mark.parametrize("kind", MISREAD)
def test_the_clean_copy_of_what_is_not_ordinary_is_read_as_upstream_reads_it(tmp_path, kind):
    source, copy = MISREAD[kind][1](tmp_path), tmp_path / "copy.mp4"
    rate = normalised_rate(preprocess.probe_video(source), 30)
    write_normalised(source, copy, rate=rate, frame_limit=None, report=lambda *_: None)
    assert agree(copy, 30)


@pytest.mark.needs("decord")
def test_of_an_odd_number_of_rows_the_colours_alone_differ(tmp_path):
    """The two libraries stretch half the rows of colour, and a half more, over the picture in other ways."""
    clip = _film("a.webm", size=(160, 97), codec="libvpx-vp9")(tmp_path)
    theirs, ours = by_decord(clip, SOURCE), np.stack(list(preprocess.read_frames(clip)))
    assert theirs is not None and theirs.shape == ours.shape
    assert not np.array_equal(theirs, ours)
    brightness = np.array([0.299, 0.587, 0.114])
    assert np.abs(theirs @ brightness - ours @ brightness).mean() < 1
