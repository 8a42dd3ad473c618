"""What upstream would misread in a driving video, on a small real clip of each kind."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import pytest

from media.probe import probe_video
from media.traits import misread
from tests.media import cut_at_key_frame, hide_frames, variable_times, write_clip

SHARED_CLIPS = Path(__file__).parents[2] / "shared" / "data" / "wan_animate"
TEN_BIT = "yuv420p10le"
KEY_FRAMES = {"preset": "veryfast", "x264-params": "keyint=12:min-keyint=12:scenecut=0:bframes=2"}
OPEN_GROUPS = {
    "preset": "veryfast",
    "x264-params": "open-gop=1:keyint=12:min-keyint=12:bframes=3:b-adapt=0:scenecut=0",
}


def _edited(folder: Path) -> Path:
    clip = write_clip(folder / "edited.mp4", frame_count=60, options=KEY_FRAMES)
    return hide_frames(clip, before=18, after=50)


def _cut_in_a_group(folder: Path) -> Path:
    whole = write_clip(folder / "whole.mp4", frame_count=60, options=OPEN_GROUPS)
    return cut_at_key_frame(whole, folder / "cut.mp4", 2)


Maker = Callable[[Path], Path]

MISREAD: dict[str, tuple[str, Maker]] = {
    "variable rate": (
        "media.variable-rate",
        lambda folder: write_clip(folder / "vfr.mp4", times=variable_times((24, 24), (8, 8))),
    ),
    "a pause": (
        "media.variable-rate",
        lambda folder: write_clip(folder / "vfr.mkv", times=variable_times((20, 30), (1, 2), (20, 30))),
    ),
    "edit list": ("media.edit-list", _edited),
    "cut in an open group": ("media.edit-list", _cut_in_a_group),
    "bare stream": ("media.no-times", lambda folder: write_clip(folder / "bare.h264")),
    "transport stream": ("media.no-index", lambda folder: write_clip(folder / "stream.ts")),
    "H.264 in AVI": ("media.avi-times", lambda folder: write_clip(folder / "a.avi")),
    "odd number of rows": (
        "media.colour-rows",
        lambda folder: write_clip(folder / "a.webm", size=(160, 97), codec="libvpx-vp9"),
    ),
    "AV1": ("media.av1", lambda folder: write_clip(folder / "av1.mp4", codec="libsvtav1")),
    "GIF": ("media.gif", lambda folder: write_clip(folder / "moving.gif", codec="gif", rate=25)),
    "transparent": (
        "media.transparent",
        lambda folder: write_clip(folder / "a.mov", codec="qtrle", pixel_format="argb"),
    ),
    "10-bit H.264": ("media.10-bit", lambda folder: write_clip(folder / "a.mp4", pixel_format=TEN_BIT)),
    "10-bit HEVC": (
        "media.10-bit",
        lambda folder: write_clip(folder / "a.mp4", codec="libx265", pixel_format=TEN_BIT),
    ),
    "PQ": (
        "media.hdr",
        lambda folder: write_clip(folder / "pq.mp4", codec="libx265", pixel_format=TEN_BIT, hdr="pq"),
    ),
    "HLG": (
        "media.hdr",
        lambda folder: write_clip(folder / "hlg.mp4", codec="libx265", pixel_format=TEN_BIT, hdr="hlg"),
    ),
    "interlaced": (
        "media.interlaced",
        lambda folder: write_clip(folder / "a.mp4", options={"x264-params": "tff=1"}),
    ),
    "mirrored": ("media.mirrored", lambda folder: write_clip(folder / "a.mp4", mirrored=True)),
    "mirrored and turned": (
        "media.mirrored",
        lambda folder: write_clip(folder / "a.mp4", mirrored=True, rotation=90),
    ),
    "tilted": ("media.tilted", lambda folder: write_clip(folder / "a.mp4", rotation=45)),
    "wide pixels": (
        "media.non-square-pixels",
        lambda folder: write_clip(folder / "a.mp4", sample_aspect=Fraction(4, 3)),
    ),
}


@pytest.mark.parametrize("case", MISREAD)
def test_what_upstream_would_misread_is_found_and_nothing_else(tmp_path, case):
    code, make = MISREAD[case]
    assert [trait.code for trait in misread(probe_video(make(tmp_path)))] == [code]


def test_several_traits_are_all_named(tmp_path):
    clip = write_clip(
        tmp_path / "a.mp4", times=variable_times((12, 24), (6, 8)), mirrored=True, sample_aspect=Fraction(2)
    )
    codes = {trait.code for trait in misread(probe_video(clip))}
    assert codes == {"media.variable-rate", "media.mirrored", "media.non-square-pixels"}


def test_words_follow_the_name_of_the_clip(tmp_path):
    (trait,) = misread(probe_video(write_clip(tmp_path / "a.mp4", codec="libsvtav1")))
    assert trait.words.startswith("is coded as AV1") and not trait.words.endswith(".")


@pytest.mark.parametrize("rate", [16, 24, Fraction(24000, 1001), 25, Fraction(30000, 1001), 30, 50, 60])
@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.mov"])
def test_an_ordinary_clip_needs_nothing(tmp_path, rate, name):
    clip = write_clip(tmp_path / name, rate=rate, frame_count=90, size=(96, 96), options=KEY_FRAMES)
    assert misread(probe_video(clip)) == ()


@pytest.mark.parametrize("rotation", [90, 180, 270])
def test_a_plain_turn_needs_nothing(tmp_path, rotation):
    assert misread(probe_video(write_clip(tmp_path / "a.mp4", rotation=rotation))) == ()


def test_pixels_that_are_square_but_for_rounding_need_nothing(tmp_path):
    clip = write_clip(tmp_path / "a.mp4", sample_aspect=Fraction(400, 401))
    assert probe_video(clip).sample_aspect == Fraction(400, 401)
    assert misread(probe_video(clip)) == ()


def test_a_clip_that_begins_late_needs_nothing(tmp_path):
    late = [10 + Fraction(number, 30) for number in range(30)]
    assert misread(probe_video(write_clip(tmp_path / "late.mp4", times=late))) == ()


@pytest.mark.parametrize("mode", ["animate", "replace"])
def test_the_real_clips_need_nothing(mode):
    clip = SHARED_CLIPS / mode / "video.mp4"
    if not clip.is_file():
        pytest.skip("the example clips are not beside this checkout")
    assert misread(probe_video(clip)) == ()
