"""What a clip holds is found without decoding it, and each thing that is wrong has its own code."""

from __future__ import annotations

import os
import time
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import preprocess
from media.probe import HLG, PQ, timeline
from preprocess import MediaError, probe_video
from tests.media import (
    cut_at_key_frame,
    hide_frames,
    numbered_frame,
    variable_times,
    write_clip,
    write_sound,
)

SHARED = Path(__file__).parents[1] / ".." / "shared" / "data" / "wan_animate"
EVERY_12TH = {
    "preset": "veryfast",
    "x264-params": "bframes=2:b-adapt=0:keyint=12:min-keyint=12:scenecut=0",
}
OPEN_GROUPS = {
    "preset": "veryfast",
    "x264-params": "open-gop=1:bframes=3:b-adapt=0:keyint=12:min-keyint=12:scenecut=0",
}


def grey(frame: preprocess.Image) -> int:
    """The number of a numbered frame (below 36)."""
    return round((float(frame[-20:, -20:].mean()) - 20) / 5)


def shown(path: Path) -> list[int]:
    return [grey(frame) for frame in preprocess.read_frames(path)]


# ------------------------------------------------------------------------------------------- codes of errors


def cut(path: Path, share: float) -> Path:
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    return path


def noise(number: int, width: int, height: int) -> preprocess.Image:
    return np.random.default_rng(number).integers(0, 255, (height, width, 3), np.uint8)


def music_with_cover(path: Path) -> Path:
    """Sound with a cover picture, as music shops sell it."""
    with av.open(str(path), "w", format="mp4") as container:
        sound = container.add_stream("aac", rate=48000, layout="mono")
        cover = container.add_stream("mjpeg", rate=1)
        assert isinstance(cover, av.VideoStream)
        cover.width, cover.height, cover.pix_fmt = 96, 96, "yuvj420p"
        cover.disposition = av.stream.Disposition.attached_pic
        picture = av.VideoFrame.from_ndarray(numbered_frame(1, 96, 96), format="rgb24")
        picture.pts = 0
        container.mux(cover.encode(picture))
        container.mux(cover.encode(None))
        for start in range(0, 24000, 1024):
            samples = av.AudioFrame.from_ndarray(
                np.zeros((1, 1024), np.float32), format="fltp", layout="mono"
            )
            samples.sample_rate, samples.pts = 48000, start
            container.mux(sound.encode(samples))
        container.mux(sound.encode(None))
    return path


def make_unusable(code: str, folder: Path) -> Path:
    path = folder / "clip.mp4"
    if code == "media.a-folder":
        path.mkdir()
    elif code == "media.not-a-file":
        os.mkfifo(path)
    elif code == "media.empty":
        path.touch()
    elif code == "media.not-a-video":
        path.write_text("not a video\n" * 100)
    elif code == "media.a-picture":
        preprocess.write_picture(folder / "picture.png", numbered_frame(0, 96, 96))
        return folder / "picture.png"
    elif code == "media.no-video-stream":
        return write_sound(path)
    elif code == "media.no-frames":
        path = folder / "clip.avi"
        with av.open(str(path), "w", format="avi") as container:
            stream = container.add_stream("libx264", rate=30)
            assert isinstance(stream, av.VideoStream)
            stream.width, stream.height, stream.pix_fmt = 160, 96, "yuv420p"
            container.start_encoding()
    elif code == "media.not-readable":
        return folder / ("x" * 300)  # longer than file systems take
    elif code == "media.cut-off":
        return cut(write_clip(path, frame=noise, container_options={"movflags": "+faststart"}), 0.7)
    elif code == "media.damaged":
        data = bytearray(write_clip(path, frame=noise).read_bytes())
        start = data.index(b"mdat") + 4
        data[start : start + 40000] = b"\xff" * 40000
        path.write_bytes(bytes(data))
    return path


CODES = (
    "media.missing",
    "media.a-folder",
    "media.not-a-file",
    "media.not-readable",
    "media.empty",
    "media.not-a-video",
    "media.a-picture",
    "media.no-video-stream",
    "media.no-frames",
    "media.cut-off",
    "media.damaged",
)


@pytest.mark.parametrize("code", CODES)
def test_each_cause_has_its_own_code_and_a_remedy(tmp_path, code):
    path = make_unusable(code, tmp_path)
    with pytest.raises(MediaError) as refused:
        probe_video(path)
    assert refused.value.code == code
    assert str(path) in refused.value.what
    assert refused.value.remedy.endswith(".")
    assert str(refused.value) == f"{refused.value.what} {refused.value.remedy}"


def test_music_with_a_cover_picture_is_no_video(tmp_path):
    with pytest.raises(MediaError) as refused:
        probe_video(music_with_cover(tmp_path / "song.mp4"))
    assert refused.value.code == "media.no-video-stream"


# -------------------------------------------------------------------------------------------- edit lists


@pytest.mark.parametrize(
    ("before", "after", "hidden"),
    [(18, 36, 22), (18, 60, 6), (0, 30, 30), (24, 60, 0)],
    ids=["both ends", "start", "end", "at a key frame"],
)
def test_a_clip_cut_without_encoding_is_not_taken_for_cut_off(tmp_path, before, after, hidden):
    clip = write_clip(tmp_path / "clip.mp4", frame_count=60, options=EVERY_12TH)
    hide_frames(clip, before=before, after=after)
    info = probe_video(clip)
    assert info.frame_count == after - before == len(shown(clip)) == len(timeline(clip).times)
    assert preprocess.check_video(clip).frame_count == after - before
    # What the reader must decode but nobody sees; what lies further away is not even read.
    assert (info.hidden_count > 0) == (hidden > 0)


def test_a_clip_cut_without_encoding_is_read_from_its_first_shown_frame_both_ways(tmp_path):
    clip = hide_frames(
        write_clip(tmp_path / "clip.mp4", frame_count=60, options=EVERY_12TH), before=18, after=34
    )
    assert shown(clip) == list(range(18, 34))
    backwards = [grey(frame) for frame in preprocess.read_frames_backwards(clip, range(15, -1, -1))]
    assert backwards == list(range(33, 17, -1))


def test_pictures_before_the_first_whole_one_do_not_count(tmp_path):
    """A copy from the middle of a clip: the first pictures refer to others that are no longer there."""
    source = write_clip(tmp_path / "source.mp4", frame_count=36, options=OPEN_GROUPS)
    clip = cut_at_key_frame(source, tmp_path / "copy.mp4", 1)
    info = probe_video(clip)
    assert info.hidden_count > 0
    assert info.frame_count == len(shown(clip)) == 24
    assert preprocess.check_video(clip).frame_count == 24


# ------------------------------------------------------------------------------------------ what is found


def test_an_ordinary_clip_is_even_upright_square_and_plain(tmp_path):
    info = probe_video(write_clip(tmp_path / "clip.mp4", options=EVERY_12TH, frame_count=30))
    assert info.unevenness == info.hidden_count == 0
    assert info.sample_aspect == 1
    assert (info.bit_depth, info.has_alpha, info.is_hdr, info.interlaced) == (8, False, False, False)
    assert not info.orientation.mirrored and not info.orientation.tilted
    assert info.has_times
    assert info.usual_rate == 30
    assert info.start == 0


def test_time_stamps_rounded_to_milliseconds_are_even(tmp_path):
    info = probe_video(write_clip(tmp_path / "clip.mkv", frame_count=60, rate=Fraction(60000, 1001)))
    assert 0 < info.unevenness < 0.1


def test_a_variable_rate_shows_in_the_unevenness_and_the_usual_rate(tmp_path):
    info = probe_video(write_clip(tmp_path / "clip.mp4", times=variable_times((24, 24), (8, 8))))
    assert info.unevenness > 5
    assert info.usual_rate == 24
    assert info.frame_count == 32


def test_the_first_frame_may_lie_anywhere_on_the_timeline(tmp_path):
    times = [10 + Fraction(number, 25) for number in range(10)]
    late = write_clip(tmp_path / "late.mkv", times=times, rate=25)
    assert probe_video(late).start == 10
    line = timeline(late)
    assert (line.end - line.times[0]) * line.tick == pytest.approx(Fraction(10, 25), abs=0.002)


@pytest.mark.parametrize(("hdr", "transfer"), [("pq", PQ), ("hlg", HLG)])
def test_hdr_is_known_by_its_tags(tmp_path, hdr, transfer):
    clip = write_clip(tmp_path / "clip.mp4", codec="libx265", pixel_format="yuv420p10le", hdr=hdr)
    info = probe_video(clip)
    assert (info.transfer, info.is_hdr, info.bit_depth) == (transfer, True, 10)


def test_interlacing_is_known(tmp_path):
    options = {"preset": "veryfast", "x264-params": "tff=1"}
    assert probe_video(write_clip(tmp_path / "clip.mp4", options=options)).interlaced


def test_pixels_that_are_not_square_are_known(tmp_path):
    info = probe_video(write_clip(tmp_path / "clip.mp4", sample_aspect=Fraction(4, 3)))
    assert info.sample_aspect == Fraction(4, 3)
    assert (info.width, info.height) == (160, 96), "the size is that of the stored picture"


def test_transparency_is_known(tmp_path):
    clip = write_clip(tmp_path / "clip.mov", codec="qtrle", pixel_format="argb")
    assert probe_video(clip).has_alpha


def test_a_bare_stream_has_no_time_stamps_but_its_own_rate(tmp_path):
    info = probe_video(write_clip(tmp_path / "clip.h264", rate=24))
    assert not info.has_times
    assert info.frame_count == 12
    assert info.rate == 24


# -------------------------------------------------------------------------------------------- orientation


def corner(frame: preprocess.Image) -> tuple[str, str]:
    """Where the red corner of a numbered frame lies."""
    height, width = frame.shape[:2]
    red = frame[:, :, 0].astype(int) - frame[:, :, 1]
    rows, columns = np.nonzero(red > 100)
    return "top" if rows.mean() < height / 2 else "bottom", "left" if columns.mean() < width / 2 else "right"


@pytest.mark.parametrize("rotation", [0, 90, 180, 270])
def test_a_mirrored_clip_is_read_as_it_is_shown(tmp_path, rotation):
    turned = write_clip(tmp_path / "turned.mp4", rotation=rotation)
    mirrored = write_clip(tmp_path / "mirrored.mp4", rotation=rotation, mirrored=True)
    info = probe_video(mirrored)
    assert info.orientation.mirrored and not probe_video(turned).orientation.mirrored
    frame = next(preprocess.read_frames(mirrored))
    assert frame.shape[1::-1] == (info.width, info.height)
    vertical, horizontal = corner(next(preprocess.read_frames(turned)))
    assert corner(frame) == (vertical, "left" if horizontal == "right" else "right")


@pytest.mark.parametrize("rotation", [10, 45, 100])
def test_an_odd_angle_is_known(tmp_path, rotation):
    assert probe_video(write_clip(tmp_path / "tilted.mp4", rotation=rotation)).orientation.tilted


# ----------------------------------------------------------------------------------------------- memory


def test_a_file_that_is_written_anew_is_probed_anew(tmp_path):
    clip = tmp_path / "clip.mp4"
    for frame_count in (5, 6, 7):
        write_clip(clip, frame_count=frame_count)
        assert probe_video(clip).frame_count == frame_count


def test_a_file_that_has_been_still_is_probed_once(tmp_path, monkeypatch):
    clip = write_clip(tmp_path / "clip.mp4")
    now = time.time_ns()
    monkeypatch.setattr(time, "time_ns", lambda: now + 10**10)
    first = probe_video(clip)
    assert probe_video(clip) is first
    write_clip(clip, frame_count=7)
    assert probe_video(clip).frame_count == 7


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(gaps=st.lists(st.integers(1, 40), min_size=1, max_size=20))
def test_every_frame_is_found_at_its_time(tmp_path, gaps):
    times = [Fraction(0)]
    for gap in gaps:
        times.append(times[-1] + Fraction(gap, 100))
    line = timeline(write_clip(tmp_path / "clip.mp4", times=times))
    assert [(time - line.times[0]) * line.tick for time in line.times] == times
    assert line.end > line.times[-1]
    assert all(before < after for before, after in pairwise(line.times))


@pytest.mark.parametrize("name", ["animate", "replace"])
def test_the_example_clips_are_ordinary(name):
    clip = SHARED / name / "video.mp4"
    if not clip.is_file():
        pytest.skip("the example clips are not at hand")
    info = probe_video(clip)
    assert info.unevenness == info.hidden_count == 0
    assert not (info.interlaced or info.is_hdr or info.has_alpha or info.orientation.mirrored)
