"""The media room: upstream's sizes and frame numbers, and video that comes back as it was written."""

from __future__ import annotations

import gc
import json
import math
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import preprocess
from preprocess import MediaError, VideoWriter
from tests.media import numbered_frame, write_clip, write_sound

GOLDEN = Path(__file__).parent / "data" / "golden"


def golden_cases(name: str) -> list[dict[str, Any]]:
    cases: list[dict[str, Any]] = json.loads((GOLDEN / name).read_text(encoding="utf-8"))["cases"]
    return cases


def first_values(case: dict[str, Any]) -> str:
    return "-".join(str(value) for value in list(case.values())[:3])


def distance(one: Any, other: Any) -> float:
    """Mean absolute difference of two pictures, in levels."""
    return float(np.abs(np.asarray(one, np.int16) - np.asarray(other, np.int16)).mean())


def noise(number: int, width: int, height: int) -> preprocess.Image:
    return np.random.default_rng(number).integers(0, 255, (height, width, 3), np.uint8)


# ------------------------------------------------------------------------------- upstream's arithmetic


@pytest.mark.parametrize("case", golden_cases("frame_indices.json"), ids=first_values)
def test_frame_numbers_are_upstreams(case):
    indices = preprocess.sample_indices(case["frame_num"], case["video_fps"], case["fps"])
    assert len(indices) == case["count"] == case["target_num"]
    assert sum((position + 1) * index for position, index in enumerate(indices)) == case["checksum"]
    assert len(set(indices)) == case["unique"]
    if indices:
        assert (indices[0], indices[-1]) == (case["first"], case["last"])
    if "indices" in case:
        assert indices == case["indices"]


@pytest.mark.parametrize("case", golden_cases("resize_by_area.json"), ids=first_values)
def test_canvas_and_letterbox_are_upstreams(case):
    canvas = preprocess.canvas_size(case["w"], case["h"], case["area"])
    assert canvas == (case["new_w"], case["new_h"])
    fitted = preprocess.fit_to_canvas(np.full((case["h"], case["w"]), 255, np.uint8), *canvas)
    rows, columns = np.flatnonzero(fitted.any(axis=1)), np.flatnonzero(fitted.any(axis=0))
    found = (columns[0], rows[0], columns[-1] - columns[0] + 1, rows[-1] - rows[0] + 1)
    assert found == (case["content_x"], case["content_y"], case["content_w"], case["content_h"])


@pytest.mark.parametrize(
    ("source_size", "allow_area", "interpolation"),
    [
        ((640, 360), True, cv2.INTER_AREA),
        ((640, 360), False, cv2.INTER_LINEAR),
        ((160, 90), True, cv2.INTER_LINEAR),
    ],
)
def test_area_interpolation_is_taken_where_it_shrinks_and_may_be_forbidden(
    source_size, allow_area, interpolation
):
    source = noise(0, *source_size)
    expected = cv2.resize(source, (320, 180), interpolation=interpolation)
    fitted = preprocess.fit_to_canvas(source, 320, 192, allow_area=allow_area)
    assert np.array_equal(fitted[6:186], expected)
    assert not fitted[:6].any() and not fitted[186:].any()


@given(
    frame_count=st.integers(1, 3000),
    rate=st.floats(1, 240, allow_nan=False),
    fps=st.one_of(st.just(preprocess.SOURCE_FPS), st.integers(1, 120)),
)
def test_frame_numbers_never_go_back_and_never_leave_the_clip(frame_count, rate, fps):
    indices = preprocess.sample_indices(frame_count, rate, fps)
    assert all(0 <= index < frame_count for index in indices)
    assert indices == sorted(indices)


@given(
    width=st.integers(1, 8000),
    height=st.integers(1, 8000),
    area=st.integers(1, 4000).map(lambda side: side * 512),
)
def test_a_canvas_is_in_whole_blocks_and_within_its_area(width, height, area):
    try:
        canvas = preprocess.canvas_size(width, height, area)
    except MediaError:
        assert math.sqrt(area / (width / height)) < 17 or math.sqrt(area * (width / height)) < 17
        return
    assert canvas[0] % 16 == canvas[1] % 16 == 0
    assert 0 < canvas[0] * canvas[1] <= area


def test_a_shape_that_fits_no_canvas_is_refused_with_a_remedy():
    with pytest.raises(MediaError, match=r"8000x1.*larger --resolution"):
        preprocess.canvas_size(8000, 1, 921600)


# ---------------------------------------------------------------------------------- reading and writing


@pytest.mark.parametrize("rate", [24, 25, 30, 16, Fraction(30000, 1001)])
def test_as_many_frames_come_back_as_were_written_at_the_exact_rate(tmp_path, rate):
    path = tmp_path / "clip.mp4"
    with VideoWriter(path, 96, 64, Fraction(rate)) as writer:
        for number in range(37):
            writer.write(numbered_frame(number, 96, 64))
    info = preprocess.check_video(path, frame_count=37, size=(96, 64))
    assert (info.rate, info.frame_count, info.has_audio) == (Fraction(rate), 37, False)
    assert info.duration == pytest.approx(37 / rate)
    for number, frame in enumerate(preprocess.read_frames(path)):
        assert distance(frame, numbered_frame(number, 96, 64)) < 3


def test_a_lossless_mask_comes_back_bit_for_bit(tmp_path):
    mask = np.where(np.random.default_rng(1).random((64, 96)) > 0.5, 255, 0).astype(np.uint8)
    with VideoWriter(tmp_path / "mask.mp4", 96, 64, Fraction(30), lossless=True) as writer:
        writer.write(mask)
    (frame,) = preprocess.read_frames(tmp_path / "mask.mp4")
    assert np.array_equal(frame, np.repeat(mask[:, :, None], 3, axis=2))


def test_colours_keep_their_order_and_the_metadata_its_words(tmp_path):
    import av

    red = np.zeros((64, 96, 3), np.uint8)
    red[:, :, 0] = 220
    with VideoWriter(tmp_path / "red.mp4", 96, 64, Fraction(25), metadata={"comment": "a preview"}) as writer:
        writer.write(red)
    (frame,) = preprocess.read_frames(tmp_path / "red.mp4")
    assert distance(frame, red) < 3
    with av.open(str(tmp_path / "red.mp4")) as container:
        assert container.metadata["comment"] == "a preview"


def test_a_frame_of_another_size_is_refused(tmp_path):
    with (
        pytest.raises(ValueError, match="96x64"),
        VideoWriter(tmp_path / "x.mp4", 64, 64, Fraction(30)) as writer,
    ):
        writer.write(np.zeros((64, 96, 3), np.uint8))


def test_asked_for_frames_come_in_order_and_repeat(tmp_path):
    clip = write_clip(tmp_path / "clip.mp4", frame_count=20)
    every = list(preprocess.read_frames(clip))
    indices = [0, 0, 3, 7, 7, 7, 19]
    asked = list(preprocess.read_frames(clip, indices))
    assert len(asked) == len(indices)
    assert all(np.array_equal(frame, every[index]) for frame, index in zip(asked, indices, strict=True))
    assert list(preprocess.read_frames(clip, [])) == []


def test_a_frame_past_the_end_is_an_error_and_not_a_shorter_list(tmp_path):
    clip = write_clip(tmp_path / "clip.mp4", frame_count=5)
    with pytest.raises(MediaError, match="ends before frame 5"):
        list(preprocess.read_frames(clip, [0, 5]))
    with pytest.raises(MediaError, match="frame 5 was asked for"):
        list(preprocess.read_frames_backwards(clip, [5, 0]))


ENCODINGS = {
    "plain": {"preset": "ultrafast"},
    "one key frame": {"preset": "ultrafast", "g": "1000", "bf": "3", "b-pyramid": "normal"},
    "many key frames": {"preset": "veryfast", "g": "5"},
}


@pytest.mark.parametrize("options", ENCODINGS.values(), ids=ENCODINGS)
@pytest.mark.parametrize("buffered_frames", [4, 1000], ids=["in pieces", "at once"])
def test_backwards_is_forwards_reversed(tmp_path, monkeypatch, options, buffered_frames):
    monkeypatch.setattr(preprocess, "_BACKWARD_BUFFER_BYTES", buffered_frames * 160 * 96 * 3 // 2)
    clip = write_clip(tmp_path / "clip.mp4", frame_count=33, options=options)
    indices = [*range(33), 32, 32]
    indices.sort()
    forwards = list(preprocess.read_frames(clip, indices))
    backwards = list(preprocess.read_frames_backwards(clip, indices[::-1]))
    assert len(backwards) == len(forwards)
    assert all(np.array_equal(*pair) for pair in zip(forwards, reversed(backwards), strict=True))


def test_backwards_works_without_an_index_and_without_frames(tmp_path):
    clip = write_clip(tmp_path / "clip.mkv", frame_count=9)
    forwards = list(preprocess.read_frames(clip))
    backwards = list(preprocess.read_frames_backwards(clip, list(range(8, -1, -1))))
    assert all(np.array_equal(*pair) for pair in zip(forwards, reversed(backwards), strict=True))
    assert list(preprocess.read_frames_backwards(clip, [])) == []


@pytest.mark.parametrize(
    "name", ["with space.mp4", "quo'te\".mp4", "日本語 ñ.mp4", "-dash.mp4", "100%d.mp4", "a:b.mp4"]
)
def test_odd_file_names_are_read_and_written(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    with VideoWriter(Path(name), 96, 64, Fraction(30)) as writer:
        writer.write(numbered_frame(0, 96, 64))
    assert preprocess.check_video(Path(name)).frame_count == 1
    picture = Path(name).with_suffix(".png")
    preprocess.write_picture(picture, numbered_frame(0, 96, 64))
    assert np.array_equal(preprocess.read_picture(picture), numbered_frame(0, 96, 64))


# ---------------------------------------------------------------------------------------------- probing


@pytest.mark.parametrize(("sound", "codec", "name"), [(True, "h264", "a.mp4"), (False, "gif", "a.gif")])
def test_a_clip_is_described(tmp_path, sound, codec, name):
    clip = write_clip(tmp_path / name, sound=sound, codec="gif" if codec == "gif" else "libx264", rate=25)
    info = preprocess.probe_video(clip)
    assert (info.width, info.height, info.frame_count) == (160, 96, 12)
    assert (info.rate, info.rotation, info.has_audio, info.codec) == (Fraction(25), 0, sound, codec)


@pytest.mark.parametrize("rotation", [90, 180, 270])
def test_a_turned_phone_video_is_read_upright(tmp_path, rotation):
    clip = write_clip(tmp_path / "turned.mp4", rotation=rotation)
    info = preprocess.probe_video(clip)
    shown = (96, 160) if rotation % 180 else (160, 96)
    assert (info.width, info.height) == shown
    frame = next(preprocess.read_frames(clip))
    assert frame.shape[1::-1] == shown
    bright = {
        corner: float(frame[rows, columns, 0].mean())
        for corner, (rows, columns) in {
            "top left": (slice(0, 12), slice(0, 12)),
            "top right": (slice(0, 12), slice(-12, None)),
            "bottom left": (slice(-12, None), slice(0, 12)),
            "bottom right": (slice(-12, None), slice(-12, None)),
        }.items()
    }
    stored = np.rot90(np.array([["red", "-"], ["-", "-"]]), info.rotation // 90)
    corners = [["top left", "top right"], ["bottom left", "bottom right"]]
    expected = next(
        corners[row][column] for row in (0, 1) for column in (0, 1) if stored[row][column] == "red"
    )
    assert max(bright, key=lambda corner: bright[corner]) == expected
    assert preprocess.check_video(clip, size=shown).frame_count == 12


@pytest.mark.parametrize("read", [preprocess.read_frames, preprocess.read_frames_backwards])
def test_frames_that_were_read_are_let_go_at_once(tmp_path, read):
    """Not when the garbage collector comes by: it counts objects, not their megabytes."""
    clip = write_clip(tmp_path / "clip.mp4", frame_count=90)
    indices = range(90) if read is preprocess.read_frames else range(89, -1, -1)
    gc.collect()
    gc.disable()
    try:
        assert sum(1 for _ in read(clip, indices)) == 90
        assert sum(isinstance(thing, av.VideoFrame) for thing in gc.get_objects()) <= 2
    finally:
        gc.enable()


def cut(path: Path, share: float) -> Path:
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    return path


def make_unusable(kind: str, path: Path) -> Path:
    """A path whose video cannot be used."""
    if kind == "sound only":
        return write_sound(path)
    if kind == "cut off":
        return cut(write_clip(path), 0.7)
    if kind == "cut off behind its index":
        return cut(write_clip(path, frame=noise, container_options={"movflags": "+faststart"}), 0.7)
    if kind == "text":
        path.write_text("not a video\n" * 100)
    elif kind == "empty":
        path.touch()
    elif kind == "folder":
        path.mkdir()
    elif kind == "broken picture":
        path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"\0" * 200)
    elif kind == "picture":
        path.write_bytes(cv2.imencode(".jpg", noise(0, 96, 64))[1].tobytes())
    return path


UNUSABLE = {
    "missing": "does not exist",
    "folder": "is a folder",
    "empty": "is empty",
    "text": "is not a video",
    "broken picture": "is a picture, not a video",
    "picture": "is a picture, not a video",
    "sound only": "has no picture",
    "cut off": "is not a video that can be read",
    "cut off behind its index": "cut off|cannot be read to its end|damaged",
}


@pytest.mark.parametrize("kind", UNUSABLE)
def test_an_unusable_video_is_refused_with_cause_and_remedy(tmp_path, kind):
    path = make_unusable(kind, tmp_path / "clip.mp4")
    with pytest.raises(MediaError, match=UNUSABLE[kind]) as refused:
        preprocess.probe_video(path)
    assert str(path) in str(refused.value)
    assert str(refused.value).rstrip(".").count(". ") >= 1, "a cause, then a remedy"


def test_a_file_cut_exactly_between_two_frames_is_refused(tmp_path):
    """Nothing in it is broken then: it only holds fewer frames than its index says."""
    import av

    clip = write_clip(tmp_path / "clip.mp4", frame=noise, container_options={"movflags": "+faststart"})
    with av.open(str(clip)) as container:
        start = sorted(packet.pos for packet in container.demux(video=0) if packet.pos)[8]
    clip.write_bytes(clip.read_bytes()[:start])
    with pytest.raises(MediaError, match="is cut off"):
        preprocess.probe_video(clip)


def test_a_file_damaged_in_the_middle_is_found_by_decoding(tmp_path):
    clip = write_clip(
        tmp_path / "clip.mp4", frame=noise, frame_count=10, options={"preset": "ultrafast", "g": "1"}
    )
    data = bytearray(clip.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 3000] = b"\xff" * 3000
    clip.write_bytes(bytes(data))
    with pytest.raises(MediaError):
        preprocess.check_video(clip)


def test_a_video_is_held_against_what_is_expected(tmp_path):
    clip = write_clip(tmp_path / "clip.mp4")
    assert preprocess.check_video(clip, frame_count=12, size=(160, 96)).frame_count == 12
    with pytest.raises(MediaError, match="12 frames; 13"):
        preprocess.check_video(clip, frame_count=13)
    with pytest.raises(MediaError, match="160x96; 96x160"):
        preprocess.check_video(clip, size=(96, 160))


# --------------------------------------------------------------------------------------------- pictures


def test_alpha_is_dropped_and_grey_becomes_rgb(tmp_path):
    rgba = np.zeros((8, 8, 4), np.uint8)
    rgba[:, :, 2] = 200  # OpenCV writes BGRA: this is red, and wholly transparent
    cv2.imwrite(str(tmp_path / "rgba.png"), rgba)
    assert preprocess.read_picture(tmp_path / "rgba.png")[0, 0].tolist() == [200, 0, 0]
    preprocess.write_picture(tmp_path / "grey.png", np.full((8, 8), 7, np.uint8))
    assert preprocess.read_picture(tmp_path / "grey.png")[0, 0].tolist() == [7, 7, 7]


def test_a_picture_is_turned_by_its_exif_orientation(tmp_path):
    picture = np.zeros((16, 32, 3), np.uint8)
    picture[:, :8] = 255
    encoded = cv2.imencode(".jpg", picture)[1].tobytes()
    orientation_6 = b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0"
    segment = b"\xff\xe1" + (len(orientation_6) + 2).to_bytes(2, "big") + orientation_6
    (tmp_path / "turned.jpg").write_bytes(encoded[:2] + segment + encoded[2:])
    upright = preprocess.read_picture(tmp_path / "turned.jpg")
    assert upright.shape == (32, 16, 3)
    assert upright[:6].mean() > 200 > 60 > upright[10:].mean()


@pytest.mark.parametrize(
    "content", [b"", b"text", b"\x89PNG\r\n\x1a\n" + b"\0" * 50, b"\xff\xd8\xff\xe0" + b"\0" * 50]
)
def test_a_picture_that_does_not_decode_is_refused(tmp_path, content):
    path = tmp_path / "picture.png"
    path.write_bytes(content)
    with pytest.raises(MediaError, match=r"is empty|is not a picture that can be decoded"):
        preprocess.read_picture(path)
